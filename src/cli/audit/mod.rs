//! `gatepost audit`.

mod show;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, expiry, terminal};
use crate::{
    audit::{ChainDamage, journal_files},
    config::{Audit as AuditForm, Sources, load_schema_valid},
};

#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  gatepost audit verify audit.jsonl --key-file audit.key
  gatepost audit show audit.jsonl --caller ada --since 2d
  gatepost audit show --config config/gatepost.toml --outcome forbidden --json

The file is the one that is written; those that were rotated are read with it.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Say whether the journal is what the gateway wrote, and where it first is not
    Verify(verify::Verify),
    /// Print records, the newest last
    Show(show::Show),
}

/// Where the journal is.
#[derive(Debug, Args)]
struct JournalLocation {
    /// The journal [default: the one that is configured]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The configuration that names it [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(audit: &Audit) -> Result<(), CliError> {
    match &audit.command {
        AuditCommand::Verify(verify) => verify::run(verify),
        AuditCommand::Show(show) => show::run(show),
    }
}

impl JournalLocation {
    /// The files of the journal, the oldest first, and what is configured of it.
    fn resolve(&self) -> Result<(Vec<PathBuf>, AuditForm), CliError> {
        let form = match &self.file {
            Some(file) => AuditForm {
                file: Some(file.clone()),
                ..AuditForm::default()
            },
            // Only the form: an auditor needs none of the other secrets.
            None => load_schema_valid(&Sources::new(self.config.clone()))?.audit,
        };
        let Some(file) = &form.file else {
            return Err(CliError::UnusableConfig(
                "no audit journal is configured; set `file` in `[audit]` or GATEPOST_AUDIT__FILE, or name it".to_owned(),
            ));
        };
        let files = journal_files(file).map_err(|error| {
            CliError::Failed(format!("{} cannot be read: {error}", file.display()))
        })?;
        Ok((files, form))
    }
}

impl From<ChainDamage> for CliError {
    fn from(damage: ChainDamage) -> Self {
        Self::Failed(damage.to_string())
    }
}
