//! An Odoo that fails, beside one that does not.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    configuration, in_parallel,
    process::{GatewayProcess, wait_until},
    proxy::{Proxy, ProxyFault},
};
use crate::{
    log::{ODOO_BACK, ODOO_LOST},
    test_gateway::start_fake_odoo,
};

/// Bounds of the instance that a fault reaches soon.
const BOUNDS: &str = "connect_timeout_ms = 1_000
timeout_ms = 1_500
max_in_flight = 2
max_waiting = 2
max_wait_ms = 500
";

/// A gateway in front of an Odoo whose connections can fail.
struct OdooScenario {
    proxy: Proxy,
    gateway: GatewayProcess,
    _folder: tempfile::TempDir,
}

impl OdooScenario {
    fn open() -> Self {
        let (_, url) = start_fake_odoo();
        let proxy = Proxy::in_front_of(url.trim_start_matches("http://").parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let spoiled = format!("http://{}", proxy.address());
        let text = configuration(&spoiled, &url, "").replacen(
            "[instances.other]",
            &format!("{BOUNDS}[instances.other]"),
            1,
        );
        let gateway = GatewayProcess::start(folder.path(), &text);
        Self {
            proxy,
            gateway,
            _folder: folder,
        }
    }
}

/// The fault, and the kind of the error in log, metrics and journal.
const FAULTS: [(ProxyFault, &str); 8] = [
    (ProxyFault::Refuses, "odoo_unreachable"),
    (ProxyFault::Closes, "odoo_cut_off"),
    (ProxyFault::CutsAfter(0), "odoo_cut_off"),
    (ProxyFault::CutsAfter(30), "odoo_cut_off"),
    (ProxyFault::Hangs, "odoo_timed_out"),
    (
        ProxyFault::Drips(Duration::from_millis(100)),
        "odoo_timed_out",
    ),
    (
        ProxyFault::RespondsWith("\u{7f}ELF\0\0\0 is no HTTP\r\n\r\n"),
        "odoo_cut_off",
    ),
    (
        ProxyFault::RespondsWith(
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
        ),
        "odoo_unavailable",
    ),
];

#[test]
fn odoo_fault_is_reported_with_advice_and_ends_when_odoo_recovers() {
    in_parallel(FAULTS, |(fault, kind)| {
        let scene = OdooScenario::open();
        let gateway = &scene.gateway;
        assert!(!gateway.count().tool_result().1, "{fault:?}");
        gateway.wait_for_metric("gatepost_odoo_up{instance=\"demo\"}", 1.0);

        scene.proxy.set_fault(fault);
        let answer = gateway.assert_takes_at_most(Duration::from_secs(4), || gateway.count());
        assert_eq!(answer.status, 200, "{fault:?}: {answer:?}");
        assert!(answer.tool_result().1, "{fault:?}: {answer:?}");
        let found = gateway.error_kind(&answer);
        assert_eq!(found.as_deref(), Some(kind), "{fault:?}");
        // Operators see the reason, and the other instance is served meanwhile.
        wait_until("the trouble in readiness", || {
            let (status, report) = gateway.readiness();
            let demo = &report["instances"]["demo"];
            status == 200 && demo["answers"] == json!(false) && demo["why"].is_string()
        });
        assert!(!gateway.count_in("other").tool_result().1, "{fault:?}");
        assert_eq!(
            gateway.metric("gatepost_odoo_up{instance=\"demo\"}"),
            Some(0.0)
        );
        let refusals = format!(
            "gatepost_refusals_total{{blame=\"odoo\",instance=\"demo\",refusal=\"{kind}\"}}"
        );
        assert_eq!(gateway.metric(&refusals), Some(1.0), "{fault:?}");

        scene.proxy.set_fault(ProxyFault::None);
        assert!(
            !gateway.count().tool_result().1,
            "{fault:?}: it does not come back"
        );
        gateway.wait_for_metric("gatepost_odoo_up{instance=\"demo\"}", 1.0);
        if kind == "odoo_unreachable" {
            gateway.wait_for_log(ODOO_LOST, 1);
            gateway.wait_for_log(ODOO_BACK, 1);
        }
        assert_eq!(
            gateway.log().matches(ODOO_LOST).count(),
            gateway.log().matches(ODOO_BACK).count()
        );
        assert_eq!(
            gateway.metric("gatepost_odoo_calls_in_flight{instance=\"demo\"}"),
            Some(0.0)
        );

        let records = scene.gateway.stop_and_read_calls();
        let ends: Vec<_> = records
            .iter()
            .filter(|record| record["method"] == "search_count" && record["instance"] == "demo")
            .map(|record| {
                (
                    record["outcome"].as_str().unwrap(),
                    record["reason"].as_str(),
                )
            })
            .collect();
        let failed = ("failed", Some(kind));
        assert_eq!(
            ends,
            [("answered", None), failed, ("answered", None)],
            "{fault:?}"
        );
    });
}

#[test]
fn unexpected_odoo_response_is_an_error_and_is_not_cached() {
    let scene = OdooScenario::open();
    scene.proxy.set_fault(ProxyFault::RespondsWith(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"oops\": [1,2]}",
    ));
    // Once in the gateway's own call, once in the tool's call.
    let report = || {
        let answer = scene.gateway.count();
        assert_eq!(answer.status, 200);
        (answer.tool_result().0, scene.gateway.error_kind(&answer))
    };
    assert_eq!(report().1.as_deref(), Some("unreadable"));
    scene.proxy.set_fault(ProxyFault::None);
    let (counted, failed) = report();
    assert_eq!(failed, None, "{counted}");
    scene.proxy.set_fault(ProxyFault::RespondsWith(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue",
    ));
    assert_eq!(report().1.as_deref(), Some("unreadable"));
    scene.proxy.set_fault(ProxyFault::None);
    assert_eq!(report(), (counted, None));
    let refusals =
        "gatepost_refusals_total{blame=\"odoo\",instance=\"demo\",refusal=\"unreadable\"}";
    assert_eq!(scene.gateway.metric(refusals), Some(2.0));
    // Odoo did answer.
    let records = scene.gateway.stop_and_read_calls();
    assert!(records.iter().all(|record| record["outcome"] == "answered"));
}

#[test]
fn slow_odoo_is_awaited_and_unreachable_odoo_is_retried() {
    let scene = OdooScenario::open();
    scene.proxy.set_fault(ProxyFault::Refuses);
    let answer = scene.gateway.count();
    let kind = scene.gateway.error_kind(&answer);
    assert_eq!(kind.as_deref(), Some("odoo_unreachable"), "{answer:?}");
    scene
        .proxy
        .set_fault(ProxyFault::Slow(Duration::from_millis(300)));
    let begun = Instant::now();
    let (text, failed) = scene.gateway.count().tool_result();
    assert!(!failed, "{text}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let records = scene.gateway.stop_and_read_calls();
    // No failure was cached as a result.
    let first = records.first().unwrap();
    assert_eq!(first["outcome"], "failed");
    assert!(
        records
            .iter()
            .skip(1)
            .all(|record| record["outcome"] == "answered")
    );
}

#[test]
#[expect(clippy::needless_collect, reason = "all of them call at once")]
fn hanging_odoo_blocks_only_callers_of_its_own_instance() {
    let scene = OdooScenario::open();
    let gateway = &scene.gateway;
    assert!(!gateway.count().tool_result().1);
    assert!(!gateway.count_in("other").tool_result().1);
    scene.proxy.set_fault(ProxyFault::Hangs);
    // Two in flight, two in the queue, and two too many.
    let report = thread::scope(|threads| {
        let callers: Vec<_> = (0..6)
            .map(|_| threads.spawn(|| gateway.count().tool_result()))
            .collect();
        wait_until("the callers' turns", || scene.proxy.held_responses() == 2);
        let (_, failed) = gateway.assert_takes_at_most(Duration::from_secs(1), || {
            gateway.count_in("other").tool_result()
        });
        assert!(!failed);
        let report = callers.into_iter().map(|caller| caller.join().unwrap());
        report.collect::<Vec<_>>()
    });
    assert!(report.iter().all(|(_, failed)| *failed), "{report:?}");
    scene.proxy.set_fault(ProxyFault::None);
    assert!(!gateway.count().tool_result().1);
    let records = scene.gateway.stop_and_read_calls();
    let of = |reason: &str| records.iter().filter(|one| one["reason"] == reason).count();
    assert_eq!((of("odoo_timed_out"), of("odoo_busy")), (2, 4));
}
