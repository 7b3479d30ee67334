//! Many at once: T-20 and T-21. What is counted is questions, not time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{HOST, JSON, SIGNED, Scene, Words, counting};
use crate::idp::{Endpoint, Mode, random};

/// A client that keeps its connection as long as the gateway does.
struct Agent {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    closed: bool,
    /// Where it says it comes from.
    from: String,
}

impl Agent {
    fn new(scene: &Scene, from: &str) -> Self {
        let address = scene.stage.address;
        Self {
            address,
            stream: connected(address),
            closed: false,
            from: from.to_owned(),
        }
    }

    fn send(&mut self, token: &str, body: &str) {
        let request = format!(
            "POST /production/mcp HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nX-Forwarded-For: {}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            self.from,
            body.len()
        );
        if self.closed {
            self.stream = connected(self.address);
        }
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn status(&mut self) -> u16 {
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

    fn ask(&mut self, token: &str) -> u16 {
        self.send(token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        self.status()
    }
}

fn connected(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    BufReader::new(stream)
}

/// Says that something is over, also when it ends in a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const TOKENS: usize = 10_000;
const AT_ONCE: usize = 64;

/// What an address may fail: at first, and in a minute.
const BURST: usize = 20;
const PER_MINUTE: usize = 30;

/// Presents random tokens from many connections, which take these addresses in
/// turn, while a good user goes on.
fn flood(
    provider: &str,
    tokens: usize,
    addresses: usize,
    token: impl Fn() -> String + Sync,
) -> Scene {
    let limits = format!("failed_logins_per_minute = {PER_MINUTE}\nfailed_logins_burst = {BURST}");
    let scene = Scene::with(Words {
        provider,
        server: "trusted_proxies = [\"127.0.0.0/8\"]",
        limits: Some(&limits),
        ..Words::default()
    });
    // From the same address as the flood, as behind the same router.
    let good = scene.token();
    let signed = scene.idp.jwt(&serde_json::json!({}), &scene.claims());
    let good = if provider == SIGNED { signed } else { good };
    scene.served(&good);
    let calls = scene.stage.company.calls().len();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (scene_of, token_of) = (&scene, &token);
    thread::scope(|threads| {
        let end = Ends(&over);
        let user = threads.spawn(|| {
            let mut agent = Agent::new(scene_of, "198.51.100.0");
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(agent.ask(&good), 200, "the good user was refused");
                served += 1;
            }
            served
        });
        let flood: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                threads.spawn(|| {
                    let mut agent = Agent::new(scene_of, "");
                    let mut told = (0, 0);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= tokens {
                            return told;
                        }
                        agent.from = format!("198.51.100.{}", number % addresses);
                        match agent.ask(&token_of()) {
                            401 => told.0 += 1,
                            429 => told.1 += 1,
                            // Nobody had a place to ask the provider in time.
                            503 => {}
                            other => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        let told: Vec<_> = flood.into_iter().map(|one| one.join().unwrap()).collect();
        drop(end);
        assert!(user.join().unwrap() > 0);
        let refused: usize = told.iter().map(|(refused, _)| refused).sum();
        let slowed: usize = told.iter().map(|(_, slowed)| slowed).sum();
        // Tokens that are plainly none cost nobody anything, and none of an allowance.
        if provider != SIGNED {
            let most = addresses * (BURST + PER_MINUTE);
            assert!(refused <= most, "{refused} refused, {slowed} slowed down");
            assert!(slowed > 0, "{refused} refused, {slowed} slowed down");
        }
    });
    assert_eq!(scene.stage.company.calls().len(), calls, "Odoo was asked");
    scene.served(&good);
    scene
}

fn opaque() -> String {
    format!("tok-{}", random(24))
}

// T-20
#[test]
fn ten_thousand_random_tokens_of_one_address_cost_no_more_questions_than_it_may_fail() {
    let scene = flood("", TOKENS, 1, opaque);
    let asked = scene.idp.count(Endpoint::Introspection) - 1;
    // It does not last longer than a minute.
    assert!(asked <= BURST + PER_MINUTE, "{asked} questions");
    assert!(asked >= BURST, "{asked} questions");
}

// T-20
#[test]
fn from_many_addresses_each_has_its_own_allowance() {
    let scene = flood("", TOKENS, 256, opaque);
    let asked = scene.idp.count(Endpoint::Introspection) - 1;
    assert!(asked <= 256 * (BURST + PER_MINUTE), "{asked} questions");
}

// T-20
#[test]
fn thousands_of_tokens_that_only_look_signed_are_asked_about_by_nobody() {
    let scene = flood(SIGNED, TOKENS / 5, 1, || {
        format!("{}.{}.{}", "eyJhbGciOiJSUzI1NiJ9", random(16), random(32))
    });
    assert_eq!(scene.idp.count(Endpoint::Introspection), 0);
    assert_eq!(scene.idp.count(Endpoint::Jwks), 1);
}

// T-20
#[test]
fn an_address_that_failed_too_often_is_told_to_wait_and_a_good_token_still_opens() {
    let scene = Scene::with(Words {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..Words::default()
    });
    let known = scene.token();
    scene.served(&known);
    for _ in 0..3 {
        scene.refused(&opaque());
    }
    let token = opaque();
    let answer = scene.call(&token);
    assert_eq!(answer.status, 429, "{answer:?}");
    let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert!(answer.header("www-authenticate").is_none());
    scene.silent(&answer, &token);
    assert_eq!(scene.idp.count(Endpoint::Introspection), 4);
    scene.served(&known);
    // Asking how to get a token is no failure.
    for _ in 0..20 {
        let answer = scene
            .stage
            .request("POST", "/production/mcp", &[JSON, HOST], &counting());
        assert_eq!(answer.status, 401);
    }
}

// T-20
#[test]
fn an_address_is_the_sockets_unless_a_trusted_proxy_names_it() {
    // Nobody is trusted: whatever the header says, it is one address.
    let scene = Scene::with(Words {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..Words::default()
    });
    let statuses: Vec<u16> = (0..6)
        .map(|n| Agent::new(&scene, &format!("198.51.100.{n}")).ask(&opaque()))
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    // The proxy is believed, and what stands before it is anybody's word.
    let scene = Scene::with(Words {
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..Words::default()
    });
    let statuses: Vec<u16> = (0..6)
        .map(|n| Agent::new(&scene, &format!("198.51.100.{n}, 203.0.113.7")).ask(&opaque()))
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    assert_eq!(Agent::new(&scene, "203.0.113.8").ask(&opaque()), 401);
    // One network of IPv6 is one address.
    let statuses: Vec<u16> = (0..6)
        .map(|n| Agent::new(&scene, &format!("2001:db8:1:2::{n}")).ask(&opaque()))
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
}

// T-21
#[test]
fn five_hundred_callers_with_one_token_ask_once() {
    let scene = Scene::open();
    scene.idp.behaves(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let (scene, token) = (&scene, &token);
    thread::scope(|threads| {
        let callers: Vec<_> = (0..500)
            .map(|_| {
                let mut agent = Agent::new(scene, "198.51.100.1");
                agent.send(token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
                threads.spawn(move || agent.status())
            })
            .collect();
        scene.idp.wait_for(Endpoint::Introspection, 1);
        scene.idp.release();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200);
        }
    });
    assert_eq!(scene.idp.count(Endpoint::Introspection), 1);
}

// T-21
#[test]
fn the_first_caller_may_leave_and_the_others_get_the_answer_to_its_question() {
    let scene = Scene::open();
    scene.idp.behaves(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let mut first = Agent::new(&scene, "198.51.100.1");
    first.send(&token, &counting());
    scene.idp.wait_for(Endpoint::Introspection, 1);
    let mut others: Vec<Agent> = (0..20)
        .map(|_| Agent::new(&scene, "198.51.100.1"))
        .collect();
    for other in &mut others {
        other.send(&token, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    }
    first.stream.get_ref().shutdown(Shutdown::Both).unwrap();
    drop(first);
    scene.idp.release();
    for other in &mut others {
        assert_eq!(other.status(), 200);
    }
    assert_eq!(scene.idp.count(Endpoint::Introspection), 1);
}

// T-21, with the allowance that is there by default.
#[test]
fn many_with_one_good_token_at_once_spend_no_allowance_of_failed_logins() {
    let scene = Scene::with(Words {
        limits: Some("failed_logins_per_minute = 1\nfailed_logins_burst = 3"),
        ..Words::default()
    });
    scene.idp.behaves(Endpoint::Introspection, Mode::Held);
    let token = scene.token();
    let mut first = Agent::new(&scene, "198.51.100.1");
    first.send(&token, &counting());
    scene.idp.wait_for(Endpoint::Introspection, 1);
    let mut others: Vec<Agent> = (0..20)
        .map(|_| Agent::new(&scene, "198.51.100.1"))
        .collect();
    for other in &mut others {
        other.send(&token, &counting());
    }
    scene.idp.release();
    for agent in others.iter_mut().chain([&mut first]) {
        assert_eq!(agent.status(), 200);
    }
    assert_eq!(scene.idp.count(Endpoint::Introspection), 1);
}

// T-21
#[test]
fn a_question_that_fails_fails_for_all_who_wait_and_for_nobody_after_them() {
    let scene = Scene::provider("timeout_ms = 300");
    scene.idp.behaves(Endpoint::Introspection, Mode::Hang);
    let token = scene.token();
    let mut callers: Vec<Agent> = (0..20)
        .map(|_| Agent::new(&scene, "198.51.100.1"))
        .collect();
    for caller in &mut callers {
        caller.send(&token, &counting());
    }
    for caller in &mut callers {
        assert_eq!(caller.status(), 503);
    }
    assert!(scene.idp.count(Endpoint::Introspection) <= 2);
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    crate::idp::until(&scene.idp, "recovery", || scene.call(&token).status == 200);
}
