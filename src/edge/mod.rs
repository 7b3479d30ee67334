//! Sockets: listeners, TLS, reading requests and writing responses, reload,
//! shutdown; and the one client of `gatepost stdio`.
//!
//! The edge reads a request within its bounds, passes it to the gateway without
//! any Pingora type, and writes the response. It does not authenticate or
//! authorize. It runs on Pingora's server, TLS and HTTP, with its own accept loop,
//! deadlines and drain, because Pingora's accept a head of 1 MiB at one byte a
//! second, without an end.

mod admin;
mod bad_request;
mod body;
mod bounds;
mod cannot_listen;
mod certificate;
mod connections;
mod descriptors;
mod drain;
mod events;
mod exchange;
mod framing;
mod head;
mod http2_app;
mod listener;
mod reload;
mod request_guard;
mod request_handler;
mod server;
mod shutdown;
pub mod stdio;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use admin::{CONFIG_FILE_HEADER, SERVER_NAME};
pub use cannot_listen::{CannotListen, try_listen};
pub use descriptors::DescriptorLimit;
pub use reload::{ProcessTasks, ReloadHandler};
pub use request_handler::{RequestHandler, RequestTerms};
pub use server::{Edge, EdgeOpenError};
pub use shutdown::ShutdownHandle;
