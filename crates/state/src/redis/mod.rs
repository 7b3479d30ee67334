//! The connection to Redis.
//!
//! What is stored there is up to the scripts of `limits` and `store`. Each has its
//! own connection, so that neither waits for the other.

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
