//! The error for a Redis that cannot be used.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

/// Redis cannot be used. `Display` is for the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Disconnected(String),
    /// The reply was invalid.
    #[error("invalid reply")]
    InvalidReply,
    /// Redis returned an error.
    #[error("refused: {0}")]
    Refused(String),
    /// The reply was late.
    #[error("no reply within {} ms", .0.as_millis())]
    TimedOut(Duration),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::InvalidRedisUrl, RedisUnavailable};

    #[test]
    fn errors_say_what_is_wrong() {
        let errors: [&dyn std::error::Error; 7] = [
            &InvalidRedisUrl::Database,
            &InvalidRedisUrl::Password,
            &InvalidRedisUrl::Syntax,
            &RedisUnavailable::Disconnected("not connected".to_owned()),
            &RedisUnavailable::InvalidReply,
            &RedisUnavailable::Refused("READONLY".to_owned()),
            &RedisUnavailable::TimedOut(Duration::from_millis(250)),
        ];
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(texts.join("\n"), @r"
        the path must be a database number, such as `/0`
        the URL contains a password; put it into `password_file`
        not a Redis URL; write it as `redis://host:6379/0`, `rediss://host:6379/0` or `unix:///run/redis/redis.sock`
        not connected
        invalid reply
        refused: READONLY
        no reply within 250 ms
        ");
    }
}
