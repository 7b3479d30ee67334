//! Bounds: how much and how long.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{PATIENCE, Stage, last_post, patiently, post, rest, until};

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_whether_it_ends_or_not() {
    let stage = Stage::open();
    let long = "x".repeat(3000);
    let ends = format!("POST / HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n");
    let endless = format!("POST / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(1 << 20));
    for head in [ends, endless] {
        let answer = stage.say(&head).await;
        assert_eq!(status(&answer), "431", "{answer}");
        assert!(
            answer.ends_with("the request head must be at most 2048 bytes"),
            "{answer}"
        );
    }
    stage
        .metric(r#"refusals_total{refusal="head_too_large",blame="client",instance="none"} 2"#)
        .await;
}

#[tokio::test]
async fn a_head_of_just_the_limit_is_served_and_one_byte_more_is_not() {
    let stage = Stage::open();
    let head = |length: usize| {
        let frame = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nA: \r\n\r\n";
        frame.replace("A: ", &format!("A: {}", "x".repeat(length - frame.len())))
    };
    let fits = head(2048);
    assert_eq!(fits.len(), 2048);
    assert_eq!(status(&stage.say(&fits).await), "200");
    assert_eq!(status(&stage.say(&head(2049)).await), "431");
}

#[tokio::test]
async fn a_pipelined_head_has_the_same_bound() {
    let stage = Stage::open();
    let long = format!("A: {}\r\n", "x".repeat(3000));
    let both = post("/echo", "{}", "") + &post("/echo", "{}", &long);
    let answers = stage.say(&both).await;
    assert_eq!(status(&answers), "200", "{answers}");
    assert!(answers.contains("HTTP/1.1 431 "), "{answers}");
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_413_without_being_read() {
    let stage = Stage::open();
    let mut client = stage.connect().await;
    client
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n")
        .await
        .unwrap();
    let answer = until(&mut client, "4096 bytes").await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_413() {
    let stage = Stage::open();
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(64)
    );
    let answer = stage.say(&request).await;
    assert_eq!(status(&answer), "413", "{answer}");
}

#[tokio::test]
async fn a_client_still_sees_the_refusal_of_a_body_that_nobody_read() {
    let stage = Stage::open();
    let mut client = stage.connect().await;
    let request = post("/closed", &"x".repeat(3 << 20), "");
    // All of it is taken, and the connection ends in order: after a reset some
    // systems throw away what was not read yet.
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    patiently(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_is_read_and_a_broken_one_refused() {
    let stage = Stage::open();
    let request = |chunks: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}"
        )
    };
    let answer = stage
        .say(&request("2\r\n{\"\r\n4\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n"))
        .await;
    assert!(answer.ends_with("{\"a\":1}"), "{answer}");
    let answer = stage.say(&request("zz\r\n{}\r\n")).await;
    assert_eq!(status(&answer), "400", "{answer}");
}

#[tokio::test]
async fn a_compressed_body_is_415() {
    let stage = Stage::open();
    let answer = stage
        .say(&last_post("/echo", "{}", "Content-Encoding: gzip\r\n"))
        .await;
    assert_eq!(status(&answer), "415", "{answer}");
    assert!(answer.contains("accept-encoding: identity\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on_and_its_connection_is_kept() {
    let stage = Stage::open();
    let mut client = stage.connect().await;
    client
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        )
        .await
        .unwrap();
    until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"{}").await.unwrap();
    let answer = until(&mut client, "{}").await;
    assert!(answer.contains("Connection: keep-alive\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_400() {
    let stage = Stage::open();
    for (request, said) in [
        ("POST / HTTP/1.1\r\n\r\n", "one `Host` header"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "not HTTP/1.1",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not HTTP/1.1"),
        ("hello\r\n\r\n", "not HTTP/1.1"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "not HTTP/1.1",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "not HTTP/1.1",
        ),
    ] {
        let answer = stage.say(request).await;
        assert_eq!(status(&answer), "400", "{request} {answer}");
        assert!(answer.contains(said), "{request} {answer}");
    }
}

/// Sends a byte at a time until the other end has had enough.
async fn drip(client: &mut TcpStream, bytes: &str) {
    for byte in bytes.bytes().cycle() {
        if client.write_all(&[byte]).await.is_err() {
            return;
        }
        let mut seen = [0; 1];
        let wait = tokio::time::timeout(Duration::from_millis(20), client.peek(&mut seen));
        if wait.await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn a_head_that_drips_is_408_and_one_that_never_comes_is_a_closed_connection() {
    let stage = Stage::with(|server| server.header_timeout_ms = 300);
    let mut client = stage.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nA: ")
        .await
        .unwrap();
    patiently(drip(&mut client, "x")).await;
    let answer = rest(&mut client).await;
    assert_eq!(status(&answer), "408", "{answer}");

    let mut silent = stage.connect().await;
    assert_eq!(rest(&mut silent).await, "");

    let mut kept = stage.connect().await;
    kept.write_all(post("/echo", "{}", "").as_bytes())
        .await
        .unwrap();
    until(&mut kept, "{}").await;
    let idle = Instant::now();
    assert_eq!(rest(&mut kept).await, "");
    assert!(idle.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_body_that_drips_is_408() {
    let stage = Stage::with(|server| server.body_timeout_ms = 300);
    let mut client = stage.connect().await;
    client
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n")
        .await
        .unwrap();
    patiently(drip(&mut client, " ")).await;
    let answer = rest(&mut client).await;
    assert_eq!(status(&answer), "408", "{answer}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_not_waited_for() {
    let stage = Stage::with(|server| server.write_timeout_ms = 200);
    let mut client = stage.connect().await;
    let request = post("/large", "{}", "");
    client.write_all(request.as_bytes()).await.unwrap();
    stage.metric(r#"outcome="hung_up",blame="none"} 1"#).await;
    stage.metric("connections_open 0").await;
}

#[tokio::test]
async fn nine_hundred_idle_connections_keep_nobody_out() {
    let stage = Stage::open();
    let mut idle = Vec::new();
    for _ in 0..900 {
        idle.push(stage.connect().await);
    }
    stage.metric("connections_open 900").await;
    let answer = stage.say(&last_post("/echo", "{}", "")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    drop(idle);
    stage.metric("connections_open 0").await;
}

#[tokio::test]
async fn beyond_the_most_connections_one_waits_for_a_place() {
    let stage = Stage::with(|server| server.max_connections = 2);
    let first = stage.connect().await;
    let second = stage.connect().await;
    stage.metric("connections_open 2").await;
    let mut third = stage.connect().await;
    third
        .write_all(last_post("/echo", "{}", "").as_bytes())
        .await
        .unwrap();
    drop(first);
    let answer = rest(&mut third).await;
    assert_eq!(status(&answer), "200", "{answer}");
    drop(second);
}
