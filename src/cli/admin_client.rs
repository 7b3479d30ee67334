//! Requests to the admin listener of a gateway on this machine.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    time::Duration,
};

use http::Uri;

use super::CliError;
use crate::{
    config::{Sources, load_admin},
    edge::{CONFIG_FILE_HEADER, SERVER_NAME},
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where to send a request.
pub(super) struct AdminUrl {
    addresses: Vec<SocketAddr>,
    host: String,
    path: String,
}

/// The response to a request.
pub(super) struct AdminResponse {
    pub(super) status: u16,
    pub(super) body: String,
    /// Whether a gateway says that it sent it.
    pub(super) is_from_gatepost: bool,
    /// The configuration file that the gateway says it reads.
    pub(super) config_file: Option<PathBuf>,
}

/// How much is read of a response, and how long each read may take.
#[derive(Clone, Copy)]
pub(super) struct ReadLimits {
    pub(super) bytes: u64,
    pub(super) timeout: Duration,
}

impl AdminUrl {
    /// This path of the configured admin listener.
    ///
    /// # Errors
    /// If the configuration is invalid, or disables the admin listener.
    pub(super) fn configured(
        sources: &Sources,
        path: &str,
        without_listener: &str,
    ) -> Result<Self, CliError> {
        let listen = load_admin(sources)?.listen.ok_or_else(|| {
            CliError::UnusableConfig(format!(
                "the admin listener is disabled; {without_listener}"
            ))
        })?;
        Ok(Self::at(listen, path))
    }

    /// This path of an admin listener.
    pub(super) fn at(listen: SocketAddr, path: &str) -> Self {
        let address = local_address(listen);
        Self {
            addresses: vec![address],
            host: address.to_string(),
            path: path.to_owned(),
        }
    }

    /// This URL.
    ///
    /// # Errors
    /// If it is not one of HTTP, or its host has no address.
    pub(super) fn parse(url: &Uri) -> Result<Self, CliError> {
        let host = url.host().filter(|_| url.scheme_str() == Some("http"));
        let Some(host) = host else {
            return Err(CliError::UnusableConfig(
                "the URL must be like `http://127.0.0.1:9090/livez`; the admin listener has no TLS"
                    .to_owned(),
            ));
        };
        let port = url.port_u16().unwrap_or(80);
        let addresses = (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|error| CliError::Unreachable(format!("{host} cannot be resolved: {error}")))?
            .collect();
        Ok(Self {
            addresses,
            host: format!("{host}:{port}"),
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// Sends one request. Without an HTTP library because a health check runs every
    /// few seconds, and starting a runtime each time would be wasteful.
    ///
    /// # Errors
    /// If there is no response, or it is not HTTP.
    pub(super) fn send(&self, method: &str, limits: ReadLimits) -> Result<AdminResponse, CliError> {
        let Self { host, path, .. } = self;
        let answer = self.exchange(method, limits).map_err(|error| {
            CliError::Unreachable(format!("http://{host}{path} does not answer: {error}"))
        })?;
        parse_response(&answer).ok_or_else(|| {
            CliError::Failed(format!(
                "http://{host}{path} did not return an HTTP response"
            ))
        })
    }

    fn exchange(&self, method: &str, limits: ReadLimits) -> io::Result<Vec<u8>> {
        let Self { host, path, .. } = self;
        let mut last = io::Error::other("it has no address");
        for address in &self.addresses {
            match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(limits.timeout))?;
                    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                    let length = if method == "POST" {
                        "Content-Length: 0\r\n"
                    } else {
                        ""
                    };
                    // In one write because a server may answer after the first part.
                    let request = format!(
                        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}Connection: close\r\n\r\n"
                    );
                    stream.write_all(request.as_bytes())?;
                    let mut answer = Vec::new();
                    let read = stream.take(limits.bytes).read_to_end(&mut answer);
                    // Bytes received before a reset are still an answer.
                    return match read {
                        Err(error) if answer.is_empty() => Err(error),
                        _ => Ok(answer),
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl std::fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

/// The address for connecting to a listener of this machine.
fn local_address(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// The status code in `HTTP/1.1 200 OK`, and what follows the head.
fn parse_response(answer: &[u8]) -> Option<AdminResponse> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.strip_prefix("HTTP/1.")?.split([' ', '\r']).nth(1)?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case(CONFIG_FILE_HEADER);
        is_it.then(|| PathBuf::from(value.trim()))
    };
    Some(AdminResponse {
        config_file: head.lines().find_map(field),
        status: status.parse().ok()?,
        body: body.to_owned(),
        is_from_gatepost: head
            .lines()
            .any(|line| line.eq_ignore_ascii_case(&format!("server: {SERVER_NAME}"))),
    })
}
