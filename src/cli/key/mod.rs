//! `gatepost key`.

mod list;
mod new;
mod revoke;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, expiry, names::no_such_role, terminal};
use crate::config::{Config, Sources, load_schema_valid};
use gatepost_identity::KeysFileError;

#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  gatepost key new --config config/gatepost.toml --role reader --name laptop --expires 90d
  gatepost key list --config config/gatepost.toml
  gatepost key revoke --config config/gatepost.toml 7k2mq0z9xw1c

To replace a key: create one with the same name, distribute it, revoke the old one.
A running gateway applies changes within seconds.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key and print it; it cannot be printed again
    New(new::NewArgs),
    /// List the keys, without their secrets
    List(list::ListArgs),
    /// Revoke a key
    Revoke(revoke::RevokeArgs),
}

/// Where the keys file is.
#[derive(Debug, Args)]
struct KeysFileLocation {
    /// The configuration that names the keys file [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// The keys file itself, without a configuration
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(key: &KeyArgs) -> Result<(), CliError> {
    match &key.command {
        KeyCommand::New(new) => new::run(new),
        KeyCommand::List(list) => list::run(list),
        KeyCommand::Revoke(revoke) => revoke::run(revoke),
    }
}

impl KeysFileLocation {
    /// The keys file, and the configuration if one names it.
    fn resolve(&self) -> Result<(PathBuf, Option<Config>), CliError> {
        if let Some(file) = &self.file {
            return Ok((file.clone(), None));
        }
        // Only the schema, so that keys can be created where Odoo's secrets are not available.
        let config = load_schema_valid(&Sources::new(self.config.clone()))?;
        match &config.keys.file {
            Some(file) => Ok((file.clone(), Some(config))),
            None => Err(CliError::UnusableConfig(
                "no keys file is configured; set `file` in `[keys]` or GATEPOST_KEYS__FILE, or name it with `--file`".to_owned(),
            )),
        }
    }
}

impl From<KeysFileError> for CliError {
    fn from(error: KeysFileError) -> Self {
        Self::Failed(error.to_string())
    }
}
