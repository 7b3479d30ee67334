//! The log: to stderr, for people on a terminal, as JSON otherwise.

use std::{
    io::{IsTerminal, stderr},
    panic,
};

use tracing::error;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, layer::SubscriberExt};

/// What is always turned down, whatever the filter says of everything:
/// Pingora and the HTTP/2 library report what strangers do to a port as errors
/// of ours. A filter that names them brings them back.
const DEFAULT_DIRECTIVES: &str = "pingora_core=warn,pingora_core::services=off,pingora_core::protocols=off,\
                     pingora_core::apps=off,h2=warn,rustls=warn";

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is not a log filter; write a level such as `info`, or `info,gatepost=debug`")]
pub struct InvalidFilter {
    filter: String,
    source: ParseError,
}

/// Starts the log of this process, and sends panics there too.
///
/// `filter` is `info`, `gatepost=debug`, or whatever
/// [`tracing_subscriber::EnvFilter`] reads. Does nothing when a log was
/// started before, as in tests.
///
/// # Errors
/// [`InvalidFilter`].
pub fn start(filter: &str) -> Result<(), InvalidFilter> {
    let filter = parse(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    // Standard output belongs to the stdio transport.
    let layer = fmt::layer().with_writer(stderr);
    let started = if stderr().is_terminal() {
        install(registry.with(layer.with_target(false)))
    } else {
        install(registry.with(layer.json().flatten_event(true).with_current_span(false)))
    };
    if started {
        panic::set_hook(Box::new(|panicked| {
            let place = panicked.location().map(ToString::to_string);
            error!(
                place,
                error = panicked.payload_as_str(),
                "Hit a bug of ours (panic)"
            );
        }));
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    // The later of two directives for one target wins.
    EnvFilter::try_new(format!("{DEFAULT_DIRECTIVES},{filter}")).map_err(|source| InvalidFilter {
        filter: filter.to_owned(),
        source,
    })
}

/// Whether the log was not started yet.
fn install(subscriber: impl Into<tracing::Dispatch>) -> bool {
    use tracing_subscriber::util::SubscriberInitExt;
    // Takes over the records of the `log` crate too.
    subscriber.try_init().is_ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

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
