//! Checks of `[changes]`, and of what a gateway that allows writes needs.

use super::{ConfigChecker, files::has_mode};

impl ConfigChecker<'_> {
    pub(super) fn changes(&mut self) {
        let config = self.config;
        let (changes, redis) = (&config.changes, &config.redis);
        if let Some(file) = &changes.file {
            let path = path!["changes", "file"];
            self.check_writable(path, file, None);
            if has_mode(file, 0o066) {
                self.warning(
                    path,
                    "users other than the owner can read or write the change store, which holds record values",
                    Some("chmod 600"),
                );
            }
            let others = [
                config.keys.file.as_deref(),
                config.audit.file.as_deref(),
                config.audit.key_file.as_deref(),
            ];
            self.check_own_file(path, file, others);
            if redis.is_some() {
                self.error(
                    path,
                    "`[redis]` is configured too, and replicas do not share files: a change repeated at another replica would be made twice",
                    Some("remove `file`; the change store is then in Redis"),
                );
            }
        }
        if !config.allows_writes() {
            return;
        }
        if changes.file.is_none() && redis.is_none() {
            self.warning(
                path!["changes"],
                "the change store is in memory and lost at a restart: a change repeated afterwards may be made twice, and earlier changes cannot be undone",
                Some("set `file` in `[changes]`, such as \"/var/lib/gatepost/changes.redb\"; several replicas need `[redis]`"),
            );
        }
        if !config.audit.is_enabled() {
            self.warning(
                path!["audit"],
                "roles may change records, and no audit journal records who did",
                Some("set `file` or `stdout` in `[audit]`"),
            );
        }
    }
}
