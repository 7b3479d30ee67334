//! The store for changes: that one was made, that it was approved, and the values
//! before it.
//!
//! In memory, in a file of this process, or in a Redis shared by all replicas. Values
//! are opaque bytes.

mod command;
mod entry_commands;
mod failure;
mod file;
mod file_entries;
mod health;
mod in_flight;
mod key;
mod memory;
mod opening;
mod quota;
mod settings;
mod shared;
mod state_store;
#[cfg(test)]
mod tests;
mod time;
mod writer_thread;

pub use command::StoreOperation;
pub use failure::{StoreError, StoreErrorReason, StoreUnavailable};
pub use health::{StoreFill, StoreHealth, StoreUnhealthy};
pub use in_flight::InFlightKey;
pub use key::{StoreKey, StoreKeyKind};
pub use opening::StoreOpenError;
pub use settings::{Retention, StoreLocation, StoreSettings};
pub use state_store::StateStore;
pub use time::StoreTime;

/// The largest value that can be stored, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
