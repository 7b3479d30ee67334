//! Changes to records: shown, approved, done once, and taken back.
//!
//! A tool says what is to be done ([`Change`]); [`carry_out()`] has it allowed by
//! policy, approved by whom the administrator wants to ask, done at most once,
//! written down before it is sent, and kept so that it can be undone.

pub mod approval;
mod dry_run;
mod execute;
pub mod idempotency;
mod method_result;
mod operation;
pub mod preview;
mod undo;

pub use dry_run::dry_run_import;
pub use execute::{WriteOutcome, execute};
pub use idempotency::{
    Baseline, CompletedWrite, RequestFingerprint, after_baseline, can_be_searched, find_created,
    find_deleted, odoo_time,
};
pub use method_result::describe_result;
pub use operation::{RecoveredOutcome, Report, UndoSupport, WriteOperation, WritePlan};
pub use preview::{ImportLinks, ImportPreview, PreviewRenderer, dependants, id_list, id_ranges};
pub use undo::{
    InvalidChangeId, UndoOperation, can_be_restored, fields_before_delete, tracked_fields_of_new,
    tracked_fields_with,
};
