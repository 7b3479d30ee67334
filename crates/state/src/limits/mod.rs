//! How much anybody may use: by address, caller, instance and kind of tool, and
//! how much may be read.
//!
//! It does not decide what may be done (`policy`), nor how many calls an Odoo
//! gets at once (`upstream`).

mod exceeded;
mod gcra;
mod limiter;
mod memory;
mod per_address;
mod rates;
mod request;
mod shared;
#[cfg(test)]
mod tests;

pub use exceeded::RateLimited;
pub use gcra::Rate;
pub use limiter::{
    LimitDecision, LimitOutcome, LimitStore, Limiter, LimiterFailureMode, SharedLimiter,
};
pub use per_address::{AddressLimiter, AddressRateLimited, AddressReservation};
pub use rates::{CallerRates, Rates};
pub use request::{LimitScope, ToolClass};
