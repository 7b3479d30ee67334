//! Signals: reload on SIGHUP, graceful shutdown on SIGTERM and SIGINT.

use std::{io, sync::Arc};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    time::Instant,
};
use tracing::{error, info, warn};

use super::{drain::Drain, reload::Reloads};
use crate::{access::InFlightWrites, telemetry::Telemetry};

/// Stops a running [`super::Edge`], as SIGTERM does.
#[derive(Clone, Debug)]
pub struct ShutdownHandle(pub(super) Arc<Drain>);

impl ShutdownHandle {
    /// Starts the shutdown; returns at once.
    pub fn shut_down(&self) {
        self.0.start();
    }
}

/// Handles signals and [`ShutdownHandle`], and stops Pingora after the drain.
///
/// Pingora's own graceful shutdown closes the listeners first, sleeps a fixed
/// time and then aborts what still runs.
pub(super) struct SignalHandler {
    pub(super) drain: Arc<Drain>,
    /// What SIGHUP does.
    pub(super) reloads: Arc<Reloads>,
    /// Without them, only a [`ShutdownHandle`] stops the edge.
    pub(super) signals: Mutex<Option<Signals>>,
    /// Flushed at the end.
    pub(super) telemetry: Arc<Telemetry>,
    /// Ends the calls that wait for users, who may take longer than the limit.
    pub(super) on_shutdown: Box<dyn Fn() + Send + Sync>,
    /// Writes that were sent; their clients may have disconnected.
    pub(super) in_flight_writes: Arc<InFlightWrites>,
}

#[async_trait]
impl ShutdownSignalWatch for SignalHandler {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await.take();
        let mut draining = self.drain.watch();
        loop {
            tokio::select! {
                _ = draining.wait_for(|draining| *draining) => break,
                signal = next_signal(signals.as_mut()) => match signal {
                    OperatorSignal::Terminate => break,
                    // What failed is in the log.
                    OperatorSignal::Reload => drop(self.reloads.run()),
                },
            }
        }
        info!("Started to shut down");
        let started = Instant::now();
        self.drain.start();
        (self.on_shutdown)();
        tokio::select! {
            () = self.drain.wait(&self.in_flight_writes) => {}
            () = async { while !matches!(next_signal(signals.as_mut()).await, OperatorSignal::Terminate) {} } => {
                warn!("Stopped at the second signal without draining");
                return ShutdownSignal::FastShutdown;
            }
        }
        let rest = self.drain.remaining_or_minimum(started);
        self.telemetry.repetitions.report();
        self.telemetry.flush(rest).await;
        ShutdownSignal::FastShutdown
    }
}

/// The signals of operators.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum OperatorSignal {
    Reload,
    Terminate,
}

impl Signals {
    /// Installs the handlers. Early, because until then SIGHUP would end the
    /// process; a signal that arrives before [`next_signal`] is handled there.
    pub(super) fn install() -> Option<Self> {
        let install = || {
            // Tokio delivers signals on any runtime; this one only installs the handlers.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            let _inside = runtime.enter();
            Ok::<_, io::Error>(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        };
        install()
            .inspect_err(|e| error!(error = %e, "Failed to install the signal handlers"))
            .ok()
    }
}

async fn next_signal(signals: Option<&mut Signals>) -> OperatorSignal {
    let Some(signals) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        Some(()) = signals.terminate.recv() => OperatorSignal::Terminate,
        Some(()) = signals.interrupt.recv() => OperatorSignal::Terminate,
        Some(()) = signals.hang_up.recv() => OperatorSignal::Reload,
        // Tokio never closes them; if it did, only `ShutdownHandle` would be left.
        else => std::future::pending().await,
    }
}
