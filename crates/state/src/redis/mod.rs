//! What replicas share: the connection to a Redis, and whether it is there.
//!
//! What is kept there is not decided here, but by those who run scripts there
//! (`limits`, `ledger`). Each of them has a connection of its own, so that none
//! waits for what another one sends.

mod away;
mod key_name;
mod redis;
#[cfg(test)]
#[path = "../../../../tests/it/redis_server.rs"]
pub(crate) mod redis_server;
mod redis_url;
mod stream;

pub use self::{
    away::Away,
    key_name::{digest, key_name},
    redis::{Redis, RedisSettings, Repeat, Trial},
    redis_url::{InvalidRedisUrl, Password, RedisUrl},
};
