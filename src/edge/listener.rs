//! Accepting connections.
//!
//! Pingora's own accept loop has no limit on connections, allows sixty seconds for
//! a TLS handshake, and closes its sockets before a drain.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    pin::pin,
    sync::{Arc, Mutex},
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
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};

use super::{
    certificate::Certificate,
    connections::{PlacedConnection, Places},
    drain::Drain,
    wire::{ClientStream, FramedStream, RequestFraming},
};
use crate::telemetry::Telemetry;
use gatepost_base::sync::lock;

/// The number of connections that the kernel queues while the limit is reached.
const BACKLOG: u32 = 4096;

/// The pause after a failed accept, so that the loop does not spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The bytes of the preface that starts an HTTP/2 connection (RFC 9113 section
/// 3.4).
const PREFACE_BYTES: usize = 24;

/// How long an HTTP/2 connection has had no stream before it makes room for another:
/// its last response may not be written yet when the stream ends.
const HTTP2_QUIET: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(super) type ConnectionHandler =
    Arc<dyn Fn(Stream, Arc<PlacedConnection>) -> BoxFuture<'static, ()> + Send + Sync>;

/// One listening socket and what serves its connections.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) handler: ConnectionHandler,
    /// One for each connection; shared by the public listeners.
    pub(super) places: Arc<Places>,
    /// Becomes true when nothing may be accepted any more.
    pub(super) closed: ShutdownWatch,
    /// How long a TLS handshake may take, and then the preface of HTTP/2.
    pub(super) handshake_timeout: Duration,
    /// What counts its connections; `None` for the admin listener.
    pub(super) counters: Option<(Arc<Drain>, Arc<Telemetry>)>,
}

/// All listeners, as one Pingora service: they share a runtime, and with it the
/// connections to Odoo.
pub(super) struct Listeners {
    pub(super) all: Vec<Listener>,
    /// Reloaded while they run.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Tasks that run until the process ends.
    pub(super) background: Mutex<Vec<BoxFuture<'static, ()>>>,
    pub(super) telemetry: Arc<Telemetry>,
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
        for listener in self.all.drain(..) {
            tokio::spawn(async move {
                if let Err(e) = listener.accept_loop().await {
                    error!(error = %e, "Failed to open a listener");
                }
            });
        }
        if let Some(certificate) = self.certificate.take() {
            tokio::spawn(certificate.watch());
        }
        for task in lock(&self.background).drain(..) {
            tokio::spawn(task);
        }
        let telemetry = Arc::clone(&self.telemetry);
        tokio::spawn(async move { telemetry.repetitions.report_regularly().await });
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
            handler,
            places,
            mut closed,
            handshake_timeout,
            counters,
        } = self;
        socket.set_nonblocking(true)?;
        // Listens a second time, for the longer queue: the standard library asks for 128.
        let socket = TcpStream::from(OwnedFd::from(socket));
        let listener = TcpSocket::from_std_stream(socket).listen(BACKLOG)?;
        loop {
            let accepted = tokio::select! {
                biased;
                // Dropping the socket refuses those that wait in the kernel's queue.
                Ok(_) = closed.wait_for(|closed| *closed) => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors, or the client left the queue.
                    warn!(error = %e, "Failed to accept a connection");
                    sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            // After the accept, so that an idle listener holds no place.
            let Some(place) = places.take(peer.ip()).await else {
                if let Some((_, telemetry)) = &counters {
                    telemetry.metrics.gatepost_connections_refused_total().inc();
                }
                debug!(%peer, "Closed a connection because its address has too many");
                continue;
            };
            let counts = counters.as_ref().map(|(drain, telemetry)| {
                (
                    drain.track_connection(),
                    telemetry.metrics.open_connection(),
                )
            });
            let acceptor = acceptor.clone();
            let handler = Arc::clone(&handler);
            tokio::spawn(async move {
                let connection = place.connection();
                let _guards = (place, counts);
                // A delayed small write would wait for the client's acknowledgement.
                drop(socket.set_nodelay(true));
                let stream = ClientStream::new(socket, peer);
                let placed = Arc::clone(&connection);
                let served = async {
                    let stream = tls_handshake(stream, acceptor, handshake_timeout, peer).await;
                    if let Some(stream) = stream {
                        serve_connection(stream, &handler, handshake_timeout, placed).await;
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = connection.evicted() => {
                        debug!(%peer, "Closed an idle connection to make room for another");
                    }
                }
            });
        }
    }
}

/// The connection after its TLS handshake, if the listener has TLS.
async fn tls_handshake(
    stream: ClientStream,
    acceptor: Option<Arc<Acceptor>>,
    handshake_timeout: Duration,
    peer: SocketAddr,
) -> Option<Stream> {
    let Some(acceptor) = acceptor else {
        return Some(Box::new(stream));
    };
    match timeout(handshake_timeout, acceptor.tls_handshake(stream)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        // Not a warning, because scanners cause it all day.
        Ok(Err(e)) => {
            debug!(error = %e, %peer, "Failed to complete a TLS handshake");
            None
        }
        Err(_) => {
            debug!(%peer, "Timed out waiting for a TLS handshake");
            None
        }
    }
}

async fn serve_connection(
    stream: Stream,
    handler: &ConnectionHandler,
    handshake_timeout: Duration,
    connection: Arc<PlacedConnection>,
) {
    let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
    let stream = FramedStream::new(stream, http2, Arc::clone(&connection));
    let requests = stream.requests();
    let mut served = pin!(handler(Box::new(stream), Arc::clone(&connection)));
    if !http2 {
        // HTTP/1.1 has the deadline on its head.
        return served.await;
    }
    let mut make_room = pin!(make_room_when_quiet(&connection, &requests));
    // Pingora waits for the preface without a deadline. After it, the idle timeout of
    // Pingora applies.
    tokio::select! {
        () = &mut served => return,
        () = &mut make_room => {}
        () = sleep(handshake_timeout) => {}
    }
    if requests.bytes_read() >= PREFACE_BYTES {
        tokio::select! {
            () = served => {}
            () = make_room => {}
        }
    }
}

/// Lets an HTTP/2 connection make room for another whenever it has had no stream for
/// a while and its responses are written. Never returns.
async fn make_room_when_quiet(connection: &PlacedConnection, requests: &RequestFraming) {
    loop {
        connection.last_stream_ended().await;
        sleep(HTTP2_QUIET).await;
        if requests.is_flushed() {
            connection.wait_for_stream();
        }
    }
}
