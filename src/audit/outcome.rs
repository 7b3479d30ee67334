//! The outcome of a call in an audit record.

use serde::Serialize;

gatepost_base::words! {
    /// The outcome of a call, or that it begins. Some contain the kind of error, from the
    /// closed sets of logs and metrics.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
    #[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
    pub enum AuditOutcome {
        /// Odoo returned a result.
        Answered = "answered",
        /// A write that is about to be sent. Another record of the same request and call
        /// has its outcome; without one it is unknown.
        Begun = "begun",
        /// The client left or the gateway stopped before a read returned.
        Cancelled = "cancelled",
        /// There was no response, and nothing was changed.
        Failed(&'static str) = "failed",
        /// The gateway denied the call; nothing was sent.
        Forbidden(&'static str) = "forbidden",
        /// Odoo returned an error.
        Refused(&'static str) = "refused",
        /// A write was sent and may have run or not.
        Unknown(&'static str) = "unknown",
    }

    /// The name in records.
    pub fn as_str(self);
}

impl AuditOutcome {
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
