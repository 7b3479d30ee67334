//! How a call ended.

use serde::{Serialize, Serializer, ser::SerializeMap};

/// How a call ended, or that it begins. The word in some is the kind of error,
/// out of the closed sets that log and metrics use too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditOutcome {
    /// Odoo did what was asked.
    Answered,
    /// A change that is about to be sent. What becomes of it stands in another
    /// record of the same request and call; where there is none, nobody knows.
    Begun,
    /// The client left, or we stopped, before the answer to a read came.
    Cancelled,
    /// There was no answer, and nothing was changed.
    Failed(&'static str),
    /// We refused; nothing was sent.
    Forbidden(&'static str),
    /// Odoo refused.
    Refused(&'static str),
    /// A change was sent, and nobody knows whether it was done.
    Unknown(&'static str),
}

impl AuditOutcome {
    /// All that [`as_str`](Self::as_str) says.
    pub const NAMES: [&'static str; 7] = [
        "answered",
        "begun",
        "cancelled",
        "failed",
        "forbidden",
        "refused",
        "unknown",
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Begun => "begun",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The kind of error, where there is one.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Failed(reason)
            | Self::Forbidden(reason)
            | Self::Refused(reason)
            | Self::Unknown(reason) => Some(reason),
            Self::Answered | Self::Begun | Self::Cancelled => None,
        }
    }
}

/// As `outcome` and `reason`, to be flattened into a record.
impl Serialize for AuditOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("outcome", self.as_str())?;
        if let Some(reason) = self.reason() {
            map.serialize_entry("reason", reason)?;
        }
        map.end()
    }
}
