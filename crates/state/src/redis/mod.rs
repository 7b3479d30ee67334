//! What replicas share: the connection to a Redis, and whether it is there.
//!
//! What is kept there is not decided here, but by those who run scripts there
//! (`limits`, `ledger`). Each of them has a connection of its own, so that none
//! waits for what another one sends.

mod connection;
mod key_name;
#[cfg(test)]
#[path = "../../../../tests/it/redis_server.rs"]
pub(crate) mod redis_server;
mod redis_url;
mod stream;
mod unavailable;

pub use self::{
    connection::{Redis, RedisProbe, RedisSettings, RetrySafety},
    key_name::key_name,
    redis_url::{InvalidRedisUrl, RedisPassword, RedisUrl},
    unavailable::RedisUnavailable,
};
