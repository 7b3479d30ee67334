//! What is kept of all calls, and where.

use std::{fs, path::Path};

use super::{ConfigChecker, secret};
use crate::audit::ChainKey;

impl ConfigChecker<'_> {
    pub(super) fn audit(&mut self) {
        let audit = &self.config.audit;
        if let Some(file) = &audit.file {
            self.audit_file(file);
        }
        let Some(file) = &audit.key_file else {
            return;
        };
        let path = path!["audit", "key_file"];
        if !audit.is_enabled() {
            self.warning(
                path,
                "nothing is audited, so that this key is used for nothing",
                Some("set `file` or `stdout` in `[audit]`"),
            );
        }
        if secret::is_readable_by_others(file) {
            self.warning(
                path,
                "others than its owner can read the key to the audit journal, and so make the journal anew",
                Some("chmod 600"),
            );
        }
        match secret::read(file).map(|key| ChainKey::new(key.as_bytes())) {
            Ok(Some(key)) => self.findings.audit_key = Some(key),
            Ok(None) => self.error(
                path,
                &format!("a key has at least {} characters", ChainKey::MIN_BYTES),
                Some("`openssl rand -hex 32` makes one"),
            ),
            Err(message) => self.error(path, &message, None),
        }
    }

    fn audit_file(&mut self, file: &Path) {
        let path = path!["audit", "file"];
        self.check_writable(path, file);
        if secret::is_writable_by_others(file) {
            self.warning(
                path,
                "others than its owner can write the audit journal",
                Some("chmod 600"),
            );
        }
        let others = [
            self.config.keys.file.as_deref(),
            self.config.audit.key_file.as_deref(),
        ];
        let same = |other: &Path| {
            other == file
                || fs::canonicalize(other)
                    .is_ok_and(|other| fs::canonicalize(file).is_ok_and(|file| file == other))
        };
        if others.into_iter().flatten().any(same) {
            self.error(path, "this is a file with keys", Some("name another file"));
        }
    }
}
