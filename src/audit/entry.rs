//! The entries of a journal.

use jiff::Timestamp;
use serde::Serialize;

use super::Record;

/// The version of the line format; incremented for incompatible changes.
const FORMAT_VERSION: u32 = 1;

/// An entry: one line of a journal.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JournalEntry {
    /// The first line of each file. Its `prev` is the hash of the last line of the
    /// previous file.
    Began {
        /// When the file was started.
        time: Timestamp,
        /// The version of the line format.
        form: u32,
        /// Whether the hashes use a key.
        keyed: bool,
    },
    /// A call.
    Call(Box<Record>),
    /// Records were lost before this line.
    Gap {
        /// When it was detected.
        time: Timestamp,
        /// The number of lost records.
        lost: u64,
    },
    /// The file ended in the middle of a line when it was opened, after a crash of the
    /// gateway or the machine.
    Torn {
        /// When it was detected.
        time: Timestamp,
        /// The length of the incomplete line, which is saved in the file `….torn`.
        size_bytes: usize,
    },
}

impl JournalEntry {
    /// The first line of a file.
    pub(super) fn file_start(time: Timestamp, keyed: bool) -> Self {
        Self::Began {
            time,
            form: FORMAT_VERSION,
            keyed,
        }
    }
}
