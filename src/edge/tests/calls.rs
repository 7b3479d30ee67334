//! Calls: answers, notices, hang-ups, bugs.

use tokio::io::AsyncWriteExt;

use super::{Sign, Stage, last_post, plain, post, rest, until};

const EVENTS: &str = "Accept: application/json, text/event-stream\r\n";
const ONLY_EVENTS: &str = "Accept: text/event-stream\r\n";

#[tokio::test]
async fn a_quick_call_is_answered_as_json_with_its_length() {
    let stage = Stage::open();
    let answer = stage.say(&last_post("/echo", "{\"a\":1}", EVENTS)).await;
    insta::assert_snapshot!(plain(&answer), @r#"
    HTTP/1.1 200 OK
    Content-Type: application/json
    Content-Length: 7
    Connection: close

    {"a":1}
    "#);
    assert!(answer.to_ascii_lowercase().contains("\r\nx-request-id: "));
}

#[tokio::test]
async fn the_gateway_gets_the_head_as_it_was_sent() {
    let stage = Stage::open();
    let answer = stage
        .say("POST /head?q=1 HTTP/1.1\r\nHost: Example:8080\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.ends_with(r#""POST /head Some(\"Example:8080\") true true""#),
        "{answer}"
    );
    // RFC 9112 section 3.2.2: the absolute form names the host as well.
    let absolute =
        "POST http://Example:8080/head HTTP/1.1\r\nHost: Example:8080\r\nConnection: close\r\n\r\n";
    let answer = stage.say(absolute).await;
    assert!(
        answer.ends_with(r#""POST /head Some(\"Example:8080\") true true""#),
        "{answer}"
    );
}

#[tokio::test]
async fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let stage = Stage::open();
    let three = [
        post("/echo", "{\"n\":1}", ""),
        post("/echo", "{\"n\":2}", ""),
        last_post("/echo", "{\"n\":3}", ""),
    ];
    let answers = stage.say(&three.concat()).await;
    let at = |text| answers.find(text).unwrap_or_else(|| panic!("{answers}"));
    assert!(at("{\"n\":1}") < at("{\"n\":2}") && at("{\"n\":2}") < at("{\"n\":3}"));
}

#[tokio::test]
async fn a_request_that_follows_during_a_call_waits_and_does_not_count_as_a_hang_up() {
    let mut stage = Stage::open();
    let mut client = stage.connect().await;
    client
        .write_all(post("/held", "{}", "").as_bytes())
        .await
        .unwrap();
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
    client
        .write_all(last_post("/echo", "{\"n\":2}", "").as_bytes())
        .await
        .unwrap();
    stage.release.notify_one();
    let answers = rest(&mut client).await;
    assert!(answers.contains("{\"held\":1}"), "{answers}");
    assert!(answers.ends_with("{\"n\":2}"), "{answers}");
}

#[tokio::test]
async fn notices_make_the_answer_an_event_stream() {
    let stage = Stage::open();
    let answer = stage.say(&last_post("/notices", "{}", EVENTS)).await;
    insta::assert_snapshot!(plain(&dechunked(&answer)), @r#"
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
async fn a_client_that_takes_no_events_gets_the_answer_alone() {
    let stage = Stage::open();
    let answer = stage.say(&last_post("/notices", "{}", "")).await;
    assert!(answer.contains("application/json"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"last\":1}"), "{answer}");
}

#[tokio::test]
async fn http_1_0_gets_no_stream() {
    let stage = Stage::open();
    let request = format!("POST /notices HTTP/1.0\r\n{EVENTS}Content-Length: 2\r\n\r\n{{}}");
    let answer = stage.say(&request).await;
    assert!(answer.contains("Content-Length: 10\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"last\":1}"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_only_events_gets_json_as_one_and_errors_as_they_are() {
    let stage = Stage::open();
    let answer = stage.say(&last_post("/echo", "{}", ONLY_EVENTS)).await;
    assert!(
        answer.contains("Content-Type: text/event-stream"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nevent: message\ndata: {}\n\n"),
        "{answer}"
    );
    let answer = stage.say(&last_post("/wrong", "{}", ONLY_EVENTS)).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("application/json"), "{answer}");
    let answer = stage.say(&last_post("/quiet", "{}", ONLY_EVENTS)).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.contains("Content-Length: 0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_long_call_becomes_a_stream_that_says_that_it_lives() {
    let mut stage = Stage::with(|server| {
        server.event_stream_after_ms = 1;
        server.heartbeat_ms = 1;
    });
    let mut client = stage.connect().await;
    let request = last_post("/held", "{}", EVENTS);
    client.write_all(request.as_bytes()).await.unwrap();
    until(&mut client, ": still working").await;
    until(&mut client, ": still working").await;
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
    stage.release.notify_one();
    let answer = dechunked(&rest(&mut client).await);
    assert!(
        answer.ends_with("event: message\ndata: {\"held\":1}\n\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_call() {
    let mut stage = Stage::open();
    for half in [false, true] {
        let mut client = stage.connect().await;
        let request = post("/held", "{}", "");
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
        // To close one's half looks the same from here, so it counts the same.
        if half {
            client.shutdown().await.unwrap();
        } else {
            drop(client);
        }
        assert_eq!(stage.sign().await, Sign::Cancelled("/held".to_owned()));
    }
    stage.metric(r#"outcome="hung_up",blame="none"} 2"#).await;
    stage
        .metric(r#"requests_in_flight{instance="none"} 0"#)
        .await;
}

#[tokio::test]
async fn a_client_that_hangs_up_on_a_stream_cancels_its_call() {
    let mut stage = Stage::with(|server| server.event_stream_after_ms = 1);
    let mut client = stage.connect().await;
    let request = post("/held", "{}", EVENTS);
    client.write_all(request.as_bytes()).await.unwrap();
    until(&mut client, ": still working").await;
    assert_eq!(stage.sign().await, Sign::Began("/held".to_owned()));
    drop(client);
    assert_eq!(stage.sign().await, Sign::Cancelled("/held".to_owned()));
}

#[tokio::test]
async fn a_bug_is_answered_with_the_number_of_the_request_and_nothing_else_ends() {
    let stage = Stage::open();
    for path in ["/panic", "/panic-at-once"] {
        let answer = stage.say(&last_post(path, "{}", "")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        let (_, id) = lower.split_once("x-request-id: ").unwrap();
        let (id, _) = id.split_at(32);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"internal error, request {id}"}}}}"#
        );
        assert!(answer.ends_with(&body), "{answer}");
    }
    let answer = stage.say(&last_post("/echo", "{}", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stage
        .metric(r#"refusals_total{refusal="bug",blame="us",instance="none"} 2"#)
        .await;
}

#[tokio::test]
async fn head_gets_the_length_and_no_body() {
    let stage = Stage::open();
    let answer = stage
        .say("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.contains("Content-Length: 2\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

/// The chunks of an answer put together.
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
