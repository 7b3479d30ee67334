//! Why a tool gives no answer.

use crate::{
    access::{Denied, Unasked},
    causes,
    shape::InvalidCursor,
};

/// Why a tool gives no answer. `Display` is for the model: what was wrong, and
/// what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The arguments do not fit the tool.
    #[error("{0}")]
    Arguments(String),
    /// The cursor is not one of this search.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The door to Odoo stayed shut.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The person behind the client had to be asked, and was not.
    #[error(transparent)]
    Unasked(#[from] Unasked),
}

/// Whose fault it is that there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultOf {
    /// The client asked for what cannot be.
    Client,
    /// Odoo refused or failed.
    Odoo,
    /// Policy forbids it.
    Policy,
    /// We failed.
    Us,
}

impl ToolError {
    /// The word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "arguments",
            Self::Cursor(_) => "cursor",
            Self::Denied(Denied::Call(error)) => error.kind(),
            Self::Denied(Denied::Context(_)) => "context",
            Self::Denied(Denied::Credential(_)) => "unknown_credential",
            Self::Denied(Denied::Forbidden(_)) => "forbidden",
            Self::Denied(Denied::ReadOnly(_)) => "read_only",
            Self::Denied(Denied::Unaudited(_)) => "unaudited",
            Self::Denied(Denied::Unfit(_)) => "unfit",
            Self::Denied(Denied::Unreadable(_)) => "unreadable",
            Self::Unasked(unasked) => unasked.kind(),
        }
    }

    /// Whose fault it is.
    pub fn fault_of(&self) -> FaultOf {
        match self {
            Self::Arguments(_)
            | Self::Cursor(_)
            | Self::Denied(Denied::Context(_) | Denied::Unfit(_))
            | Self::Unasked(
                Unasked::Busy
                | Unasked::Gone
                | Unasked::NoWay
                | Unasked::TakenBack
                | Unasked::TimedOut(_)
                | Unasked::Unanswered,
            ) => FaultOf::Client,
            Self::Denied(Denied::Credential(_) | Denied::Forbidden(_) | Denied::ReadOnly(_)) => {
                FaultOf::Policy
            }
            Self::Denied(Denied::Call(_) | Denied::Unreadable(_)) => FaultOf::Odoo,
            Self::Denied(Denied::Unaudited(_))
            | Self::Unasked(Unasked::Leaving | Unasked::NoRandomness(_)) => FaultOf::Us,
        }
    }

    /// What only we may read of it: the chain of causes.
    pub fn secret(&self) -> Option<String> {
        causes::behind(self)
    }
}
