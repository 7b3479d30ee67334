//! Who did what: one record for each call to Odoo, in a journal whose lines
//! are linked.
//!
//! It does not decide anything, and it is not the log: a record is a type with
//! members of its own, and no secret fits into it. Values of fields are kept
//! only where the administrator asks for them.

mod chain;
mod changes;
mod entry;
mod history;
mod journal;
mod opening;
mod outcome;
mod record;
mod rows;
mod sink;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

pub use chain::{Broken, ChainKey, LineHash, Link, Place};
pub use changes::Changes;
pub use entry::Entry;
pub use history::{Damage, History, Told, ToldCaller, files_of};
pub use journal::{Begun, Journal, JournalSettings, Unaudited};
pub use opening::CannotOpen;
pub use outcome::Outcome;
pub use record::{Client, Record, Who};
pub use rows::Answered;
pub use trail::{Attempt, Trail};
