//! How a permitted call reaches Odoo.
//!
//! [`Link::send`] takes only a [`gatepost_policy::Permitted`] call: there is no
//! way around policy. A [`Dialect`] says what goes over the wire and what came
//! back; the link moves it, as a real Odoo wants it moved.

mod address;
mod api_key;
mod call_error;
mod call_stats;
mod client;
mod concurrency;
mod connection_count;
mod dialect;
mod exchange;
mod json2;
mod silence;
#[cfg(test)]
mod tests;

pub use address::{Address, InvalidAddress};
pub use api_key::ApiKey;
pub use call_error::CallError;
pub use call_stats::{CallSpan, CallStats};
pub use client::{ClientStats, InvalidOdooClientSettings, OdooClient, OdooClientSettings};
pub use dialect::{Dialect, WireRequest, WireResponse};
pub use json2::Json2;
pub use silence::UnknownOutcome;
