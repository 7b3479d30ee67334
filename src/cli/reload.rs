//! `gatepost reload`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    CliError,
    admin_client::{AdminUrl, ReadLimits},
    terminal,
};
use crate::config::Sources;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost reload --config /etc/gatepost/gatepost.toml
  docker compose exec gatepost gatepost reload

Asks the gateway on this machine or in this container, through its admin listener, to
read its configuration, secrets, keys and certificates again, as SIGHUP does. Warnings name
settings that need a restart. A configuration with errors changes nothing. It reads the
file that it was started with; another one after `--config` is an error.
Exit code 0: reloaded. 3: the configuration has errors. 4: no gateway answers.")]
pub(super) struct ReloadArgs {
    /// The configuration, for the address of the admin listener [default: the one
    /// `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A reload may wait for a slow disk; its warnings are a few lines.
const READ_LIMITS: ReadLimits = ReadLimits {
    bytes: 1 << 20,
    timeout: Duration::from_mins(1),
};

pub(super) fn run(reload: &ReloadArgs) -> Result<(), CliError> {
    let sources = Sources::new(reload.config.clone());
    let without = "send SIGHUP to the process instead";
    let url = AdminUrl::configured(&sources, "/reload", without)?;
    let response = match url.send("POST", READ_LIMITS) {
        Err(CliError::Unreachable(why)) => {
            return Err(CliError::Unreachable(format!(
                "{why}; if `admin.listen` was changed, the gateway still listens at the old address until it is started again; otherwise start it, or {without}"
            )));
        }
        sent => sent?,
    };
    let text = response.body.trim_end();
    match response.status {
        200 => {
            for warning in text.lines().filter(|line| !line.is_empty()) {
                terminal::print_stderr(&format!("warning: {warning}"));
            }
            let read = response.config_file;
            let shown = read.as_ref().map(|read| read.display().to_string());
            let shown = shown.as_deref().unwrap_or("its configuration");
            match (&sources.file, &read) {
                (Some(file), Some(read)) if !is_same_file(file, read) => {
                    Err(CliError::Failed(format!(
                        "the gateway reloaded {shown}, which it was started with, and did not read {}",
                        file.display()
                    )))
                }
                _ => terminal::print(&format!("The gateway reloaded {shown}")),
            }
        }
        422 => Err(CliError::UnusableConfig(format!(
            "the gateway rejected its configuration and continues with the old one: {text}"
        ))),
        status => Err(CliError::Failed(format!("{url} answers {status}: {text}"))),
    }
}

/// Whether both paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    matches!((real(one), real(other)), (Ok(one), Ok(other)) if one == other)
}
