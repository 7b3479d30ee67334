//! How much anybody may use: by address, caller, instance and kind of tool, and
//! how much may be read.
//!
//! It does not decide what may be done (`policy`), nor how many calls an Odoo
//! gets at once (`upstream`).

mod claim;
mod exceeded;
mod gcra;
mod limiter;
mod memory;
mod per_address;
mod rates;
mod shared;
#[cfg(test)]
mod tests;

pub use claim::{Dimension, ToolClass};
pub use exceeded::Limited;
pub use gcra::Allowance;
pub use limiter::{Counted, Limiter, Outcome, Pool, Store, WhenDown};
pub use per_address::{Exhausted, PerAddress, Reserved};
pub use rates::{CallerRates, Rates};
