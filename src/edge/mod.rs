//! Sockets: listeners, TLS, reading and writing, reload, shutdown; and the
//! one client of `gatepost stdio`.
//!
//! The edge reads a request within its bounds, hands it to the gateway free of
//! any Pingora type, and writes the answer. It decides nothing about who may
//! do what. It runs on Pingora's server, TLS and HTTP, with an accept loop,
//! deadlines and a drain of its own: Pingora's stock ones take a head of 1 MiB,
//! a byte a second, for ever.

mod account;
mod admin;
mod body;
mod bounds;
mod certificate;
mod drain;
mod events;
mod exchange;
mod head;
mod host;
mod listener;
mod server;
pub mod stdio;
mod unreadable;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use drain::Stop;
pub use server::{CannotOpen, Edge, Reload};
