//! Reading a journal: whether it is whole, and what it tells.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ChainError, ChainKey, ChainLink, ChainPosition, LineHash, chain::MAX_LINE_BYTES,
    opening::rotated_files,
};

/// The files of a journal, the oldest first: those that were rotated, then the
/// one that is written.
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

/// What a whole journal tells of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalSummary {
    /// Its files.
    pub files: usize,
    /// Its lines.
    pub lines: u64,
    /// The number of its first line; more than 1 when older files are gone.
    pub first_seq: u64,
    /// Its end.
    pub end: ChainPosition,
    /// How often it was found torn.
    pub torn_count: u64,
    /// Records that were lost.
    pub lost_records: u64,
    /// Changes that were begun and of whose end nothing is told: the file and the
    /// line of each, from 1.
    pub unfinished_writes: Vec<(PathBuf, u64)>,
}

/// The first place where a journal is not what the gateway wrote.
#[derive(Debug, thiserror::Error)]
pub enum ChainDamage {
    /// A file does not begin as files do.
    #[error(
        "{}, line 1: it is not the first line of a file: lines were taken out before it", file.display()
    )]
    MissingFileStart {
        /// The file.
        file: PathBuf,
    },
    /// A file has no line. The gateway leaves none like that: it begins each with one.
    #[error(
        "{} holds no records: if it held some, it was emptied", file.display()
    )]
    Emptied {
        /// The file.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// The hashes were made with a key.
    #[error("the hashes in {} were made with a key; name its file by `--key-file`", file.display())]
    KeyRequired {
        /// The file.
        file: PathBuf,
    },
    /// A line does not fit.
    #[error("{}, line {line}: {why}", file.display())]
    InvalidLine {
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        why: ChainError,
    },
    /// The last line has no end.
    #[error(
        "{}, line {line}: it is no whole line: the gateway died while it wrote it (it tells so itself when it opens the file), somebody cut the file, or it is being written right now", file.display()
    )]
    Torn {
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: u64,
    },
}

/// What a line tells, as far as readers ask for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StoredRecord {
    /// Its number.
    pub seq: u64,
    /// The kind of line.
    pub kind: String,
    /// When.
    pub time: String,
    /// The number of the request.
    pub request: String,
    /// Which of the request's calls.
    pub call: u32,
    /// Who called.
    pub caller: StoredCaller,
    /// The instance.
    pub instance: String,
    /// The Odoo user.
    pub credential: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// Whether it is a question of our own.
    pub inquiry: bool,
    /// The model.
    pub model: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// What it does to the data.
    pub effect: Option<String>,
    /// The first ids.
    pub ids: Vec<u32>,
    /// How many ids there are.
    pub ids_count: u64,
    /// The changed fields.
    pub fields: Vec<String>,
    /// How it ended.
    pub outcome: String,
    /// The kind of error.
    pub reason: Option<String>,
    /// Whether the client left before the end of a change.
    pub client_left: bool,
    /// How long it took.
    pub duration_ms: f64,
    /// Records in the answer.
    pub rows: Option<u64>,
    /// Records that were lost, of a gap.
    pub lost: u64,
    /// Whether there is a key, of a first line.
    pub keyed: bool,
}

/// Who called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StoredCaller {
    /// Who vouches for the subject.
    pub issuer: String,
    /// Who it is.
    pub subject: String,
}

impl JournalSummary {
    /// Reads files in their order, hands out what each line tells, and checks
    /// that it is the chain that the gateway wrote.
    ///
    /// # Errors
    /// [`Damage`] names the first line that does not hold; nothing after it is
    /// handed out.
    pub fn verify(
        files: &[PathBuf],
        key: Option<&ChainKey>,
        mut tell: impl FnMut(&StoredRecord, &[u8]),
    ) -> Result<Self, ChainDamage> {
        let mut history = Self::default();
        let mut open = HashMap::new();
        let mut place: Option<ChainPosition> = None;
        for file in files {
            history.files += 1;
            let before = history.lines;
            for_each_line(file, |number, line, ended| {
                let damage = |why| ChainDamage::InvalidLine {
                    file: file.clone(),
                    line: number,
                    why,
                };
                if !ended {
                    return Err(ChainDamage::Torn {
                        file: file.clone(),
                        line: number,
                    });
                }
                let told: StoredRecord = serde_json::from_slice(line)
                    .map_err(|_no_line| damage(ChainError::NotALine))?;
                if number == 1 && told.keyed && key.is_none() {
                    return Err(ChainDamage::KeyRequired { file: file.clone() });
                }
                let mut at = match place {
                    Some(place) => place,
                    // What was before the oldest file is gone in the course of things.
                    None => position_before(line, key).map_err(damage)?,
                };
                let link = at.advance(line, key).map_err(damage)?;
                if number == 1 && told.kind != "began" {
                    return Err(ChainDamage::MissingFileStart { file: file.clone() });
                }
                if place.is_none() {
                    history.first_seq = link.seq;
                }
                place = Some(at);
                history.end = at;
                history.lines += 1;
                history.lost_records += told.lost;
                history.torn_count += u64::from(told.kind == "torn");
                if told.outcome == "begun" {
                    let at = (history.files, file.clone(), number);
                    open.insert((told.request.clone(), told.call), at);
                } else if !open.is_empty() {
                    open.remove(&(told.request.clone(), told.call));
                }
                tell(&told, line);
                Ok(())
            })?;
            if history.lines == before {
                return Err(ChainDamage::Emptied { file: file.clone() });
            }
        }
        let mut open: Vec<_> = open.into_values().collect();
        open.sort_unstable();
        history.unfinished_writes = open
            .into_iter()
            .map(|(_, file, line)| (file, line))
            .collect();
        Ok(history)
    }

    /// Hands out what each line tells that can be read, whole or not, and says
    /// how many cannot; a last one without an end is being written.
    ///
    /// # Errors
    /// [`Damage::Io`].
    pub fn read(
        files: &[PathBuf],
        mut tell: impl FnMut(&StoredRecord, &[u8]),
    ) -> Result<usize, ChainDamage> {
        let mut unreadable = 0;
        for file in files {
            for_each_line(file, |_, line, ended| {
                match serde_json::from_slice(line) {
                    Ok(told) => tell(&told, line),
                    Err(_) => unreadable += usize::from(ended),
                }
                Ok(())
            })?;
        }
        Ok(unreadable)
    }
}

/// The place before a line.
fn position_before(line: &[u8], key: Option<&ChainKey>) -> Result<ChainPosition, ChainError> {
    let link = ChainLink::parse(line, key)?;
    let before = ChainPosition {
        seq: link.seq.checked_sub(1).ok_or(ChainError::NotALine)?,
        hash: link.prev,
    };
    if before.seq == 0 && before.hash != LineHash::ZERO {
        return Err(ChainError::PreviousHashMismatch);
    }
    Ok(before)
}

/// Reads a file line by line: its number, its bytes, and whether it has an end.
fn for_each_line(
    file: &Path,
    mut each: impl FnMut(u64, &[u8], bool) -> Result<(), ChainDamage>,
) -> Result<(), ChainDamage> {
    let failed = |why| ChainDamage::Io {
        file: file.to_owned(),
        why,
    };
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
