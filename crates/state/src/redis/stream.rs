//! The byte stream to Redis: TCP, TLS or a Unix socket.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::redis_url::RedisAddress;

/// A byte stream to Redis.
pub(super) trait RedisStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> RedisStream for S {}

/// What may be read in return for one write to the stream, in bytes: the largest entry
/// of the store and its frame. A write may be one request, several, or part of a large
/// one, so this bounds what Redis can make the gateway buffer, not the single reply.
const REPLY_BYTES: usize = 4 << 20;

/// What may be read in return for all writes together, in bytes: a dozen of the largest
/// entries, because requests share the connection. One reply can be no larger either.
const MAX_OUTSTANDING_BYTES: usize = 16 << 20;

/// A stream that fails when Redis sends more than its replies can need: the client
/// buffers a whole reply.
struct BoundedStream<S> {
    inner: S,
    /// How many bytes may be read before the next request.
    allowance: usize,
}

/// Opens a stream.
///
/// # Errors
/// When the connection or the TLS handshake fails.
pub(super) async fn connect(
    address: &RedisAddress,
    tls: &Arc<ClientConfig>,
) -> io::Result<Box<dyn RedisStream>> {
    let inner = connect_unbounded(address, tls).await?;
    Ok(Box::new(BoundedStream {
        inner,
        allowance: 0,
    }))
}

async fn connect_unbounded(
    address: &RedisAddress,
    tls: &Arc<ClientConfig>,
) -> io::Result<Box<dyn RedisStream>> {
    match address {
        RedisAddress::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        RedisAddress::Tcp {
            host,
            port,
            tls: use_tls,
        } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            if !use_tls {
                return Ok(Box::new(stream));
            }
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(tls));
            Ok(Box::new(connector.connect(name, stream).await?))
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().len().saturating_sub(before);
        Poll::Ready(match self.allowance.checked_sub(read) {
            Some(rest) => {
                self.allowance = rest;
                Ok(())
            }
            None => Err(io::Error::other("Redis sends more than its replies need")),
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.allowance = self
            .allowance
            .saturating_add(REPLY_BYTES)
            .min(MAX_OUTSTANDING_BYTES);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::{BoundedStream, MAX_OUTSTANDING_BYTES, REPLY_BYTES};

    #[tokio::test]
    async fn reads_are_bounded_by_the_requests_that_were_sent() {
        let (inner, mut server) = duplex(1 << 20);
        let mut stream = BoundedStream {
            inner,
            allowance: 0,
        };
        tokio::spawn(async move {
            let endless = vec![b'+'; 1 << 16];
            while server.write_all(&endless).await.is_ok() {}
        });
        let mut buffer = vec![0; 1 << 16];
        stream.read(&mut buffer).await.unwrap_err();
        for (requests, bound) in [(1, REPLY_BYTES), (100, MAX_OUTSTANDING_BYTES)] {
            stream.allowance = 0;
            for _ in 0..requests {
                stream.write_all(b"PING").await.unwrap();
            }
            let mut read = 0;
            while let Ok(bytes) = stream.read(&mut buffer).await {
                read += bytes;
            }
            assert!((bound - buffer.len()..=bound).contains(&read), "{read}");
        }
    }
}
