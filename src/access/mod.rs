//! Authorized calls to Odoo: checks the policy, sends the call, and records it
//! for audit, metrics and traces.
//!
//! A tool gets an [`OdooSession`] and nothing else, so the policy decides on
//! each of its calls, the client's limits apply, and the call is counted.

mod active_keys;
mod argument_summary;
mod audit_records;
mod authorization;
mod context;
mod display_names;
mod error;
mod in_flight_writes;
mod instance;
mod key_expiry;
mod model_access;
mod odoo_account;
mod outcome_probe;
mod progress;
mod refusals;
mod send_write;
mod session;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod tolerant_read;
mod user_profile;

pub use active_keys::ActiveKeys;
pub use argument_summary::ArgumentSummary;
pub use context::ContextRequest;
pub use display_names::DisplayNames;
pub use error::{OperationError, ReadOnly, UnknownCredential, is_key_rejected};
pub use in_flight_writes::InFlightWrites;
pub use instance::{Instance, InstanceSettings};
pub use key_expiry::{KeyExpiry, key_holder, rejection_cause, renewal_help};
pub use model_access::ModelAccess;
pub use odoo_account::OdooAccount;
pub use outcome_probe::ExistingRecords;
pub use progress::ProgressReporter;
pub use send_write::AuthorizedWrite;
pub use session::OdooSession;
pub use snapshot::{RecordSnapshot, readable};
pub use tolerant_read::PartialRead;
pub use user_profile::{Company, OdooUser};
