//! The metrics: each is declared in [`table`] and documented in
//! `docs/operations.md`.
//!
//! A metric takes three steps: an entry in the table, a call of the method of
//! that name where the value is known, and a row in the document.

mod family;
mod guards;
mod label;
mod request;
mod request_outcome;
mod table;
#[cfg(test)]
mod tests;

pub use guards::{ConnectionGuard, InFlight};
pub(super) use label::OrEmpty;
pub use request::HttpOutcome;
pub use request_outcome::RequestOutcome;
pub use table::Metrics;
