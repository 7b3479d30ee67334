//! A Redis that fails, with callers whose rate is limited there.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    configuration, in_parallel,
    process::{GatewayProcess, wait_until},
    proxy::{Proxy, ProxyFault},
};
use crate::{log, redis_server::RedisServer, test_gateway::start_fake_odoo};

const FAULTS: [ProxyFault; 8] = [
    ProxyFault::Refuses,
    ProxyFault::Closes,
    ProxyFault::CutsAfter(0),
    ProxyFault::CutsAfter(3),
    ProxyFault::Hangs,
    ProxyFault::Drips(Duration::from_millis(300)),
    ProxyFault::RespondsWith("HTTP/1.1 400 Bad Request\r\n\r\n"),
    ProxyFault::RespondsWith("*2\r\n:99\r\n:-1\r\n"),
];

/// Whether Redis is connected.
const UP: &str = "gatepost_redis_up{used_for=\"limits\"}";

/// A gateway whose Redis can fail.
struct RedisScenario {
    redis: RedisServer,
    proxy: Proxy,
    gateway: GatewayProcess,
    _folder: tempfile::TempDir,
}

impl RedisScenario {
    fn open(when_down: &str) -> Self {
        let (_, odoo) = start_fake_odoo();
        let redis = RedisServer::start();
        let proxy = Proxy::in_front_of(([127, 0, 0, 1], redis.port).into());
        let folder = tempfile::tempdir().unwrap();
        let more = format!(
            "[limits]\naddress_per_minute = 1_000_000\naddress_burst = 1_000_000\ncaller_per_minute = 1\ncaller_burst = 40\n[redis]\nurl = \"redis://{}\"\ntimeout_ms = 1_000\nwhen_down = \"{when_down}\"\nreplicas = 2",
            proxy.address()
        );
        let text = configuration(&odoo, &odoo, &more);
        let gateway = GatewayProcess::start(folder.path(), &text);
        assert!(!gateway.count().tool_result().1);
        gateway.wait_for_metric(UP, 1.0);
        Self {
            redis,
            proxy,
            gateway,
            _folder: folder,
        }
    }

    /// Checks that Redis is reported as unavailable, and the status of `/readyz`.
    fn assert_redis_down(&self, status: u16, what: &str) {
        let (seen, report) = self.gateway.readiness();
        assert_eq!(seen, status, "{what}: {report}");
        assert_eq!(report["ready"], json!(status == 200), "{what}: {report}");
        assert_eq!(
            report["redis"]["why"].is_string(),
            status != 200,
            "{report}"
        );
        assert_eq!(report["redis"]["answers"], json!(false), "{what}: {report}");
        assert_eq!(self.gateway.metric(UP), Some(0.0), "{what}");
        self.gateway.wait_for_log("Lost Redis", 1);
    }

    /// The number of calls that Redis allowed.
    fn decisions_by_redis(&self) -> f64 {
        let counted = "gatepost_limit_decisions_total{dimension=\"caller\",outcome=\"allowed\",store=\"redis\"}";
        self.gateway.metric(counted).unwrap_or(0.0)
    }

    /// Checks that the gateway reconnects by itself. Returns the number of calls that
    /// were served until Redis decided again.
    fn assert_redis_recovers(&self, what: &str) -> usize {
        self.gateway.wait_for_metric(UP, 1.0);
        self.gateway.wait_for_log(log::REDIS_BACK, 1);
        let before = self.decisions_by_redis();
        // On a busy machine one decision may be late once more.
        (1..=5)
            .scan(0, |served, _| {
                let answer = self.gateway.count();
                *served += usize::from(answer.status == 200 && !answer.tool_result().1);
                Some((*served, self.decisions_by_redis() > before))
            })
            .find(|(_, counted)| *counted)
            .unwrap_or_else(|| panic!("{what}: Redis does not decide"))
            .0
    }
}

/// Calls until Redis is reported as unavailable, and checks each response.
fn call_until_redis_down(
    scene: &RedisScenario,
    what: &str,
    each: impl Fn(&crate::test_gateway::TestResponse),
) -> usize {
    let mut calls = 0;
    loop {
        // Two decisions in a call, each within its time.
        let answer = scene
            .gateway
            .assert_takes_at_most(Duration::from_secs(5), || scene.gateway.count());
        each(&answer);
        calls += 1;
        if scene.gateway.metric(UP) == Some(0.0) {
            return calls;
        }
        assert!(calls < 10, "{what}: it is not noticed");
    }
}

#[test]
fn failing_redis_with_local_fallback_keeps_calls_fast_and_allowed() {
    in_parallel(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let scene = RedisScenario::open("local");
        scene.proxy.set_fault(fault);
        let calls = call_until_redis_down(&scene, &what, |answer| {
            let (text, failed) = answer.tool_result();
            assert!(!failed, "{what}: {text}");
        });
        scene.assert_redis_down(200, &what);
        // The gateway does not wait for an unavailable Redis any more.
        let (text, failed) = scene
            .gateway
            .assert_takes_at_most(Duration::from_millis(900), || {
                scene.gateway.count().tool_result()
            });
        assert!(!failed, "{what}: {text}");
        scene.proxy.set_fault(ProxyFault::None);
        let later = scene.assert_redis_recovers(&what);
        let records = scene.gateway.stop_and_read_calls();
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
fn failing_redis_with_fail_closed_gives_503_with_retry_after() {
    in_parallel(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let scene = RedisScenario::open("fail_closed");
        scene.proxy.set_fault(fault);
        call_until_redis_down(&scene, &what, |answer| {
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
            let kind = scene.gateway.error_kind(answer);
            assert_eq!(kind.as_deref(), Some("uncounted"), "{what}: {answer:?}");
            assert!(!answer.body.contains("127.0.0.1"), "{what}: {answer:?}");
        });
        scene.assert_redis_down(503, &what);
        scene.proxy.set_fault(ProxyFault::None);
        let later = scene.assert_redis_recovers(&what);
        wait_until("it is ready again", || scene.gateway.readiness().0 == 200);
        // Nothing was sent meanwhile.
        let records = scene.gateway.stop_and_read_calls();
        let counted = records.iter().filter(|one| one["method"] == "search_count");
        assert_eq!(counted.count(), 1 + later, "{what}");
    });
}

#[test]
fn redis_that_rejects_commands_counts_as_down() {
    let turns: [(&str, &str, &str); 3] = [
        ("full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("a replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        (
            "of another password",
            "CONFIG SET requirepass hunter2",
            "AUTH hunter2\r\nCONFIG SET requirepass \"\"",
        ),
    ];
    in_parallel(turns, |(what, begin, end)| {
        let scene = RedisScenario::open("local");
        scene.redis.say(begin);
        // The current connection stays open; the next one needs the password.
        scene.proxy.set_fault(ProxyFault::Closes);
        scene.proxy.set_fault(ProxyFault::None);
        call_until_redis_down(&scene, what, |answer| {
            assert!(!answer.tool_result().1, "{what}");
        });
        scene.assert_redis_down(200, what);
        scene.redis.say(end);
        scene.assert_redis_recovers(what);
    });
}

#[test]
fn redis_slower_but_within_timeout_still_decides() {
    let scene = RedisScenario::open("fail_closed");
    scene
        .proxy
        .set_fault(ProxyFault::Slow(Duration::from_millis(100)));
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(!scene.gateway.count().tool_result().1);
        assert!(begun.elapsed() >= Duration::from_millis(100));
    }
    assert_eq!(scene.gateway.metric(UP), Some(1.0));
    assert!(!scene.gateway.log().contains(log::REDIS_LOST));
}

#[test]
fn restarting_redis_under_load_fails_no_request() {
    let mut scene = RedisScenario::open("local");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    let answer = scene.gateway.count();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    // Served, or rejected by the limit; nothing else.
                    let kind = scene.gateway.error_kind(&answer);
                    assert!(
                        matches!(kind.as_deref(), None | Some("limited")),
                        "{kind:?}"
                    );
                }
            });
        }
        for _ in 0..2 {
            scene.redis.kill();
            scene.gateway.wait_for_metric(UP, 0.0);
            scene.redis.restart();
            scene.gateway.wait_for_metric(UP, 1.0);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    wait_until("both times in the log", || {
        scene.gateway.log().matches(log::REDIS_BACK).count() == 2
    });
    scene.gateway.stop_and_read_calls();
}
