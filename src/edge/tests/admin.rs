//! The admin listener.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, StatusCode};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, mpsc},
};

use super::{HostEvent, ScriptedHost, TestEdge, instances, read_until, stable_lines};
use crate::{
    config,
    edge::{
        admin::{AdminHosts, AdminServer},
        bounds::Bounds,
        drain::Drain,
    },
    gateway::Head,
    telemetry::{Readiness, Telemetry},
};
use gatepost_base::InstanceName;

#[tokio::test]
async fn readyz_lists_instances_and_caches_their_state() {
    let mut stage = TestEdge::open();
    let answer = stage.get_admin("/readyz").await;
    insta::assert_snapshot!(stable_lines(&answer), @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Content-Length: 147
    Connection: close

    {"ready":true,"draining":false,"late":false,"instances":{"one":{"answers":true},"two":{"answers":false,"why":"it does not answer"}},"providers":{}}
    "#);
    for _ in 0..20 {
        stage.get_admin("/readyz").await;
    }
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("readiness".to_owned())
    );
    assert!(stage.events.try_recv().is_err());
}

#[tokio::test]
async fn readyz_fails_when_no_instance_answers() {
    let stage = TestEdge::with_readiness(Readiness::default(), |_| {});
    let answer = stage.get_admin("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn readyz_warns_of_keys_and_fails_once_all_of_every_instance_have_expired() {
    let one = InstanceName::try_from("one").unwrap();
    let mut ready = instances(vec![(one.clone(), Ok(()))]);
    ready.warnings.push("the key expires".to_owned());
    let stage = TestEdge::with_readiness(ready.clone(), |_| {});
    let answer = stage.get_admin("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains(r#""warnings":["the key expires"]"#),
        "{answer}"
    );
    ready.unusable.push(one);
    let stage = TestEdge::with_readiness(ready, |_| {});
    let answer = stage.get_admin("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// The status of `/readyz` if the check of all instances takes this long.
async fn readyz_status_after(ready_after: Duration) -> StatusCode {
    let (signs, _kept) = mpsc::unbounded_channel();
    let actor = ScriptedHost {
        events: signs,
        release: Arc::new(Notify::new()),
        readiness: instances(vec![
            (InstanceName::try_from("good").unwrap(), Ok(())),
            (
                InstanceName::try_from("hangs").unwrap(),
                Err("it does not answer".to_owned()),
            ),
        ]),
        readiness_delay: ready_after,
    };
    let admin = AdminServer::new(
        Arc::new(ArcSwap::from_pointee(actor)),
        Arc::new(Telemetry::new()),
        Bounds::from(&config::ServerConfig::default()),
        Arc::new(Drain::new(Duration::ZERO)),
        AdminHosts::new(&[]),
        Arc::default(),
    );
    let head = Head {
        method: Method::GET,
        path: "/readyz".to_owned(),
        token_in_query: false,
        host: None,
        headers: HeaderMap::new(),
        is_http_1_0: false,
        peer: None,
        local_listener: false,
    };
    admin.respond(&head).await.status
}

#[tokio::test(start_paused = true)]
async fn readyz_waits_for_ping_timeout_of_hanging_instance() {
    // A ping times out after 3 s, and on a busy machine somewhat later.
    let answer = readyz_status_after(Duration::from_millis(3_500)).await;
    assert_eq!(answer, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn readyz_fails_after_timeout() {
    let answer = readyz_status_after(Duration::from_mins(1)).await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn admin_listener_serves_metrics_and_404_for_unknown_paths() {
    let stage = TestEdge::open();
    let answer = stage.get_admin("/metrics").await;
    let media_type = "text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.contains(media_type), "{answer}");
    assert!(answer.contains("gatepost_build_info{version="), "{answer}");
    assert!(
        answer.contains("\ngatepost_connections_total 0\n"),
        "{answer}"
    );
    for path in ["/", "/mcp", "/metrics/", "/livez/.."] {
        let answer = stage.get_admin(path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

#[tokio::test]
async fn metrics_are_in_the_format_that_they_name_whatever_is_accepted() {
    let stage = TestEdge::open();
    for accept in [
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
        "application/openmetrics-text",
        "text/plain;version=0.0.4",
        "*/*",
    ] {
        let get = format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        let answer = stage.send_to(stage.admin, &get).await;
        let media_type = "text/plain; version=0.0.4; charset=utf-8\r\n";
        assert!(answer.contains(media_type), "{accept}: {answer}");
        // The end of OpenMetrics, which this format does not have.
        assert!(!answer.contains("# EOF"), "{answer}");
        assert!(answer.contains("\nprocess_open_fds "), "{answer}");
    }
}

#[tokio::test]
async fn reload_is_for_processes_of_this_machine() {
    let stage = TestEdge::open();
    let post = |more: &str| {
        format!(
            "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n{more}\r\n"
        )
    };
    let answer = stage.send_to(stage.admin, &post("")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for more in [
        "Origin: http://127.0.0.1:9090\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
    ] {
        let answer = stage.send_to(stage.admin, &post(more)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let answer = stage.get_admin("/reload").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn admin_listener_allows_only_get_and_head() {
    let stage = TestEdge::open();
    let post = "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = stage.send_to(stage.admin, post).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let head = "HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = stage.send_to(stage.admin, head).await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn admin_listener_keeps_connection_alive() {
    let stage = TestEdge::open();
    let mut scraper = TcpStream::connect(stage.admin).await.unwrap();
    for _ in 0..3 {
        let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        scraper.write_all(get).await.unwrap();
        read_until(&mut scraper, "\ngatepost_connections_total 0\n").await;
    }
}

#[tokio::test]
async fn admin_listener_rejects_public_host_names() {
    let stage =
        TestEdge::with_admin(|admin| admin.allowed_hosts = vec!["ops.example.com".to_owned()]);
    for (host, status) in [
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("10.0.0.7", 200),
        ("localhost", 200),
        ("gatepost:9090", 200),
        ("gatepost.monitoring.svc:9090", 200),
        ("gatepost.internal", 200),
        ("OPS.example.com:9090", 200),
        ("evil.example.com", 421),
        ("127.0.0.1.nip.io:9090", 421),
        ("internal.evil.com", 421),
        ("ops.example.com.evil.com", 421),
    ] {
        let get = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = stage.send_to(stage.admin, &get).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{host}: {answer}"
        );
    }
}

#[tokio::test]
async fn idle_admin_connections_make_room() {
    let stage = TestEdge::open();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(stage.admin).await.unwrap());
        let answer = stage.get_admin("/livez").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}
