//! Changes to records: shown, approved, done once, and taken back.
//!
//! A tool says what is to be done ([`Change`]); [`carry_out()`] has it allowed by
//! policy, approved by whom the administrator wants to ask, done at most once,
//! written down before it is sent, and kept so that it can be undone.

mod approve;
mod carry_out;
mod change;
mod columns;
mod companies;
mod compare;
mod dependants;
pub mod fit;
mod gone;
mod links;
mod lists;
mod made;
mod names;
mod once;
mod prepare;
mod returned;
mod seal;
mod shot;
mod show;
mod since;
mod table;
mod trial;
mod undo;
mod wish;

pub use carry_out::{Told, carry_out};
pub use change::{Change, Found, Proposal, Report, Undo};
pub use columns::fit_table;
pub use compare::not_as_written;
pub use dependants::dependants;
pub use gone::gone;
pub use links::name_listed;
pub use made::{can_be_searched, made_since, odoo_time, since_then};
pub use names::Names;
pub use once::Done;
pub use prepare::{Prepared, prepare, prepare_update};
pub use returned::returned;
pub use shot::Shot;
pub use show::{Show, numbers, ranges};
pub use since::Since;
pub use table::{Links, Table};
pub use trial::try_table;
pub use undo::{
    InvalidChangeName, TakeBack, can_be_given_back, looked_at, watched_of_new, watched_with,
};
pub use wish::Wish;
