//! Looking up the name of an Odoo server.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::sync::Semaphore;

use super::Address;

/// How many lookups of one client may wait for a name server. Each blocks a thread for
/// as long as the name server takes, whoever still waits for it, and the threads are
/// shared with all that blocks: without a bound, one name that is never found would stop
/// the lookups of others.
const MAX_LOOKUPS: usize = 4;

/// The lookups of one client and of those that it replaces.
#[derive(Clone, Debug)]
pub(super) struct NameLookups(Arc<Semaphore>);

impl NameLookups {
    /// Takes all places, as lookups of a name server that does not answer; `None` if
    /// some are taken.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let all = u32::try_from(MAX_LOOKUPS).unwrap();
        Arc::clone(&self.0).try_acquire_many_owned(all).ok()
    }

    /// The addresses of a server.
    ///
    /// # Errors
    /// When it has none, or the lookup failed.
    pub(super) async fn sockets(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, address.port)]);
        }
        let place = Arc::clone(&self.0).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let name = (address.host.clone(), address.port);
        // In a task of its own: the place is taken until the thread is free, also when
        // the caller gives up.
        let lookup = tokio::spawn(async move {
            let found = tokio::net::lookup_host(name).await;
            drop(place);
            found.map(Iterator::collect::<Vec<_>>)
        });
        let found = lookup.await.map_err(io::Error::other)??;
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(found)
    }
}

impl Default for NameLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LOOKUPS)))
    }
}
