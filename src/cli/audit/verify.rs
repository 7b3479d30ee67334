//! `gatepost audit verify`.

use std::{fs, path::PathBuf};

use clap::Args;

use super::{Failure, Where, terminal};
use crate::audit::{ChainKey, History};
use gatepost_base::text::counted;

/// Changes without an end that are named.
const OPEN: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost audit verify audit.jsonl
  gatepost audit verify audit.jsonl --key-file audit.key
  gatepost audit verify --config config/gatepost.toml

It names the first line that was changed, taken out, put in or moved. That lines are
missing at the end it cannot see: compare the last number with what you noted.
Exit code 0: the journal is whole. 1: it is not, cannot be read, or holds no records: the
gateway begins each file with a line, so that one without any was emptied.")]
pub(super) struct Verify {
    #[command(flatten)]
    place: Where,
    /// The file with the key to the hashes [default: the one that is configured]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub(super) fn run(verify: &Verify) -> Result<(), Failure> {
    let (files, form) = verify.place.find()?;
    let key_file = verify.key_file.as_ref().or(form.key_file.as_ref());
    let key = key_file.map(key).transpose()?;
    let history = History::verify(&files, key.as_ref(), |_, _| ())?;
    terminal::print(&summary(&history))?;
    if key.is_none() {
        terminal::explain(
            "note: without a key (`audit.key_file`) who can write the files can make all of this anew",
        );
    }
    Ok(())
}

fn key(file: &PathBuf) -> Result<ChainKey, Failure> {
    let bytes = fs::read(file)
        .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", file.display())))?;
    ChainKey::new(bytes.trim_ascii()).ok_or_else(|| {
        Failure::Failed(format!(
            "{} holds no key: it has at least {} characters",
            file.display(),
            ChainKey::MIN_BYTES
        ))
    })
}

fn summary(history: &History) -> String {
    let lines = usize::try_from(history.lines).unwrap_or(usize::MAX);
    let mut text = vec![format!(
        "whole: {} in {}, number {} to {}",
        counted(lines, "line"),
        counted(history.files, "file"),
        history.first,
        history.last.seq
    )];
    if history.lines > 0 {
        text.push(format!("  the last line is {}", history.last.hash));
    }
    if history.first > 1 {
        text.push("  what was before is no longer kept".to_owned());
    }
    if history.torn > 0 {
        text.push(format!(
            "  it was found torn {} after a crash",
            match history.torn {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            }
        ));
    }
    if history.lost > 0 {
        text.push(format!(
            "  {} lost, for the journal could not be written",
            match history.lost {
                1 => "1 record was".to_owned(),
                lost => format!("{lost} records were"),
            }
        ));
    }
    if !history.open.is_empty() {
        text.push(format!(
            "  {} begun and their end is not told: they are under way, or the gateway died",
            match history.open.len() {
                1 => "1 change was".to_owned(),
                open => format!("{open} changes were"),
            }
        ));
        for (file, line) in history.open.iter().take(OPEN) {
            text.push(format!("    {}, line {line}", file.display()));
        }
        let more = history.open.len().saturating_sub(OPEN);
        if more > 0 {
            text.push(format!("    and {more} more"));
        }
        text.push("    `gatepost audit show --outcome begun` prints them".to_owned());
    }
    text.join("\n")
}
