//! The log on stderr: text on a terminal, JSON otherwise.

mod queue;
mod repetition;
mod setup;

pub use queue::{dropped_lines, flush};
pub(crate) use repetition::Repetitions;
pub use setup::{LoggingError, start};
