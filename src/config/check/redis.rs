//! The Redis of the limits.

use super::{Check, secret, web_address::WebAddress};
use crate::config::Redis;
use gatepost_state::redis::{InvalidRedisUrl, Password, RedisUrl};

/// Of names in a shared Redis, nobody needs longer ones.
const LONGEST_PREFIX: usize = 64;

impl Check<'_> {
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
                    WebAddress::parse(&format!("http://{host}")).is_ok_and(|one| one.is_inside())
                });
                if !url.is_secure() && !inside {
                    self.doubtful(
                        path,
                        "who calls how often, and the password if there is one, go over the network unencrypted",
                        Some("use `rediss://`"),
                    );
                }
                if let Some(file) = &redis.ca_file {
                    let path = path!["redis", "ca_file"];
                    self.readable(path, file);
                    if !url.is_secure() {
                        self.doubtful(path, "this has no use without `rediss://`", None);
                    }
                }
            }
            Err(wrong @ InvalidRedisUrl::Password) => {
                let hint = "and make that file readable for its owner only";
                self.wrong(path!["redis", "url"], &wrong.to_string(), Some(hint));
            }
            Err(wrong @ (InvalidRedisUrl::Database | InvalidRedisUrl::Form)) => {
                self.wrong(path!["redis", "url"], &wrong.to_string(), None);
            }
        }
        let prefix = &redis.prefix;
        if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(
                path!["redis", "prefix"],
                "a prefix is at most 64 ASCII letters, digits and signs",
                Some("such as `gatepost:`"),
            );
        }
        self.found.redis_password = password;
    }

    fn redis_password(&mut self, redis: &Redis) -> Option<Password> {
        let here = path!["redis", "password"];
        let in_file = path!["redis", "password_file"];
        match (&redis.password, &redis.password_file) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let hint = "keep one of them, better the file";
                let message = "`password` and `password_file` are both set";
                self.wrong(in_file, message, Some(hint));
                None
            }
            (Some(password), None) if password.is_empty() => {
                self.wrong(here, "the password is empty", None);
                None
            }
            (Some(password), None) => Some(Password::new(password)),
            (None, Some(file)) => {
                if secret::is_open_to_others(file) {
                    let message = "others than its owner can read the file with the password";
                    self.doubtful(in_file, message, Some("chmod 600"));
                }
                match secret::read_whole(file) {
                    Ok(password) => Some(Password::new(&password)),
                    Err(message) => {
                        self.wrong(in_file, &message, None);
                        None
                    }
                }
            }
        }
    }
}
