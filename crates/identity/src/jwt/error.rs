//! Why a JWT could not be verified.

use crate::{TokenRejected, strict_json::WrongType};

/// Why a JWT could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// No error so far, but the set has no key of this id: the provider may have
    /// a new one.
    #[error("{}", TokenRejected::UnknownKey)]
    NeedsKey(String),
    /// It is rejected with any keys.
    #[error(transparent)]
    Rejected(#[from] TokenRejected),
}

impl From<WrongType> for JwtError {
    fn from(_: WrongType) -> Self {
        Self::Rejected(TokenRejected::Malformed)
    }
}
