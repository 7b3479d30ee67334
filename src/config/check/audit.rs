//! Checks of `[audit]`.

use super::{ConfigChecker, secret};
use crate::audit::ChainKey;

impl ConfigChecker<'_> {
    pub(super) fn audit(&mut self) {
        let (audit, keys) = (&self.config.audit, &self.config.keys);
        if let Some(file) = &audit.file {
            let path = path!["audit", "file"];
            let hint = "for standard output, write `stdout = true` instead of `file`";
            let hint = file.starts_with("/dev").then_some(hint);
            self.check_writable(path, file, hint);
            self.warn_if_writable(path, file, "the audit journal");
            let others = [keys.file.as_deref(), audit.key_file.as_deref()];
            self.check_own_file(path, file, others);
        }
        let Some(file) = &audit.key_file else {
            return;
        };
        let path = path!["audit", "key_file"];
        if !audit.is_enabled() {
            self.warning(
                path,
                "auditing is off, so this key is not used",
                Some("set `file` or `stdout` in `[audit]`"),
            );
        }
        let what = "the key of the audit journal, and could forge the journal";
        self.warn_if_readable(path, file, what);
        match secret::read(file, secret::api_key).map(|key| ChainKey::new(key.as_bytes())) {
            Ok(Some(key)) => self.findings.secrets.audit_key = Some(key),
            Ok(None) => self.error(
                path,
                &format!("a key has at least {} characters", ChainKey::MIN_BYTES),
                Some("create one with `openssl rand -hex 32`"),
            ),
            Err(message) => self.error(path, &message, None),
        }
    }
}
