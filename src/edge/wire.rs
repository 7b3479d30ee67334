//! A connection as Pingora's HTTP reads and writes it.
//!
//! Two layers: [`Wire`] is the socket, below TLS; [`Gauged`] is what HTTP
//! speaks over, above TLS, and bounds the request head. Pingora's own parser
//! takes up to 1 MiB of head, which ten thousand connections could not be given.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType, l4::socket::SocketAddr as AnyAddress,
    raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf},
    net::TcpStream,
};

/// Read and write buffer, in bytes: 16 KiB is one TLS record, and lets head
/// and body of an answer leave in one write.
const BUFFER: usize = 16 << 10;

/// One accepted TCP connection, and whatever must live as long as it.
pub(super) struct Wire<G> {
    socket: BufStream<TcpStream>,
    digest: Arc<SocketDigest>,
    _guards: G,
}

/// A connection whose reads are counted against the bound on a request head.
#[derive(Debug)]
pub(super) struct Gauged {
    inner: Stream,
    gauge: Arc<Gauge>,
}

/// What was read of the current head, and how much more may be.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// `usize::MAX` while no head is read.
    left: AtomicUsize,
    /// Bytes read since the head was asked for.
    read: AtomicUsize,
    /// Heads asked for on this connection.
    heads: AtomicUsize,
}

impl<G> Wire<G> {
    pub(super) fn new(socket: TcpStream, peer: SocketAddr, guards: G) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Now, so that nobody asks the descriptor's next owner.
        drop(digest.peer_addr.set(Some(AnyAddress::from(peer))));
        let local = socket.local_addr().ok().map(AnyAddress::from);
        drop(digest.local_addr.set(local));
        Self {
            socket: BufStream::with_capacity(BUFFER, BUFFER, socket),
            digest: Arc::new(digest),
            _guards: guards,
        }
    }
}

impl Gauged {
    pub(super) fn new(inner: Stream) -> Self {
        let gauge = Arc::new(Gauge::default());
        gauge.left.store(usize::MAX, Relaxed);
        Self { inner, gauge }
    }

    pub(super) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }
}

impl Gauge {
    /// A head of at most so many bytes is read from now on. Says whether it is
    /// the first of this connection.
    pub(super) fn head_begins(&self, limit: usize) -> bool {
        self.read.store(0, Relaxed);
        self.left.store(limit, Relaxed);
        self.heads.fetch_add(1, Relaxed) == 0
    }

    /// What comes now is bounded by others.
    pub(super) fn head_ends(&self) {
        self.left.store(usize::MAX, Relaxed);
    }

    /// Whether the head took all it may have.
    pub(super) fn exhausted(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    /// Bytes read since the head was asked for.
    pub(super) fn read(&self) -> usize {
        self.read.load(Relaxed)
    }

    fn count(&self, read: usize) {
        self.read.fetch_add(read, Relaxed);
        let left = self.left.load(Relaxed);
        if left != usize::MAX {
            self.left.store(left.saturating_sub(read), Relaxed);
        }
    }
}

impl<G: Unpin> AsyncRead for Wire<G> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncRead for Gauged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.gauge.left.load(Relaxed);
        let before = buf.filled().len();
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("the request head is too large")));
        }
        if left < buf.remaining() {
            // Only near the bound, so the copy costs nothing that counts.
            let mut scratch = vec![0; left];
            let mut part = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *self.inner).poll_read(cx, &mut part))?;
            buf.put_slice(part.filled());
        } else {
            ready!(Pin::new(&mut *self.inner).poll_read(cx, buf))?;
        }
        self.gauge.count(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<G: Unpin> AsyncWrite for Wire<G> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

impl AsyncWrite for Gauged {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

// What Pingora asks of a connection besides reading and writing.

#[async_trait]
impl<G: Send + Unpin> Shutdown for Wire<G> {
    async fn shutdown(&mut self) {
        // It failed because the other end closed first.
        drop(self.socket.shutdown().await);
    }
}

#[async_trait]
impl Shutdown for Gauged {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl<G> UniqueID for Wire<G> {
    fn id(&self) -> UniqueIDType {
        self.socket.get_ref().as_raw_fd()
    }
}

impl UniqueID for Gauged {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl<G> Ssl for Wire<G> {}

impl Ssl for Gauged {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl<G> GetTimingDigest for Wire<G> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetTimingDigest for Gauged {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<G> GetProxyDigest for Wire<G> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetProxyDigest for Gauged {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<G> GetSocketDigest for Wire<G> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Gauged {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl<G> Peek for Wire<G> {}

impl Peek for Gauged {}

impl<G> std::fmt::Debug for Wire<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
