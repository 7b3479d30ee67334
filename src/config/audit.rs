//! `[audit]`: who did what.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::audit::{ChainKey, JournalSettings};

/// Where and how the record of all calls to Odoo is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// The file. Default: none.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
    /// Whether the lines go to standard output. Default: no.
    pub stdout: bool,
    /// The file with the key to the hashes. Default: none.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// The size in bytes at which another file is begun. Default 64 MiB.
    #[schemars(range(min = 65_536, max = 17_179_869_184_u64))]
    pub max_file_bytes: u64,
    /// The age in seconds at which another file is begun; 0 for never, the default.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub max_file_age_s: u64,
    /// Files that are kept besides the one that is written. Default 14.
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_files: u32,
    /// Whether the new values of changed fields are kept. Default: no.
    pub include_values: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: None,
            stdout: false,
            key_file: None,
            max_file_bytes: 64 << 20,
            max_file_age_s: 0,
            keep_files: 14,
            include_values: false,
        }
    }
}

impl Audit {
    /// Whether anything is kept.
    pub fn is_enabled(&self) -> bool {
        self.file.is_some() || self.stdout
    }

    /// What the journal is opened with.
    pub(super) fn journal_settings(&self, key: Option<ChainKey>) -> JournalSettings {
        JournalSettings {
            file: self.file.clone(),
            stdout: self.stdout,
            key,
            max_file_bytes: self.max_file_bytes,
            max_file_age: (self.max_file_age_s > 0)
                .then(|| Duration::from_secs(self.max_file_age_s)),
            keep_files: self.keep_files,
            include_values: self.include_values,
        }
    }
}
