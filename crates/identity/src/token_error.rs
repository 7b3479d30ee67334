//! Why a token does not authenticate its caller.

use super::{ProviderUnavailable, TokenRejected};

/// Why a token does not authenticate its caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not valid, or not for this gateway.
    #[error(transparent)]
    Rejected(#[from] TokenRejected),
    /// The provider could not be asked.
    #[error(transparent)]
    Unavailable(#[from] ProviderUnavailable),
}
