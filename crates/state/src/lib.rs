//! State of the gateway: rate limits and the store for changes, in memory, in a file
//! or in Redis.

pub mod limits;
pub mod redis;
pub mod store;
