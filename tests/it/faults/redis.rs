//! A Redis that fails, with callers who are counted there.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    configuration, each,
    process::{Process, counting, post, until},
    proxy::{Fault, Proxy},
};
use crate::{redis_server::RedisServer, stage::company};

const FAULTS: [Fault; 8] = [
    Fault::Refuses,
    Fault::Closes,
    Fault::CutsAfter(0),
    Fault::CutsAfter(3),
    Fault::Hangs,
    Fault::Drips(Duration::from_millis(300)),
    Fault::Says("HTTP/1.1 400 Bad Request\r\n\r\n"),
    Fault::Says("*2\r\n:99\r\n:-1\r\n"),
];

/// Whether it is there.
const UP: &str = "gatepost_redis_up{used_for=\"limits\"}";

/// A gateway whose Redis can be spoiled.
struct Scene {
    redis: RedisServer,
    proxy: Proxy,
    gateway: Process,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn open(when_down: &str) -> Self {
        let (_, odoo) = company();
        let redis = RedisServer::start();
        let proxy = Proxy::before(([127, 0, 0, 1], redis.port).into());
        let folder = tempfile::tempdir().unwrap();
        let more = format!(
            "[limits]\naddress_per_minute = 1_000_000\naddress_burst = 1_000_000\ncaller_per_minute = 1\ncaller_burst = 40\n[redis]\nurl = \"redis://{}\"\ntimeout_ms = 1_000\nwhen_down = \"{when_down}\"\nreplicas = 2",
            proxy.address()
        );
        let text = configuration(&odoo, &odoo, &more);
        let gateway = Process::start(folder.path(), &text);
        assert!(!gateway.count().tool().1);
        gateway.until_metric(UP, 1.0);
        Self {
            redis,
            proxy,
            gateway,
            _folder: folder,
        }
    }

    /// It is seen to be away, and whoever serves without it stays in the balance.
    fn is_seen_away(&self, status: u16, what: &str) {
        let (seen, told) = self.gateway.readiness();
        assert_eq!(seen, status, "{what}: {told}");
        assert_eq!(told["ready"], json!(status == 200), "{what}: {told}");
        assert_eq!(told["redis"]["why"].is_string(), status != 200, "{told}");
        assert_eq!(told["redis"]["answers"], json!(false), "{what}: {told}");
        assert_eq!(self.gateway.metric(UP), Some(0.0), "{what}");
        self.gateway.until_told("Lost Redis", 1);
    }

    /// Calls that Redis allowed.
    fn counted_together(&self) -> f64 {
        let counted = "gatepost_limit_decisions_total{dimension=\"caller\",outcome=\"allowed\",store=\"redis\"}";
        self.gateway.metric(counted).unwrap_or(0.0)
    }

    /// It is back by itself, and both sides know. Gives the calls that were
    /// served until Redis decided again.
    fn is_back(&self, what: &str) -> usize {
        self.gateway.until_metric(UP, 1.0);
        self.gateway.until_told("Reached Redis again", 1);
        let before = self.counted_together();
        // On a busy machine one decision may be late once more.
        (1..=5)
            .scan(0, |served, _| {
                let answer = self.gateway.count();
                *served += usize::from(answer.status == 200 && !answer.tool().1);
                Some((*served, self.counted_together() > before))
            })
            .find(|(_, counted)| *counted)
            .unwrap_or_else(|| panic!("{what}: Redis does not decide"))
            .0
    }
}

/// Calls until Redis counts as away: each answer is looked at.
fn until_away(scene: &Scene, what: &str, each: impl Fn(&crate::stage::Answer)) -> usize {
    let mut calls = 0;
    loop {
        let begun = Instant::now();
        each(&scene.gateway.count());
        calls += 1;
        // Two decisions in a call, each within its time.
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
        if scene.gateway.metric(UP) == Some(0.0) {
            return calls;
        }
        assert!(calls < 10, "{what}: it is not noticed");
    }
}

#[test]
fn while_redis_fails_each_gateway_goes_on_with_its_share_and_nobody_waits_for_it() {
    each(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let scene = Scene::open("local");
        scene.proxy.set(fault);
        let calls = until_away(&scene, &what, |answer| {
            let (text, failed) = answer.tool();
            assert!(!failed, "{what}: {text}");
        });
        scene.is_seen_away(200, &what);
        // What is away is waited for no more.
        let begun = Instant::now();
        let (text, failed) = scene.gateway.count().tool();
        assert!(!failed, "{what}: {text}");
        assert!(begun.elapsed() < Duration::from_millis(900), "{what}");
        scene.proxy.set(Fault::None);
        let later = scene.is_back(&what);
        let records = scene.gateway.records();
        let counted = records
            .iter()
            .filter(|one| one["method"] == "search_count")
            .count();
        assert_eq!(
            counted,
            1 + calls + 1 + later,
            "{what}: a record for each call"
        );
    });
}

#[test]
fn where_nothing_goes_uncounted_a_redis_that_fails_is_told_with_when_to_come_again() {
    each(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let scene = Scene::open("fail_closed");
        scene.proxy.set(fault);
        until_away(&scene, &what, |answer| {
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
            let error = answer.json()["error"]["message"].to_string();
            assert!(error.contains("try again in 2 s"), "{what}: {error}");
            assert!(!answer.body.contains("127.0.0.1"), "{what}: {answer:?}");
        });
        scene.is_seen_away(503, &what);
        scene.proxy.set(Fault::None);
        let later = scene.is_back(&what);
        until("it is ready again", || scene.gateway.readiness().0 == 200);
        // Nothing was sent meanwhile.
        let records = scene.gateway.records();
        let counted = records.iter().filter(|one| one["method"] == "search_count");
        assert_eq!(counted.count(), 1 + later, "{what}");
    });
}

#[test]
fn a_redis_that_answers_and_counts_nothing_is_away() {
    let turns: [(&str, &str, &str); 3] = [
        ("full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("a replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        (
            "of another password",
            "CONFIG SET requirepass hunter2",
            "AUTH hunter2\r\nCONFIG SET requirepass \"\"",
        ),
    ];
    each(turns, |(what, begin, end)| {
        let scene = Scene::open("local");
        scene.redis.say(begin);
        // Who is connected stays so; a password is asked of the next.
        scene.proxy.set(Fault::Closes);
        scene.proxy.set(Fault::None);
        until_away(&scene, what, |answer| assert!(!answer.tool().1, "{what}"));
        scene.is_seen_away(200, what);
        scene.redis.say(end);
        scene.is_back(what);
    });
}

#[test]
fn a_redis_that_is_slow_but_in_time_still_decides() {
    let scene = Scene::open("fail_closed");
    scene.proxy.set(Fault::Slow(Duration::from_millis(100)));
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(!scene.gateway.count().tool().1);
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
    assert_eq!(scene.gateway.metric(UP), Some(1.0));
    assert!(!scene.gateway.log().contains("Lost Redis"));
}

#[test]
fn a_redis_that_is_killed_while_it_decides_and_comes_back_empty_costs_nobody_an_answer() {
    let mut scene = Scene::open("local");
    let address = scene.gateway.address;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let answer = post(address, "/demo/mcp", &[], &counting());
                    assert_eq!(answer.status, 200, "{answer:?}");
                    // Served, or told how long to wait; nothing else.
                    let (text, failed) = answer.tool();
                    assert!(!failed || text.contains("too many calls"), "{text}");
                }
            });
        }
        for _ in 0..2 {
            scene.redis.kill();
            scene.gateway.until_metric(UP, 0.0);
            scene.redis.restart();
            scene.gateway.until_metric(UP, 1.0);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    until("both times in the log", || {
        scene.gateway.log().matches("Reached Redis again").count() == 2
    });
    scene.gateway.records();
}
