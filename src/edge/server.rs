//! The edge as a whole: opens the sockets, then runs.

use std::{fmt, net::SocketAddr, sync::Arc, thread, time::Duration};

use arc_swap::ArcSwap;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ServerApp},
    protocols::{ALPN, Stream},
    server::{RunArgs, Server, ShutdownWatch, configuration::ServerConf},
};
use tokio::sync::Mutex;
use tracing::info;

use super::{
    admin::{AdminHosts, AdminServer},
    bounds::Bounds,
    cannot_listen::{CannotListen, bind},
    certificate::Certificate,
    connections::{PlaceLimits, Places},
    drain::Drain,
    exchange::Exchange,
    http2_app::Http2App,
    listener::{ConnectionHandler, Listener, Listeners},
    reload::{ProcessTasks, Reloads},
    request_handler::RequestHandler,
    shutdown::{ShutdownHandle, SignalHandler, Signals},
};
use crate::{config, telemetry::Telemetry};
use gatepost_tls::InvalidServerCertificate;

/// The maximum number of concurrent connections to the admin listener.
const ADMIN_CONNECTIONS: usize = 64;

/// All sockets, open but not served yet: clients that connect have to wait.
pub struct Edge {
    listeners: Listeners,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    signal_handler: SignalHandler,
}

/// Why the edge cannot open.
#[derive(Debug, thiserror::Error)]
pub enum EdgeOpenError {
    /// The certificate cannot be used.
    #[error("`server.tls.{}`: {_0}", _0.setting())]
    Certificate(#[from] InvalidServerCertificate),
    /// The edge cannot listen on an address.
    #[error("`{}`: {_0}", _0.setting.join("."))]
    Listen(#[from] CannotListen),
    /// The TLS library rejects its own defaults.
    #[error("`server.tls`: cannot set up TLS: {0}")]
    TlsSetup(#[from] rustls::Error),
}

impl Edge {
    /// Opens all sockets and reads the certificate. Requests go to the handler
    /// that `gateway` holds when they arrive.
    ///
    /// # Errors
    /// [`EdgeOpenError`].
    pub fn open<H: RequestHandler>(
        server: &config::ServerConfig,
        admin: &config::AdminConfig,
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
        let reloads = Arc::new(Reloads {
            certificate: certificate.clone(),
            ..Reloads::default()
        });
        let places = Places::new(PlaceLimits::new(
            server.max_connections,
            server.max_connections_per_address,
            server.trusted_proxies.clone(),
        ));
        let mut addresses = Vec::with_capacity(server.listen.len());
        let mut listeners = Vec::with_capacity(server.listen.len());
        for address in &server.listen {
            let (socket, address) = bind(&["server", "listen"], *address)?;
            let exchange = Exchange {
                gateway: Arc::clone(gateway),
                bounds,
                drain: Arc::clone(&drain),
                telemetry: Arc::clone(telemetry),
                local_listener: address.ip().is_loopback(),
                options: http_options(bounds.head_timeout),
            };
            addresses.push(address);
            listeners.push(Listener {
                socket,
                acceptor: acceptor.clone(),
                handler: connection_handler(exchange, drain.watch()),
                places: Arc::clone(&places),
                closed: drain.watch_closed(),
                handshake_timeout: bounds.head_timeout,
                counters: Some((Arc::clone(&drain), Arc::clone(telemetry))),
            });
        }
        let mut admin_address = None;
        if let Some(address) = admin.listen {
            let (socket, address) = bind(&["admin", "listen"], address)?;
            let handler = AdminServer::new(
                Arc::clone(gateway),
                Arc::clone(telemetry),
                bounds,
                Arc::clone(&drain),
                AdminHosts::new(&admin.allowed_hosts),
                Arc::clone(&reloads),
            );
            admin_address = Some(address);
            listeners.push(Listener {
                socket,
                acceptor: None,
                // It responds until the end, also while the edge drains.
                handler: connection_handler(handler, never_shutdown()),
                places: Places::new(PlaceLimits::new(
                    ADMIN_CONNECTIONS,
                    ADMIN_CONNECTIONS,
                    Vec::new(),
                )),
                closed: never_shutdown(),
                handshake_timeout: bounds.head_timeout,
                counters: None,
            });
        }
        Ok(Self {
            listeners: Listeners {
                all: listeners,
                certificate,
                background: std::sync::Mutex::default(),
                telemetry: Arc::clone(telemetry),
            },
            addresses,
            admin_address,
            signal_handler: SignalHandler {
                drain,
                reloads,
                signals: Mutex::new(None),
                telemetry: Arc::clone(telemetry),
                in_flight_writes: gateway.load().in_flight_writes(),
                on_shutdown: {
                    let gateway = Arc::clone(gateway);
                    Box::new(move || gateway.load().cancel_pending())
                },
            },
        })
    }

    /// The addresses clients can connect to, with real ports where the
    /// configuration says 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the admin listener, with its real port.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Stops this edge once it runs.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle(Arc::clone(&self.signal_handler.drain))
    }

    /// Serves until it is shut down: by SIGTERM or SIGINT, or by its
    /// [`ShutdownHandle`]. SIGHUP reloads; without `tasks`, no signal handler is
    /// installed, so that a process can run several edges. Blocks, and must not be
    /// called from asynchronous code, because it creates its own runtime.
    pub fn run(mut self, tasks: Option<ProcessTasks>) {
        let mut signal_handler = self.signal_handler;
        let has_tls = signal_handler.reloads.certificate.is_some();
        if let Some(ProcessTasks {
            reload,
            config_file,
            background,
        }) = tasks
        {
            if let Some(file) = config_file {
                drop(signal_handler.reloads.config_file.set(file));
            }
            // Before clients can know that the edge is there.
            signal_handler.signals = Mutex::new(Signals::install());
            // It is set here only.
            drop(signal_handler.reloads.configuration.set(reload));
            self.listeners.background = std::sync::Mutex::new(background);
        }
        info!(
            addresses = ?self.addresses,
            admin_address = self.admin_address.map(tracing::field::display),
            tls = has_tls,
            "Opened the listeners"
        );
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut server = Server::new_with_opt_and_conf(
            None,
            ServerConf {
                threads,
                work_stealing: true,
                // `SignalHandler` drains; Pingora would only sleep.
                grace_period_seconds: Some(0),
                graceful_shutdown_timeout_seconds: Some(0),
                ..ServerConf::default()
            },
        );
        server.bootstrap();
        server.add_service(self.listeners);
        server.run(RunArgs {
            shutdown_signal: Box::new(signal_handler),
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

fn http_options(idle: Duration) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(idle);
    options
}

fn connection_handler<A>(app: A, shutdown: ShutdownWatch) -> ConnectionHandler
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let app = Arc::new(app);
    Arc::new(move |stream: Stream, connection| {
        let app = Arc::clone(&app);
        let shutdown = shutdown.clone();
        let is_http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        Box::pin(async move {
            if is_http2 {
                let counted = Arc::new(Http2App { app, connection });
                drop(counted.process_new(stream, &shutdown).await);
            } else {
                drop(app.process_new(stream, &shutdown).await);
            }
        })
    })
}

/// A watch that never becomes true.
fn never_shutdown() -> ShutdownWatch {
    tokio::sync::watch::channel(false).1
}
