//! A connection as Pingora's HTTP reads and writes it.
//!
//! Two layers: [`ClientStream`] is the socket, below TLS; [`HeadLimited`], above
//! TLS, limits the request head. Pingora's own parser accepts a head of up to
//! 1 MiB, too much for ten thousand connections.

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

/// The read and write buffers, in bytes: 16 KiB is one TLS record, and head and
/// body of a small response fit into one write.
const BUFFER: usize = 16 << 10;

/// One accepted TCP connection.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: BufStream<TcpStream>,
    digest: Arc<SocketDigest>,
}

/// A connection whose reads count towards the limit on the request head.
#[derive(Debug)]
pub(super) struct HeadLimited {
    inner: Stream,
    head_limit: Arc<HeadLimit>,
}

/// How much of the current head was read, and how much more may be.
#[derive(Debug, Default)]
pub(super) struct HeadLimit {
    /// `usize::MAX` between heads.
    remaining: AtomicUsize,
    /// Bytes read since the current head started.
    bytes_read: AtomicUsize,
    /// Heads started on this connection.
    heads_started: AtomicUsize,
}

impl ClientStream {
    pub(super) fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Now, because later the descriptor could belong to another connection.
        drop(digest.peer_addr.set(Some(AnyAddress::from(peer))));
        let local = socket.local_addr().ok().map(AnyAddress::from);
        drop(digest.local_addr.set(local));
        Self {
            socket: BufStream::with_capacity(BUFFER, BUFFER, socket),
            digest: Arc::new(digest),
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
    /// Starts a head of at most `limit` bytes, and returns whether it is the first of
    /// this connection.
    pub(super) fn start_head(&self, limit: usize) -> bool {
        self.bytes_read.store(0, Relaxed);
        self.remaining.store(limit, Relaxed);
        self.heads_started.fetch_add(1, Relaxed) == 0
    }

    /// Ends the head; what follows has its own limits.
    pub(super) fn end_head(&self) {
        self.remaining.store(usize::MAX, Relaxed);
    }

    /// Whether the head reached the limit.
    pub(super) fn is_exceeded(&self) -> bool {
        self.remaining.load(Relaxed) == 0
    }

    /// Bytes read since the current head started.
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

impl AsyncRead for ClientStream {
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
            // A copy, but only near the limit.
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

/// Implements what both layers do alike: they pass what is written to the layer
/// below, and have neither timings nor a proxy.
macro_rules! pass_writes_on {
    ($layer:ident to $below:ident) => {
        impl AsyncWrite for $layer {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$below).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$below).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$below).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$below).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$below.is_write_vectored()
            }
        }

        impl GetTimingDigest for $layer {
            fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                Vec::new()
            }
        }

        impl GetProxyDigest for $layer {
            fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                None
            }
        }

        impl Peek for $layer {}
    };
}

pass_writes_on!(ClientStream to socket);
pass_writes_on!(HeadLimited to inner);

// What Pingora requires of a connection besides reading and writing.

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // It fails only if the client closed first.
        drop(self.socket.shutdown().await);
    }
}

#[async_trait]
impl Shutdown for HeadLimited {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.socket.get_ref().as_raw_fd()
    }
}

impl UniqueID for HeadLimited {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for ClientStream {}

impl Ssl for HeadLimited {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for HeadLimited {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}
