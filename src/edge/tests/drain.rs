//! Shutdown.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    HostEvent, TestEdge, post, post_and_close, read_to_end, read_until, requests_total,
    within_timeout,
};

#[tokio::test]
async fn shutdown_waits_for_running_call_and_then_ends() {
    let mut stage = TestEdge::open();
    let mut client = stage.start(&post("/held", "{}", "")).await;

    stage.shutdown.shut_down();
    // Requests during the drain are still answered, and their connections closed.
    let answer = stage.send(&post("/echo", "{\"late\":1}", "")).await;
    assert!(answer.ends_with("{\"late\":1}"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");

    stage.release.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.ends_with("{\"held\":1}"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    stage.wait_for_exit().await;
}

#[tokio::test]
async fn shutdown_closes_idle_connections() {
    let mut stage = TestEdge::open();
    let mut kept = stage.connect().await;
    let request = post("/echo", "{}", "");
    kept.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut kept, "{}").await;
    stage.shutdown.shut_down();
    assert_eq!(read_to_end(&mut kept).await, "");
    stage.wait_for_exit().await;
}

#[tokio::test]
async fn call_exceeding_drain_timeout_is_aborted_and_counted_as_cut() {
    let mut stage = TestEdge::with_server(|server| server.drain_timeout_ms = 50);
    let mut client = stage.start(&post_and_close("/held", "{}", "")).await;
    stage.shutdown.shut_down();
    stage.wait_for_exit().await;
    assert_eq!(
        stage.next_event().await,
        HostEvent::Cancelled("/held".to_owned())
    );
    stage.wait_for_metric(&requests_total("cut", 1)).await;
    let mut end = [0; 1];
    assert!(!matches!(
        within_timeout(client.read(&mut end)).await,
        Ok(1..)
    ));
}

#[tokio::test]
async fn readyz_fails_while_draining_and_livez_stays_ok() {
    let mut stage = TestEdge::open();
    let mut client = stage.start(&post("/held", "{}", "")).await;
    stage.shutdown.shut_down();
    let answer = stage.get_admin("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""draining":true"#), "{answer}");
    let answer = stage.get_admin("/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stage.release.notify_one();
    read_to_end(&mut client).await;
    stage.wait_for_exit().await;
}

#[tokio::test]
async fn shutdown_under_steady_traffic_ends_with_nothing_cut() {
    let mut stage = TestEdge::with_server(|server| server.drain_timeout_ms = 2_000);
    // One request in flight at a time, without a pause, for as long as the edge accepts.
    let traffic = async |address| {
        let mut served = 0_u32;
        loop {
            let Ok(mut client) = tokio::net::TcpStream::connect(address).await else {
                return served;
            };
            let request = post_and_close("/echo", "{}", "");
            if client.write_all(request.as_bytes()).await.is_err() {
                continue;
            }
            let answer = read_to_end(&mut client).await;
            // Served whole, or not begun.
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 503 ") || answer.ends_with("{}"),
                "{answer}"
            );
            served += u32::from(answer.ends_with("{}"));
        }
    };
    let running = tokio::spawn(traffic(stage.address));
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/echo".to_owned())
    );
    stage.shutdown.shut_down();
    let served = within_timeout(running).await.unwrap();
    stage.wait_for_exit().await;
    stage
        .wait_for_metric(&requests_total("answered", served))
        .await;
    assert!(
        !stage
            .telemetry
            .metrics
            .encode(|_| {})
            .unwrap()
            .contains("outcome=\"cut\"")
    );
}

#[tokio::test]
async fn request_on_open_connection_is_not_begun_in_second_half_of_drain() {
    let mut stage = TestEdge::with_server(|server| server.drain_timeout_ms = 400);
    let _held = stage.start(&post("/held", "{}", "")).await;
    let mut fresh = stage.connect().await;
    stage.wait_for_metric("connections_open 2").await;
    stage.shutdown.shut_down();
    // The listener closes after half of the time.
    within_timeout(async {
        while tokio::net::TcpStream::connect(stage.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(fresh.write_all(post("/echo", "{}", "").as_bytes()).await);
    let answer = read_to_end(&mut fresh).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
        "{answer}"
    );
    stage.wait_for_exit().await;
    while let Ok(event) = stage.events.try_recv() {
        assert_ne!(event, HostEvent::Started("/echo".to_owned()));
    }
}
