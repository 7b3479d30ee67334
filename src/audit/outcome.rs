//! The outcome of a call in an audit record.

use serde::Serialize;

/// The outcome of a call, or that it begins. Some contain the kind of error, from the
/// closed sets of logs and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum AuditOutcome {
    /// Odoo returned a result.
    Answered,
    /// A write that is about to be sent. Another record of the same request and call
    /// has its outcome; without one it is unknown.
    Begun,
    /// The client left or the gateway stopped before a read returned.
    Cancelled,
    /// There was no response, and nothing was changed.
    Failed(&'static str),
    /// The gateway denied the call; nothing was sent.
    Forbidden(&'static str),
    /// Odoo returned an error.
    Refused(&'static str),
    /// A write was sent and may have run or not.
    Unknown(&'static str),
}

impl AuditOutcome {
    /// All values of [`as_str`](Self::as_str).
    pub const NAMES: [&'static str; 7] = [
        "answered",
        "begun",
        "cancelled",
        "failed",
        "forbidden",
        "refused",
        "unknown",
    ];

    /// The name in records.
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

    /// The kind of error, if any.
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
