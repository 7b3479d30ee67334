//! The files of `gatepost stdio`, of which each process has its own.

use std::path::{Path, PathBuf};

use super::ValidConfig;

impl ValidConfig {
    /// This configuration with the files of the `number`th process of `gatepost
    /// stdio` for the audit journal and the change store: `audit.stdio-1.jsonl`
    /// for `audit.jsonl`. Both files can be open in one process only, and no client
    /// may keep `serve` from opening the configured ones.
    #[must_use]
    pub fn with_stdio_state(&self, number: u32) -> Self {
        let mut own = self.clone();
        let (audit, changes) = (&mut own.config.audit.file, &mut own.config.changes.file);
        for file in [audit, changes].into_iter().flatten() {
            *file = numbered(file, number);
        }
        own
    }
}

/// `folder/name.stdio-1.end` for `folder/name.end`.
fn numbered(file: &Path, number: u32) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".stdio-{number}"));
    if let Some(end) = file.extension() {
        name.push(".");
        name.push(end);
    }
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::numbered;

    #[test]
    fn number_is_before_the_extension() {
        for (file, expected) in [
            ("/var/lib/audit.jsonl", "/var/lib/audit.stdio-2.jsonl"),
            ("changes.redb", "changes.stdio-2.redb"),
            ("/var/lib.d/journal", "/var/lib.d/journal.stdio-2"),
        ] {
            assert_eq!(numbered(Path::new(file), 2), Path::new(expected));
        }
    }
}
