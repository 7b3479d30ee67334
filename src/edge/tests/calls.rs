//! Calls: responses, messages, disconnects, panics.

use tokio::io::AsyncWriteExt;

use super::{
    HostEvent, TestEdge, post, post_and_close, read_to_end, read_until, requests_total,
    stable_lines,
};

const EVENTS: &str = "Accept: application/json, text/event-stream\r\n";
const ONLY_EVENTS: &str = "Accept: text/event-stream\r\n";

#[tokio::test]
async fn quick_call_gets_json_response_with_content_length() {
    let stage = TestEdge::open();
    let answer = stage
        .send(&post_and_close("/echo", "{\"a\":1}", EVENTS))
        .await;
    insta::assert_snapshot!(stable_lines(&answer), @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Content-Length: 7
    Connection: close

    {"a":1}
    "#);
    assert!(answer.to_ascii_lowercase().contains("\r\nx-request-id: "));
}

#[tokio::test]
async fn gateway_receives_head_as_sent() {
    let stage = TestEdge::open();
    let answer = stage
        .send("POST /head?q=1 HTTP/1.1\r\nHost: Example:8080\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.ends_with(r#""POST /head Some(\"Example:8080\") true true""#),
        "{answer}"
    );
    // RFC 9112 section 3.2.2: the absolute form names the host as well.
    let absolute =
        "POST http://Example:8080/head HTTP/1.1\r\nHost: Example:8080\r\nConnection: close\r\n\r\n";
    let answer = stage.send(absolute).await;
    assert!(
        answer.ends_with(r#""POST /head Some(\"Example:8080\") true true""#),
        "{answer}"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let stage = TestEdge::open();
    let three = [
        post("/echo", "{\"n\":1}", ""),
        post("/echo", "{\"n\":2}", ""),
        post_and_close("/echo", "{\"n\":3}", ""),
    ];
    let answers = stage.send(&three.concat()).await;
    let at = |text| answers.find(text).unwrap_or_else(|| panic!("{answers}"));
    assert!(at("{\"n\":1}") < at("{\"n\":2}") && at("{\"n\":2}") < at("{\"n\":3}"));
}

#[tokio::test]
async fn pipelined_request_during_call_is_not_a_disconnect() {
    let mut stage = TestEdge::open();
    let mut client = stage.start(&post("/held", "{}", "")).await;
    client
        .write_all(post_and_close("/echo", "{\"n\":2}", "").as_bytes())
        .await
        .unwrap();
    stage.release.notify_one();
    let answers = read_to_end(&mut client).await;
    assert!(answers.contains("{\"held\":1}"), "{answers}");
    assert!(answers.ends_with("{\"n\":2}"), "{answers}");
}

#[tokio::test]
async fn server_messages_turn_response_into_event_stream() {
    let stage = TestEdge::open();
    let answer = stage.send(&post_and_close("/notices", "{}", EVENTS)).await;
    insta::assert_snapshot!(stable_lines(&dechunked(&answer)), @r#"
    HTTP/1.1 200 OK
    Content-Type: text/event-stream
    Cache-Control: no-cache, no-transform
    x-accel-buffering: no
    Transfer-Encoding: chunked
    Connection: close

    event: message
    data: {"n":1}

    event: message
    data: {"n":2}

    event: message
    data: {"n":3}

    event: message
    data: {"last":1}
    "#);
}

#[tokio::test]
async fn client_without_event_stream_gets_only_json_response() {
    let stage = TestEdge::open();
    let answer = stage.send(&post_and_close("/notices", "{}", "")).await;
    assert!(answer.contains("application/json"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"last\":1}"), "{answer}");
}

#[tokio::test]
async fn http_1_0_gets_no_event_stream() {
    let stage = TestEdge::open();
    let request = format!("POST /notices HTTP/1.0\r\n{EVENTS}Content-Length: 2\r\n\r\n{{}}");
    let answer = stage.send(&request).await;
    assert!(answer.contains("Content-Length: 10\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"last\":1}"), "{answer}");
}

#[tokio::test]
async fn client_requiring_event_stream_gets_json_as_event_and_plain_errors() {
    let stage = TestEdge::open();
    let answer = stage
        .send(&post_and_close("/echo", "{}", ONLY_EVENTS))
        .await;
    assert!(
        answer.contains("Content-Type: text/event-stream"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nevent: message\ndata: {}\n\n"),
        "{answer}"
    );
    let answer = stage
        .send(&post_and_close("/wrong", "{}", ONLY_EVENTS))
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("application/json"), "{answer}");
    let answer = stage
        .send(&post_and_close("/quiet", "{}", ONLY_EVENTS))
        .await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.contains("Content-Length: 0\r\n"), "{answer}");
}

#[tokio::test]
async fn long_call_becomes_event_stream_with_heartbeats() {
    let mut stage = TestEdge::with_server(|server| {
        server.event_stream_after_ms = 1;
        server.heartbeat_ms = 1;
    });
    let mut client = stage.connect().await;
    let request = post_and_close("/held", "{}", EVENTS);
    client.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut client, ": still working").await;
    read_until(&mut client, ": still working").await;
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/held".to_owned())
    );
    stage.release.notify_one();
    let answer = dechunked(&read_to_end(&mut client).await);
    assert!(
        answer.ends_with("event: message\ndata: {\"held\":1}\n\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn reset_cancels_call_and_half_close_does_not() {
    let mut stage = TestEdge::open();
    let mut client = stage.start(&post("/held", "{}", "")).await;
    client.shutdown().await.unwrap();
    // Read after the half-close, on another connection.
    stage.send(&post_and_close("/echo", "{}", "")).await;
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/echo".to_owned())
    );
    stage.release.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.ends_with("{\"held\":1}"), "{answer}");

    let client = stage.start(&post("/held", "{}", "")).await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(
        stage.next_event().await,
        HostEvent::Cancelled("/held".to_owned())
    );
    stage.wait_for_metric(&requests_total("hung_up", 1)).await;
    stage
        .wait_for_metric(r#"requests_in_flight{instance="none"} 0"#)
        .await;
}

#[tokio::test]
async fn half_close_on_event_stream_does_not_cancel_call() {
    let mut stage = TestEdge::with_server(|server| server.event_stream_after_ms = 1);
    let mut client = stage.connect().await;
    let request = post_and_close("/held", "{}", EVENTS);
    client.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut client, ": still working").await;
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/held".to_owned())
    );
    client.shutdown().await.unwrap();
    // One comment at once, and more although the interval is a minute.
    read_until(&mut client, ": still working").await;
    read_until(&mut client, ": still working").await;
    stage.release.notify_one();
    let answer = dechunked(&read_to_end(&mut client).await);
    assert!(answer.contains("data: {\"held\":1}"), "{answer}");
}

#[tokio::test]
async fn client_disconnect_on_event_stream_cancels_call() {
    let mut stage = TestEdge::with_server(|server| server.event_stream_after_ms = 1);
    let mut client = stage.connect().await;
    let request = post("/held", "{}", EVENTS);
    client.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut client, ": still working").await;
    assert_eq!(
        stage.next_event().await,
        HostEvent::Started("/held".to_owned())
    );
    drop(client);
    assert_eq!(
        stage.next_event().await,
        HostEvent::Cancelled("/held".to_owned())
    );
}

#[tokio::test]
async fn panic_returns_request_id_and_server_continues() {
    let stage = TestEdge::open();
    for path in ["/panic", "/panic-at-once"] {
        let answer = stage.send(&post_and_close(path, "{}", "")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        let (_, id) = lower.split_once("x-request-id: ").unwrap();
        let (id, _) = id.split_at(32);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"internal error, request {id}"}}}}"#
        );
        assert!(answer.ends_with(&body), "{answer}");
    }
    let answer = stage.send(&post_and_close("/echo", "{}", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stage
        .wait_for_metric(r#"refusals_total{blame="us",instance="none",refusal="bug"} 2"#)
        .await;
}

#[tokio::test]
async fn head_request_gets_content_length_and_no_body() {
    let stage = TestEdge::open();
    let answer = stage
        .send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.contains("Content-Length: 2\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

/// The body of a chunked response.
fn dechunked(answer: &str) -> String {
    let (head, mut rest) = answer
        .split_once("\r\n\r\n")
        .filter(|(head, _)| head.starts_with("HTTP/"))
        .map_or((None, answer), |(head, rest)| (Some(head), rest));
    let mut all = head.map_or(String::new(), |head| format!("{head}\r\n\r\n"));
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        let (chunk, more) = more.split_at(size);
        all.push_str(chunk);
        rest = more.strip_prefix("\r\n").unwrap();
    }
    all
}
