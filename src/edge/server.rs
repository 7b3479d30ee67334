//! The edge as a whole: opened, then run.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ServerApp},
    protocols::Stream,
    server::{RunArgs, Server, ShutdownWatch, configuration::ServerConf},
};
use tokio::sync::{Mutex, Semaphore};
use tracing::info;

use super::{
    admin::Admin,
    bounds::Bounds,
    certificate::{BadCertificate, Certificate},
    drain::{Drain, OnShutdown, ShutdownHandle, SignalHandler, Signals},
    exchange::Exchange,
    listener::{ConnectionHandler, Listener, Listeners},
    service::Host,
};
use crate::{access::InFlightWrites, config, gateway::Gateway, telemetry::Telemetry};

/// What SIGHUP does besides reading the certificates again: build a new
/// gateway and swap it in. A panic in it is logged and changes nothing.
pub type Reload = Box<dyn Fn() + Send + Sync>;

/// Connections at once on the operators' listener.
const ADMIN_CONNECTIONS: usize = 64;

/// All sockets, open but not served yet: clients that connect wait.
pub struct Edge {
    listeners: Listeners,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
    drain: Arc<Drain>,
    telemetry: Arc<Telemetry>,
    on_shutdown: OnShutdown,
    in_flight_writes: Arc<InFlightWrites>,
}

/// What keeps the edge from opening.
#[derive(Debug, thiserror::Error)]
pub enum EdgeOpenError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// An address cannot be listened on.
    #[error("`{setting}`: cannot listen on {address}: {source}")]
    Listen {
        /// The setting that names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Edge {
    /// Opens all sockets and reads the certificate.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(
        server: &config::Server,
        admin: &config::Admin,
        gateway: &Arc<ArcSwap<Gateway>>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, EdgeOpenError> {
        Self::open_with(server, admin, gateway, telemetry)
    }

    /// Opens the edge before any host.
    pub(super) fn open_with<H: Host>(
        server: &config::Server,
        admin: &config::Admin,
        gateway: &Arc<ArcSwap<H>>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, EdgeOpenError> {
        let bounds = Bounds::from(server);
        let drain = Arc::new(Drain::new(Duration::from_millis(server.drain_timeout_ms)));
        let certificate = match &server.tls {
            Some(files) => Some(Arc::new(Certificate::load(files)?)),
            None => None,
        };
        let acceptor = match &certificate {
            Some(certificate) => Some(Arc::new(certificate.acceptor()?)),
            None => None,
        };
        // Tokio counts places in fewer bits than `usize` has.
        let most = server.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let mut addresses = Vec::with_capacity(server.listen.len());
        let mut doors = Vec::with_capacity(server.listen.len());
        for address in &server.listen {
            let (socket, address) = bind("server.listen", *address)?;
            let exchange = Exchange {
                gateway: Arc::clone(gateway),
                bounds,
                drain: Arc::clone(&drain),
                telemetry: Arc::clone(telemetry),
                local_listener: address.ip().is_loopback(),
                options: http_options(bounds.head_timeout),
            };
            addresses.push(address);
            doors.push(Listener {
                socket,
                acceptor: acceptor.clone(),
                handler: connection_handler(exchange, drain.watch()),
                permits: Arc::clone(&places),
                handshake_timeout: bounds.head_timeout,
                counters: Some((Arc::clone(&drain), Arc::clone(telemetry))),
            });
        }
        let mut admin_address = None;
        if let Some(address) = admin.listen {
            let (socket, address) = bind("admin.listen", address)?;
            let admin = Admin::new(
                Arc::clone(gateway),
                Arc::clone(telemetry),
                bounds,
                Arc::clone(&drain),
            );
            admin_address = Some(address);
            doors.push(Listener {
                socket,
                acceptor: None,
                // It answers to the end, whether we leave or not.
                handler: connection_handler(admin, never_shutdown()),
                permits: Arc::new(Semaphore::new(ADMIN_CONNECTIONS)),
                handshake_timeout: bounds.head_timeout,
                counters: None,
            });
        }
        Ok(Self {
            listeners: Listeners {
                listeners: doors,
                certificate: certificate.clone(),
            },
            addresses,
            admin_address,
            certificate,
            drain,
            telemetry: Arc::clone(telemetry),
            in_flight_writes: gateway.load().writes_in_flight(),
            on_shutdown: {
                let gateway = Arc::clone(gateway);
                Box::new(move || gateway.load().close_elicitations())
            },
        })
    }

    /// The addresses clients can connect to, with real ports where the
    /// configuration says 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address operators can connect to, with its real port.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// A way to stop this edge once it runs.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.drain))
    }

    /// Serves until SIGTERM, SIGINT or [`Stop`], and obeys SIGHUP. Blocks, and
    /// must not be called from asynchronous code: it makes its own runtime.
    pub fn run(self, reload: Reload) {
        self.run_with(Some(reload));
    }

    /// The same without listening to any signal, as tests need it.
    pub fn run_without_signals(self) {
        self.run_with(None);
    }

    fn run_with(self, reload: Option<Reload>) {
        // Before anybody can know that we are there.
        let signals = reload.as_ref().and_then(|_| Signals::install());
        info!(
            addresses = ?self.addresses,
            admin_address = self.admin_address.map(tracing::field::display),
            tls = self.certificate.is_some(),
            "Opened the listeners"
        );
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut server = Server::new_with_opt_and_conf(
            None,
            ServerConf {
                threads,
                work_stealing: true,
                // Ours waits for what is under way; Pingora's would only sleep.
                grace_period_seconds: Some(0),
                graceful_shutdown_timeout_seconds: Some(0),
                ..ServerConf::default()
            },
        );
        server.bootstrap();
        server.add_service(self.listeners);
        server.run(RunArgs {
            shutdown_signal: Box::new(SignalHandler {
                drain: self.drain,
                certificate: self.certificate,
                reload,
                signals: Mutex::new(signals),
                telemetry: self.telemetry,
                on_shutdown: self.on_shutdown,
                in_flight_writes: self.in_flight_writes,
            }),
        });
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("addresses", &self.addresses)
            .field("admin_address", &self.admin_address)
            .finish_non_exhaustive()
    }
}

fn bind(
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), EdgeOpenError> {
    let opened = TcpListener::bind(address).and_then(|socket| {
        let real = socket.local_addr()?;
        Ok((socket, real))
    });
    opened.map_err(|source| EdgeOpenError::Listen {
        setting,
        address,
        source,
    })
}

fn http_options(idle: Duration) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(idle);
    options
}

fn connection_handler<A>(app: A, leaving: ShutdownWatch) -> ConnectionHandler
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let app = Arc::new(app);
    Arc::new(move |stream: Stream| {
        let app = Arc::clone(&app);
        let leaving = leaving.clone();
        Box::pin(async move {
            drop(app.process_new(stream, &leaving).await);
        })
    })
}

/// A watch that never turns.
fn never_shutdown() -> ShutdownWatch {
    tokio::sync::watch::channel(false).1
}
