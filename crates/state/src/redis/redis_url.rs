//! The URL of a Redis server.

use std::{fmt, path::PathBuf};

use url::Url;

/// The address, user and database of a Redis: `redis://user@host:6379/0`,
/// `rediss://…` for TLS, `unix:///path/to/socket?db=0`. Never with a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisUrl {
    pub(super) address: RedisAddress,
    pub(super) user: Option<String>,
    pub(super) database: u16,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RedisAddress {
    Socket(PathBuf),
    Tcp { host: String, port: u16, tls: bool },
}

/// An invalid Redis URL. `Display` is for the administrator, without the URL itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// The path is not a database number.
    #[error("the path must be a database number, such as `/0`")]
    Database,
    /// Not a Redis URL.
    #[error(
        "not a Redis URL; write it as `redis://host:6379/0`, `rediss://host:6379/0` or `unix:///run/redis/redis.sock`"
    )]
    Syntax,
    /// It contains a password.
    #[error("the URL contains a password; put it into `password_file`")]
    Password,
}

/// The password of a Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisPassword(pub(super) Box<str>);

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidRedisUrl`].
    pub fn parse(text: &str) -> Result<Self, InvalidRedisUrl> {
        let url = Url::parse(text).map_err(|_no_url| InvalidRedisUrl::Syntax)?;
        if url.password().is_some() {
            return Err(InvalidRedisUrl::Password);
        }
        let number = |text: &str| text.parse().map_err(|_no_number| InvalidRedisUrl::Database);
        let (address, database) = match url.scheme() {
            scheme @ ("redis" | "rediss") => {
                let host = url.host_str().filter(|host| !host.is_empty());
                let path = url.path().trim_start_matches('/');
                let address = RedisAddress::Tcp {
                    host: host
                        .ok_or(InvalidRedisUrl::Syntax)?
                        .trim_matches(['[', ']'])
                        .to_owned(),
                    port: url.port().unwrap_or(6379),
                    tls: scheme == "rediss",
                };
                (address, if path.is_empty() { 0 } else { number(path)? })
            }
            "unix" if url.host_str().is_none_or(str::is_empty) && url.path().len() > 1 => {
                let named = url.query_pairs().find(|(name, _)| name == "db");
                let database = named.map_or(Ok(0), |(_, value)| number(&value))?;
                (RedisAddress::Socket(url.path().into()), database)
            }
            _ => return Err(InvalidRedisUrl::Syntax),
        };
        let user = Some(url.username()).filter(|user| !user.is_empty());
        Ok(Self {
            address,
            user: user.map(str::to_owned),
            database,
        })
    }

    /// Whether the connection uses TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.address, RedisAddress::Tcp { tls: true, .. })
    }

    /// Whether both are the same database, regardless of the user.
    pub fn is_same_database(&self, other: &Self) -> bool {
        (&self.address, self.database) == (&other.address, other.database)
    }

    /// The host; `None` for a socket.
    pub fn host(&self) -> Option<&str> {
        match &self.address {
            RedisAddress::Socket(_) => None,
            RedisAddress::Tcp { host, .. } => Some(host),
        }
    }
}

impl RedisPassword {
    /// A password, hidden from `Debug`.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for RedisPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidRedisUrl, RedisAddress, RedisUrl};

    fn tcp(host: &str, port: u16, tls: bool) -> RedisAddress {
        let host = host.to_owned();
        RedisAddress::Tcp { host, port, tls }
    }

    #[test]
    fn parses_tcp_tls_and_unix_socket_urls() {
        let read = |text| RedisUrl::parse(text).unwrap();
        let full = read("rediss://gatepost@cache.example.com:6380/3");
        assert_eq!(full.address, tcp("cache.example.com", 6380, true));
        assert_eq!((full.user.as_deref(), full.database), (Some("gatepost"), 3));
        assert_eq!(read("redis://[::1]").address, tcp("::1", 6379, false));
        assert_eq!(read("redis://cache/").database, 0);
        let socket = read("unix:///run/redis/redis.sock?db=2");
        assert_eq!(
            socket.address,
            RedisAddress::Socket("/run/redis/redis.sock".into())
        );
        assert_eq!(socket.database, 2);
    }

    #[test]
    fn invalid_urls_and_urls_with_a_password_are_rejected() {
        use InvalidRedisUrl as I;
        for (text, wrong) in [
            ("cache:6379", I::Syntax),
            ("http://cache:6379", I::Syntax),
            ("redis://", I::Syntax),
            ("unix://", I::Syntax),
            ("redis://cache/zero", I::Database),
            ("redis://cache/70000", I::Database),
            ("redis://:hunter2@cache", I::Password),
            ("redis://gatepost:hunter2@cache", I::Password),
        ] {
            assert_eq!(RedisUrl::parse(text), Err(wrong), "{text}");
        }
    }
}
