//! Sockets: listeners, TLS, reading and writing, reload, shutdown; and the
//! one client of `gatepost stdio`.
//!
//! The edge reads a request within its bounds, hands it to the gateway free of
//! any Pingora type, and writes the answer. It decides nothing about who may
//! do what. It runs on Pingora's server, TLS and HTTP, with an accept loop,
//! deadlines and a drain of its own: Pingora's stock ones take a head of 1 MiB,
//! a byte a second, for ever.

mod admin;
mod bad_request;
mod body;
mod bounds;
mod certificate;
mod drain;
mod events;
mod exchange;
mod head;
mod listener;
mod request_guard;
mod server;
mod service;
pub mod stdio;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use drain::ShutdownHandle;
pub use server::{Edge, EdgeOpenError, Reload};
