//! A connection as Pingora's HTTP reads and writes it.
//!
//! Two layers: [`ClientStream`] is the socket, below TLS; [`FramedStream`], above
//! TLS, checks the framing of requests and limits their heads. Pingora's own parser
//! accepts a head of up to 1 MiB, too much for ten thousand connections.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType, l4::socket::SocketAddr as AnyAddress,
    raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf},
    net::TcpStream,
};

use super::{connections::PlacedConnection, framing::Framing};
use gatepost_base::sync::lock;

/// The read and write buffers, in bytes: 16 KiB is one TLS record, and head and
/// body of a small response fit into one write.
const BUFFER: usize = 16 << 10;

/// One accepted TCP connection.
#[derive(Debug)]
pub(super) struct ClientStream {
    socket: BufStream<TcpStream>,
    digest: Arc<SocketDigest>,
}

/// A connection of which only well-framed requests are read, one part at a time.
#[derive(Debug)]
pub(super) struct FramedStream {
    inner: Stream,
    /// Read, but part of what comes next.
    unread: BytesMut,
    requests: Arc<RequestFraming>,
}

/// The framing of a connection, shared with what reads its requests.
#[derive(Debug)]
pub(super) struct RequestFraming {
    framing: Mutex<Framing>,
    connection: Arc<PlacedConnection>,
    /// Bytes read since the connection opened.
    bytes_read: AtomicUsize,
    heads_started: AtomicUsize,
    /// Whether something was written since the last flush.
    unflushed: AtomicBool,
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

impl FramedStream {
    pub(super) fn new(inner: Stream, http2: bool, connection: Arc<PlacedConnection>) -> Self {
        let requests = RequestFraming {
            framing: Mutex::new(Framing::new(http2)),
            connection,
            bytes_read: AtomicUsize::new(0),
            heads_started: AtomicUsize::new(0),
            unflushed: AtomicBool::new(false),
        };
        Self {
            inner,
            unread: BytesMut::new(),
            requests: Arc::new(requests),
        }
    }

    /// The framing of Pingora's connection; `None` for a stream of HTTP/2.
    pub(super) fn requests_of(stream: &Stream) -> Option<Arc<RequestFraming>> {
        stream
            .as_any()
            .downcast_ref::<Self>()
            .map(|stream| Arc::clone(&stream.requests))
    }

    pub(super) fn requests(&self) -> Arc<RequestFraming> {
        Arc::clone(&self.requests)
    }
}

impl RequestFraming {
    pub(super) fn lock(&self) -> MutexGuard<'_, Framing> {
        lock(&self.framing)
    }

    /// Starts a head of at most `limit` bytes, and returns whether it is the first of
    /// this connection.
    pub(super) fn start_head(&self, limit: usize) -> bool {
        self.connection.wait_for_request();
        self.lock().limit_head(limit);
        self.heads_started.fetch_add(1, Relaxed) == 0
    }

    /// Ends the head. False if the connection is being closed to make room for
    /// another, so that the request must not be served.
    pub(super) fn end_head(&self) -> bool {
        self.connection.start_request()
    }

    /// Starts the response to a request that is done. A client that does not read it
    /// makes room for others, as one that sends nothing does.
    pub(super) fn start_response(&self) {
        self.connection.wait_for_request();
    }

    /// Bytes read since the connection opened.
    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read.load(Relaxed)
    }

    /// Whether everything that was written is with the kernel.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed.load(Relaxed)
    }

    /// How many of these bytes may be read now.
    fn accept(&self, bytes: &[u8]) -> io::Result<usize> {
        let accepted = self.lock().accept(bytes);
        let accepted =
            accepted.map_err(|_malformed| io::Error::other("the request is not well framed"))?;
        self.bytes_read.fetch_add(accepted, Relaxed);
        Ok(accepted)
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

impl AsyncRead for FramedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.unread.is_empty() {
            let fitting = this.unread.len().min(buf.remaining());
            let accepted = this
                .requests
                .accept(this.unread.get(..fitting).unwrap_or_default())?;
            buf.put_slice(this.unread.get(..accepted).unwrap_or_default());
            this.unread.advance(accepted);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut *this.inner).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let accepted = match this.requests.accept(read) {
            Ok(accepted) => accepted,
            Err(error) => {
                buf.set_filled(before);
                return Poll::Ready(Err(error));
            }
        };
        this.unread = BytesMut::from(read.get(accepted..).unwrap_or_default());
        buf.set_filled(before.saturating_add(accepted));
        Poll::Ready(Ok(()))
    }
}

/// Implements what both layers do alike: they pass what is written to the layer
/// below, and have neither timings nor a proxy.
macro_rules! pass_writes_on {
    ($layer:ident to $below:ident) => {
        pass_writes_on!($layer to $below, writing |_stream, _flushed| {});
    };
    ($layer:ident to $below:ident, writing |$stream:ident, $flushed:ident| $record:expr) => {
        impl AsyncWrite for $layer {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let ($stream, $flushed) = (&mut *self, false);
                $record;
                Pin::new(&mut self.$below).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let flushed = ready!(Pin::new(&mut self.$below).poll_flush(cx));
                let ($stream, $flushed) = (&mut *self, flushed.is_ok());
                $record;
                Poll::Ready(flushed)
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
                let ($stream, $flushed) = (&mut *self, false);
                $record;
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
pass_writes_on!(FramedStream to inner, writing |stream, flushed| {
    stream.requests.unflushed.store(!flushed, Relaxed);
});

// What Pingora requires of a connection besides reading and writing.

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // It fails only if the client closed first.
        drop(self.socket.shutdown().await);
    }
}

#[async_trait]
impl Shutdown for FramedStream {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.inner).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.socket.get_ref().as_raw_fd()
    }
}

impl UniqueID for FramedStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for ClientStream {}

impl Ssl for FramedStream {
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

impl GetSocketDigest for FramedStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}
