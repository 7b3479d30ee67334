//! Why nobody knows what came of a change.

use std::{error::Error, time::Duration};

use super::call_error::ResponseExcerpt;

/// Why nobody knows what came of a change that was sent. `Display` begins the
/// sentence that the client reads; see [`super::CallError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum UnknownOutcome {
    /// The connection ended before the answer did.
    #[error("the connection to Odoo broke after the call was sent")]
    CutOff(#[source] Box<dyn Error + Send + Sync>),
    /// We failed while we waited.
    #[error("the gateway failed inside after the call was sent")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
    /// A proxy answered, or something else that is not Odoo.
    #[error("what answered is not Odoo's interface (HTTP {status})")]
    NotOdoo {
        /// The HTTP status.
        status: u16,
        /// The beginning of what came, for the log.
        #[source]
        excerpt: ResponseExcerpt,
    },
    /// No answer in time: we stopped waiting, and Odoo goes on.
    #[error("Odoo did not answer within {} s, and may still be at work", limit.as_secs_f32())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// The answer is larger than we read.
    #[error("Odoo's answer is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is none that we understand.
    #[error("Odoo answered in a form this gateway does not understand")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
}
