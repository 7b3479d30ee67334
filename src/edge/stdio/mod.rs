//! One client over stdin and stdout.
//!
//! Messages are lines of JSON without line ends in them (MCP, stdio
//! transport). Everything for the client goes through one channel, so that
//! lines never mix; nothing else may write to stdout.

mod connection;
mod lines;
mod message;
mod refusal;
mod termination;

pub use connection::{StdioError, serve};
pub use refusal::refuse;
pub use termination::{TerminationSignals, Terminations};
