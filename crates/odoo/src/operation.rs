//! What a call does to the data.

use std::fmt;

use serde::Deserialize;

gatepost_base::words! {
    /// What a call does to Odoo's data.
    ///
    /// From harmless to unbounded, so the order of the variants means something: a
    /// policy that allows one does not thereby allow the next. A method that is not
    /// known to be harmless is [`Operation::Call`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Operation {
        /// Reads, and changes nothing.
        Read = "read",
        /// Creates records.
        Create = "create",
        /// Changes records.
        Write = "write",
        /// Deletes records.
        Delete = "delete",
        /// Runs a method of the model, which may do anything.
        Call = "call",
    }

    /// The word for it in the configuration and in error texts.
    pub fn as_str(self);
}

impl Operation {
    /// Every operation, in order.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Create,
        Self::Write,
        Self::Delete,
        Self::Call,
    ];

    /// The operation of this word, or `None` for any other text.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Whether the call gives fields of records values.
    pub fn writes_values(self) -> bool {
        matches!(self, Self::Create | Self::Write)
    }

    /// Whether the call changes nothing, so that repeating it is harmless.
    pub fn is_read(self) -> bool {
        self == Self::Read
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
