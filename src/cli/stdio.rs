//! `gatepost stdio`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, check::warn};
use crate::{
    config::{Checked, Sources, load},
    names::InstanceName,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost stdio --config config/gatepost.toml --instance production
  gatepost stdio --demo
  claude mcp add odoo -- gatepost stdio --config /etc/gatepost.toml --instance production

A client starts this itself: it speaks MCP over standard input and output, and logs
to standard error.")]
pub(super) struct Stdio {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    pub(super) config: Option<PathBuf>,
    /// Which instance; needed where several are configured
    #[arg(long, value_name = "NAME", conflicts_with = "demo")]
    pub(super) instance: Option<InstanceName>,
    /// The built-in sample company instead of an Odoo
    #[arg(long)]
    pub(super) demo: bool,
}

/// Serves the client that started us until it closes standard input.
///
/// # Errors
/// When the configuration is wrong or no instance is meant.
pub(super) fn run(stdio: &Stdio) -> Result<(), Failure> {
    if stdio.demo {
        return Err(Failure::Failed(
            "this build has no sample company yet".to_owned(),
        ));
    }
    let checked = load(&Sources::new(stdio.config.clone()))?;
    warn(&checked.warnings);
    let instance = chosen(&checked, stdio.instance.as_ref())?;
    Err(Failure::Failed(format!(
        "the configuration of `{instance}` is right, and this build does not serve it yet"
    )))
}

/// The instance that is meant: the named one, or the only one.
fn chosen(checked: &Checked, wanted: Option<&InstanceName>) -> Result<InstanceName, Failure> {
    let instances = &checked.config.instances;
    let names: Vec<&str> = instances.keys().map(InstanceName::as_str).collect();
    let names = names.join("`, `");
    match wanted {
        Some(name) if instances.contains_key(name) => Ok(name.clone()),
        Some(name) => Err(Failure::Unfit(format!(
            "there is no instance `{name}`; there are `{names}`"
        ))),
        None => match instances.first_key_value() {
            Some((only, _)) if instances.len() == 1 => Ok(only.clone()),
            _ => Err(Failure::Unfit(format!(
                "say which instance by `--instance`: `{names}`"
            ))),
        },
    }
}
