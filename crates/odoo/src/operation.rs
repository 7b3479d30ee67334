//! What a call does to the data.

/// What a call does to Odoo's data, from harmless to anything.
///
/// In order: a policy that allows one does not thereby allow the next. A
/// method that is not known to be harmless is [`Effect::Run`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// Looks, and changes nothing.
    Read,
    /// Makes records.
    Create,
    /// Changes records.
    Write,
    /// Removes records.
    Delete,
    /// Runs a method of the model, which may do anything.
    Call,
}

impl Operation {
    /// The word for it in the configuration, in metrics and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Write => "update",
            Self::Delete => "delete",
            Self::Call => "call",
        }
    }

    /// Whether a second run of the same call can do no harm.
    pub fn is_read(self) -> bool {
        self == Self::Read
    }
}
