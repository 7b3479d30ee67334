//! Limits on sizes and times.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{
    HostEvent, TEST_TIMEOUT, TestEdge, post, post_and_close, read_to_end, read_until,
    requests_total, within_timeout,
};

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn oversized_head_is_431_whether_complete_or_not() {
    let stage = TestEdge::open();
    let long = "x".repeat(3000);
    let ends = format!("POST / HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n");
    let endless = format!("POST / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(1 << 20));
    for head in [ends, endless] {
        let answer = stage.send(&head).await;
        assert_eq!(status(&answer), "431", "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        insta::allow_duplicates!(
            insta::assert_snapshot!(body, @"the request head must be at most 2048 bytes")
        );
    }
    stage
        .wait_for_metric(
            r#"refusals_total{blame="client",instance="none",refusal="head_too_large"} 2"#,
        )
        .await;
}

#[tokio::test]
async fn head_limit_is_exact_to_the_byte() {
    let stage = TestEdge::open();
    let head = |length: usize| {
        let frame = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nA: \r\n\r\n";
        frame.replace("A: ", &format!("A: {}", "x".repeat(length - frame.len())))
    };
    let fits = head(2048);
    assert_eq!(fits.len(), 2048);
    assert_eq!(status(&stage.send(&fits).await), "200");
    assert_eq!(status(&stage.send(&head(2049)).await), "431");
}

#[tokio::test]
async fn head_limit_applies_to_pipelined_request() {
    let stage = TestEdge::open();
    let long = format!("A: {}\r\n", "x".repeat(3000));
    let both = post("/echo", "{}", "") + &post("/echo", "{}", &long);
    let answers = stage.send(&both).await;
    assert_eq!(status(&answers), "200", "{answers}");
    assert!(answers.contains("HTTP/1.1 431 "), "{answers}");
}

#[tokio::test]
async fn oversized_content_length_is_413_before_body_is_read() {
    let stage = TestEdge::open();
    let mut client = stage.connect().await;
    client
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n")
        .await
        .unwrap();
    let answer = read_until(&mut client, "4096 bytes").await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn oversized_chunked_body_is_413() {
    let stage = TestEdge::open();
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(64)
    );
    let answer = stage.send(&request).await;
    assert_eq!(status(&answer), "413", "{answer}");
}

#[tokio::test]
async fn client_receives_error_response_for_unread_body() {
    let stage = TestEdge::open();
    let mut client = stage.connect().await;
    let request = post("/closed", &"x".repeat(3 << 20), "");
    // All of it is read, and the connection closes in order: after a reset some
    // systems discard what was not read yet.
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within_timeout(client.read_to_string(&mut answer))
        .await
        .unwrap();
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn chunked_body_is_read_and_malformed_chunk_rejected() {
    let stage = TestEdge::open();
    let request = |chunks: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}"
        )
    };
    let answer = stage
        .send(&request("2\r\n{\"\r\n4\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n"))
        .await;
    assert!(answer.ends_with("{\"a\":1}"), "{answer}");
    let answer = stage.send(&request("zz\r\n{}\r\n")).await;
    assert_eq!(status(&answer), "400", "{answer}");
}

// BC-36: the reader of the body spun at its end.
#[tokio::test]
async fn body_that_ends_in_a_chunk_head_leaves_no_connection_behind() {
    let stage = TestEdge::open();
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r";
    for _ in 0..20 {
        let mut client = stage.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        // The connection could still carry a response.
        client.shutdown().await.unwrap();
        read_to_end(&mut client).await;
    }
    stage.wait_for_metric("connections_total 20").await;
    stage.wait_for_metric("connections_open 0").await;
}

#[tokio::test]
async fn compressed_body_is_415() {
    let stage = TestEdge::open();
    let answer = stage
        .send(&post_and_close("/echo", "{}", "Content-Encoding: gzip\r\n"))
        .await;
    assert_eq!(status(&answer), "415", "{answer}");
    assert!(answer.contains("accept-encoding: identity\r\n"), "{answer}");
}

#[tokio::test]
async fn expect_100_continue_is_answered_and_connection_is_reused() {
    let stage = TestEdge::open();
    let mut client = stage.connect().await;
    client
        .write_all(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        )
        .await
        .unwrap();
    read_until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"{}").await.unwrap();
    let answer = read_until(&mut client, "{}").await;
    assert!(answer.contains("Connection: keep-alive\r\n"), "{answer}");
}

#[tokio::test]
async fn malformed_http_is_400() {
    let stage = TestEdge::open();
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
        let answer = stage.send(request).await;
        assert_eq!(status(&answer), "400", "{request} {answer}");
        assert!(answer.contains(said), "{request} {answer}");
    }
}

/// Requests that a strict reader and a lenient one would divide differently, each
/// with a second one hidden in it.
#[tokio::test]
async fn ambiguous_framing_is_400_and_hidden_request_is_never_served() {
    let mut stage = TestEdge::open();
    let hidden = "POST /hidden HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let head = |more: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let length = hidden.len();
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for request in [
        format!("{chunked}2;a\nx\r\n{{}}\r\n0\r\n\r\n"),
        format!("{chunked}2\n{{}}\n0\n\n"),
        format!("{chunked}\r\n\r\n"),
        format!("{chunked};ext\r\n\r\n"),
        format!("{chunked}0\r\nbad trailer\r\n\r\n"),
        format!("{}0\r\n\r\n", head(both)),
        format!(
            "{}0\r\n\r\n",
            head("transfer-encoding: chunked\r\ncontent-length: 0\r\n")
        ),
        format!(
            "{}0\r\n\r\n",
            head("Transfer-Encoding: chunked, chunked\r\n")
        ),
        format!(
            "{}0\r\n\r\n",
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")
        ),
        "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        head(&format!("Content-Length : {length}\r\n")),
        head(&format!("Content-Length: +{length}\r\n")),
        head(&format!("X: a\n\tContent-Length: {length}\r\n")),
        "POST /echo HTTP/1.1\nHost: a\n\n".to_owned(),
        "POST /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ] {
        // Also one byte at a time, so that no piece holds a whole line.
        for whole in [true, false] {
            let mut client = stage.connect().await;
            client.set_nodelay(true).unwrap();
            let bytes = format!("{request}{hidden}");
            for piece in bytes.as_bytes().chunks(if whole { bytes.len() } else { 1 }) {
                if client.write_all(piece).await.is_err() {
                    break;
                }
            }
            let answer = read_to_end(&mut client).await;
            assert_eq!(status(&answer), "400", "{request:?} {answer}");
            assert!(answer.contains("Connection: close\r\n"), "{answer}");
            assert_eq!(
                answer.matches("X-Request-Id").count(),
                1,
                "{request:?} {answer}"
            );
        }
    }
    // The bystander is served, and nothing else was.
    let answer = stage.send(&post_and_close("/echo", "{}", "")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/echo".to_owned())
    );
    assert!(stage.events.try_recv().is_err());
}

#[tokio::test]
async fn chunk_extensions_trailers_and_pipelining_are_read_exactly() {
    let stage = TestEdge::open();
    let first = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 7;name=\"a;b\"\r\n{\"n\":1}\r\n0;last\r\nDigest: x\r\n\r\n";
    let bytes = format!("{first}\r\n{}", post_and_close("/echo", "{\"n\":2}", ""));
    let answers = stage.send(&bytes).await;
    assert!(answers.contains("{\"n\":1}HTTP/1.1 200 "), "{answers}");
    assert!(answers.ends_with("{\"n\":2}"), "{answers}");
}

/// Sends a byte at a time until the edge closes the connection.
async fn send_slowly(client: &mut TcpStream, bytes: &str) {
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
async fn slow_head_is_408_and_missing_head_closes_connection() {
    let stage = TestEdge::with_server(|server| server.header_timeout_ms = 300);
    let mut client = stage.connect().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nA: ")
        .await
        .unwrap();
    within_timeout(send_slowly(&mut client, "x")).await;
    let answer = read_to_end(&mut client).await;
    assert_eq!(status(&answer), "408", "{answer}");

    let mut silent = stage.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");

    let mut kept = stage.connect().await;
    kept.write_all(post("/echo", "{}", "").as_bytes())
        .await
        .unwrap();
    read_until(&mut kept, "{}").await;
    let idle = Instant::now();
    assert_eq!(read_to_end(&mut kept).await, "");
    assert!(idle.elapsed() < TEST_TIMEOUT);
}

#[tokio::test]
async fn slow_body_is_408() {
    let stage = TestEdge::with_server(|server| server.body_timeout_ms = 300);
    let mut client = stage.connect().await;
    client
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n")
        .await
        .unwrap();
    within_timeout(send_slowly(&mut client, " ")).await;
    let answer = read_to_end(&mut client).await;
    assert_eq!(status(&answer), "408", "{answer}");
}

#[tokio::test]
async fn client_that_reads_nothing_hits_write_timeout() {
    let stage = TestEdge::with_server(|server| server.write_timeout_ms = 200);
    let mut client = stage.connect().await;
    let request = post("/large", "{}", "");
    client.write_all(request.as_bytes()).await.unwrap();
    stage.wait_for_metric(&requests_total("hung_up", 1)).await;
    stage.wait_for_metric("connections_open 0").await;
}

#[tokio::test]
async fn idle_connections_do_not_block_new_requests() {
    let stage = TestEdge::open();
    let mut idle = Vec::new();
    for _ in 0..900 {
        idle.push(stage.connect().await);
    }
    stage.wait_for_metric("connections_open 900").await;
    let answer = stage.send(&post_and_close("/echo", "{}", "")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    drop(idle);
    stage.wait_for_metric("connections_open 0").await;
}

/// Connections that each have a request in flight.
async fn hold_requests(stage: &mut TestEdge, count: usize) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(stage.start(&post_and_close("/held", "{}", "")).await);
    }
    held
}

#[tokio::test]
async fn connection_beyond_limit_waits_while_all_others_have_requests() {
    let mut stage = TestEdge::with_server(|server| server.max_connections = 2);
    let mut held = hold_requests(&mut stage, 2).await;
    let mut third = stage.connect().await;
    third
        .write_all(post_and_close("/echo", "{}", "").as_bytes())
        .await
        .unwrap();
    stage.release.notify_one();
    let answer = read_to_end(&mut third).await;
    assert_eq!(status(&answer), "200", "{answer}");
    stage.release.notify_one();
    for client in &mut held {
        assert_eq!(status(&read_to_end(client).await), "200");
    }
}

#[tokio::test]
async fn connections_whose_responses_are_not_read_make_room_for_new_ones() {
    let stage = TestEdge::with_server(|server| {
        server.max_connections = 4;
        server.write_timeout_ms = 600_000;
    });
    let written: Arc<[AtomicUsize; 3]> = Arc::default();
    let mut clients = JoinSet::new();
    for number in 0..3 {
        let (address, written) = (stage.address, Arc::clone(&written));
        clients.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            let mut client = socket.connect(address).await.unwrap();
            let request = post("/echo", &format!("\"{}\"", "x".repeat(1_000)), "");
            for part in [request.as_bytes()].repeat(40_000).concat().chunks(100_000) {
                client.write_all(part).await.unwrap();
                written[number].fetch_add(part.len(), Relaxed);
            }
            pending::<()>().await;
        });
    }
    // Until none of them can send more.
    let sum = || written.iter().map(|one| one.load(Relaxed)).sum::<usize>();
    let (mut before, mut unchanged) = (0, 0);
    while unchanged < 20 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        unchanged = if sum() == before && written.iter().all(|one| one.load(Relaxed) > 0) {
            unchanged + 1
        } else {
            0
        };
        before = sum();
    }
    for _ in 0..3 {
        let answer = stage.send(&post_and_close("/echo", "{}", "")).await;
        assert_eq!(status(&answer), "200", "{answer}");
    }
    // None was refused, and none sent everything.
    assert!(sum() < 3 * 40_000_000, "{}", sum());
    clients.abort_all();
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let stage = TestEdge::with_server(|server| server.max_connections = 8);
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut client = stage.connect().await;
        // Some send nothing, some part of a head, some were served before.
        match number % 3 {
            0 => {}
            1 => client.write_all(b"POST /").await.unwrap(),
            _ => {
                let request = post("/echo", "{}", "");
                client.write_all(request.as_bytes()).await.unwrap();
                read_until(&mut client, "{}").await;
            }
        }
        idle.push(client);
        let answer = stage.send(&post_and_close("/echo", "{}", "")).await;
        assert_eq!(status(&answer), "200", "{answer}");
        let answer = stage.get_admin("/livez").await;
        assert_eq!(status(&answer), "200", "{answer}");
    }
}

#[tokio::test]
async fn address_with_too_many_connections_in_use_gets_no_more() {
    let mut stage = TestEdge::with_server(|server| server.max_connections_per_address = 2);
    let _held = hold_requests(&mut stage, 2).await;
    assert_eq!(stage.send(&post_and_close("/echo", "{}", "")).await, "");
    stage
        .wait_for_metric("gatepost_connections_refused_total 1\n")
        .await;
    // From another address.
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut client = other.connect(stage.address).await.unwrap();
    client
        .write_all(post_and_close("/echo", "{}", "").as_bytes())
        .await
        .unwrap();
    assert_eq!(status(&read_to_end(&mut client).await), "200");
    stage.release.notify_one();
    stage.release.notify_one();
}
