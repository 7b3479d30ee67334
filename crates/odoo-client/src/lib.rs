//! The HTTP client that sends permitted calls to Odoo.
//!
//! [`OdooClient::send`] takes only a [`gatepost_policy::Permitted`] call, so no call
//! bypasses the policy. A [`Dialect`] encodes calls and decodes responses; the client
//! sends them, respecting Odoo's limits on connections and retries.

mod address;
mod api_key;
mod call_error;
mod call_stats;
mod client;
mod concurrency;
mod connection_count;
mod diagnosis;
mod dialect;
mod exchange;
mod foreign_response;
mod json2;
mod name_lookups;
#[cfg(test)]
mod tests;
mod throttle;

pub use address::{Address, InvalidAddress};
pub use api_key::OdooApiKey;
pub use call_error::{CallError, UnknownOutcome};
pub use call_stats::{CallSpan, CallStats};
pub use client::{ClientStats, InvalidOdooClientSettings, OdooClient, OdooClientSettings};
pub use dialect::{Dialect, WireRequest, WireResponse};
pub use foreign_response::{ForeignCause, ForeignResponse};
pub use json2::Json2;
