//! Starts the log, with its filter and format.

use std::{
    io::{self, IsTerminal, stderr},
    panic,
};

use tracing::error;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, layer::SubscriberExt};

use super::queue::LogQueue;

/// Directives that apply unless the filter names the same targets: Pingora and
/// the HTTP/2 library log whatever strangers send to a port as errors.
const DEFAULT_DIRECTIVES: &str = "pingora_core=warn,pingora_core::services=off,pingora_core::protocols=off,\
                     pingora_core::apps=off,h2=warn,rustls=warn";

/// Why the log cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The log filter is invalid.
    #[error(
        "`{filter}` is not a log filter; write a level such as `info`, or `info,gatepost=debug`"
    )]
    InvalidFilter {
        /// The filter.
        filter: String,
        /// Why it is invalid.
        source: ParseError,
    },
    /// The format is neither of those that there are.
    #[error("`{0}` is not a log format; GATEPOST_LOG_FORMAT is `json` or `text`")]
    InvalidFormat(String),
    /// The thread that writes the log cannot be started.
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Starts the log of this process, which also gets panics.
///
/// `filter` is `info`, `gatepost=debug`, or anything else that
/// [`tracing_subscriber::EnvFilter`] parses. `format` is `json` or `text`; without one it
/// is text on a terminal, and JSON otherwise. Does nothing if a log was started
/// before, as in tests.
///
/// A thread of its own writes the lines, so that no request waits for a reader of
/// stderr that stalls; [`dropped_lines`](super::dropped_lines) counts those that find no room in its queue.
///
/// # Errors
/// [`LoggingError`].
pub fn start(filter: &str, format: Option<&str>) -> Result<(), LoggingError> {
    let filter = parse(filter)?;
    let is_text = match format {
        None => stderr().is_terminal(),
        Some("text") => true,
        Some("json") => false,
        Some(other) => return Err(LoggingError::InvalidFormat(other.to_owned())),
    };
    let registry = tracing_subscriber::registry().with(filter);
    // Standard output belongs to the stdio transport.
    let layer = fmt::layer().with_writer(LogQueue::start(stderr())?);
    let started = if is_text {
        let layer = layer.with_ansi(stderr().is_terminal());
        install(registry.with(layer.with_target(false)))
    } else {
        install(registry.with(layer.json().flatten_event(true).with_current_span(false)))
    };
    if started {
        panic::set_hook(Box::new(|panicked| {
            let place = panicked.location().map(ToString::to_string);
            error!(place, error = panicked.payload_as_str(), "Panicked (bug)");
        }));
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    // The later of two directives for one target wins.
    EnvFilter::try_new(format!("{DEFAULT_DIRECTIVES},{filter}")).map_err(|source| {
        LoggingError::InvalidFilter {
            filter: filter.to_owned(),
            source,
        }
    })
}

/// Installs the log; false if one was started before.
fn install(subscriber: impl Into<tracing::Dispatch>) -> bool {
    use tracing_subscriber::util::SubscriberInitExt;
    // This also routes the records of the `log` crate here.
    subscriber.try_init().is_ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{LoggingError, parse};

    #[test]
    fn log_without_a_thread_says_what_failed() {
        let error = LoggingError::from(io::Error::from(io::ErrorKind::WouldBlock));
        insta::assert_snapshot!(error, @"the thread that writes the log cannot be started: operation would block");
    }

    #[test]
    fn invalid_filter_error_shows_valid_examples() {
        let error = parse("gatepost=loudly").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`gatepost=loudly` is not a log filter; \
             write a level such as `info`, or `info,gatepost=debug`"
        );
    }

    #[test]
    fn pingora_logs_are_off_unless_filter_names_them() {
        assert!(
            parse("debug")
                .unwrap()
                .to_string()
                .contains("pingora_core::services=off")
        );
        let named = parse("info,pingora_core::services=debug")
            .unwrap()
            .to_string();
        assert!(named.contains("pingora_core::services=debug"), "{named}");
    }
}
