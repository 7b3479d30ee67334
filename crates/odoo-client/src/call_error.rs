//! What became of a call that brought no answer.

use std::{error::Error, time::Duration};

use super::silence::UnknownOutcome;
use gatepost_odoo::{AccessKind, OdooError};

/// What became of a call that brought no answer. `Display` may be read by the
/// client; where the server is and what it said stands in the source.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// All places were taken for too long.
    #[error("Odoo is busy with other calls; nothing was sent, try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The connection ended before the answer did.
    #[error(
        "Odoo closed the connection before its answer was complete; try again, and ask for less if it happens again"
    )]
    CutOff(#[source] Box<dyn Error + Send + Sync>),
    /// Odoo answered, and refused.
    #[error(transparent)]
    Fault(#[from] OdooError),
    /// It cannot be written as a request.
    #[error("the call cannot be sent; retrying will not help, tell the administrator")]
    NotSent(#[source] Box<dyn Error + Send + Sync>),
    /// Something answered that is not Odoo, or not Odoo as we know it.
    #[error(
        "what answered is not Odoo's interface (HTTP {status}); try again in a minute, then tell the administrator"
    )]
    NotOdoo {
        /// The HTTP status.
        status: u16,
        /// The beginning of what came, for the log.
        #[source]
        excerpt: ResponseExcerpt,
    },
    /// A call that may change data was sent, and no answer came.
    #[error("{0}: the call may have run or not; look at the records before doing anything again")]
    OutcomeUnknown(#[source] UnknownOutcome),
    /// No answer in time. A read; a change is [`CallError::OutcomeUnknown`].
    #[error("Odoo did not answer within {} s; try again later, or ask for less", limit.as_secs_f32())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// The answer is larger than we read.
    #[error("Odoo's answer is larger than {} MiB; ask for fewer records or fields", limit >> 20)]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No connection.
    #[error(
        "Odoo cannot be reached; nothing was sent, try again in a minute, then tell the administrator"
    )]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
}

/// The beginning of what something said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ResponseExcerpt(pub(super) String);

impl CallError {
    /// All that [`kind`](Self::kind) says by itself, without those of a [`Fault`].
    pub const KINDS: [&'static str; 8] = [
        "odoo_busy",
        "odoo_cut_off",
        "not_sent",
        "not_odoo",
        "outcome_unknown",
        "odoo_timed_out",
        "odoo_too_large",
        "odoo_unreachable",
    ];

    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "odoo_busy",
            Self::CutOff(_) => "odoo_cut_off",
            Self::Fault(fault) => fault.kind(),
            Self::NotSent(_) => "not_sent",
            Self::NotOdoo { .. } => "not_odoo",
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::TimedOut { .. } => "odoo_timed_out",
            Self::TooLarge { .. } => "odoo_too_large",
            Self::Unreachable(_) => "odoo_unreachable",
        }
    }

    /// Whether Odoo itself answered and refused.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }

    /// Whether one field of several may be to blame: one that the user may not
    /// read, that points to a model they may not read, or that holds bytes
    /// Odoo cannot write as JSON (it answers 500 in HTML then).
    pub fn may_be_one_field(&self) -> bool {
        matches!(
            self,
            Self::Fault(
                OdooError::Access(AccessKind::Field(_) | AccessKind::Model | AccessKind::Record)
                    | OdooError::Database
                    | OdooError::Unknown
            ) | Self::NotOdoo { status: 500, .. }
        )
    }
}
