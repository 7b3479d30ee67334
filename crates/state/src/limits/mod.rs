//! Rate limits: requests by address, calls by caller, instance and class of tool,
//! and how much may be read.
//!
//! What a caller may do is decided by `gatepost-policy`; how many calls an Odoo
//! gets at once is limited by `gatepost-odoo-client`.

mod gcra;
mod limiter;
mod memory;
mod per_address;
mod rate_limited;
mod rates;
mod request;
mod shared;
#[cfg(test)]
mod tests;

pub use gcra::Rate;
pub use limiter::{
    LimitDecision, LimitOutcome, LimitStore, Limiter, LimiterFailureMode, SharedLimiter,
};
pub use per_address::{AddressLimiter, AddressReservation, network_of, network_of_length};
pub use rate_limited::RateLimited;
pub use rates::{CallerRates, Rates};
pub use request::{LimitScope, ToolClass};
