//! What one line of a journal tells.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Record;

/// The form of the lines; another number when a reader must know.
const FORMAT_VERSION: u32 = 1;

/// What one line of a journal tells.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JournalEntry {
    /// The first line of each file. Its `prev` is of the last line of the file
    /// before.
    Began {
        /// When.
        #[serde(serialize_with = "text")]
        time: Timestamp,
        /// The form of the lines.
        form: u32,
        /// Whether there is a key to the hashes.
        keyed: bool,
    },
    /// A call.
    Call(Box<Record>),
    /// Records were lost before this line.
    Gap {
        /// When it was noticed.
        #[serde(serialize_with = "text")]
        time: Timestamp,
        /// How many.
        lost: u64,
    },
    /// The file ended in the middle of a line when it was opened: the gateway
    /// or the machine had died.
    Torn {
        /// When it was noticed.
        #[serde(serialize_with = "text")]
        time: Timestamp,
        /// Bytes that were no whole line. They are in the file `….torn`.
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

fn text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}
