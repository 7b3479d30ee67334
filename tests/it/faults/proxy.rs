//! A proxy between a gateway and a service that injects faults.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// The fault of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProxyFault {
    /// Accepts connections and closes them at once; open ones too.
    Closes,
    /// Closes the connection after this number of bytes of a response.
    CutsAfter(usize),
    /// Sends one byte of a response in this time.
    Drips(Duration),
    /// Forwards requests, and holds the responses until the fault ends.
    Hangs,
    /// Nothing.
    None,
    /// Refuses connections, and drops open ones.
    Refuses,
    /// Responds with this instead, and closes.
    RespondsWith(&'static str),
    /// Delays every part of a response by this time.
    Slow(Duration),
}

/// A TCP proxy; dropping it closes its connections.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyShared>,
}

struct ProxyShared {
    target: SocketAddr,
    fault: Mutex<(u64, ProxyFault)>,
    changed: Condvar,
    /// Responses that are held.
    held_responses: AtomicUsize,
    state: Mutex<ProxyState>,
}

/// Whether the proxy listens, and its connections.
struct ProxyState {
    listener: Option<TcpListener>,
    /// Reserves the port while the proxy does not listen.
    reserved_port: Option<tokio::net::TcpSocket>,
    streams: Vec<TcpStream>,
    ended: bool,
}

impl Proxy {
    /// A proxy to this address, without a fault.
    pub(super) fn in_front_of(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(ProxyShared {
            target,
            fault: Mutex::new((0, ProxyFault::None)),
            changed: Condvar::new(),
            held_responses: AtomicUsize::new(0),
            state: Mutex::new(ProxyState {
                listener: Some(listener),
                reserved_port: None,
                streams: Vec::new(),
                ended: false,
            }),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept());
        Self { address, shared }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of responses that it holds.
    pub(super) fn held_responses(&self) -> usize {
        self.shared.held_responses.load(SeqCst)
    }

    /// Sets the fault, for open connections too.
    pub(super) fn set_fault(&self, fault: ProxyFault) {
        {
            let mut known = lock(&self.shared.fault);
            *known = (known.0 + 1, fault);
        }
        self.shared.changed.notify_all();
        let mut place = lock(&self.shared.state);
        if matches!(fault, ProxyFault::Closes | ProxyFault::Refuses) {
            place.close_streams();
        }
        if fault == ProxyFault::Refuses {
            drop(place.listener.take());
            let kept = tokio::net::TcpSocket::new_v4().unwrap();
            kept.set_reuseaddr(true).unwrap();
            retry_while_in_use(|| kept.bind(self.address));
            place.reserved_port = Some(kept);
        } else if place.listener.is_none() {
            drop(place.reserved_port.take());
            let listener = retry_while_in_use(|| TcpListener::bind(self.address));
            listener.set_nonblocking(true).unwrap();
            place.listener = Some(listener);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.shared.fault) = (u64::MAX, ProxyFault::Closes);
        self.shared.changed.notify_all();
        let mut place = lock(&self.shared.state);
        place.ended = true;
        place.close_streams();
    }
}

impl ProxyState {
    fn close_streams(&mut self) {
        for stream in self.streams.drain(..) {
            close(&stream);
        }
    }
}

impl ProxyShared {
    fn accept(self: Arc<Self>) {
        loop {
            let mut place = lock(&self.state);
            if place.ended {
                return;
            }
            let accepted = place.listener.as_ref().and_then(|one| one.accept().ok());
            if let Some((client, _)) = accepted {
                client.set_nonblocking(false).unwrap();
                if self.fault().1 == ProxyFault::Closes {
                    continue;
                }
                let Ok(server) = TcpStream::connect(self.target) else {
                    continue;
                };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    place.streams.push(stream.try_clone().unwrap());
                }
                drop(place);
                self.relay(client, server);
            } else {
                drop(place);
                // Polled, so that listening can end at any time.
                thread::park_timeout(Duration::from_millis(2));
            }
        }
    }

    fn relay(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            there.relay_requests(client, &to_server);
            close(&to_server);
        });
        thread::spawn(move || {
            back.relay_responses(server, &to_client);
            close(&to_client);
        });
    }

    /// Forwards requests.
    fn relay_requests(&self, mut client: TcpStream, mut server: &TcpStream) {
        let mut part = vec![0; 64 << 10];
        while let Some(part) = read(&mut client, &mut part) {
            if let ProxyFault::RespondsWith(nonsense) = self.fault().1 {
                drop(client.write_all(nonsense.as_bytes()));
                close(&client);
                return;
            }
            if server.write_all(part).is_err() {
                return;
            }
        }
    }

    /// Forwards responses, as far as the fault permits.
    fn relay_responses(&self, mut server: TcpStream, mut client: &TcpStream) {
        let mut part = vec![0; 64 << 10];
        let mut carried = 0;
        while let Some(mut part) = read(&mut server, &mut part) {
            while !part.is_empty() {
                let (turn, fault) = self.fault();
                let now = match fault {
                    ProxyFault::None => part.len(),
                    ProxyFault::Closes | ProxyFault::Refuses | ProxyFault::RespondsWith(_) => {
                        return;
                    }
                    ProxyFault::CutsAfter(bytes) if carried >= bytes => return,
                    ProxyFault::CutsAfter(bytes) => part.len().min(bytes - carried),
                    ProxyFault::Drips(pause) => {
                        self.wait_for_change(turn, Some(pause));
                        1
                    }
                    ProxyFault::Hangs => {
                        self.held_responses.fetch_add(1, SeqCst);
                        self.wait_for_change(turn, None);
                        self.held_responses.fetch_sub(1, SeqCst);
                        continue;
                    }
                    ProxyFault::Slow(pause) => {
                        self.wait_for_change(turn, Some(pause));
                        part.len()
                    }
                };
                let (first, rest) = part.split_at(now);
                if client.write_all(first).is_err() {
                    return;
                }
                carried += now;
                part = rest;
            }
        }
    }

    /// Waits until the fault changes, or this time has passed.
    fn wait_for_change(&self, turn: u64, pause: Option<Duration>) {
        let limit = pause.map(|pause| Instant::now() + pause);
        let mut known = lock(&self.fault);
        while known.0 == turn {
            known = match limit {
                None => self.changed.wait(known).unwrap(),
                Some(limit) => {
                    let left = limit.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed.wait_timeout(known, left).unwrap().0
                }
            };
        }
    }

    fn fault(&self) -> (u64, ProxyFault) {
        *lock(&self.fault)
    }
}

/// Binds a port that was just closed: a process that is being started at this
/// moment has a copy of every socket until it executes its program.
fn retry_while_in_use<T>(bind: impl Fn() -> io::Result<T>) -> T {
    for _ in 0..500 {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                thread::park_timeout(Duration::from_millis(2));
            }
            bound => return bound.unwrap(),
        }
    }
    bind().unwrap()
}

fn read<'a>(from: &mut TcpStream, into: &'a mut [u8]) -> Option<&'a [u8]> {
    let read = from.read(into).ok().filter(|read| *read > 0)?;
    into.get(..read)
}

fn close(stream: &TcpStream) {
    // The other side may have closed it already.
    drop(stream.shutdown(Shutdown::Both));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
