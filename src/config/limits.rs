//! `[limits]`: rate limits.

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use gatepost_state::limits::{CallerRates, Rate};

/// Defines the limits: their documentation, default and maximum. Those of one caller
/// can also be set by a role, for its callers.
macro_rules! limits {
    (
        { $($(#[$doc:meta])* $key:ident = $default:tt, at most $most:tt;)+ }
        of one caller { $($(#[$caller_doc:meta])* $caller_key:ident = $caller_default:tt, at most $caller_most:tt;)+ }
    ) => {
        /// Rate limits of clients, instances and callers.
        #[derive(Clone, Copy, Debug, Deserialize, JsonSchema, SmartDefault)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitsConfig {
            $(
                $(#[$doc])*
                #[doc = concat!("Default ", stringify!($default), ".")]
                #[default($default)]
                #[schemars(range(min = 1, max = $most))]
                pub $key: u32,
            )+
            $(
                $(#[$caller_doc])*
                #[doc = concat!("Default ", stringify!($caller_default), ".")]
                #[default($caller_default)]
                #[schemars(range(min = 1, max = $caller_most))]
                pub $caller_key: u32,
            )+
        }

        /// Limits for the callers of one role; a key that is not set is as in `[limits]`.
        #[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct RoleLimits {
            $(
                $(#[$caller_doc])*
                #[schemars(range(min = 1, max = $caller_most))]
                pub $caller_key: Option<u32>,
            )+
        }

        impl LimitsConfig {
            /// The limits of a caller with this role.
            pub(super) fn role_rates(self, role: &RoleLimits) -> CallerRates {
                let limits = Self { $($caller_key: role.$caller_key.unwrap_or(self.$caller_key),)+ ..self };
                limits.caller_rates()
            }
        }
    };
}

limits! {
    {
        /// Requests with a token from one client address, per minute. A whole company
        /// may share one.
        address_per_minute = 6_000, at most 1_000_000;
        /// How many of them at once.
        address_burst = 1_000, at most 1_000_000;
        /// Requests with a token from one client address that are in flight at once.
        address_in_flight = 512, at most 1_000_000;
        /// Requests of one caller that are in flight at once.
        caller_in_flight = 128, at most 1_000_000;
        /// Rejected tokens from one client address, per minute. A request without a
        /// token does not count.
        failed_logins_per_minute = 60, at most 100_000;
        /// How many of them at once.
        failed_logins_burst = 60, at most 100_000;
        /// Tool calls in one instance, of all callers together, per minute.
        instance_per_minute = 6_000, at most 1_000_000;
        /// How many of them at once.
        instance_burst = 1_000, at most 1_000_000;
    }
    of one caller {
        /// Tool calls of one caller per minute.
        caller_per_minute = 1_200, at most 1_000_000;
        /// How many of them at once.
        caller_burst = 300, at most 1_000_000;
        /// Tool calls of one caller that read, per minute.
        read_per_minute = 1_200, at most 1_000_000;
        /// How many of them at once.
        read_burst = 300, at most 1_000_000;
        /// Tool calls of one caller that may write, per minute.
        write_per_minute = 120, at most 1_000_000;
        /// How many of them at once.
        write_burst = 60, at most 1_000_000;
        /// Tool calls of one caller that read or create a file, per minute.
        file_per_minute = 60, at most 1_000_000;
        /// How many of them at once.
        file_burst = 30, at most 1_000_000;
        /// Rows that one caller's calls read from Odoo, per minute and at once.
        rows_per_minute = 100_000, at most 1_000_000_000;
        /// Bytes that one caller's calls read from Odoo, per minute and at once.
        bytes_per_minute = 67_108_864, at most 4_000_000_000_u32;
    }
}

impl LimitsConfig {
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
}
