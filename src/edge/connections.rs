//! The places for connections: who may have how many, and who makes room.
//!
//! A connection that waits for a request costs a file descriptor and some memory, and
//! so does one whose client does not read its response; a client that opens thousands
//! must not keep others out. So when all places are taken, the one that has been without
//! a request for longest is closed. No address has all places; beyond its share, it
//! makes room for itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    mem,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use ipnet::IpNet;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use gatepost_base::sync::lock;
use gatepost_state::limits::network_of;

/// The places of one or more listeners.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    table: std::sync::Mutex<ConnectionTable>,
    /// Notified when a place is free.
    freed: Notify,
    /// Held by the listener whose turn it is to wait for a place.
    turn: AsyncMutex<()>,
}

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(super) struct PlaceLimits {
    pub(super) total: usize,
    /// From one address, or from one /64 of IPv6.
    pub(super) per_address: usize,
    /// Proxies, whose connections are those of many clients.
    pub(super) proxies: Vec<IpNet>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    open: usize,
    by_address: HashMap<IpAddr, AddressPlaces>,
    /// The connections without a request, longest first.
    idle: BTreeMap<u64, IdleConnection>,
    next: u64,
    /// Those that were asked to close and have not yet.
    closing: usize,
    /// Whether a new connection waits although none is idle.
    starved: bool,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct AddressPlaces {
    open: usize,
    /// The keys of those without a request, longest first.
    idle: BTreeSet<u64>,
    /// Those that were asked to close and have not yet.
    closing: usize,
}

#[derive(Debug)]
struct IdleConnection {
    address: Option<IpAddr>,
    eviction: Arc<Eviction>,
}

/// Tells a connection to close.
#[derive(Debug, Default)]
struct Eviction {
    told: Notify,
    /// Changed while the table is locked.
    is_told: AtomicBool,
}

impl ConnectionTable {
    fn add_idle(&mut self, connection: IdleConnection) -> u64 {
        let key = self.next;
        self.next = key.wrapping_add(1);
        if let Some(address) = connection.address {
            self.by_address.entry(address).or_default().idle.insert(key);
        }
        self.idle.insert(key, connection);
        key
    }

    fn remove_idle(&mut self, key: u64) -> Option<IdleConnection> {
        let connection = self.idle.remove(&key)?;
        let address = connection.address;
        if let Some(places) = address.and_then(|address| self.by_address.get_mut(&address)) {
            places.idle.remove(&key);
        }
        Some(connection)
    }

    /// Closes this connection to make room.
    fn evict(&mut self, key: u64) {
        if let Some(connection) = self.remove_idle(key) {
            self.closing = self.closing.saturating_add(1);
            let address = connection.address;
            if let Some(places) = address.and_then(|address| self.by_address.get_mut(&address)) {
                places.closing = places.closing.saturating_add(1);
            }
            connection.eviction.is_told.store(true, Relaxed);
            connection.eviction.told.notify_one();
        }
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connection: Arc<PlacedConnection>,
}

/// What a connection reports about itself.
#[derive(Debug)]
pub(super) struct PlacedConnection {
    places: Arc<Places>,
    address: Option<IpAddr>,
    /// Its key in the table while it has no request.
    idle: std::sync::Mutex<Option<u64>>,
    /// The open streams of an HTTP/2 connection. Locked before `idle`.
    streams: std::sync::Mutex<usize>,
    /// Notified when the last of them has ended.
    last_stream_ended: Notify,
    eviction: Arc<Eviction>,
}

/// An open stream of an HTTP/2 connection; it counts as such until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<PlacedConnection>);

impl PlaceLimits {
    /// Limits for this many connections, of which no address gets more than three
    /// quarters.
    pub(super) fn new(total: usize, per_address: usize, proxies: Vec<IpNet>) -> Self {
        let total = total.max(1);
        Self {
            total,
            per_address: per_address.clamp(1, total.saturating_sub(total / 4)),
            proxies,
        }
    }
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            table: std::sync::Mutex::default(),
            freed: Notify::new(),
            turn: AsyncMutex::new(()),
        })
    }

    /// Takes a place for a new connection, and waits while every other one has a
    /// request. `None` if all connections that the address may have have one.
    pub(super) async fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let is_proxy = self.limits.proxies.iter().any(|net| net.contains(&peer));
        let address = (!is_proxy).then(|| network_of(peer));
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            match self.try_take(address) {
                Ok(place) => return place,
                Err(Full) => freed.await,
            }
        }
    }

    fn try_take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Place>, Full> {
        let mut table = lock(&self.table);
        let of_address = address.and_then(|address| table.by_address.get(&address));
        // A share of all places is no share.
        let has_share = self.limits.per_address < self.limits.total;
        let full = of_address.filter(|places| has_share && places.open >= self.limits.per_address);
        let longest = match full.map(|places| (places.idle.first().copied(), places.closing)) {
            Some((None, 0)) => return Ok(None),
            Some((own, 0)) => own,
            // One that closes makes room.
            Some((_, _)) => return Err(Full),
            None if table.open >= self.limits.total => {
                if table.closing > 0 {
                    return Err(Full);
                }
                table.idle.first_key_value().map(|(key, _)| *key)
            }
            None => {
                table.open = table.open.saturating_add(1);
                if let Some(address) = address {
                    let places = table.by_address.entry(address).or_default();
                    places.open = places.open.saturating_add(1);
                }
                drop(table);
                return Ok(Some(self.place(address)));
            }
        };
        match longest {
            Some(longest) => table.evict(longest),
            None => table.starved = true,
        }
        Err(Full)
    }

    fn place(self: &Arc<Self>, address: Option<IpAddr>) -> Place {
        let connection = PlacedConnection {
            places: Arc::clone(self),
            address,
            idle: std::sync::Mutex::new(None),
            streams: std::sync::Mutex::default(),
            last_stream_ended: Notify::new(),
            eviction: Arc::default(),
        };
        connection.wait_for_request();
        Place {
            connection: Arc::new(connection),
        }
    }
}

/// Every place is taken.
#[derive(Debug)]
struct Full;

impl Place {
    /// The connection, for what serves it.
    pub(super) fn connection(&self) -> Arc<PlacedConnection> {
        Arc::clone(&self.connection)
    }
}

impl PlacedConnection {
    /// The connection has no request from now on, and may be closed.
    pub(super) fn wait_for_request(&self) {
        let mut idle = lock(&self.idle);
        if idle.is_none() {
            let mut table = lock(&self.places.table);
            *idle = Some(table.add_idle(IdleConnection {
                address: self.address,
                eviction: Arc::clone(&self.eviction),
            }));
            if mem::take(&mut table.starved) {
                self.places.freed.notify_one();
            }
        }
    }

    /// The connection has a request from now on. False if it is being closed, so
    /// that the request must not be served.
    pub(super) fn start_request(&self) -> bool {
        let idle = lock(&self.idle).take();
        idle.is_none_or(|key| lock(&self.places.table).remove_idle(key).is_some())
    }

    /// A stream of HTTP/2 begins. `None` if the connection is being closed, so that
    /// the stream must not be served.
    pub(super) fn start_stream(self: &Arc<Self>) -> Option<OpenStream> {
        let mut streams = lock(&self.streams);
        // A second stream of a connection that is being closed finds it not idle.
        if !self.start_request() || self.eviction.is_told.load(Relaxed) {
            return None;
        }
        *streams = streams.saturating_add(1);
        Some(OpenStream(Arc::clone(self)))
    }

    /// Returns when the last open stream has ended.
    pub(super) async fn last_stream_ended(&self) {
        self.last_stream_ended.notified().await;
    }

    /// The connection may be closed from now on, unless it has an open stream.
    pub(super) fn wait_for_stream(&self) {
        let streams = lock(&self.streams);
        if *streams == 0 {
            self.wait_for_request();
        }
    }

    /// Returns when the connection must be closed.
    pub(super) async fn evicted(&self) {
        self.eviction.told.notified().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = lock(&self.0.streams);
        *streams = streams.saturating_sub(1);
        if *streams == 0 {
            self.0.last_stream_ended.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        let idle = lock(&connection.idle).take();
        let mut table = lock(&connection.places.table);
        if let Some(key) = idle {
            table.remove_idle(key);
        }
        table.open = table.open.saturating_sub(1);
        let closed = usize::from(connection.eviction.is_told.load(Relaxed));
        table.closing = table.closing.saturating_sub(closed);
        if let Some(address) = connection.address
            && let Entry::Occupied(mut places) = table.by_address.entry(address)
        {
            places.get_mut().open = places.get().open.saturating_sub(1);
            places.get_mut().closing = places.get().closing.saturating_sub(closed);
            if places.get().open == 0 {
                places.remove();
            }
        }
        drop(table);
        connection.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::{PlaceLimits, Places};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn longest_waiting_connection_makes_room_and_busy_ones_do_not() {
        let places = Places::new(PlaceLimits::new(2, 2, Vec::new()));
        let busy = places.take(address("192.0.2.1")).await.unwrap();
        let idle = places.take(address("192.0.2.2")).await.unwrap();
        assert!(busy.connection().start_request());
        let mut waiting = Box::pin(places.take(address("192.0.2.3")));
        assert!(waiting.as_mut().now_or_never().is_none());
        idle.connection().evicted().await;
        // Its request came too late.
        assert!(!idle.connection().start_request());
        drop(idle);
        let third = waiting.await.unwrap();
        assert!(third.connection().start_request());
        let mut waiting = Box::pin(places.take(address("192.0.2.4")));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(busy.connection().evicted().now_or_never().is_none());
        // Idle again, so it makes room; a second time changes nothing.
        busy.connection().wait_for_request();
        busy.connection().wait_for_request();
        assert!(waiting.as_mut().now_or_never().is_none());
        busy.connection().evicted().await;
        drop(busy);
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn http2_connection_makes_room_only_without_open_streams() {
        let places = Places::new(PlaceLimits::new(1, 1, Vec::new()));
        let place = places.take(address("192.0.2.1")).await.unwrap();
        let connection = place.connection();
        let first = connection.start_stream().unwrap();
        let second = connection.start_stream().unwrap();
        drop(first);
        assert!(connection.last_stream_ended().now_or_never().is_none());
        connection.wait_for_stream();
        let mut waiting = Box::pin(places.take(address("192.0.2.2")));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(connection.evicted().now_or_never().is_none());
        drop(second);
        connection.last_stream_ended().await;
        connection.wait_for_stream();
        assert!(waiting.as_mut().now_or_never().is_none());
        connection.evicted().await;
        // Both streams that race with the eviction.
        assert!(connection.start_stream().is_none());
        assert!(connection.start_stream().is_none());
        drop(place);
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn address_has_its_share_and_a_proxy_all() {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let places = Places::new(PlaceLimits::new(8, 100, proxies));
        let mut held = Vec::new();
        for host in 0..6 {
            let same = format!("2001:db8::{host}");
            let place = places.take(address(&same)).await.unwrap();
            assert!(place.connection().start_request());
            held.push(place);
        }
        assert!(places.take(address("2001:db8::ffff")).await.is_none());
        assert!(places.take(address("2001:db8:0:1::1")).await.is_some());
        // An idle one makes room for another of its address.
        held[2].connection().wait_for_request();
        let mut waiting = Box::pin(places.take(address("2001:db8::ffff")));
        assert!(waiting.as_mut().now_or_never().is_none());
        held[2].connection().evicted().await;
        held.remove(2);
        assert!(waiting.await.is_some());
        held.pop();
        assert!(places.take(address("2001:db8::ffff")).await.is_some());
        drop(held);
        for _ in 0..8 {
            std::mem::forget(places.take(address("10.0.0.1")).await.unwrap());
        }
    }
}
