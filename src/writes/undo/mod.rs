//! Undo: what is stored of a change, and the write that takes it back.
//!
//! An undo is a write of its own ([`UndoOperation`]), with its own preview,
//! approval, audit record and undo. Only the caller that made the change may undo
//! it, in the same instance, under the policy of that moment, and only while the
//! records are as the change left them.

mod capture;
mod conflict;
mod created;
mod current_state;
mod deleted;
mod entry;
mod fingerprints;
mod instructions;
mod linked_records;
mod operation;
mod restore;
#[cfg(test)]
mod tests;
mod tracked_fields;
mod updated;
mod x2many_lines;
mod x2many_list;

pub use operation::{InvalidChangeId, UndoOperation};
pub use tracked_fields::{
    can_be_restored, fields_before_delete, tracked_fields, tracked_fields_of_new,
};

pub(super) use capture::UndoCapture;
pub(super) use instructions::{finish_recovered, new_change_id};
pub(super) use operation::{release_undo, reserve_undo};
