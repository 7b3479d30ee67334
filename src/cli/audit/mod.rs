//! `gatepost audit`.

mod show;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, expiry, terminal};
use crate::{
    audit::{ChainDamage, journal_files},
    config::{AuditConfig, Sources, load_schema_valid},
};

#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  gatepost audit verify audit.jsonl --key-file audit.key
  gatepost audit show audit.jsonl --caller ada --since 2d
  gatepost audit show --config config/gatepost.toml --outcome forbidden --json

FILE is the current file; rotated files are read with it.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that the journal is unchanged since the gateway wrote it
    Verify(verify::VerifyArgs),
    /// Print records, the newest last
    Show(show::ShowArgs),
}

/// Where the journal is.
#[derive(Debug, Args)]
struct JournalLocation {
    /// The journal [default: the configured one]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The configuration that names it [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(audit: &AuditArgs) -> Result<(), CliError> {
    match &audit.command {
        AuditCommand::Verify(verify) => verify::run(verify),
        AuditCommand::Show(show) => show::run(show),
    }
}

impl JournalLocation {
    /// The files of the journal, the oldest first, and its settings.
    fn resolve(&self) -> Result<(Vec<PathBuf>, AuditConfig), CliError> {
        let settings = match &self.file {
            Some(file) => AuditConfig {
                file: Some(file.clone()),
                ..AuditConfig::default()
            },
            // Only the schema, because an auditor does not have the other secrets.
            None => load_schema_valid(&Sources::new(self.config.clone()))?.audit,
        };
        let Some(file) = &settings.file else {
            return Err(CliError::UnusableConfig(
                "no audit journal is configured; set `file` in `[audit]` or GATEPOST_AUDIT__FILE, or name the file".to_owned(),
            ));
        };
        let files = journal_files(file).map_err(|error| {
            CliError::Failed(format!("{} cannot be read: {error}", file.display()))
        })?;
        Ok((files, settings))
    }
}

impl From<ChainDamage> for CliError {
    fn from(damage: ChainDamage) -> Self {
        Self::Failed(damage.to_string())
    }
}
