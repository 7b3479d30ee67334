//! How a permitted call reaches Odoo.
//!
//! [`Link::send`] takes only a [`gatepost_policy::Permitted`] call: there is no
//! way around policy. A [`Dialect`] says what goes over the wire and what came
//! back; the link moves it, as a real Odoo wants it moved.

mod address;
mod api_key;
mod call_error;
mod dialect;
mod exchange;
mod json2;
mod link;
mod opened;
mod silence;
#[cfg(test)]
mod tests;
mod turn;

pub use address::{Address, InvalidAddress};
pub use api_key::ApiKey;
pub use call_error::CallError;
pub use dialect::{Dialect, WireRequest, WireResponse};
pub use json2::Json2;
pub use link::{InvalidLink, Link, LinkSettings, Traffic};
pub use silence::Silence;
