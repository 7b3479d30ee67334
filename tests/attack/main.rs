//! Attacks on the release binary, from outside.
//!
//! Each scene has attackers and a [`bystander`]: another caller at another
//! address, whose requests must be answered while the attack lasts. That is judged
//! by counts and by order. Work is compared with the work of an ordinary request in
//! the same process ([`footprint`]), never with a clock. At the end of a scene the
//! gateway has as many threads and open files as before and nearly the same memory,
//! its journal is valid, and its log has no secret and no panic ([`target`]).
//!
//! A separate program, because it needs the release build: `scripts/test --ci` runs
//! it with `GATEPOST_BINARY`, and `cargo test --bench attack` with the test build.
//! Attacks that need no process of their own are in `tests/it/attacks` and
//! `src/edge/tests`.
#![expect(
    clippy::print_stdout,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::format_push_string,
    reason = "these are tests, which print what they measured"
)]

#[cfg(test)]
mod anonymous;
#[cfg(test)]
mod arguments;
#[cfg(test)]
mod bystander;
#[cfg(test)]
mod client;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod footprint;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod logging;
#[cfg(test)]
mod odoo_answers;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod provider_documents;
#[cfg(test)]
mod reloads;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod store;
#[cfg(test)]
mod target;
#[cfg(test)]
mod tokens;

#[cfg(test)]
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../it/attacks/configuration.rs"]
mod configuration;
#[cfg(test)]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../it/idp/mod.rs"]
mod idp;
#[cfg(test)]
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../it/log.rs"]
mod log;
#[cfg(test)]
#[path = "../it/pace.rs"]
mod pace;
#[cfg(test)]
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../it/faults/process.rs"]
mod process;
#[cfg(test)]
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../it/redis_server.rs"]
mod redis_server;
#[cfg(test)]
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../it/test_gateway.rs"]
mod test_gateway;
