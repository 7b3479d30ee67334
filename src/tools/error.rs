//! Why a tool gives no answer.

use crate::{
    access::{Denied, Unasked},
    shape::InvalidCursor,
};
use gatepost_base::error_chain;
use gatepost_state::store::LedgerError;

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
    /// What must be written down of a change cannot be.
    Storage,
    /// We failed.
    Us,
}

impl ToolError {
    /// The word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "arguments",
            Self::Cursor(_) => "cursor",
            Self::Denied(denied) => kind(denied),
        }
    }

    /// Whose fault it is.
    pub fn fault_of(&self) -> FaultOf {
        match self {
            Self::Arguments(_) | Self::Cursor(_) => FaultOf::Client,
            Self::Denied(denied) => fault_of(denied),
        }
    }

    /// What only we may read of it: the chain of causes.
    pub fn secret(&self) -> Option<String> {
        error_chain::behind(self)
    }
}

fn kind(denied: &Denied) -> &'static str {
    match denied {
        Denied::Call(error) | Denied::Lost { error, .. } | Denied::Refused { error } => {
            error.kind()
        }
        Denied::Context(_) => "context",
        Denied::Credential(_) => "unknown_credential",
        Denied::Forbidden(_) => "forbidden",
        Denied::ForeignState => "foreign_state",
        Denied::Partly { .. } => "partly_done",
        Denied::ReadOnly(_) => "read_only",
        Denied::Unapproved(_) => "unapproved",
        Denied::Unasked(unasked) => unasked.kind(),
        Denied::Unaudited(_) => "unaudited",
        Denied::Unfit(_) => "unfit",
        Denied::Unreadable(_) => "unreadable",
        Denied::Unremembered(_) => "unremembered",
        Denied::Unsealable(_) => "no_randomness",
    }
}

fn fault_of(denied: &Denied) -> FaultOf {
    match denied {
        Denied::Context(_) | Denied::ForeignState | Denied::Unapproved(_) | Denied::Unfit(_) => {
            FaultOf::Client
        }
        Denied::Unasked(unasked) => match **unasked {
            Unasked::Busy
            | Unasked::Changed
            | Unasked::Gone
            | Unasked::NoWay
            | Unasked::TakenBack
            | Unasked::TimedOut(_)
            | Unasked::Unanswered => FaultOf::Client,
            Unasked::Leaving | Unasked::NoRandomness(_) => FaultOf::Us,
        },
        Denied::Credential(_) | Denied::Forbidden(_) | Denied::ReadOnly(_) => FaultOf::Policy,
        Denied::Call(_) | Denied::Lost { .. } | Denied::Refused { .. } | Denied::Unreadable(_) => {
            FaultOf::Odoo
        }
        Denied::Partly { why, .. } => fault_of(why),
        Denied::Unaudited(_) => FaultOf::Storage,
        Denied::Unremembered(error) => match **error {
            LedgerError::Full | LedgerError::Unavailable(_) => FaultOf::Storage,
            LedgerError::TooLarge { .. } => FaultOf::Client,
        },
        Denied::Unsealable(_) => FaultOf::Us,
    }
}
