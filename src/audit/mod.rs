//! Who did what: one record for each call to Odoo, in a journal whose lines form a
//! hash chain.
//!
//! It decides nothing and is not the log: a record is a type whose members cannot hold
//! a secret. Values of fields are recorded only if the administrator enables that.

mod chain;
mod changed_fields;
mod entry;
mod journal;
mod opening;
mod outcome;
mod record;
mod request_audit;
mod response_summary;
mod sink;
mod summary;
#[cfg(test)]
mod tests;
mod writer;

pub use chain::{ChainError, ChainKey, ChainLink, ChainPosition, LineHash};
pub use changed_fields::ChangedFields;
pub use entry::JournalEntry;
pub use journal::{AuditUnavailable, Journal, JournalSettings, PendingRecord};
pub use opening::{JournalOpenError, check_openable};
pub use outcome::AuditOutcome;
pub use record::{CallerRef, Client, Record};
pub use request_audit::{DeniedAttempt, RequestAudit};
pub use response_summary::ResponseSummary;
pub use sink::Rotation;
pub use summary::{ChainDamage, JournalSummary, StoredCaller, StoredRecord, journal_files};
