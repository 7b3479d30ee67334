//! `[limits]`: rate limits.

use schemars::JsonSchema;
use serde::Deserialize;

use gatepost_state::limits::{CallerRates, Rate};

/// Rate limits of clients, instances and callers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests with a token from one client address, per minute. Default 6,000
    /// because a whole company may share one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub address_per_minute: u32,
    /// How many of them at once. Default 1,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub address_burst: u32,
    /// Rejected tokens from one client address, per minute. A request without a
    /// token does not count. Default 60.
    #[schemars(range(min = 1, max = 100_000))]
    pub failed_logins_per_minute: u32,
    /// How many of them at once. Default 60.
    #[schemars(range(min = 1, max = 100_000))]
    pub failed_logins_burst: u32,
    /// Tool calls in one instance, of all callers together, per minute. Default
    /// 6,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub instance_per_minute: u32,
    /// How many of them at once. Default 1,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub instance_burst: u32,
    /// Tool calls of one caller per minute. Default 1,200.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub caller_per_minute: u32,
    /// How many of them at once. Default 300.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub caller_burst: u32,
    /// Tool calls of one caller that read, per minute. Default 1,200.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_per_minute: u32,
    /// How many of them at once. Default 300.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_burst: u32,
    /// Tool calls of one caller that may write, per minute. Default 120.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_per_minute: u32,
    /// How many of them at once. Default 60.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_burst: u32,
    /// Tool calls of one caller that read or create a file, per minute. Default 60.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub file_per_minute: u32,
    /// How many of them at once. Default 30.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub file_burst: u32,
    /// Rows that one caller's calls read from Odoo, per minute and at once.
    /// Default 100,000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rows_per_minute: u32,
    /// Bytes that one caller's calls read from Odoo, per minute and at once.
    /// Default 64 MiB.
    #[schemars(range(min = 1, max = 4_000_000_000_u32))]
    pub bytes_per_minute: u32,
}

/// Limits for the callers of one role; a key that is not set is as in `[limits]`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleLimits {
    /// Tool calls of one caller per minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub caller_per_minute: Option<u32>,
    /// How many of them at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub caller_burst: Option<u32>,
    /// Tool calls of one caller that read, per minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_per_minute: Option<u32>,
    /// How many of them at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub read_burst: Option<u32>,
    /// Tool calls of one caller that may write, per minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_per_minute: Option<u32>,
    /// How many of them at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub write_burst: Option<u32>,
    /// Tool calls of one caller that read or create a file, per minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub file_per_minute: Option<u32>,
    /// How many of them at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub file_burst: Option<u32>,
    /// Rows that one caller's calls read from Odoo, per minute and at once.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rows_per_minute: Option<u32>,
    /// Bytes that one caller's calls read from Odoo, per minute and at once.
    #[schemars(range(min = 1, max = 4_000_000_000_u32))]
    pub bytes_per_minute: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_per_minute: 6_000,
            address_burst: 1_000,
            failed_logins_per_minute: 60,
            failed_logins_burst: 60,
            instance_per_minute: 6_000,
            instance_burst: 1_000,
            caller_per_minute: 1_200,
            caller_burst: 300,
            read_per_minute: 1_200,
            read_burst: 300,
            write_per_minute: 120,
            write_burst: 60,
            file_per_minute: 60,
            file_burst: 30,
            rows_per_minute: 100_000,
            bytes_per_minute: 67_108_864,
        }
    }
}

impl Limits {
    /// The limits of a caller whose roles have none of their own.
    pub(super) fn caller_rates(&self) -> CallerRates {
        CallerRates {
            calls: Rate::per_minute(self.caller_per_minute, self.caller_burst),
            read: Rate::per_minute(self.read_per_minute, self.read_burst),
            write: Rate::per_minute(self.write_per_minute, self.write_burst),
            file: Rate::per_minute(self.file_per_minute, self.file_burst),
            rows: Rate::per_minute(self.rows_per_minute, self.rows_per_minute),
            bytes: Rate::per_minute(self.bytes_per_minute, self.bytes_per_minute),
        }
    }

    /// The limits of a caller with this role.
    pub(super) fn role_rates(mut self, role: &RoleLimits) -> CallerRates {
        for (key, own) in [
            (&mut self.caller_per_minute, role.caller_per_minute),
            (&mut self.caller_burst, role.caller_burst),
            (&mut self.read_per_minute, role.read_per_minute),
            (&mut self.read_burst, role.read_burst),
            (&mut self.write_per_minute, role.write_per_minute),
            (&mut self.write_burst, role.write_burst),
            (&mut self.file_per_minute, role.file_per_minute),
            (&mut self.file_burst, role.file_burst),
            (&mut self.rows_per_minute, role.rows_per_minute),
            (&mut self.bytes_per_minute, role.bytes_per_minute),
        ] {
            *key = own.unwrap_or(*key);
        }
        self.caller_rates()
    }
}
