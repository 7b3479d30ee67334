//! The byte stream to Redis: TCP, TLS or a Unix socket.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::redis_url::RedisAddress;

/// A byte stream to Redis.
pub(super) trait RedisStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> RedisStream for S {}

/// Opens a stream.
///
/// # Errors
/// When the connection or the TLS handshake fails.
pub(super) async fn connect(
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
