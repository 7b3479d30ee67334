//! Leaving.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Sign, Stage, last_post, patiently, post, rest, until};

#[tokio::test]
async fn a_call_finishes_and_then_the_edge_leaves_at_once() {
    let mut stage = Stage::open();
    let mut client = stage.connect().await;
    let request = post("/held", "{}", "");
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));

    stage.stop.now();
    // Who asks meanwhile is still answered, and told not to come back here.
    let answer = stage.say(&post("/echo", "{\"late\":1}", "")).await;
    assert!(answer.ends_with("{\"late\":1}"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");

    stage.release.notify_one();
    let answer = rest(&mut client).await;
    assert!(answer.ends_with("{\"held\":1}"), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    stage.left().await;
}

#[tokio::test]
async fn idle_kept_connections_are_closed_when_the_edge_leaves() {
    let mut stage = Stage::open();
    let mut kept = stage.connect().await;
    let request = post("/echo", "{}", "");
    kept.write_all(request.as_bytes()).await.unwrap();
    until(&mut kept, "{}").await;
    stage.stop.now();
    assert_eq!(rest(&mut kept).await, "");
    stage.left().await;
}

#[tokio::test]
async fn a_call_that_outlives_the_limit_is_cut_and_counted_so() {
    let mut stage = Stage::with(|server| server.drain_timeout_ms = 50);
    let mut client = stage.connect().await;
    let request = last_post("/held", "{}", "");
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
    stage.stop.now();
    stage.left().await;
    assert_eq!(stage.sign().await, Sign::Cancelled("/held".to_owned()));
    stage.metric(r#"outcome="cut",blame="none"} 1"#).await;
    let mut end = [0; 1];
    assert!(!matches!(patiently(client.read(&mut end)).await, Ok(1..)));
}

#[tokio::test]
async fn readiness_turns_while_the_operators_are_still_answered() {
    let mut stage = Stage::open();
    let mut client = stage.connect().await;
    let request = post("/held", "{}", "");
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
    stage.stop.now();
    let answer = stage.ask("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""draining":true"#), "{answer}");
    let answer = stage.ask("/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stage.release.notify_one();
    rest(&mut client).await;
    stage.left().await;
}
