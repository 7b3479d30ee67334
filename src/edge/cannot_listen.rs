//! Opening a port, and why that failed.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
};

/// A port cannot be opened. `Display` is for the administrator, without the setting.
#[derive(Debug, thiserror::Error)]
#[error("{address} {}", self.reason())]
pub struct CannotListen {
    /// The path of the setting that names the address.
    pub setting: &'static [&'static str],
    /// The address.
    pub address: SocketAddr,
    /// The reason.
    pub source: io::Error,
}

impl CannotListen {
    /// Whether another process listens there.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == ErrorKind::AddrInUse
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds have no text of their own"
    )]
    fn reason(&self) -> String {
        match self.source.kind() {
            ErrorKind::AddrInUse => "is in use by another process".to_owned(),
            ErrorKind::AddrNotAvailable => "is not an address of this machine".to_owned(),
            ErrorKind::PermissionDenied => {
                format!(
                    "cannot be opened: this user may not listen on port {}",
                    self.address.port()
                )
            }
            _ => format!("cannot be opened: {}", self.source),
        }
    }

    /// What the administrator can do.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds have no remedy of their own"
    )]
    pub fn remedy(&self) -> &'static str {
        match self.source.kind() {
            ErrorKind::AddrInUse => {
                "name another port, or stop that process: `ss -ltnp` shows which one it is"
            }
            ErrorKind::AddrNotAvailable => {
                "write an address that `ip address` shows, or `0.0.0.0` (`[::]`) for all of them"
            }
            ErrorKind::PermissionDenied => {
                "name a port from 1024 on, or allow it (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
            }
            _ => "name another address",
        }
    }
}

/// Opens a port; returns the real address, where the port is 0.
///
/// # Errors
/// [`CannotListen`].
pub(super) fn bind(
    setting: &'static [&'static str],
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), CannotListen> {
    let opened = TcpListener::bind(address).and_then(|socket| {
        let real = socket.local_addr()?;
        Ok((socket, real))
    });
    opened.map_err(|source| CannotListen {
        setting,
        address,
        source,
    })
}

/// Opens a port as `serve` does, and closes it again.
///
/// # Errors
/// [`CannotListen`].
pub fn try_listen(
    setting: &'static [&'static str],
    address: SocketAddr,
) -> Result<(), CannotListen> {
    bind(setting, address).map(drop)
}
