//! Reading and verifying a journal.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ChainError, ChainKey, ChainLink, ChainPosition, chain::MAX_LINE_BYTES, opening::rotated_files,
};

/// The files of a journal, oldest first: the rotated ones, then the current one.
///
/// # Errors
/// When the folder cannot be read.
pub fn journal_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let rotated = rotated_files(path)?;
    let mut files: Vec<PathBuf> = rotated.into_iter().map(|(_, path)| path).collect();
    if path.exists() || files.is_empty() {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// The summary of an intact journal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalSummary {
    /// The number of files.
    pub files: usize,
    /// The number of lines.
    pub lines: u64,
    /// The number of the first line; more than 1 if older files were removed.
    pub first_seq: u64,
    /// The end of the chain.
    pub end: ChainPosition,
    /// How often a torn line was found.
    pub torn_count: u64,
    /// The number of lost records.
    pub lost_records: u64,
    /// Writes without a record of their end: the file and the line (from 1) of each.
    pub unfinished_writes: Vec<(PathBuf, u64)>,
}

/// The first damage in a journal. `Display` is for the auditor.
#[derive(Debug, thiserror::Error)]
pub enum ChainDamage {
    /// A file has no lines. The gateway starts each file with one.
    #[error("{0} has no lines: if it had any, they were removed")]
    Emptied(PathBuf),
    /// A line, counted from 1, breaks the chain.
    #[error("{0}, line {1}: {2}")]
    InvalidLine(PathBuf, u64, #[source] ChainError),
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The hashes use a key.
    #[error("the hashes in {0} use a key; pass its file with `--key-file`")]
    KeyRequired(PathBuf),
    /// A file does not start with a start entry.
    #[error("{0}, line 1: it is not the first line of a file: lines before it were removed")]
    MissingFileStart(PathBuf),
    /// The last line, counted from 1, is incomplete.
    #[error(
        "{0}, line {1}: it is incomplete: the gateway crashed while writing it (and reports that when it opens the file again), the file was truncated, or the line is being written right now"
    )]
    Torn(PathBuf, u64),
}

/// A line of a journal, with the members that readers need.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StoredRecord {
    /// Its number.
    pub seq: u64,
    /// The kind of line.
    pub kind: String,
    /// The time.
    pub time: String,
    /// The id of the request.
    pub request: String,
    /// The number of the call in its request.
    pub call: u32,
    /// The caller.
    pub caller: StoredCaller,
    /// The instance.
    pub instance: String,
    /// The credential of the Odoo user.
    pub credential: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// Whether the gateway made the call on its own behalf.
    pub inquiry: bool,
    /// The model.
    pub model: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// What it does to the data.
    pub effect: Option<String>,
    /// The first ids.
    pub ids: Vec<u32>,
    /// The total number of ids.
    pub ids_count: u64,
    /// The changed fields.
    pub fields: Vec<String>,
    /// How it ended.
    pub outcome: String,
    /// The kind of error.
    pub reason: Option<String>,
    /// Whether the client left before the end of a write.
    pub client_left: bool,
    /// The duration.
    pub duration_ms: f64,
    /// The number of rows in the response.
    pub rows: Option<u64>,
    /// The number of lost records, in a gap entry.
    pub lost: u64,
    /// Whether the hashes use a key, in the first line of a file.
    pub keyed: bool,
}

/// The caller in a line of a journal.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StoredCaller {
    /// The issuer of the subject.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// The administrator's name for it, if it is an API key.
    pub name: Option<String>,
}

impl JournalSummary {
    /// Reads files in order, verifies the chain, and passes each line to `visit`.
    ///
    /// # Errors
    /// [`ChainDamage`] names the first damaged line; `visit` gets only the lines
    /// before it.
    pub fn verify(
        files: &[PathBuf],
        key: Option<&ChainKey>,
        mut visit: impl FnMut(&StoredRecord, &[u8]),
    ) -> Result<Self, ChainDamage> {
        let mut summary = Self::default();
        let mut unfinished = HashMap::new();
        let mut position: Option<ChainPosition> = None;
        for file in files {
            summary.files += 1;
            let before = summary.lines;
            for_each_line(file, |number, line, ended| {
                let damage = |why| ChainDamage::InvalidLine(file.clone(), number, why);
                if !ended {
                    return Err(ChainDamage::Torn(file.clone(), number));
                }
                let record: StoredRecord = serde_json::from_slice(line)
                    .map_err(|_no_line| damage(ChainError::NotALine))?;
                if number == 1 && record.keyed && key.is_none() {
                    return Err(ChainDamage::KeyRequired(file.clone()));
                }
                let mut at = match position {
                    Some(position) => position,
                    // Rotation has removed the lines before the oldest file.
                    None => position_before(line, key).map_err(damage)?,
                };
                let link = at.advance(line, key).map_err(damage)?;
                if number == 1 && record.kind != "began" {
                    return Err(ChainDamage::MissingFileStart(file.clone()));
                }
                if position.is_none() {
                    summary.first_seq = link.seq;
                }
                position = Some(at);
                summary.end = at;
                summary.lines += 1;
                summary.lost_records += record.lost;
                summary.torn_count += u64::from(record.kind == "torn");
                if record.outcome == "begun" {
                    let at = (summary.files, file.clone(), number);
                    unfinished.insert((record.request.clone(), record.call), at);
                } else if !unfinished.is_empty() {
                    unfinished.remove(&(record.request.clone(), record.call));
                }
                visit(&record, line);
                Ok(())
            })?;
            if summary.lines == before {
                return Err(ChainDamage::Emptied(file.clone()));
            }
        }
        let mut unfinished: Vec<_> = unfinished.into_values().collect();
        unfinished.sort_unstable();
        summary.unfinished_writes = unfinished
            .into_iter()
            .map(|(_, file, line)| (file, line))
            .collect();
        Ok(summary)
    }

    /// Passes each readable line to `visit` without verifying the chain; returns the
    /// number of unreadable lines. An incomplete last line is not counted, because it
    /// may be being written.
    ///
    /// # Errors
    /// [`ChainDamage::Io`].
    pub fn read(
        files: &[PathBuf],
        mut visit: impl FnMut(&StoredRecord, &[u8]),
    ) -> Result<usize, ChainDamage> {
        let mut unreadable = 0;
        for file in files {
            for_each_line(file, |_, line, ended| {
                match serde_json::from_slice(line) {
                    Ok(record) => visit(&record, line),
                    Err(_) => unreadable += usize::from(ended),
                }
                Ok(())
            })?;
        }
        Ok(unreadable)
    }
}

/// The position before a line.
fn position_before(line: &[u8], key: Option<&ChainKey>) -> Result<ChainPosition, ChainError> {
    let link = ChainLink::parse(line, key)?;
    let before = ChainPosition {
        seq: link.seq.checked_sub(1).ok_or(ChainError::NotALine)?,
        hash: link.prev,
    };
    if before.seq == 0 && before != ChainPosition::default() {
        return Err(ChainError::PreviousHashMismatch);
    }
    Ok(before)
}

/// Reads a file line by line: the number, the bytes, and whether the line is complete.
fn for_each_line(
    file: &Path,
    mut each: impl FnMut(u64, &[u8], bool) -> Result<(), ChainDamage>,
) -> Result<(), ChainDamage> {
    let failed = |why| ChainDamage::Io(file.to_owned(), why);
    let mut reader = BufReader::new(File::open(file).map_err(failed)?);
    let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(limit);
        if bounded.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(());
        }
        number += 1;
        let ended = line.last() == Some(&b'\n');
        if ended {
            line.pop();
        }
        each(number, &line, ended)?;
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::{super::AuditUnavailable, ChainDamage, ChainError};

    #[test]
    fn damage_names_the_line_and_what_was_done_to_it() {
        let path = || PathBuf::from("/var/lib/gatepost/audit.jsonl");
        let invalid = |error| ChainDamage::InvalidLine(path(), 7, error);
        let damages = [
            ChainDamage::Emptied(path()),
            invalid(ChainError::HashMismatch),
            invalid(ChainError::NotALine),
            invalid(ChainError::PreviousHashMismatch),
            invalid(ChainError::WrongSequence {
                wanted: 7,
                found: 8,
            }),
            ChainDamage::Io(path(), io::ErrorKind::PermissionDenied.into()),
            ChainDamage::KeyRequired(path()),
            ChainDamage::MissingFileStart(path()),
            ChainDamage::Torn(path(), 7),
        ];
        insta::assert_snapshot!(damages.map(|damage| damage.to_string()).join("\n"));
    }

    #[test]
    fn write_without_audit_record_says_that_nothing_was_sent() {
        insta::assert_snapshot!(AuditUnavailable);
    }
}
