//! What several gateways share, or one remembers: rate limits and the state
//! store, in memory, in a file, or in Redis.

pub mod limits;
pub mod redis;
pub mod store;
