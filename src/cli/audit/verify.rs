//! `gatepost audit verify`.

use std::{fs, path::PathBuf};

use clap::Args;

use super::{CliError, JournalLocation, terminal};
use crate::audit::{ChainKey, JournalSummary};
use gatepost_base::text::pluralize;

/// How many unfinished writes are listed.
const MAX_LISTED_OPEN_WRITES: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost audit verify audit.jsonl
  gatepost audit verify audit.jsonl --key-file audit.key
  gatepost audit verify --config config/gatepost.toml

It names the first line that was changed, removed, inserted or moved. It cannot detect
lines removed from the end: compare the last number with one that you recorded.
Exit code 0: the journal is intact. 1: it is not, cannot be read, or has no records: the
gateway begins each file with a line, so a file without one was emptied.")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    location: JournalLocation,
    /// The file with the key of the hash chain [default: the configured one]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub(super) fn run(verify: &VerifyArgs) -> Result<(), CliError> {
    let (files, settings) = verify.location.resolve()?;
    let key_file = verify.key_file.as_ref().or(settings.key_file.as_ref());
    let key = key_file.map(read_key).transpose()?;
    let history = JournalSummary::verify(&files, key.as_ref(), |_, _| ())?;
    terminal::print(&summary(&history))?;
    if key.is_none() {
        terminal::print_stderr(
            "note: without a key (`audit.key_file`) anyone who can write the files could forge them",
        );
    }
    Ok(())
}

fn read_key(file: &PathBuf) -> Result<ChainKey, CliError> {
    let bytes = fs::read(file)
        .map_err(|error| CliError::Failed(format!("{} cannot be read: {error}", file.display())))?;
    ChainKey::new(bytes.trim_ascii()).ok_or_else(|| {
        CliError::Failed(format!(
            "{} does not hold a key: a key has at least {} characters",
            file.display(),
            ChainKey::MIN_BYTES
        ))
    })
}

fn summary(history: &JournalSummary) -> String {
    let lines = usize::try_from(history.lines).unwrap_or(usize::MAX);
    let mut text = vec![format!(
        "intact: {} in {}, number {} to {}",
        pluralize(lines, "line"),
        pluralize(history.files, "file"),
        history.first_seq,
        history.end.seq
    )];
    if history.lines > 0 {
        text.push(format!(
            "  the hash of the last line is {}",
            history.end.hash
        ));
    }
    if history.first_seq > 1 {
        text.push("  earlier records are no longer retained".to_owned());
    }
    if history.torn_count > 0 {
        text.push(format!(
            "  an incomplete record was found {} after a crash",
            match history.torn_count {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            }
        ));
    }
    if history.lost_records > 0 {
        text.push(format!(
            "  {} not written because the journal could not be written",
            match history.lost_records {
                1 => "1 record was".to_owned(),
                lost => format!("{lost} records were"),
            }
        ));
    }
    if !history.unfinished_writes.is_empty() {
        text.push(format!(
            "  {} no outcome: still in flight, or the gateway died",
            match history.unfinished_writes.len() {
                1 => "1 change has".to_owned(),
                open => format!("{open} changes have"),
            }
        ));
        for (file, line) in history
            .unfinished_writes
            .iter()
            .take(MAX_LISTED_OPEN_WRITES)
        {
            text.push(format!("    {}, line {line}", file.display()));
        }
        let more = history
            .unfinished_writes
            .len()
            .saturating_sub(MAX_LISTED_OPEN_WRITES);
        if more > 0 {
            text.push(format!("    and {more} more"));
        }
        text.push("    `gatepost audit show --outcome begun` prints them".to_owned());
    }
    text.join("\n")
}
