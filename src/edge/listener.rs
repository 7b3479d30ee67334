//! Accepting connections.
//!
//! Pingora's own accept loop takes every connection there is, gives a TLS
//! handshake sixty seconds, and closes its sockets before a drain begins.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pingora::{
    listeners::tls::Acceptor,
    protocols::{ALPN, Stream},
    server::{ListenFds, ShutdownWatch},
    services::{ServiceReadyNotifier, ServiceWithDependents},
};
use tokio::{
    net::TcpSocket,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};

use super::{
    certificate::Certificate,
    drain::Drain,
    wire::{ClientStream, HeadLimit, HeadLimited},
};
use crate::telemetry::Telemetry;

/// Connections the kernel keeps for us while we are full.
const BACKLOG: u32 = 4096;

/// The pause after a failed accept, so that the loop does not spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What an HTTP/2 client must have sent before the handshake counts as begun:
/// the preface of RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;

/// Serves one connection to its end.
pub(super) type ConnectionHandler = Arc<dyn Fn(Stream) -> BoxFuture<'static, ()> + Send + Sync>;

/// One listening socket and what is behind it.
pub(super) struct Listener {
    /// Taken when the door opens.
    pub(super) socket: TcpListener,
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) handler: ConnectionHandler,
    /// Shared by the doors of one kind.
    pub(super) permits: Arc<Semaphore>,
    /// How long a TLS handshake may take, and HTTP/2's preface after it.
    pub(super) handshake_timeout: Duration,
    /// What counts its connections; nothing does for the operators' door.
    pub(super) counters: Option<(Arc<Drain>, Arc<Telemetry>)>,
}

/// All doors, as one Pingora service: they share a runtime, and with it the
/// connections to Odoo.
pub(super) struct Listeners {
    pub(super) listeners: Vec<Listener>,
    /// Watched beside them.
    pub(super) certificate: Option<Arc<Certificate>>,
}

#[async_trait]
impl ServiceWithDependents for Listeners {
    async fn start_service(
        &mut self,
        _sockets: Option<ListenFds>,
        mut stop: ShutdownWatch,
        _tasks_per_socket: usize,
        ready: ServiceReadyNotifier,
    ) {
        for door in self.listeners.drain(..) {
            tokio::spawn(async move {
                if let Err(e) = door.accept_loop().await {
                    error!(error = %e, "Closed a listener that the system took away");
                }
            });
        }
        if let Some(certificate) = self.certificate.take() {
            tokio::spawn(certificate.watch());
        }
        ready.notify_ready();
        drop(stop.wait_for(|stop| *stop).await);
    }

    fn name(&self) -> &'static str {
        "edge"
    }
}

impl Listener {
    async fn accept_loop(self) -> io::Result<()> {
        let Self {
            socket,
            acceptor,
            handler: serve,
            permits: places,
            handshake_timeout: patience,
            counters: counted,
        } = self;
        socket.set_nonblocking(true)?;
        // Listens a second time, for the longer queue: the standard library asks for 128.
        let socket = TcpStream::from(OwnedFd::from(socket));
        let listener = TcpSocket::from_std_stream(socket).listen(BACKLOG)?;
        loop {
            let (socket, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of descriptors, or the client left in the queue.
                    warn!(error = %e, "Failed to accept a connection");
                    sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            // After the accept, so that a listener without visitors holds no place.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return Ok(());
            };
            let counts = counted.as_ref().map(|(drain, telemetry)| {
                (
                    drain.track_connection(),
                    telemetry.metrics.open_connection(),
                )
            });
            let acceptor = acceptor.clone();
            let serve = Arc::clone(&serve);
            tokio::spawn(async move {
                // A delayed small write would wait for the client's acknowledgement.
                drop(socket.set_nodelay(true));
                let wire = ClientStream::new(socket, peer, (place, counts));
                if let Some(stream) = tls_handshake(wire, acceptor, patience, peer).await {
                    serve_connection(stream, &serve, patience).await;
                }
            });
        }
    }
}

/// The connection after its TLS handshake, if there is to be one.
async fn tls_handshake<G>(
    wire: ClientStream<G>,
    acceptor: Option<Arc<Acceptor>>,
    patience: Duration,
    peer: SocketAddr,
) -> Option<Stream>
where
    G: Send + Sync + Unpin + 'static,
{
    let Some(acceptor) = acceptor else {
        return Some(Box::new(wire));
    };
    match timeout(patience, acceptor.tls_handshake(wire)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        // Scanners do this all day.
        Ok(Err(e)) => {
            debug!(error = %e, %peer, "Gave up a TLS handshake");
            None
        }
        Err(_) => {
            debug!(%peer, "Gave up a slow TLS handshake");
            None
        }
    }
}

async fn serve_connection(stream: Stream, serve: &ConnectionHandler, patience: Duration) {
    let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
    let gauged = HeadLimited::new(stream);
    let gauge: Arc<HeadLimit> = gauged.head_limit();
    let mut served = pin!(serve(Box::new(gauged)));
    // Pingora waits for HTTP/2's preface without a deadline. After it, its
    // idle time-out holds; HTTP/1.1 has the deadline on its head.
    tokio::select! {
        () = &mut served => return,
        () = sleep(patience), if http2 => {}
    }
    if gauge.bytes_read() >= PREFACE_BYTES {
        served.await;
    }
}
