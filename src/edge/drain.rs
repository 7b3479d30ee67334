//! Leaving: what is under way ends first, within a limit, and then at once.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

use super::{certificate::Certificate, server::Reload};
use crate::{access::InFlightWrites, telemetry::Telemetry};

/// How long connections may take to close once no request is under way: the
/// last frames of HTTP/2 are written by the connection, after its requests.
const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether we are leaving, and what is still under way.
#[derive(Debug)]
pub(super) struct Drain {
    draining: watch::Sender<bool>,
    requests: Arc<watch::Sender<usize>>,
    connections: Arc<watch::Sender<usize>>,
    limit: Duration,
}

/// One thing under way, until it is dropped.
#[derive(Debug)]
pub(super) struct DrainGuard(Arc<watch::Sender<usize>>);

/// A way to stop a running [`super::Edge`] as SIGTERM would.
#[derive(Clone, Debug)]
pub struct ShutdownHandle(pub(super) Arc<Drain>);

impl Drain {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            draining: watch::Sender::new(false),
            requests: Arc::new(watch::Sender::new(0)),
            connections: Arc::new(watch::Sender::new(0)),
            limit,
        }
    }

    /// Counts a request as under way.
    pub(super) fn track_request(&self) -> DrainGuard {
        DrainGuard::new(&self.requests)
    }

    /// Counts a connection as open.
    pub(super) fn track_connection(&self) -> DrainGuard {
        DrainGuard::new(&self.connections)
    }

    /// Turns true when we leave.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.draining.subscribe()
    }

    /// Whether we are leaving.
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns when nothing is under way any more, or the limit has passed.
    async fn wait(&self) {
        let none = |under_way: &usize| *under_way == 0;
        let mut requests = self.requests.subscribe();
        let mut connections = self.connections.subscribe();
        // The senders live as long as `self`: waiting cannot fail.
        if timeout(self.limit, requests.wait_for(none)).await.is_err() {
            let cut = *self.requests.borrow();
            warn!(cut, "Left with requests under way");
            return;
        }
        if timeout(CONNECTION_CLOSE_TIMEOUT, connections.wait_for(none))
            .await
            .is_ok()
        {
            info!("Left with nothing under way");
        }
    }
}

impl DrainGuard {
    fn new(counter: &Arc<watch::Sender<usize>>) -> Self {
        counter.send_modify(|n| *n = n.saturating_add(1));
        Self(Arc::clone(counter))
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl ShutdownHandle {
    /// Begins to leave; returns at once.
    pub fn shut_down(&self) {
        self.0.draining.send_replace(true);
    }
}

/// Obeys signals and [`Stop`], and tells Pingora to leave once it may.
///
/// Pingora's own graceful shutdown closes the listeners first, sleeps a fixed
/// time and then cuts what still runs.
pub(super) struct SignalHandler {
    pub(super) drain: Arc<Drain>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// What SIGHUP does.
    pub(super) reload: Option<Reload>,
    /// What operators say; without them nobody says anything.
    pub(super) signals: Mutex<Option<Signals>>,
    /// What is told to the end.
    pub(super) telemetry: Arc<Telemetry>,
    /// Ends what would wait for people, who may take longer than we have.
    pub(super) on_shutdown: OnShutdown,
    /// Changes that were sent; their clients may be gone. A reload carries them on.
    pub(super) in_flight_writes: Arc<InFlightWrites>,
}

/// What is done when we begin to leave.
pub(super) type OnShutdown = Box<dyn Fn() + Send + Sync>;

#[async_trait]
impl ShutdownSignalWatch for SignalHandler {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await.take();
        let mut leaving = self.drain.watch();
        loop {
            tokio::select! {
                _ = leaving.wait_for(|leaving| *leaving) => break,
                heard = next_signal(signals.as_mut()) => match heard {
                    OperatorSignal::Terminate => break,
                    OperatorSignal::Reload => self.reload(),
                },
            }
        }
        info!("Began to leave");
        let since = Instant::now();
        ShutdownHandle(Arc::clone(&self.drain)).shut_down();
        (self.on_shutdown)();
        tokio::select! {
            () = self.wait_until_drained(since) => {}
            () = async { while !matches!(next_signal(signals.as_mut()).await, OperatorSignal::Terminate) {} } => {
                warn!("Left at the second signal");
                return ShutdownSignal::FastShutdown;
            }
        }
        // What is left of the time; a little, where nothing is.
        let rest = self.drain.limit.saturating_sub(since.elapsed());
        self.telemetry
            .flush(rest.max(CONNECTION_CLOSE_TIMEOUT))
            .await;
        ShutdownSignal::FastShutdown
    }
}

impl SignalHandler {
    /// Returns when nothing is under way any more, or the limit has passed.
    async fn wait_until_drained(&self, since: Instant) {
        self.drain.wait().await;
        let rest = self.drain.limit.saturating_sub(since.elapsed());
        if timeout(rest, self.in_flight_writes.wait_until_none())
            .await
            .is_err()
        {
            let cut = self.in_flight_writes.count();
            warn!(
                cut,
                "Left with changes under way: whether Odoo made them is found out by their keys, or by looking"
            );
        }
    }

    fn reload(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.reload();
        }
        if let Some(reload) = &self.reload {
            // A bug in it must not take the listeners down.
            if catch_unwind(AssertUnwindSafe(reload)).is_err() {
                error!("Kept the old configuration, for the reload hit a bug of ours");
            }
        }
    }
}

/// The signals of operators.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum OperatorSignal {
    Terminate,
    Reload,
}

impl Signals {
    /// Listens from now on, and not only when somebody can hear: until then
    /// SIGHUP would end the process. What comes early is heard late.
    pub(super) fn install() -> Option<Self> {
        let listen = || {
            // Tokio hears on whatever runtime runs; this one only begins it.
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
        listen()
            .inspect_err(|e| error!(error = %e, "Started deaf to signals"))
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
        // Tokio never closes them; should it, we wait for `Stop` alone.
        else => std::future::pending().await,
    }
}

/// Waits a little, for loops that must not spin.
pub(super) async fn backoff() {
    sleep(Duration::from_millis(100)).await;
}
