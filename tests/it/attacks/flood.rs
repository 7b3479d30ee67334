//! Concurrent attackers: T-20 and T-21. The tests count introspections, not time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::{ConfigOverrides, HOST, IdpFixture, JSON, VALIDATE_JWT, count_request};
use crate::idp::{Endpoint, Mode, TEST_TIMEOUT, random_hex};

/// A client that reuses its connection until the gateway closes it.
struct FloodClient {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    closed: bool,
    /// The value of its forwarding header.
    forwarded_for: String,
}

impl FloodClient {
    fn new(scene: &IdpFixture, from: &str) -> Self {
        let address = scene.gateway.address;
        Self {
            address,
            stream: connect(address),
            closed: false,
            forwarded_for: from.to_owned(),
        }
    }

    fn send(&mut self, token: &str, body: &str) {
        let request = format!(
            "POST /production/mcp HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nX-Forwarded-For: {}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            self.forwarded_for,
            body.len()
        );
        if self.closed {
            self.stream = connect(self.address);
        }
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn read_status(&mut self) -> u16 {
        let mut length = 0;
        let mut status = 0;
        self.closed = false;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "connection" => self.closed = value.trim() == "close",
                _ => {}
            }
            if line.is_empty() {
                break;
            }
        }
        self.stream.read_exact(&mut vec![0; length]).unwrap();
        status
    }

    fn ping(&mut self, token: &str) -> u16 {
        self.send(token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        self.read_status()
    }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    BufReader::new(stream)
}

/// Sets a flag when dropped, also during a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const TOKEN_COUNT: usize = 10_000;
const CONCURRENCY: usize = 64;

/// The failed logins of one address: burst and rate per minute. The rate is the lowest, so that
/// the flood exceeds it however long it takes.
const BURST: usize = 20;
const PER_MINUTE: usize = 1;

/// How long a valid token is cached, in seconds; the longest that may be configured.
const CACHE_TTL_S: usize = 300;

/// What a flood may cause, however long it took.
struct FloodBounds {
    /// The failed logins of all addresses together.
    refused: usize,
    /// Introspections of the valid user's token.
    known: usize,
}

impl FloodBounds {
    fn after(begun: Instant, addresses: usize) -> Self {
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
        Self {
            refused: addresses * (BURST + (PER_MINUTE * seconds).div_ceil(60)),
            known: 1 + seconds / CACHE_TTL_S,
        }
    }
}

/// Presents random tokens on many connections from these addresses in turn, while
/// a valid user continues to call.
fn flood(
    provider: &str,
    tokens: usize,
    addresses: usize,
    token: impl Fn() -> String + Sync,
) -> (IdpFixture, FloodBounds) {
    let limits = format!("failed_logins_per_minute = {PER_MINUTE}\nfailed_logins_burst = {BURST}");
    let begun = Instant::now();
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: &format!("{provider}\ncache_ttl_s = {CACHE_TTL_S}"),
        server: "trusted_proxies = [\"127.0.0.0/8\"]",
        limits: Some(&limits),
        ..ConfigOverrides::default()
    });
    // From the same address as the flood, as if behind the same router.
    let good = scene.token();
    let signed = scene.idp.issue_jwt(&serde_json::json!({}), &scene.claims());
    let good = if provider == VALIDATE_JWT {
        signed
    } else {
        good
    };
    scene.assert_served(&good);
    let calls = scene.gateway.fake_odoo.calls().len();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (scene_of, token_of) = (&scene, &token);
    thread::scope(|threads| {
        let end = SetOnDrop(&over);
        let user = threads.spawn(|| {
            let mut agent = FloodClient::new(scene_of, "198.51.100.0");
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(agent.ping(&good), 200, "the good user was refused");
                served += 1;
            }
            served
        });
        let flood: Vec<_> = (0..CONCURRENCY)
            .map(|_| {
                threads.spawn(|| {
                    let mut agent = FloodClient::new(scene_of, "");
                    let mut counts = (0, 0);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= tokens {
                            return counts;
                        }
                        agent.forwarded_for = format!("198.51.100.{}", number % addresses);
                        match agent.ping(&token_of()) {
                            401 => counts.0 += 1,
                            429 => counts.1 += 1,
                            // The provider could not be asked in time, because
                            // its queue was full.
                            503 => {}
                            other => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        let counts: Vec<_> = flood.into_iter().map(|one| one.join().unwrap()).collect();
        drop(end);
        assert!(user.join().unwrap() > 0);
        let refused: usize = counts.iter().map(|(refused, _)| refused).sum();
        let slowed: usize = counts.iter().map(|(_, slowed)| slowed).sum();
        // Malformed tokens cause no introspection and consume no quota.
        if provider != VALIDATE_JWT {
            let most = FloodBounds::after(begun, addresses).refused;
            assert!(refused <= most, "{refused} refused, {slowed} slowed down");
            assert!(slowed > 0, "{refused} refused, {slowed} slowed down");
        }
    });
    assert_eq!(
        scene.gateway.fake_odoo.calls().len(),
        calls,
        "Odoo was asked"
    );
    scene.assert_served(&good);
    (scene, FloodBounds::after(begun, addresses))
}

fn random_token() -> String {
    format!("tok-{}", random_hex(24))
}

// T-20
#[test]
fn token_flood_from_one_address_is_rate_limited() {
    let (scene, bounds) = flood("", TOKEN_COUNT, 1, random_token);
    let asked = scene.idp.request_count(Endpoint::Introspection);
    assert!(asked <= bounds.refused + bounds.known, "{asked} questions");
    assert!(asked > BURST, "{asked} questions");
}

// T-20
#[test]
fn each_address_has_its_own_failed_login_limit() {
    let (scene, bounds) = flood("", TOKEN_COUNT, 256, random_token);
    let asked = scene.idp.request_count(Endpoint::Introspection);
    assert!(asked <= bounds.refused + bounds.known, "{asked} questions");
}

// T-20
#[test]
fn malformed_jwts_are_never_introspected() {
    let (scene, _) = flood(VALIDATE_JWT, TOKEN_COUNT / 5, 1, || {
        format!(
            "{}.{}.{}",
            "eyJhbGciOiJSUzI1NiJ9",
            random_hex(16),
            random_hex(32)
        )
    });
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 0);
    assert_eq!(scene.idp.request_count(Endpoint::Jwks), 1);
}

// T-20
#[test]
fn rate_limited_address_gets_429_but_cached_token_is_accepted() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..ConfigOverrides::default()
    });
    let known = scene.token();
    scene.assert_served(&known);
    for _ in 0..3 {
        scene.assert_rejected(&random_token());
    }
    let token = random_token();
    let answer = scene.call(&token);
    assert_eq!(answer.status, 429, "{answer:?}");
    let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert!(answer.header("www-authenticate").is_none());
    scene.assert_no_leak(&answer, &token);
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 4);
    scene.assert_served(&known);
    // A request without a token is not a failed login.
    for _ in 0..20 {
        let answer =
            scene
                .gateway
                .request("POST", "/production/mcp", &[JSON, HOST], &count_request());
        assert_eq!(answer.status, 401);
    }
}

// B9
#[test]
fn flood_of_unknown_key_ids_counts_against_its_address() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: VALIDATE_JWT,
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..ConfigOverrides::default()
    });
    let invented = || {
        let header = serde_json::json!({"kid": random_hex(8)});
        scene.idp.issue_jwt(&header, &scene.claims())
    };
    let statuses: Vec<u16> = (0..5)
        .map(|_| FloodClient::new(&scene, "198.51.100.1").ping(&invented()))
        .collect();
    // The first causes a fetch; the keys of the next may have been published since.
    assert_eq!(statuses, [401, 503, 503, 429, 429]);
    assert_eq!(scene.idp.request_count(Endpoint::Jwks), 2);
    // Another address is not affected.
    let good = scene.jwt_with(&serde_json::json!({}));
    assert_eq!(FloodClient::new(&scene, "198.51.100.2").ping(&good), 200);
}

// T-20
#[test]
fn forwarded_address_is_used_only_from_trusted_proxy() {
    // No proxy is trusted: whatever the header says, all requests have one
    // address.
    let scene = IdpFixture::with_config(ConfigOverrides {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..ConfigOverrides::default()
    });
    let statuses: Vec<u16> = (0..6)
        .map(|n| FloodClient::new(&scene, &format!("198.51.100.{n}")).ping(&random_token()))
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    // The proxy is trusted; what the client wrote before its entry is not.
    let scene = IdpFixture::with_config(ConfigOverrides {
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..ConfigOverrides::default()
    });
    let statuses: Vec<u16> = (0..6)
        .map(|n| {
            FloodClient::new(&scene, &format!("198.51.100.{n}, 203.0.113.7")).ping(&random_token())
        })
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    assert_eq!(
        FloodClient::new(&scene, "203.0.113.8").ping(&random_token()),
        401
    );
    // An IPv6 network counts as one address.
    let statuses: Vec<u16> = (0..6)
        .map(|n| FloodClient::new(&scene, &format!("2001:db8:1:2::{n}")).ping(&random_token()))
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
}

// T-21
#[test]
fn concurrent_calls_with_one_token_share_one_introspection() {
    let scene = IdpFixture::start();
    scene.idp.set_mode(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let (scene, token) = (&scene, &token);
    thread::scope(|threads| {
        let callers: Vec<_> = (0..500)
            .map(|_| {
                let mut agent = FloodClient::new(scene, "198.51.100.1");
                agent.send(token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
                threads.spawn(move || agent.read_status())
            })
            .collect();
        scene.idp.wait_for(Endpoint::Introspection, 1);
        scene.idp.release();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200);
        }
    });
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 1);
}

// T-21
#[test]
fn shared_introspection_survives_disconnect_of_first_caller() {
    let scene = IdpFixture::start();
    scene.idp.set_mode(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let mut first = FloodClient::new(&scene, "198.51.100.1");
    first.send(&token, &count_request());
    scene.idp.wait_for(Endpoint::Introspection, 1);
    let mut others: Vec<FloodClient> = (0..20)
        .map(|_| FloodClient::new(&scene, "198.51.100.1"))
        .collect();
    for other in &mut others {
        other.send(&token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    }
    first.stream.get_ref().shutdown(Shutdown::Both).unwrap();
    drop(first);
    scene.idp.release();
    for other in &mut others {
        assert_eq!(other.read_status(), 200);
    }
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 1);
}

// T-21, with the default quota.
#[test]
fn concurrent_calls_with_valid_token_use_no_failed_login_quota() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..ConfigOverrides::default()
    });
    scene.idp.set_mode(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let mut first = FloodClient::new(&scene, "198.51.100.1");
    first.send(&token, &count_request());
    scene.idp.wait_for(Endpoint::Introspection, 1);
    let mut others: Vec<FloodClient> = (0..20)
        .map(|_| FloodClient::new(&scene, "198.51.100.1"))
        .collect();
    for other in &mut others {
        other.send(&token, &count_request());
    }
    scene.idp.release();
    for agent in others.iter_mut().chain([&mut first]) {
        assert_eq!(agent.read_status(), 200);
    }
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 1);
}

// T-21
#[test]
fn failed_introspection_affects_only_waiting_callers() {
    let scene = IdpFixture::with_provider("timeout_ms = 1000");
    scene.idp.set_mode(Endpoint::Introspection, Mode::Hang);
    let token = scene.token();
    let mut callers: Vec<FloodClient> = (0..20)
        .map(|_| FloodClient::new(&scene, "198.51.100.1"))
        .collect();
    for caller in &mut callers {
        caller.send(&token, &count_request());
    }
    for caller in &mut callers {
        assert_eq!(caller.read_status(), 503);
    }
    assert!(scene.idp.request_count(Endpoint::Introspection) <= 2);
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    crate::idp::wait_until(&scene.idp, "recovery", || scene.call(&token).status == 200);
}

// B5: many addresses flood with unknown tokens while the provider is slow.
#[test]
fn flood_from_many_addresses_leaves_room_for_other_logins() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: "max_in_flight = 16\nnegative_ttl_s = 0",
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        ..ConfigOverrides::default()
    });
    let call_from = |address: &str, token: &str| {
        let (from, bearer) = (
            format!("X-Forwarded-For: {address}"),
            format!("Authorization: Bearer {token}"),
        );
        let headers = [JSON, HOST, &from, &bearer];
        let answer = scene
            .gateway
            .request("POST", "/production/mcp", &headers, &count_request());
        answer.status
    };
    // One attacker has a /48, others have single addresses.
    let addresses: Vec<String> = (0..30)
        .map(|n| match n % 2 {
            0 => format!("203.0.113.{n}"),
            _ => format!("2001:db8:7:{n}::1"),
        })
        .collect();
    for address in &addresses {
        assert_eq!(call_from(address, &random_token()), 401);
    }
    // Now each of their tokens takes a slot until the end.
    let held: Vec<(String, String)> = addresses
        .iter()
        .map(|address| (address.replace("7:", "7:1"), random_token()))
        .collect();
    for (_, token) in &held {
        scene.idp.set_token_mode(token, Mode::Held);
    }
    let asked = scene.idp.request_count(Endpoint::Introspection);
    thread::scope(|threads| {
        for (address, token) in &held {
            threads.spawn(|| call_from(address, token));
        }
        scene.idp.wait_for(Endpoint::Introspection, asked + 3);
        for n in 0..20 {
            let address = format!("198.51.100.{}", n % 5);
            assert_eq!(call_from(&address, &scene.token()), 200, "{n}");
        }
        scene.idp.release();
    });
}
