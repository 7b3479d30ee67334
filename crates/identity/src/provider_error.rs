//! A provider that could not be asked.

use gatepost_base::sync::lock;
use gatepost_tls::HandshakeFailure;
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The provider could not say whether a token is valid. The caller is neither
/// admitted nor asked to log in again: clients would discard valid tokens.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the identity provider of this gateway is unavailable; try again later")]
pub struct ProviderUnavailable {
    /// When to try again.
    pub retry_after: Duration,
    /// What happened.
    pub cause: ProviderError,
}

gatepost_base::words! {
    /// Why a request to the provider failed. For the log and the administrator.
    #[derive(Clone, Debug, thiserror::Error)]
    pub enum ProviderError {
        /// Several requests failed in a row, so none is sent for a while.
        #[error("the provider is not asked for a while, because several requests in a row failed")]
        CircuitOpen = "resting",
        /// It rejected our own credentials.
        #[error(
            "the provider rejected the gateway's own credentials ({0}); check `client_id`, `client_auth` and the secret or key"
        )]
        ClientRejected(Arc<str>) = "credentials_refused",
        /// It refused the request, because of our credentials or of the token: it
        /// has not accepted the credentials yet.
        #[error(
            "the provider refused a request ({0}), and has not yet shown that it accepts the gateway's own credentials; if no token is accepted, check `client_id`, `client_auth` and the secret or key"
        )]
        ClientUnproved(Arc<str>) = "credentials_unproved",
        /// Its response does not answer the request.
        #[error("the provider's response cannot be used: {0}")]
        InvalidResponse(Arc<str>) = "bad_answer",
        /// It cannot do what is configured.
        #[error("{0}")]
        Misconfigured(Arc<str>) = "misconfigured",
        /// It rejected the request about this token, or its response is too long.
        /// The token may be the reason, so this does not count as a failure of the
        /// provider.
        #[error("{0}")]
        RequestRejected(Arc<str>) = "no_answer",
        /// All slots for requests are taken.
        #[error("too many tokens are being looked up at once")]
        TooManyLookups = "busy",
        /// It did not answer.
        #[error("the provider cannot be reached: {0}")]
        Unreachable(UnreachableCause) = "unreachable",
    }

    /// The error's name in log and metrics.
    pub fn as_str(&self);
}

/// Why the provider did not answer. `Display` is for the log and the administrator.
#[derive(Clone, Debug)]
pub struct UnreachableCause {
    /// The reason.
    pub text: Arc<str>,
    /// The TLS handshake that failed, if that is the reason.
    pub handshake: Option<Arc<HandshakeFailure>>,
}

impl<T: Into<Arc<str>>> From<T> for UnreachableCause {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            handshake: None,
        }
    }
}

impl fmt::Display for UnreachableCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How the last request of one kind failed, if it did.
#[derive(Debug, Default)]
pub(super) struct LastProviderError(Mutex<Option<ProviderError>>);

impl LastProviderError {
    pub(super) fn record<T>(&self, outcome: &Result<T, ProviderUnavailable>) {
        let error = outcome.as_ref().err().map(|why| why.cause.clone());
        *lock(&self.0) = error;
    }

    pub(super) fn set(&self, why: ProviderUnavailable) -> ProviderUnavailable {
        *lock(&self.0) = Some(why.cause.clone());
        why
    }

    pub(super) fn clear(&self) {
        *lock(&self.0) = None;
    }

    /// The text of the error.
    pub(super) fn message(&self) -> Option<String> {
        let error = lock(&self.0);
        error.as_ref().map(ProviderError::to_string)
    }
}

impl ProviderError {
    /// This error, to be retried after this many seconds.
    pub(super) fn with_retry_after(self, seconds: u64) -> ProviderUnavailable {
        ProviderUnavailable {
            retry_after: Duration::from_secs(seconds),
            cause: self,
        }
    }
}

/// With the time after which a retry may succeed.
impl From<ProviderError> for ProviderUnavailable {
    fn from(error: ProviderError) -> Self {
        let seconds = match &error {
            ProviderError::CircuitOpen | ProviderError::TooManyLookups => 1,
            ProviderError::InvalidResponse(_) | ProviderError::Unreachable(_) => 2,
            ProviderError::ClientRejected(_)
            | ProviderError::ClientUnproved(_)
            | ProviderError::Misconfigured(_)
            | ProviderError::RequestRejected(_) => 5,
        };
        error.with_retry_after(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::{ProviderError, ProviderUnavailable};

    #[test]
    fn provider_errors_say_what_is_wrong() {
        let why = || "status 500".into();
        let errors = [
            ProviderError::CircuitOpen,
            ProviderError::ClientRejected(why()),
            ProviderError::ClientUnproved(why()),
            ProviderError::InvalidResponse(why()),
            ProviderError::Misconfigured(why()),
            ProviderError::RequestRejected(why()),
            ProviderError::TooManyLookups,
            ProviderError::Unreachable("status 500".into()),
        ];
        let lines = errors.map(|error| {
            let unavailable = ProviderUnavailable::from(error);
            let seconds = unavailable.retry_after.as_secs();
            let cause = unavailable.cause;
            format!("{} ({seconds} s): {cause}", cause.as_str())
        });
        insta::assert_snapshot!(lines.join("\n"), @"
        resting (1 s): the provider is not asked for a while, because several requests in a row failed
        credentials_refused (5 s): the provider rejected the gateway's own credentials (status 500); check `client_id`, `client_auth` and the secret or key
        credentials_unproved (5 s): the provider refused a request (status 500), and has not yet shown that it accepts the gateway's own credentials; if no token is accepted, check `client_id`, `client_auth` and the secret or key
        bad_answer (2 s): the provider's response cannot be used: status 500
        misconfigured (5 s): status 500
        no_answer (5 s): status 500
        busy (1 s): too many tokens are being looked up at once
        unreachable (2 s): the provider cannot be reached: status 500
        ");
        insta::assert_snapshot!(
            ProviderUnavailable::from(ProviderError::CircuitOpen),
            @"the identity provider of this gateway is unavailable; try again later"
        );
    }
}
