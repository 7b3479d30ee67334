//! `[audit]`: the audit journal.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use crate::audit::{ChainKey, JournalSettings, Rotation};

/// Where and how all calls to Odoo are recorded.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The journal file. Default: none.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
    /// Whether records are written to standard output. Default `false`.
    pub stdout: bool,
    /// The file with the key for the hash chain. Default: none.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// The size at which the file is rotated, in bytes. Default 64 MiB.
    #[default(64 << 20)]
    #[schemars(range(min = 65_536, max = 17_179_869_184_u64))]
    pub max_file_bytes: u64,
    /// The age at which the file is rotated, in seconds. Default 0: never.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub max_file_age_s: u64,
    /// How many rotated files are retained. Default 14.
    #[default(14)]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep_files: u32,
    /// Whether the new values of changed fields are recorded. Default `false`.
    pub include_values: bool,
}

impl AuditConfig {
    /// Whether any record is written.
    pub fn is_enabled(&self) -> bool {
        self.file.is_some() || self.stdout
    }

    /// The settings that the journal is opened with.
    pub(super) fn journal_settings(&self, key: Option<ChainKey>) -> JournalSettings {
        JournalSettings {
            file: self.file.clone(),
            stdout: self.stdout,
            key,
            rotation: Rotation {
                max_bytes: self.max_file_bytes,
                max_age: (self.max_file_age_s > 0)
                    .then(|| Duration::from_secs(self.max_file_age_s)),
                keep_files: self.keep_files,
            },
            include_values: self.include_values,
        }
    }
}
