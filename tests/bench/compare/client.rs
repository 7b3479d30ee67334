//! Clients that keep their connections and send one request after the other.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_rustls::TlsConnector;

use crate::scenario::Transport;

/// The host name of the gateway, in its certificate.
pub(super) const HOST: &str = "gw.example.com";

/// A request that is repeated.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

/// Where clients send it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// The host name in its requests.
    pub(super) host: String,
    pub(super) transport: Transport,
    pub(super) message: Message,
}

/// A response.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Bytes,
}

/// Sends requests on the thread that calls it.
pub(super) struct LoadGenerator {
    runtime: Runtime,
    certificate: CertificateDer<'static>,
}

/// Some clients of one server.
pub(super) struct Clients {
    request: Request<Full<Bytes>>,
    target: Target,
    connections: Vec<Connection>,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl LoadGenerator {
    /// Clients that trust this certificate.
    pub(super) fn new(certificate: CertificateDer<'static>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            certificate,
        }
    }

    /// Connects this number of clients.
    pub(super) fn connect(&self, target: &Target, count: usize) -> Clients {
        let mut clients = Clients {
            request: target.request(),
            target: target.clone(),
            connections: Vec::new(),
        };
        self.reconnect(&mut clients, count);
        clients
    }

    fn reconnect(&self, clients: &mut Clients, count: usize) {
        // Lets the connections see what the server has closed.
        self.runtime
            .block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        clients.connections.retain(Connection::is_open);
        while clients.connections.len() < count {
            let opened = self.runtime.block_on(self.open(&clients.target));
            clients.connections.push(opened.unwrap());
        }
    }

    /// Sends one request on a connection of its own; an error if the server is not
    /// there.
    pub(super) fn send_once(&self, target: &Target) -> Result<Answer, std::io::Error> {
        self.runtime.block_on(async {
            let mut connection = self.open(target).await?;
            connection
                .send(target.request())
                .await
                .map_err(std::io::Error::other)
        })
    }

    /// Each client sends `calls` requests, one after the other. Returns how long each
    /// took, and the last answer.
    pub(super) fn run(&self, clients: &mut Clients, calls: usize) -> (Vec<Duration>, Answer) {
        let count = clients.connections.len();
        self.reconnect(clients, count);
        let request = &clients.request;
        let run = |connection| run_client(connection, request, calls);
        let done = self
            .runtime
            .block_on(async { join_all(clients.connections.iter_mut().map(run)).await });
        let (took, mut last): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        (took.concat(), last.pop().flatten().unwrap())
    }

    async fn open(&self, target: &Target) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        if !target.transport.uses_tls() {
            return Ok(Connection::http1(stream).await);
        }
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http2 = target.transport == Transport::Tls2;
        config.alpn_protocols = vec![if http2 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        let stream = TlsConnector::from(Arc::new(config))
            .connect(HOST.try_into().unwrap(), stream)
            .await?;
        if !http2 {
            return Ok(Connection::http1(stream).await);
        }
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(driver);
        Ok(Connection::Http2(sender))
    }
}

/// Sends requests one after the other. Returns how long each took, and the last answer.
async fn run_client(
    connection: &mut Connection,
    request: &Request<Full<Bytes>>,
    calls: usize,
) -> (Vec<Duration>, Option<Answer>) {
    let mut took = Vec::with_capacity(calls);
    let mut last = None;
    for _ in 0..calls {
        let begun = Instant::now();
        let answer = connection.send(request.clone()).await.unwrap();
        took.push(begun.elapsed());
        assert_eq!(answer.head.status, 200, "{:?}", answer.body);
        last = Some(answer);
    }
    (took, last)
}

impl Target {
    fn request(&self) -> Request<Full<Bytes>> {
        let message = &self.message;
        let uri = match self.transport {
            Transport::Http1 | Transport::Tls1 => message.path.clone(),
            Transport::Tls2 => format!("https://{}{}", self.host, message.path),
        };
        let mut request = Request::post(uri);
        if self.transport != Transport::Tls2 {
            request = request.header("host", &self.host);
        }
        for (name, value) in &message.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(message.body.clone())).unwrap()
    }
}

impl Connection {
    async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        Self::Http1(sender)
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { head, body })
    }
}
