//! How much a caller may use.

mod gcra;
mod per_address;

pub use gcra::Allowance;
pub use per_address::{Exhausted, PerAddress, Reserved};
