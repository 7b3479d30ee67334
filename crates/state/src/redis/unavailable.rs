//! Why a Redis does not do what it is asked for.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

/// Why Redis did not answer as it must. For the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Disconnected(String),
    /// It did not answer in time.
    #[error("it did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It answered what no Redis answers.
    #[error("what it answered makes no sense")]
    InvalidReply,
    /// It refused; what it said.
    #[error("it refused: {0}")]
    Refused(String),
}

impl From<RedisError> for RedisUnavailable {
    fn from(error: RedisError) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
            Self::InvalidReply
        } else if matches!(
            kind,
            ErrorKind::AuthenticationFailed | ErrorKind::Extension | ErrorKind::Server(_)
        ) {
            Self::Refused(error.to_string())
        } else {
            Self::Disconnected(error.to_string())
        }
    }
}
