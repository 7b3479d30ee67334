//! Errors of calls to Odoo.

use std::{error::Error, time::Duration};

use super::{ForeignCause, ForeignResponse};
use gatepost_odoo::{AccessKind, OdooError};

/// A call without a result. `Display` is for the client; the source holds the
/// server's address and what it sent.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Too many calls were in flight for too long.
    #[error("Odoo is busy with other calls. Nothing was sent; try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The connection ended before the response was complete.
    #[error(
        "Odoo closed the connection before its response was complete; try again, and request less if it happens again"
    )]
    CutOff(#[source] Box<dyn Error + Send + Sync>),
    /// Odoo returned an error.
    #[error(transparent)]
    Fault(#[from] OdooError),
    /// The response is from a proxy, or one of Odoo's web pages.
    #[error(transparent)]
    NotOdoo(ForeignResponse),
    /// The call cannot be encoded as a request.
    #[error("the call cannot be sent; retrying will not help, so tell the administrator")]
    NotSent(#[source] Box<dyn Error + Send + Sync>),
    /// A write was sent, and its response was lost.
    #[error("{0}; the call may have run or not, so read the records before you retry")]
    OutcomeUnknown(#[source] UnknownOutcome),
    /// The server asked for a pause in calls.
    #[error("Odoo asked for a pause. Nothing was sent; try again in {} s", retry_after.as_secs().max(1))]
    Paused {
        /// When to try again.
        retry_after: Duration,
    },
    /// A read timed out. For a write see [`CallError::OutcomeUnknown`].
    #[error("Odoo did not answer within {} s; try again later, or request less", limit.as_secs_f32())]
    TimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// The response is larger than the limit.
    #[error("Odoo's response is larger than {}; request fewer records or fields", size(*limit))]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No connection could be opened.
    #[error(
        "Odoo cannot be reached. Nothing was sent; try again in a minute, then tell the administrator"
    )]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
}

/// Why it is unknown whether a write that was sent has run. `Display` starts the
/// text of [`CallError::OutcomeUnknown`].
#[derive(Debug, thiserror::Error)]
pub enum UnknownOutcome {
    /// The connection ended before the response was complete.
    #[error("the connection to Odoo broke after the call was sent")]
    CutOff(#[source] Box<dyn Error + Send + Sync>),
    /// The gateway failed while it waited for the response.
    #[error("the gateway failed after the call was sent")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
    /// The response is from a proxy, or something else that is not Odoo.
    #[error("{}", .0.what())]
    NotOdoo(#[source] ForeignResponse),
    /// The response was late; Odoo continues to work on the call.
    #[error("Odoo did not answer within {} s and may still be working", limit.as_secs_f32())]
    TimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// The response is larger than the limit.
    #[error("Odoo's response is larger than {}", size(*limit))]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The response cannot be parsed.
    #[error("Odoo answered in a form this gateway does not understand")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
}

impl CallError {
    /// All values of [`kind`](Self::kind) except those of an [`OdooError`].
    pub const KINDS: [&'static str; 16] = [
        "odoo_busy",
        "odoo_cut_off",
        "not_sent",
        "odoo_blocked",
        "odoo_compressed",
        "odoo_login_page",
        "not_odoo",
        "odoo_redirect",
        "odoo_request_too_large",
        "odoo_throttled",
        "odoo_unavailable",
        "outcome_unknown",
        "odoo_paused",
        "odoo_timed_out",
        "odoo_too_large",
        "odoo_unreachable",
    ];

    /// The kind in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "odoo_busy",
            Self::CutOff(_) => "odoo_cut_off",
            Self::Fault(fault) => fault.kind(),
            Self::NotSent(_) => "not_sent",
            Self::NotOdoo(response) => match response.cause {
                ForeignCause::Blocked => "odoo_blocked",
                ForeignCause::Compressed => "odoo_compressed",
                ForeignCause::LoginPage => "odoo_login_page",
                ForeignCause::Other => "not_odoo",
                ForeignCause::Redirect => "odoo_redirect",
                ForeignCause::RequestTooLarge => "odoo_request_too_large",
                ForeignCause::Throttled => "odoo_throttled",
                ForeignCause::Unavailable => "odoo_unavailable",
            },
            Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Paused { .. } => "odoo_paused",
            Self::TimedOut { .. } => "odoo_timed_out",
            Self::TooLarge { .. } => "odoo_too_large",
            Self::Unreachable(_) => "odoo_unreachable",
        }
    }

    /// Whether Odoo itself returned an error.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }

    /// Whether the user's access rights to a model or a field are the cause, which
    /// are the same for all records and for every call.
    pub fn is_lack_of_rights(&self) -> bool {
        matches!(
            self,
            Self::Fault(OdooError::Access(AccessKind::Field(_) | AccessKind::Model))
        )
    }

    /// Whether a single requested field may be the cause: one that the user may not
    /// read, that links to a model they may not read, or that holds bytes which Odoo
    /// cannot encode as JSON (it returns status 500 in HTML then).
    pub fn may_be_one_field(&self) -> bool {
        matches!(
            self,
            Self::Fault(
                OdooError::Access(AccessKind::Field(_) | AccessKind::Model | AccessKind::Record)
                    | OdooError::Database
                    | OdooError::Unknown
            ) | Self::NotOdoo(ForeignResponse { status: 500, .. })
        )
    }

    /// The error of a call that was sent. A write whose response cannot be read may
    /// have run: the response was late, cut off, too large, or from a proxy.
    pub(super) fn after_sending(self, is_read: bool) -> Self {
        if is_read {
            return self;
        }
        Self::OutcomeUnknown(match self {
            Self::CutOff(error) => UnknownOutcome::CutOff(error),
            Self::NotOdoo(response) if !(300..500).contains(&response.status) => {
                UnknownOutcome::NotOdoo(response)
            }
            Self::TimedOut { limit } => UnknownOutcome::TimedOut { limit },
            Self::TooLarge { limit } => UnknownOutcome::TooLarge { limit },
            Self::Busy { .. }
            | Self::Fault(_)
            | Self::NotOdoo(_)
            | Self::NotSent(_)
            | Self::OutcomeUnknown(_)
            | Self::Paused { .. }
            | Self::Unreachable(_) => return self,
        })
    }
}

/// A number of bytes, in the largest unit that divides it.
pub(super) fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 && bytes.trailing_zeros() >= 20 {
        format!("{} MiB", bytes >> 20)
    } else if bytes >= 1 << 10 && bytes.trailing_zeros() >= 10 {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{bytes} bytes")
    }
}
