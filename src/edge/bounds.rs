//! The limits on sizes and times of the edge.

use std::time::Duration;

use crate::config;

/// The bounds on one connection and one request, from `[server]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The largest request head, in bytes.
    pub(super) max_head_bytes: usize,
    /// How long a head may take, including the wait for it.
    pub(super) head_timeout: Duration,
    /// How long a body may take.
    pub(super) body_timeout: Duration,
    /// How long one write may take.
    pub(super) write_timeout: Duration,
    /// How long a call may run before its response becomes an event stream.
    pub(super) event_stream_after: Duration,
    /// The time between two heartbeats of an event stream.
    pub(super) heartbeat_interval: Duration,
}

impl From<&config::ServerConfig> for Bounds {
    fn from(server: &config::ServerConfig) -> Self {
        Self {
            max_head_bytes: server.max_header_bytes,
            head_timeout: Duration::from_millis(server.header_timeout_ms),
            body_timeout: Duration::from_millis(server.body_timeout_ms),
            write_timeout: Duration::from_millis(server.write_timeout_ms),
            event_stream_after: Duration::from_millis(server.event_stream_after_ms),
            heartbeat_interval: Duration::from_millis(server.heartbeat_ms.max(1)),
        }
    }
}
