//! One request and its response on one connection.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::ClientConfig};

use super::{
    Address, CallError, WireResponse,
    connection_count::{ConnectionCounter, OpenConnection},
    name_lookups::NameLookups,
};

/// The largest head of a response, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 64 << 10;

/// An open connection, ready for one request.
///
/// hyper writes the head and body of a request at once. Odoo needs that: it gives up
/// on a body that arrives two seconds after the head.
#[derive(Debug)]
pub(super) struct OdooConnection {
    sender: SendRequest<Full<Bytes>>,
    progress: Arc<ExchangeProgress>,
    /// Aborts the task that drives the connection, which closes it.
    _driver: ConnectionDriver,
    _counted: OpenConnection,
}

/// How far the current exchange on a connection is.
#[derive(Debug, Default)]
struct ExchangeProgress {
    /// Whether the connection had an exchange before.
    is_reused: AtomicBool,
    /// Whether any byte of the request was written.
    request_began: AtomicBool,
    /// Whether any byte of the response has arrived.
    response_began: AtomicBool,
}

#[derive(Debug)]
struct ConnectionDriver(tokio::task::JoinHandle<()>);

impl Drop for ConnectionDriver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A failed exchange.
pub(super) enum ExchangeError {
    /// Before any byte of the response.
    BeforeResponse(hyper::Error),
    /// After part of the response, or all of an unusable one.
    AfterResponseBegan(CallError),
}

impl OdooConnection {
    /// Opens a connection: DNS, TCP, TLS.
    pub(super) async fn open(
        address: &Address,
        lookups: &NameLookups,
        tls: Option<&Arc<ClientConfig>>,
        counter: &ConnectionCounter,
    ) -> Result<Self, CallError> {
        let unreachable = |error: io::Error| CallError::Unreachable(error.into());
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for socket in lookups.sockets(address).await.map_err(unreachable)? {
            match TcpStream::connect(socket).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(unreachable)?;
                    let Some(tls) = tls else {
                        return Self::handshake(stream, counter.count_open()).await;
                    };
                    let name = rustls::pki_types::ServerName::try_from(address.host.clone())
                        .map_err(|error| CallError::Unreachable(error.into()))?;
                    let connector = TlsConnector::from(Arc::clone(tls));
                    let stream = connector.connect(name, stream).await.map_err(unreachable)?;
                    return Self::handshake(stream, counter.count_open()).await;
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    async fn handshake<S>(stream: S, open: OpenConnection) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + OverTcp + Unpin + Send + 'static,
    {
        let progress = Arc::<ExchangeProgress>::default();
        let observed = ObservedStream {
            stream,
            progress: Arc::clone(&progress),
        };
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(observed))
            .await
            .map_err(|error| CallError::Unreachable(error.into()))?;
        let driver = tokio::spawn(async move {
            // The sender returns its errors.
            drop(connection.await);
        });
        Ok(Self {
            sender,
            progress,
            _driver: ConnectionDriver(driver),
            _counted: open,
        })
    }

    /// Whether the connection is closed, so that no request can be sent.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the response, at most `max_bytes` of it.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        max_bytes: usize,
    ) -> Result<WireResponse, ExchangeError> {
        // The driver may have to finish the previous exchange.
        self.sender
            .ready()
            .await
            .map_err(ExchangeError::BeforeResponse)?;
        self.progress.response_began.store(false, Relaxed);
        let response = match self.sender.send_request(request).await {
            Ok(response) => response,
            Err(error) if self.progress.response_began.load(Relaxed) => {
                return Err(ExchangeError::AfterResponseBegan(CallError::CutOff(
                    error.into(),
                )));
            }
            Err(error) => return Err(ExchangeError::BeforeResponse(error)),
        };
        let too_large =
            || ExchangeError::AfterResponseBegan(CallError::TooLarge { limit: max_bytes });
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        let media = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(|media| media.trim().to_ascii_lowercase())
            .unwrap_or_default();
        let declared = head
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<usize>().ok());
        if declared.is_some_and(|length| length > max_bytes) {
            return Err(too_large());
        }
        // At most 1 MiB is reserved because the server declares it.
        let mut bytes = BytesMut::with_capacity(declared.unwrap_or(0).min(1 << 20));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                ExchangeError::AfterResponseBegan(CallError::CutOff(error.into()))
            })?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > max_bytes {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
        }
        self.progress.is_reused.store(true, Relaxed);
        self.progress.request_began.store(false, Relaxed);
        Ok(WireResponse {
            status,
            headers: head.headers,
            media,
            body: bytes.freeze(),
        })
    }
}

/// A stream over a TCP connection.
trait OverTcp {
    fn tcp(&self) -> &TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that records how far an exchange is. It fails if something arrives before
/// the request is written: that cannot be its response.
struct ObservedStream<S> {
    stream: S,
    progress: Arc<ExchangeProgress>,
}

impl<S: OverTcp> ObservedStream<S> {
    /// Checks, before the first byte of a request, that nothing is left to read. The
    /// socket itself is asked, because the runtime may not know yet what has arrived.
    fn begin_request(&self) -> io::Result<()> {
        let began = self.progress.request_began.swap(true, Relaxed);
        // On a new TLS connection the server may send session tickets first.
        if began || !self.progress.is_reused.load(Relaxed) {
            return Ok(());
        }
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self.stream.tcp()).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Err(unexpected_bytes()),
        }
    }
}

fn unexpected_bytes() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the server sent more than the response to the previous request",
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            if !self.progress.request_began.load(Relaxed) {
                return Poll::Ready(Err(unexpected_bytes()));
            }
            self.progress.response_began.store(true, Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + OverTcp + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_request()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_request()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
