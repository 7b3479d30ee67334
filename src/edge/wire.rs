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
pub(super) struct ClientStream<G> {
    socket: BufStream<TcpStream>,
    digest: Arc<SocketDigest>,
    _guards: G,
}

/// A connection whose reads are counted against the bound on a request head.
#[derive(Debug)]
pub(super) struct HeadLimited {
    inner: Stream,
    head_limit: Arc<HeadLimit>,
}

/// What was read of the current head, and how much more may be.
#[derive(Debug, Default)]
pub(super) struct HeadLimit {
    /// `usize::MAX` while no head is read.
    remaining: AtomicUsize,
    /// Bytes read since the head was asked for.
    bytes_read: AtomicUsize,
    /// Heads asked for on this connection.
    heads_started: AtomicUsize,
}

impl<G> ClientStream<G> {
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

impl HeadLimited {
    pub(super) fn new(inner: Stream) -> Self {
        let head_limit = Arc::new(HeadLimit::default());
        head_limit.remaining.store(usize::MAX, Relaxed);
        Self { inner, head_limit }
    }

    pub(super) fn head_limit(&self) -> Arc<HeadLimit> {
        Arc::clone(&self.head_limit)
    }
}

impl HeadLimit {
    /// A head of at most so many bytes is read from now on. Says whether it is
    /// the first of this connection.
    pub(super) fn start_head(&self, limit: usize) -> bool {
        self.bytes_read.store(0, Relaxed);
        self.remaining.store(limit, Relaxed);
        self.heads_started.fetch_add(1, Relaxed) == 0
    }

    /// What comes now is bounded by others.
    pub(super) fn end_head(&self) {
        self.remaining.store(usize::MAX, Relaxed);
    }

    /// Whether the head took all it may have.
    pub(super) fn is_exceeded(&self) -> bool {
        self.remaining.load(Relaxed) == 0
    }

    /// Bytes read since the head was asked for.
    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read.load(Relaxed)
    }

    fn record_read(&self, read: usize) {
        self.bytes_read.fetch_add(read, Relaxed);
        let left = self.remaining.load(Relaxed);
        if left != usize::MAX {
            self.remaining.store(left.saturating_sub(read), Relaxed);
        }
    }
}

impl<G: Unpin> AsyncRead for ClientStream<G> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncRead for HeadLimited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.head_limit.remaining.load(Relaxed);
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
        self.head_limit
            .record_read(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<G: Unpin> AsyncWrite for ClientStream<G> {
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

impl AsyncWrite for HeadLimited {
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
impl<G: Send + Unpin> Shutdown for ClientStream<G> {
    async fn shutdown(&mut self) {
        // It failed because the other end closed first.
        drop(self.socket.shutdown().await);
    }
}

#[async_trait]
impl Shutdown for HeadLimited {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl<G> UniqueID for ClientStream<G> {
    fn id(&self) -> UniqueIDType {
        self.socket.get_ref().as_raw_fd()
    }
}

impl UniqueID for HeadLimited {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl<G> Ssl for ClientStream<G> {}

impl Ssl for HeadLimited {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl<G> GetTimingDigest for ClientStream<G> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetTimingDigest for HeadLimited {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<G> GetProxyDigest for ClientStream<G> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetProxyDigest for HeadLimited {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<G> GetSocketDigest for ClientStream<G> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for HeadLimited {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl<G> Peek for ClientStream<G> {}

impl Peek for HeadLimited {}

impl<G> std::fmt::Debug for ClientStream<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
