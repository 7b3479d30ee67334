//! How changes are taken back, and what is kept of them for it.
//!
//! A change is taken back by another change ([`TakeBack`]), with its own preview,
//! approval, record and way back. Only its own caller may, in the same instance, as
//! policy is then, and only while the records are as it left them.

mod back;
mod created;
mod deleted;
mod deletion;
mod entry;
mod kept;
mod lines;
mod list;
mod marks;
mod moved;
mod standing;
mod surroundings;
mod take_back;
#[cfg(test)]
mod tests;
mod updated;
mod watched;

pub use deletion::looked_at;
pub use take_back::{InvalidChangeName, TakeBack};
pub use watched::{can_be_given_back, watched_of_new, watched_with};

pub(super) use kept::{Kept, found_done, new_name};
