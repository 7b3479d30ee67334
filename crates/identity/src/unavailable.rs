//! A provider that could not be asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::discovery::Undiscovered;

/// Why a provider could not say whether a token is good. The caller is neither
/// let in nor told to log in again: that would throw good tokens away.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the identity provider of this gateway cannot be asked at the moment; try again later")]
pub struct Unavailable {
    /// When to try again.
    pub retry_after: Duration,
    /// What happened.
    pub why: Trouble,
}

/// What happened to a question to the provider. For the log and the
/// administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// It answered something that is no answer to the question.
    #[error("the provider's answer cannot be used: {0}")]
    BadAnswer(Arc<str>),
    /// All places for questions are taken.
    #[error("too many tokens are being looked up at once")]
    Busy,
    /// It does not take our own credentials.
    #[error(
        "the provider refuses our own credentials ({0}); check `client_id`, `client_auth` and the secret or key"
    )]
    Credentials(Arc<str>),
    /// It cannot do what is configured.
    #[error("{0}")]
    Misconfigured(Arc<str>),
    /// It refuses the question about this token, or its answer is longer than
    /// any: that may be this token's fault, so it is no failure of the provider.
    #[error("{0}")]
    NoAnswer(Arc<str>),
    /// It was left alone for a while, after failures in a row.
    #[error("the provider is left alone for a while, after failures in a row")]
    Resting,
    /// It did not answer.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(Arc<str>),
}

/// How the last question of a kind ended, if badly.
#[derive(Debug, Default)]
pub(super) struct LastTrouble(Mutex<Option<Trouble>>);

impl LastTrouble {
    /// Takes down how a question ended.
    pub(super) fn note<T>(&self, told: &Result<T, Unavailable>) {
        let trouble = told
            .as_ref()
            .err()
            .map(|unavailable| unavailable.why.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// What went wrong, if it did.
    pub(super) fn told(&self) -> Option<String> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(Trouble::to_string)
    }
}

impl Trouble {
    /// The word for it in log and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BadAnswer(_) => "bad_answer",
            Self::Busy => "busy",
            Self::Credentials(_) => "credentials_refused",
            Self::Misconfigured(_) => "misconfigured",
            Self::NoAnswer(_) => "no_answer",
            Self::Resting => "resting",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// This trouble, with the time after which to try again.
    pub(super) fn after(self, seconds: u64) -> Unavailable {
        Unavailable {
            retry_after: Duration::from_secs(seconds),
            why: self,
        }
    }
}

impl From<Undiscovered> for Unavailable {
    fn from(undiscovered: Undiscovered) -> Self {
        let text = undiscovered.to_string().into();
        match undiscovered {
            Undiscovered::OtherIssuer { .. } => Trouble::Misconfigured(text).after(5),
            Undiscovered::Unavailable(_) => Trouble::Unreachable(text).after(2),
        }
    }
}
