//! A provider that could not be asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::discovery::DiscoveryError;

/// Why a provider could not say whether a token is good. The caller is neither
/// let in nor told to log in again: that would throw good tokens away.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the identity provider of this gateway cannot be asked at the moment; try again later")]
pub struct ProviderUnavailable {
    /// When to try again.
    pub retry_after: Duration,
    /// What happened.
    pub cause: ProviderError,
}

/// What happened to a question to the provider. For the log and the
/// administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// It answered something that is no answer to the question.
    #[error("the provider's answer cannot be used: {0}")]
    InvalidResponse(Arc<str>),
    /// All places for questions are taken.
    #[error("too many tokens are being looked up at once")]
    TooManyLookups,
    /// It does not take our own credentials.
    #[error(
        "the provider refuses our own credentials ({0}); check `client_id`, `client_auth` and the secret or key"
    )]
    ClientRejected(Arc<str>),
    /// It cannot do what is configured.
    #[error("{0}")]
    Misconfigured(Arc<str>),
    /// It refuses the question about this token, or its answer is longer than
    /// any: that may be this token's fault, so it is no failure of the provider.
    #[error("{0}")]
    RequestRejected(Arc<str>),
    /// It was left alone for a while, after failures in a row.
    #[error("the provider is left alone for a while, after failures in a row")]
    CircuitOpen,
    /// It did not answer.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(Arc<str>),
}

/// How the last question of a kind ended, if badly.
#[derive(Debug, Default)]
pub(super) struct LastProviderError(Mutex<Option<ProviderError>>);

impl LastProviderError {
    /// Takes down how a question ended.
    pub(super) fn record<T>(&self, told: &Result<T, ProviderUnavailable>) {
        let trouble = told
            .as_ref()
            .err()
            .map(|unavailable| unavailable.cause.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// What went wrong, if it did.
    pub(super) fn message(&self) -> Option<String> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(ProviderError::to_string)
    }
}

impl ProviderError {
    /// The word for it in log and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidResponse(_) => "bad_answer",
            Self::TooManyLookups => "busy",
            Self::ClientRejected(_) => "credentials_refused",
            Self::Misconfigured(_) => "misconfigured",
            Self::RequestRejected(_) => "no_answer",
            Self::CircuitOpen => "resting",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// This trouble, with the time after which to try again.
    pub(super) fn with_retry_after(self, seconds: u64) -> ProviderUnavailable {
        ProviderUnavailable {
            retry_after: Duration::from_secs(seconds),
            cause: self,
        }
    }
}

impl From<DiscoveryError> for ProviderUnavailable {
    fn from(undiscovered: DiscoveryError) -> Self {
        let text = undiscovered.to_string().into();
        match undiscovered {
            DiscoveryError::IssuerMismatch { .. } => {
                ProviderError::Misconfigured(text).with_retry_after(5)
            }
            DiscoveryError::Unavailable(_) => ProviderError::Unreachable(text).with_retry_after(2),
        }
    }
}
