//! Checks of `[redis]`.

use super::{
    ConfigChecker,
    http_url::HttpUrl,
    secret::{self, SecretKeys},
};
use gatepost_state::redis::{InvalidRedisUrl, RedisPassword, RedisUrl};

/// The longest prefix of keys in a shared Redis.
const MAX_PREFIX_BYTES: usize = 64;

impl ConfigChecker<'_> {
    pub(super) fn redis(&mut self) {
        let config = self.config;
        let Some(redis) = &config.redis else {
            return;
        };
        let password = self.secret(&SecretKeys {
            table: path!["redis"],
            key: "password",
            inline: redis.password.as_deref(),
            file: redis.password_file.as_deref(),
            parse: secret::text,
        });
        self.findings.secrets.redis_password = password.map(|text| RedisPassword::new(&text));
        let path = path!["redis", "url"];
        match RedisUrl::parse(&redis.url) {
            Ok(url) => {
                let inside = url.host().is_none_or(HttpUrl::is_internal_host);
                if !url.is_secure() && !inside {
                    self.warning(
                        path,
                        "call counts, changes and any password are sent unencrypted",
                        Some("use `rediss://`"),
                    );
                }
                let path = path!["redis", "ca_file"];
                self.check_ca_file(path, redis.ca_file.as_deref());
                if redis.ca_file.is_some() && !url.is_secure() {
                    self.warning(path, "this is not used without `rediss://`", None);
                }
            }
            Err(wrong) => {
                let hint = (wrong == InvalidRedisUrl::Password)
                    .then_some("make that file readable by its owner only");
                self.error(path, &wrong.to_string(), hint);
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
    }
}
