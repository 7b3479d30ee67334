//! `gatepost key new`.

use clap::Args;
use jiff::Timestamp;

use super::{
    super::client_setup::client_setups, CliError, KeysFileLocation, expiry::Expiry, no_such_role,
    terminal,
};
use crate::config::Config;
use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost key new --config config/gatepost.toml --role reader --name laptop
  gatepost key new --role reader --role auditor --name report --expires 90d > report.key

Only the key goes to standard output. Its hash is stored, so it cannot be printed again.
A client sends it as `Authorization: Bearer gp_…`.")]
pub(super) struct NewArgs {
    #[command(flatten)]
    location: KeysFileLocation,
    /// A role that the key grants; may be repeated
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<RoleName>,
    /// What the key is for, such as `laptop of Ada`
    #[arg(long, value_parser = name)]
    name: String,
    /// How long it is valid: hours, days or weeks, such as `90d` [default: until it is revoked]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Expiry>,
}

/// A name of one line.
fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let short = !text.is_empty() && text.chars().count() <= 80;
    if short && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 80 characters in one line")
    }
}

pub(super) fn run(new: &NewArgs) -> Result<(), CliError> {
    let (file, config) = new.location.resolve()?;
    match &config {
        Some(config) => {
            if let Some(role) = new
                .roles
                .iter()
                .find(|role| !config.roles.contains_key(*role))
            {
                return Err(no_such_role(config, role));
            }
        }
        None => {
            terminal::print_stderr("note: without a configuration the roles are not checked");
        }
    }
    let now = Timestamp::now();
    let mut roles = new.roles.clone();
    roles.sort();
    roles.dedup();
    let key = ApiKey::generate()
        .map_err(|error| CliError::Failed(format!("the system provides no randomness: {error}")))?;
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: new.name.clone(),
        roles,
        created: now,
        expires: new.expires.map(|expiry| expiry.after(now)),
        revoked: None,
    };
    let stored_roles = stored.roles.clone();
    let until = stored
        .expires
        .map_or_else(|| "it is revoked".to_owned(), terminal::format_time);
    update_keys_file(&file, |keys| keys.add(stored))?;
    terminal::print(&key.reveal())?;
    terminal::print_stderr(&format!(
        "Created key {} in {}, valid until {until}.\nIt cannot be printed again. A running gateway accepts it within seconds.",
        key.id(),
        file.display()
    ));
    if let Some(config) = &config {
        print_endpoints(config, &stored_roles);
    }
    Ok(())
}

/// Prints where the key is accepted. The key itself goes to standard output only.
fn print_endpoints(config: &Config, roles: &[RoleName]) {
    let policy = config.policy();
    for setup in client_setups(config, &config.server.listen) {
        if policy.allow_instance(roles, setup.instance).is_ok() {
            terminal::print_stderr(&format!(
                "Clients reach `{}` at {}, for example (KEY is the new key):\n  {}",
                setup.instance, setup.url, setup.command
            ));
        }
    }
}
