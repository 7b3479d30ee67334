//! The signals that end `gatepost stdio`.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Requests to end: the first lets calls finish, the second does not.
pub trait Terminations {
    /// Returns at the next request.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub struct TerminationSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl TerminationSignals {
    /// Installs the handlers; in a runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Terminations for TerminationSignals {
    async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.terminate.recv() => {}
            Some(()) = self.interrupt.recv() => {}
            // Tokio never closes them.
            else => std::future::pending().await,
        }
    }
}
