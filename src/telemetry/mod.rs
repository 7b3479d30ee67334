//! What Gatepost counts and writes down for its operators.
//!
//! Metrics have closed label sets; the log has one line a request. It does not
//! keep the record of who did what: that is [`crate::audit`].

pub mod logging;
mod metrics;

pub use metrics::{Connected, InFlight, Metrics, Outcome, Served};
