//! The way to a Redis: TCP, TLS or a Unix socket.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::redis_url::RedisAddress;

/// Bytes to a Redis and back.
pub(super) trait RedisStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> RedisStream for S {}

/// Connects.
///
/// # Errors
/// When nobody is there, or it is not who it must be.
pub(super) async fn connect(
    place: &RedisAddress,
    tls: &Arc<ClientConfig>,
) -> io::Result<Box<dyn RedisStream>> {
    match place {
        RedisAddress::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        RedisAddress::Tcp {
            host,
            port,
            tls: wanted,
        } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            if !wanted {
                return Ok(Box::new(stream));
            }
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(tls));
            Ok(Box::new(connector.connect(name, stream).await?))
        }
    }
}
