//! Changes to records: shown, approved, done once, and taken back.
//!
//! A tool says what is to be done ([`Change`]); [`carry_out()`] has it allowed by
//! policy, approved by whom the administrator wants to ask, done at most once,
//! written down before it is sent, and kept so that it can be undone.

mod approve;
mod baseline;
mod companies;
mod dependants;
mod display_names;
mod dry_run;
mod entry;
mod execute;
mod find_created;
mod find_deleted;
mod fingerprint;
mod import;
mod import_columns;
mod method_result;
mod operation;
mod record_values;
mod records;
mod resolve_links;
mod snapshot;
mod token;
mod unapplied_values;
mod undo;
pub mod values;
mod x2many;

pub use baseline::Baseline;
pub use dependants::dependants;
pub use display_names::DisplayNames;
pub use dry_run::dry_run_import;
pub use entry::CompletedWrite;
pub use execute::{WriteOutcome, execute};
pub use find_created::{after_baseline, can_be_searched, find_created, odoo_time};
pub use find_deleted::find_deleted;
pub use fingerprint::RequestFingerprint;
pub use import::{ImportLinks, ImportPreview};
pub use import_columns::validate_import;
pub use method_result::describe_result;
pub use operation::{RecoveredOutcome, Report, UndoSupport, WriteOperation, WritePlan};
pub use record_values::{ValidatedRecords, validate_records, validate_update};
pub use records::{PreviewRenderer, id_list, id_ranges};
pub use resolve_links::load_display_names;
pub use snapshot::RecordSnapshot;
pub use unapplied_values::unapplied_values;
pub use undo::{
    InvalidChangeId, UndoOperation, can_be_restored, fields_before_delete, tracked_fields_of_new,
    tracked_fields_with,
};
