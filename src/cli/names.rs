//! The instances and roles that a command names.

use super::CliError;
use crate::config::Config;
use gatepost_base::{InstanceName, RoleName};

/// The named instance, or the only one.
///
/// # Errors
/// If there is no such instance, or none is named and several are configured.
pub(super) fn choose_instance(
    config: &Config,
    wanted: Option<&InstanceName>,
) -> Result<InstanceName, CliError> {
    let instances = &config.instances;
    let names = quote_names(instances.keys().map(InstanceName::as_str));
    match (wanted, instances.first_key_value()) {
        (Some(name), _) if instances.contains_key(name) => Ok(name.clone()),
        (Some(name), _) => Err(CliError::UnusableConfig(format!(
            "there is no instance `{name}`; configured: {names}"
        ))),
        (None, Some((only, _))) if instances.len() == 1 => Ok(only.clone()),
        (None, _) => Err(CliError::UnusableConfig(format!(
            "name an instance with `--instance`: {names}"
        ))),
    }
}

/// The error for a role that is not configured.
pub(super) fn no_such_role(config: &Config, role: &RoleName) -> CliError {
    let names = quote_names(config.roles.keys().map(RoleName::as_str));
    let names = if names.is_empty() { "none" } else { &names };
    CliError::UnusableConfig(format!("there is no role `{role}`; configured: {names}"))
}

/// The names in backticks, separated by commas.
fn quote_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
