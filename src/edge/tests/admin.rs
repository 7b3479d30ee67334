//! What operators see.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, mpsc},
};

use super::{Actor, Sign, Stage, plain, until};
use crate::{
    config,
    edge::{admin::Admin, bounds::Bounds, drain::Drain},
    telemetry::Telemetry,
};
use gatepost_base::InstanceName;

#[tokio::test]
async fn readyz_says_which_instance_answers_and_asks_them_once_for_many_probes() {
    let mut stage = Stage::open();
    let answer = stage.ask("/readyz").await;
    insta::assert_snapshot!(plain(&answer), @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Content-Length: 147
    Connection: close

    {"ready":true,"draining":false,"late":false,"instances":{"one":{"answers":true},"two":{"answers":false,"why":"it does not answer"}},"providers":{}}
    "#);
    for _ in 0..20 {
        stage.ask("/readyz").await;
    }
    assert_eq!(stage.sign().await, Sign::Began("readiness".to_owned()));
    assert!(stage.signs.try_recv().is_err());
}

#[tokio::test]
async fn without_an_instance_that_answers_nobody_is_sent_here() {
    let stage = Stage::with_ready(Vec::new(), |_| {});
    let answer = stage.ask("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// What `/readyz` answers when asking all instances takes so long.
async fn readyz_after(ready_after: Duration) -> StatusCode {
    let (signs, _kept) = mpsc::unbounded_channel();
    let actor = Actor {
        signs,
        release: Arc::new(Notify::new()),
        ready: vec![
            (InstanceName::try_from("good").unwrap(), Ok(())),
            (
                InstanceName::try_from("hangs").unwrap(),
                Err("it does not answer".to_owned()),
            ),
        ],
        ready_after,
    };
    let admin = Admin::new(
        Arc::new(ArcSwap::from_pointee(actor)),
        Arc::new(Telemetry::new()),
        Bounds::from(&config::Server::default()),
        Arc::new(Drain::new(Duration::ZERO)),
    );
    admin.answer(&Method::GET, "/readyz").await.status
}

#[tokio::test(start_paused = true)]
async fn one_instance_that_hangs_does_not_make_the_others_late() {
    // A ping gives up after 3 s, and on a busy machine hears of it later still.
    let answer = readyz_after(Duration::from_millis(3_500)).await;
    assert_eq!(answer, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_probe_does_not_wait_for_ever() {
    let answer = readyz_after(Duration::from_mins(1)).await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn metrics_are_served_and_all_else_is_not_found() {
    let stage = Stage::open();
    let answer = stage.ask("/metrics").await;
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.contains("gatepost_build_info{version="), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    for path in ["/", "/mcp", "/metrics/", "/livez/.."] {
        let answer = stage.ask(path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

#[tokio::test]
async fn operators_only_look() {
    let stage = Stage::open();
    let post = "POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = stage.say_to(stage.admin, post).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    let head = "HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = stage.say_to(stage.admin, head).await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_scraper_keeps_its_connection() {
    let stage = Stage::open();
    let mut scraper = TcpStream::connect(stage.admin).await.unwrap();
    for _ in 0..3 {
        let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        scraper.write_all(get).await.unwrap();
        until(&mut scraper, "# EOF\n").await;
    }
}
