//! Progress notifications for the client of a call.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::mpsc;

use gatepost_mcp::{self, ProgressToken};

/// Sends progress notifications on the stream of one call.
#[derive(Debug)]
pub struct ProgressReporter {
    /// The token by which the client recognizes the call.
    pub token: ProgressToken,
    /// The channel to the client.
    pub server_messages: mpsc::Sender<Bytes>,
    /// The number of notifications sent: progress must increase with each (MCP,
    /// utilities, "Progress").
    notifications_sent: AtomicU32,
}

impl ProgressReporter {
    /// A reporter for the call with this token.
    pub fn new(token: ProgressToken, server_messages: mpsc::Sender<Bytes>) -> Self {
        Self {
            token,
            server_messages,
            notifications_sent: AtomicU32::new(0),
        }
    }

    /// Sends a notification. It never waits: if the channel is full, the
    /// notification is dropped.
    pub(super) fn report(&self, message: &str) {
        let step = self
            .notifications_sent
            .fetch_add(1, Relaxed)
            .saturating_add(1);
        let notice = gatepost_mcp::progress_notification(&self.token, step, message);
        let _full_or_gone = self.server_messages.try_send(notice);
    }
}
