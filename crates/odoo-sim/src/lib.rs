//! An Odoo 19 that runs in this process and speaks JSON/2 over HTTP.
//!
//! It is the sample company behind `gatepost demo` and the test double, so it
//! answers as a real Odoo 19 does, including refusals and silent failures; its
//! tests compare it with recorded exchanges (`tests/fixtures/odoo19`). A
//! transaction works on a copy of the records: a failed one changes nothing, and
//! readers never wait.

mod access;
mod actions;
mod api_keys;
mod coerce;
mod commands;
mod computed;
mod constraints;
mod data;
mod data_cell;
mod data_file;
mod database;
mod date_domain;
mod defaults;
mod describe;
mod dispatch;
mod documentation;
mod domain;
mod error;
mod fake_odoo;
mod fault_injection;
mod followers;
mod grouping;
mod html;
mod invocation;
mod load;
mod load_cell;
mod messages;
mod method;
mod methods;
mod models;
mod reading;
mod record_page;
mod serve;
mod session;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod unlink;
mod value;

pub use access::{ADMIN_KEY, INTERNAL_KEY, SALES_KEY};
pub use database::DATABASE;
pub use fake_odoo::{FakeOdoo, RecordedCall};
pub use fault_injection::{FaultPoint, HeldCall};
pub use snapshot::{RecordChange, Snapshot};
