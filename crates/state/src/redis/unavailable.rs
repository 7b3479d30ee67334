//! The error for a Redis that cannot be used.

use std::time::Duration;

use gatepost_base::Diagnosis;
use gatepost_tls::HandshakeFailure;
use redis::{ErrorKind, RedisError};

/// Redis cannot be used. `Display` is for the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisUnavailable {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Disconnected(String),
    /// The TLS handshake failed.
    #[error("{0}")]
    Handshake(HandshakeFailure),
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

impl RedisUnavailable {
    /// What this means for the administrator of `[redis]`.
    pub fn diagnose(&self) -> Diagnosis {
        let cause = format!("Redis cannot be used: {self}");
        let diagnosis = |setting, remedy: &str| Diagnosis::new(setting, cause, remedy);
        match self {
            Self::Disconnected(why) if why.contains("failed to lookup address") => diagnosis(
                "url",
                "check the name in `url`, and the DNS of this machine",
            ),
            Self::Disconnected(_) => diagnosis(
                "url",
                "check that Redis runs at this address; if the port speaks TLS, write `rediss://`",
            ),
            Self::Handshake(failure) => {
                let setting = if failure.is_about_url() {
                    "url"
                } else {
                    "ca_file"
                };
                diagnosis(setting, &failure.remedy())
            }
            Self::InvalidReply => diagnosis(
                "url",
                "check that it is a Redis or Valkey whose version the documentation names",
            ),
            Self::Refused(why) => {
                let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
                if says(&[
                    "WRONGPASS",
                    "NOAUTH",
                    "AuthenticationFailed",
                    "invalid password",
                ]) {
                    diagnosis(
                        "password_file",
                        "write the user into `url` (`redis://user@host`) and the password into the file that `password_file` names",
                    )
                } else if says(&["READONLY"]) {
                    diagnosis("url", "name the primary, not a replica that is read-only")
                } else if says(&["NOPERM"]) {
                    diagnosis(
                        "url",
                        "allow this user the commands and the prefix of keys that the documentation of `[redis]` lists",
                    )
                } else if says(&["OOM"]) {
                    diagnosis("url", "Redis is full: raise its `maxmemory`")
                } else {
                    diagnosis("url", "Redis's log and documentation explain this answer")
                }
            }
            Self::TimedOut(_) => diagnosis(
                "timeout_ms",
                "check the address, firewalls and Redis's load; if `url` begins with `rediss://` and the port has no TLS, write `redis://`; raise `timeout_ms` if it is far away",
            ),
        }
    }
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
            // As Redis wrote it: the library has names of its own for some codes.
            Self::Refused(match (error.code(), error.detail()) {
                (Some(code), Some(detail)) => format!("{code} {detail}"),
                (Some(_) | None, _) => error.to_string(),
            })
        } else {
            Self::Disconnected(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gatepost_tls::HandshakeFailure;

    use redis::{RedisError, Value, parse_redis_value};

    use super::{super::InvalidRedisUrl, RedisUnavailable};

    /// The error of a reply as Redis sends it.
    fn refused(reply: &str) -> RedisUnavailable {
        let Value::ServerError(error) =
            parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap()
        else {
            panic!("{reply} is no error");
        };
        RedisError::from(error).into()
    }

    #[test]
    fn each_error_has_a_remedy_for_the_administrator() {
        let errors = [
            RedisUnavailable::Disconnected("Connection refused (os error 111)".to_owned()),
            RedisUnavailable::Disconnected(
                "failed to lookup address information: Name or service not known".to_owned(),
            ),
            RedisUnavailable::Handshake(HandshakeFailure::UnknownIssuer),
            RedisUnavailable::InvalidReply,
            refused("NOAUTH Authentication required."),
            refused("WRONGPASS invalid username-password pair"),
            refused("READONLY You can't write"),
            refused("NOPERM this user has no permissions"),
            refused("OOM command not allowed"),
            refused("LOADING Redis is loading the dataset in memory"),
            RedisUnavailable::TimedOut(Duration::from_millis(250)),
        ];
        let lines = errors.map(|error| {
            let found = error.diagnose();
            format!("{}: {}\n    {}", found.setting, found.cause, found.remedy)
        });
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let errors: [&dyn std::error::Error; 8] = [
            &InvalidRedisUrl::Database,
            &InvalidRedisUrl::Password,
            &InvalidRedisUrl::Syntax,
            &RedisUnavailable::Disconnected("not connected".to_owned()),
            &RedisUnavailable::Handshake(HandshakeFailure::UnknownIssuer),
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
        the server's certificate is self-signed, or from an authority that is not trusted here
        invalid reply
        refused: READONLY
        no reply within 250 ms
        ");
    }
}
