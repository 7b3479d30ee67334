//! `gatepost healthcheck`.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use http::Uri;

use super::CliError;
use crate::config::{Sources, load_admin};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost healthcheck
  gatepost healthcheck --url http://127.0.0.1:9090/readyz

Without --url it requests `/livez` from the configured admin listener.
Exit code 0: healthy. 1: unhealthy. 4: no answer.")]
pub(super) struct Healthcheck {
    /// The URL to request
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<Uri>,
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How long connecting and each read or write may take.
const IO_TIMEOUT: Duration = Duration::from_secs(3);

/// Enough for a status line; the rest of the response is ignored.
const MAX_BYTES: u64 = 1024;

/// Sends one request. Without an HTTP library because this runs every few seconds,
/// and starting a runtime each time would be wasteful.
pub(super) fn run(healthcheck: &Healthcheck) -> Result<(), CliError> {
    let (addresses, host, path) = match &healthcheck.url {
        Some(url) => resolve(url)?,
        None => {
            let admin = load_admin(&Sources::new(healthcheck.config.clone()))?;
            let address = admin.listen.map(local_address).ok_or_else(|| {
                CliError::UnusableConfig(
                    "the admin listener is disabled; name a URL with `--url`".to_owned(),
                )
            })?;
            (vec![address], address.to_string(), "/livez".to_owned())
        }
    };
    let answer = send_request(&addresses, &host, &path).map_err(|error| {
        CliError::Unreachable(format!("http://{host}{path} does not answer: {error}"))
    })?;
    match parse_status(&answer) {
        Some(200..=299) => Ok(()),
        Some(code) => Err(CliError::Failed(format!(
            "http://{host}{path} answers {code}"
        ))),
        None => Err(CliError::Failed(format!(
            "http://{host}{path} does not answer with HTTP"
        ))),
    }
}

fn resolve(url: &Uri) -> Result<(Vec<SocketAddr>, String, String), CliError> {
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
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Ok((addresses, format!("{host}:{port}"), path.to_owned()))
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

fn send_request(addresses: &[SocketAddr], host: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut last = std::io::Error::other("it has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, IO_TIMEOUT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(IO_TIMEOUT))?;
                stream.set_write_timeout(Some(IO_TIMEOUT))?;
                // In one write because a server may answer after the first part.
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                let read = stream.take(MAX_BYTES).read_to_end(&mut answer);
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

/// The status code in `HTTP/1.1 200 OK`.
fn parse_status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()
}
