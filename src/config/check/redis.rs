//! The Redis of the limits.

use super::{ConfigChecker, http_url::HttpUrl, secret};
use crate::config::Redis;
use gatepost_state::redis::{InvalidRedisUrl, RedisPassword, RedisUrl};

/// Of names in a shared Redis, nobody needs longer ones.
const MAX_PREFIX_BYTES: usize = 64;

impl ConfigChecker<'_> {
    pub(super) fn redis(&mut self) {
        let config = self.config;
        let Some(redis) = &config.redis else {
            return;
        };
        let password = self.redis_password(redis);
        match RedisUrl::parse(&redis.url) {
            Ok(url) => {
                let path = path!["redis", "url"];
                // The same question as of a web server's address.
                let inside = url.host().is_none_or(|host| {
                    let host = if host.contains(':') {
                        format!("[{host}]")
                    } else {
                        host.to_owned()
                    };
                    HttpUrl::parse(&format!("http://{host}")).is_ok_and(|one| one.is_internal())
                });
                if !url.is_secure() && !inside {
                    self.warning(
                        path,
                        "who calls how often, and the password if there is one, go over the network unencrypted",
                        Some("use `rediss://`"),
                    );
                }
                if let Some(file) = &redis.ca_file {
                    let path = path!["redis", "ca_file"];
                    self.check_readable(path, file);
                    if !url.is_secure() {
                        self.warning(path, "this has no use without `rediss://`", None);
                    }
                }
            }
            Err(wrong @ InvalidRedisUrl::Password) => {
                let hint = "and make that file readable for its owner only";
                self.error(path!["redis", "url"], &wrong.to_string(), Some(hint));
            }
            Err(wrong @ (InvalidRedisUrl::Database | InvalidRedisUrl::Syntax)) => {
                self.error(path!["redis", "url"], &wrong.to_string(), None);
            }
        }
        let prefix = &redis.prefix;
        if prefix.len() > MAX_PREFIX_BYTES || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.error(
                path!["redis", "prefix"],
                "a prefix is at most 64 ASCII letters, digits and signs",
                Some("such as `gatepost:`"),
            );
        }
        self.findings.redis_password = password;
    }

    fn redis_password(&mut self, redis: &Redis) -> Option<RedisPassword> {
        let here = path!["redis", "password"];
        let in_file = path!["redis", "password_file"];
        match (&redis.password, &redis.password_file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let hint = "keep one of them, better the file";
                let message = "`password` and `password_file` are both set";
                self.error(in_file, message, Some(hint));
                None
            }
            (Some(password), None) if password.is_empty() => {
                self.error(here, "the password is empty", None);
                None
            }
            (Some(password), None) => Some(RedisPassword::new(password)),
            (None, Some(file)) => {
                if secret::is_readable_by_others(file) {
                    let message = "others than its owner can read the file with the password";
                    self.warning(in_file, message, Some("chmod 600"));
                }
                match secret::read_text(file) {
                    Ok(password) => Some(RedisPassword::new(&password)),
                    Err(message) => {
                        self.error(in_file, &message, None);
                        None
                    }
                }
            }
        }
    }
}
