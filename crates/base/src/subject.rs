//! The identity of a caller.

use std::{fmt, sync::Arc};

/// The identity of a caller: opaque text, unique within its issuer (RFC 7519
/// section 4.1.2).
///
/// Its constructors say why the text is trusted. It may name a person, so it is
/// written to the log and the audit record, but never used as a metric label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// A subject that comes from the configuration: the one that a grant is
    /// for, or the fixed name of callers that the configuration admits without
    /// credentials. No caller has proved it.
    pub fn configured(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// A subject that a caller has proved with a token or an API key; the code
    /// that calls this has verified it.
    pub fn verified(text: &str) -> Self {
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
