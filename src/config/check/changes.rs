//! What is remembered of changes, and what must be where there are any.

use std::{fs, path::Path};

use super::{ConfigChecker, secret};

impl ConfigChecker<'_> {
    pub(super) fn changes(&mut self) {
        let (changes, redis) = (&self.config.changes, &self.config.redis);
        if let Some(file) = &changes.file {
            self.changes_file(file);
            if redis.is_some() {
                self.error(
                    path!["changes", "file"],
                    "`[redis]` is configured too, and replicas do not see each other's files: a change that is repeated at another one would be made twice",
                    Some("leave `file` out, so that changes are remembered in Redis"),
                );
            }
        }
        if !self.config.allows_writes() {
            return;
        }
        if changes.file.is_none() && redis.is_none() {
            self.warning(
                path!["changes"],
                "what is known of changes is lost at a restart: a change that is repeated then may be made twice, and none before it can be undone",
                Some("set `file` in `[changes]`, such as \"/var/lib/gatepost/changes.redb\"; several replicas need `[redis]`"),
            );
        }
        if !self.config.audit.is_enabled() {
            self.warning(
                path!["audit"],
                "roles may change records, and no record is kept of who did",
                Some("set `file` or `stdout` in `[audit]`"),
            );
        }
    }

    fn changes_file(&mut self, file: &Path) {
        let path = path!["changes", "file"];
        self.check_writable(path, file);
        if secret::is_readable_by_others(file) || secret::is_writable_by_others(file) {
            self.warning(
                path,
                "others than its owner can read or write what is known of changes, the values of records among it",
                Some("chmod 600"),
            );
        }
        let config = self.config;
        let others = [
            config.keys.file.as_deref(),
            config.audit.file.as_deref(),
            config.audit.key_file.as_deref(),
        ];
        let same = |other: &Path| {
            other == file
                || fs::canonicalize(other)
                    .is_ok_and(|other| fs::canonicalize(file).is_ok_and(|file| file == other))
        };
        if others.into_iter().flatten().any(same) {
            let message = "this file is used for something else already";
            self.error(path, message, Some("name another file"));
        }
    }
}
