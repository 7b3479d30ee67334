//! How changes are taken back, and what is kept of them for it.
//!
//! A change is taken back by another change ([`TakeBack`]), with its own preview,
//! approval, record and way back. Only its own caller may, in the same instance, as
//! policy is then, and only while the records are as it left them.

mod capture;
mod conflict;
mod created;
mod current_state;
mod deleted;
mod deletion;
mod entry;
mod fingerprints;
mod linked_records;
mod operation;
mod restore;
#[cfg(test)]
mod tests;
mod tracked_fields;
mod updated;
mod x2many_lines;
mod x2many_list;

pub use deletion::fields_before_delete;
pub use operation::{InvalidChangeId, UndoOperation};
pub(super) use operation::{release_undo, reserve_undo};
pub use tracked_fields::{can_be_restored, tracked_fields_of_new, tracked_fields_with};

pub(super) use capture::{UndoCapture, finish_recovered, new_change_id};
