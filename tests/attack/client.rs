//! A client with an address of its own, that reuses its connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{
    process::TEST_TIMEOUT,
    test_gateway::{TestResponse, tool_call},
};

/// A connection, with TLS or without.
pub(super) trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// One client of the instance at `path`.
pub(super) struct Client {
    gateway: SocketAddr,
    from: IpAddr,
    /// Header lines of every request.
    headers: String,
    path: &'static str,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<BufReader<Box<dyn Wire>>>,
}

impl Client {
    /// A client at this address of the loopback network, with this API key or token.
    pub(super) fn new(gateway: SocketAddr, from: &str, token: Option<&str>) -> Self {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        Self {
            gateway,
            from: from.parse().unwrap(),
            headers: format!(
                "Host: {gateway}\r\nContent-Type: application/json\r\n{}",
                bearer.unwrap_or_default()
            ),
            path: "/demo/mcp",
            tls: None,
            stream: None,
        }
    }

    /// The same client over TLS.
    pub(super) fn over(mut self, tls: Option<Arc<ClientConfig>>) -> Self {
        self.tls = tls;
        self
    }

    /// The same client at another path and host.
    pub(super) fn at(mut self, path: &'static str, host: &str) -> Self {
        let old = format!("Host: {}\r\n", self.gateway);
        self.headers = self.headers.replace(&old, &format!("Host: {host}\r\n"));
        self.path = path;
        self
    }

    /// The same client with another header line.
    pub(super) fn with(mut self, header: &str) -> Self {
        self.headers += &format!("{header}\r\n");
        self
    }

    pub(super) fn ping(&mut self) -> TestResponse {
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
    }

    pub(super) fn call(&mut self, tool: &str, arguments: &Value) -> TestResponse {
        self.post(&tool_call(tool, arguments))
    }

    /// A read that needs one call to Odoo.
    pub(super) fn count(&mut self) -> TestResponse {
        self.call("count_records", &json!({"model": "res.partner"}))
    }

    pub(super) fn post(&mut self, message: &Value) -> TestResponse {
        let request = self.request(&message.to_string());
        self.exchange(request.as_bytes())
    }

    /// The bytes of a request with this body.
    pub(super) fn request(&self, body: &str) -> String {
        let (path, headers) = (self.path, &self.headers);
        format!(
            "POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends bytes and reads one response.
    pub(super) fn exchange(&mut self, bytes: &[u8]) -> TestResponse {
        let reused = self.stream.take().and_then(|stream| send(stream, bytes));
        // An idle connection is closed when others need its place.
        let (answer, stream) = reused
            .or_else(|| send(BufReader::new(self.connect()), bytes))
            .unwrap_or_else(|| panic!("closed without a response: {}", self.headers));
        let closes = answer.header("connection").as_deref() == Some("close");
        self.stream = (!closes).then_some(stream);
        answer
    }

    fn connect(&self) -> Box<dyn Wire> {
        let stream = connect_from(self.from, self.gateway);
        match &self.tls {
            Some(tls) => Box::new(start_tls(Arc::clone(tls), stream)),
            None => Box::new(stream),
        }
    }
}

/// Sends bytes and reads one response; `None` if the connection ends before it.
fn send(
    mut stream: BufReader<Box<dyn Wire>>,
    bytes: &[u8],
) -> Option<(TestResponse, BufReader<Box<dyn Wire>>)> {
    // It may answer before it has read everything.
    drop(stream.get_mut().write_all(bytes));
    read_response(&mut stream).map(|answer| (answer, stream))
}

/// A TLS session on a connection.
pub(super) fn start_tls(
    config: Arc<ClientConfig>,
    stream: TcpStream,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}

/// Connects from an address of the loopback network.
pub(super) fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(to).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream
}

/// Reads one response; `None` if the connection ends before it.
pub(super) fn read_response(stream: &mut impl BufRead) -> Option<TestResponse> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let mut answer = TestResponse {
        status: status?,
        head: head.trim_end().to_owned(),
        body: String::new(),
    };
    let mut body = Vec::new();
    if let Some(length) = answer.header("content-length") {
        body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).ok()?;
    } else if answer.header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            let mut part = vec![0; size + 2];
            stream.read_exact(&mut part).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&part[..size]);
        }
    }
    answer.body = String::from_utf8(body).unwrap();
    Some(answer)
}
