//! Writes to Odoo records: planned, approved, sent once, and undone.
//!
//! A tool says what to do ([`WriteOperation`]). [`execute()`] checks the policy,
//! asks for the approval that the administrator configured, sends the write at
//! most once, audits it first, and stores what an undo needs.

pub mod approval;
mod dry_run;
mod execute;
pub mod idempotency;
mod method_result;
mod operation;
mod outcome;
mod plan;
pub mod preview;
mod recover;
mod send;
mod undo;

pub use dry_run::dry_run_import;
pub use execute::execute;
pub use idempotency::{
    Baseline, RequestFingerprint, after_baseline, can_be_searched, find_created, find_deleted,
    odoo_time,
};
pub use method_result::describe_result;
pub use operation::WriteOperation;
pub use outcome::{CompletedWrite, RecoveredOutcome, Report, WriteOutcome};
pub use plan::{UndoSupport, WritePlan};
pub use preview::{
    ImportLinks, ImportPreview, PreviewRenderer, dependants, id_list, id_ranges,
    load_display_names, new_json, read_hint, search_hint,
};
pub use undo::{
    InvalidChangeId, UndoOperation, can_be_restored, fields_before_delete, tracked_fields,
    tracked_fields_of_new,
};
