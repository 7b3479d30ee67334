//! Who a caller was proved to be.

use std::{fmt, sync::Arc};

/// The proved identity of a caller: opaque text, unique within its issuer
/// (RFC 7519 section 4.1.2).
///
/// Only `identity` makes one, after it saw the proof. It may name a person, so
/// it goes into the log and the audit record and never into a metric label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// A subject whose proof the caller of this function has checked.
    pub fn proved(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.0)
    }
}
