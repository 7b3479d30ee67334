//! Accepting connections.
//!
//! Pingora's own accept loop has no limit on connections, allows sixty seconds for
//! a TLS handshake, and closes its sockets before a drain.

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
    wire::{ClientStream, HeadLimited},
};
use crate::telemetry::Telemetry;

/// The number of connections that the kernel queues while the limit is reached.
const BACKLOG: u32 = 4096;

/// The pause after a failed accept, so that the loop does not spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The bytes of the preface that starts an HTTP/2 connection (RFC 9113 section
/// 3.4).
const PREFACE_BYTES: usize = 24;

/// Serves one connection to its end.
pub(super) type ConnectionHandler = Arc<dyn Fn(Stream) -> BoxFuture<'static, ()> + Send + Sync>;

/// One listening socket and what serves its connections.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) acceptor: Option<Arc<Acceptor>>,
    pub(super) handler: ConnectionHandler,
    /// One for each connection; shared by the public listeners.
    pub(super) permits: Arc<Semaphore>,
    /// How long a TLS handshake may take, and then the preface of HTTP/2.
    pub(super) handshake_timeout: Duration,
    /// What counts its connections; `None` for the admin listener.
    pub(super) counters: Option<(Arc<Drain>, Arc<Telemetry>)>,
}

/// All listeners, as one Pingora service: they share a runtime, and with it the
/// connections to Odoo.
pub(super) struct Listeners {
    pub(super) listeners: Vec<Listener>,
    /// Reloaded while they run.
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
        for listener in self.listeners.drain(..) {
            tokio::spawn(async move {
                if let Err(e) = listener.accept_loop().await {
                    error!(error = %e, "Failed to open a listener");
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
            handler,
            permits,
            handshake_timeout,
            counters,
        } = self;
        socket.set_nonblocking(true)?;
        // Listens a second time, for the longer queue: the standard library asks for 128.
        let socket = TcpStream::from(OwnedFd::from(socket));
        let listener = TcpSocket::from_std_stream(socket).listen(BACKLOG)?;
        loop {
            let (socket, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors, or the client left the queue.
                    warn!(error = %e, "Failed to accept a connection");
                    sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            // After the accept, so that an idle listener holds no permit.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return Ok(());
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
                let _guards = (permit, counts);
                // A delayed small write would wait for the client's acknowledgement.
                drop(socket.set_nodelay(true));
                let stream = ClientStream::new(socket, peer);
                if let Some(stream) = tls_handshake(stream, acceptor, handshake_timeout, peer).await
                {
                    serve_connection(stream, &handler, handshake_timeout).await;
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
) {
    let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
    let stream = HeadLimited::new(stream);
    let head_limit = stream.head_limit();
    let mut served = pin!(handler(Box::new(stream)));
    // Pingora waits for the preface of HTTP/2 without a deadline. After it, the idle
    // timeout of Pingora applies; HTTP/1.1 has the deadline on its head.
    tokio::select! {
        () = &mut served => return,
        () = sleep(handshake_timeout), if http2 => {}
    }
    if head_limit.bytes_read() >= PREFACE_BYTES {
        served.await;
    }
}
