//! `gatepost audit`.

mod show;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, expiry, terminal};
use crate::{
    audit::{Damage, files_of},
    config::{Audit as AuditForm, Sources, load_form},
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
struct Where {
    /// The journal [default: the one that is configured]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The configuration that names it [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(audit: &Audit) -> Result<(), Failure> {
    match &audit.command {
        AuditCommand::Verify(verify) => verify::run(verify),
        AuditCommand::Show(show) => show::run(show),
    }
}

impl Where {
    /// The files of the journal, the oldest first, and what is configured of it.
    fn find(&self) -> Result<(Vec<PathBuf>, AuditForm), Failure> {
        let form = match &self.file {
            Some(file) => AuditForm {
                file: Some(file.clone()),
                ..AuditForm::default()
            },
            // Only the form: an auditor needs none of the other secrets.
            None => load_form(&Sources::new(self.config.clone()))?.audit,
        };
        let Some(file) = &form.file else {
            return Err(Failure::Unfit(
                "no audit journal is configured; set `file` in `[audit]` or GATEPOST_AUDIT__FILE, or name it".to_owned(),
            ));
        };
        let files = files_of(file).map_err(|error| {
            Failure::Failed(format!("{} cannot be read: {error}", file.display()))
        })?;
        Ok((files, form))
    }
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Self {
        Self::Failed(damage.to_string())
    }
}
