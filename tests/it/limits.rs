//! Rate limits from outside, in memory and with a real Redis.

use std::{
    thread,
    time::{Duration, Instant},
};

use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::{
    log,
    pace::assert_takes_at_most,
    redis_server::RedisServer,
    test_gateway::{TestGateway, TestResponse, tool_call},
};

const JSON: &str = "Content-Type: application/json";

/// A configuration open to all local callers, with these limits and more.
fn open_config(limits: &str, more: &str) -> String {
    format!(
        r#"
[server]
anonymous_role = "reader"
[instances.demo]
url = "ODOO"
database = "demo"
api_key = "{ADMIN_KEY}"
[roles.reader]
rules = [{{ models = ["*"] }}]
[limits]
{limits}
{more}
"#
    )
}

/// A `[redis]` section with a long timeout, because the tests share two cores.
fn redis_section(server: &RedisServer, more: &str) -> String {
    format!(
        "[redis]\nurl = \"{}\"\ntimeout_ms = 2_000\nreplicas = 2\n{more}",
        server.url()
    )
}

fn count_call() -> Value {
    tool_call("count_records", &json!({ "model": "res.partner" }))
}

/// The number of calls that pass before one is rejected, at most 50.
fn allowed_calls(stage: &TestGateway) -> usize {
    (0..50)
        .take_while(|_| !stage.post(&count_call()).tool_result().1)
        .count()
}

fn retry_after_seconds(answer: &TestResponse) -> u64 {
    answer.header("retry-after").unwrap().parse().unwrap()
}

fn has_metric(stage: &TestGateway, line: &str) -> bool {
    stage
        .admin_get("/metrics")
        .body
        .lines()
        .any(|one| one == line)
}

fn redis_up_metric(is_up: bool) -> String {
    format!(
        "gatepost_redis_up{{used_for=\"limits\"}} {}",
        u8::from(is_up)
    )
}

/// Waits until the metrics contain this line.
fn wait_for_metric(stage: &TestGateway, line: &str) {
    let patience = Instant::now() + Duration::from_mins(2);
    while !has_metric(stage, line) {
        assert!(
            Instant::now() < patience,
            "{}",
            stage.admin_get("/metrics").body
        );
        // There is no event to wait for; polling less leaves time to other tests.
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn address_over_its_limit_gets_429_with_retry_after() {
    let stage = TestGateway::from_config(&open_config(
        "address_per_minute = 2\naddress_burst = 2",
        "",
    ));
    for _ in 0..2 {
        assert_eq!(stage.post(&count_call()).status, 200);
    }
    let answer = stage.post(&count_call());
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait = retry_after_seconds(&answer);
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(
        answer.body,
        format!("too many requests from this address; try again in {wait} s\n")
    );
    assert_eq!(answer.header("cache-control").unwrap(), "no-store");
    let origin = format!("Origin: http://{}", stage.address);
    let preflight = stage.request("OPTIONS", "/mcp", &[&origin], "");
    assert_eq!(preflight.status, 204, "{preflight:?}");
    let labels = r#"dimension="address",outcome="limited",store="memory""#;
    wait_for_metric(
        &stage,
        &format!("gatepost_limit_decisions_total{{{labels}}} 1"),
    );
}

#[test]
fn requests_without_a_token_and_for_streams_do_not_count_against_the_address() {
    let text = r#"
[instances.demo]
url = "ODOO"
database = "demo"
api_key = "KEY"
public_urls = ["https://gw.example.com/mcp"]
[providers.company]
issuer = "https://id.example.com"
client_id = "gatepost"
client_secret = "hunter2"
[roles.reader]
rules = [{ models = ["*"] }]
[[grants]]
roles = ["reader"]
provider_role = "odoo_reader"
[limits]
address_per_minute = 1
address_burst = 1
"#;
    let stage = TestGateway::from_config(&text.replace("KEY", ADMIN_KEY));
    let host = "Host: gw.example.com";
    let ask = |headers: &[&str]| {
        let headers: Vec<&str> = [host, JSON].iter().chain(headers).copied().collect();
        stage.request("POST", "/mcp", &headers, &count_call().to_string())
    };
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    for _ in 0..20 {
        assert_eq!(ask(&[]).status, 401);
        assert_eq!(stage.request("GET", metadata, &[host], "").status, 200);
    }
    let with_key = ["Authorization: Bearer gp_nothing"];
    // Clients of older revisions ask again and again for a stream.
    for _ in 0..20 {
        let headers = [host, "Accept: text/event-stream", with_key[0]];
        let answer = stage.request("GET", "/mcp", &headers, "");
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow").unwrap(), "POST, OPTIONS");
    }
    assert_eq!(ask(&with_key).status, 401);
    assert_eq!(ask(&with_key).status, 429);
    assert_eq!(ask(&[]).status, 401);
}

#[test]
fn caller_over_its_limit_gets_a_tool_error() {
    let stage =
        TestGateway::from_config(&open_config("caller_per_minute = 6\ncaller_burst = 2", ""));
    assert_eq!(allowed_calls(&stage), 2);
    let before = stage.fake_odoo.calls().len();
    let answer = stage.post(&count_call());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.error_kind(), "limited");
    let (text, is_error) = answer.tool_result();
    assert!(is_error);
    // How long to wait, in seconds.
    let mut words = text.split(' ').map(str::parse::<u64>);
    let seconds = words.find_map(Result::ok).unwrap();
    assert!((1..=10).contains(&seconds), "{text}");
    assert_eq!(stage.fake_odoo.calls().len(), before);
    // Requests that do not reach Odoo still work.
    for method in ["tools/list", "ping"] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method });
        assert!(stage.post(&message).json()["result"].is_object());
    }
    // An unknown tool does not reveal the remaining quota.
    let unknown = stage.post(&tool_call("drop_table", &json!({})));
    assert_eq!(unknown.json()["error"]["code"], -32602);
}

#[test]
fn every_call_in_a_batch_is_limited() {
    let stage = TestGateway::from_config(&open_config("read_per_minute = 1\nread_burst = 3", ""));
    let batch = Value::Array(vec![count_call(); 5]);
    let answers = stage.post(&batch).json();
    let rejected: Vec<bool> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["result"]["isError"] == json!(true))
        .collect();
    assert_eq!(rejected, [false, false, false, true, true]);
}

#[test]
fn rows_or_bytes_over_the_limit_delay_the_next_read() {
    let stage = TestGateway::from_config(&open_config("rows_per_minute = 6", ""));
    let search = tool_call(
        "search_records",
        &json!({ "model": "res.partner", "limit": 10 }),
    );
    assert!(!stage.post(&search).tool_result().1);
    let limited = |stage: &TestGateway, call: &Value| {
        let answer = stage.post(call);
        assert_eq!(answer.error_kind(), "limited");
        answer.tool_result().0
    };
    let text = limited(&stage, &search);
    // The alternatives that the error names work.
    for (tool, arguments) in [
        ("count_records", json!({"model": "res.partner"})),
        ("list_models", json!({})),
        ("describe_model", json!({"model": "res.partner"})),
    ] {
        assert!(text.contains(tool), "{text}");
        let (answer, is_error) = stage.post(&tool_call(tool, &arguments)).tool_result();
        assert!(!is_error, "{tool}: {answer}");
    }
    let read = tool_call("read_records", &json!({"model": "res.partner", "ids": [1]}));
    limited(&stage, &read);
    let is_limited = |stage: &TestGateway, what: &str| {
        let counted =
            format!("gatepost_limit_decisions_total{{dimension=\"{what}\",outcome=\"limited\",");
        stage.admin_get("/metrics").body.contains(&counted)
    };
    assert!(is_limited(&stage, "rows"));
    let stage = TestGateway::from_config(&open_config("bytes_per_minute = 100", ""));
    assert!(!stage.post(&search).tool_result().1);
    limited(&stage, &search);
    assert!(is_limited(&stage, "bytes"));
}

#[test]
fn role_limits_apply_and_reload_keeps_spent_usage() {
    let limits = "caller_per_minute = 1\ncaller_burst = 9";
    let role = |burst: u32| format!("[roles.reader.limits]\ncaller_burst = {burst}");
    let stage = TestGateway::from_config(&open_config(limits, &role(2)));
    assert_eq!(allowed_calls(&stage), 2);
    stage.reload(&open_config(limits, &role(2)));
    assert_eq!(allowed_calls(&stage), 0);
    stage.reload(&open_config(limits, &role(5)));
    assert_eq!(allowed_calls(&stage), 3);
}

#[test]
fn two_gateways_share_one_limit_through_redis() {
    let mut server = RedisServer::start();
    let limits = "caller_per_minute = 1\ncaller_burst = 6";
    let by_port = open_config(limits, &redis_section(&server, ""));
    let socket = format!("unix://{}", server.socket().display());
    let by_socket = by_port.replace(&server.url(), &socket);
    let (one, two) = (
        TestGateway::from_config(&by_port),
        TestGateway::from_config(&by_socket),
    );
    let from = log::length();
    for stage in [&one, &two, &one] {
        assert!(!stage.post(&count_call()).tool_result().1);
    }
    assert_eq!(allowed_calls(&two), 3);
    assert_eq!(allowed_calls(&one), 0);
    wait_for_metric(&one, &redis_up_metric(true));
    let keys = server.say("KEYS *");
    assert!(keys.contains("gatepost:caller:"), "{keys}");
    assert!(!keys.contains("anonymous"), "{keys}");

    // Losing the shared usage gives neither replica more than its share.
    server.kill();
    assert_eq!(allowed_calls(&one), 0);
    wait_for_metric(&one, &redis_up_metric(false));
    assert_eq!(
        one.admin_get("/readyz").json()["redis"]["answers"],
        json!(false)
    );
    assert!(log::written_since(from).contains(log::REDIS_LOST));

    server.restart();
    wait_for_metric(&one, &redis_up_metric(true));
    assert!(log::written_since(from).contains(log::REDIS_BACK));
}

#[test]
fn without_redis_each_gateway_allows_its_share() {
    let mut server = RedisServer::start();
    let limits = "caller_per_minute = 1\ncaller_burst = 6";
    let text = open_config(limits, &redis_section(&server, ""));
    server.kill();
    let (one, two) = (
        TestGateway::from_config(&text),
        TestGateway::from_config(&text),
    );
    assert_eq!((allowed_calls(&one), allowed_calls(&two)), (3, 3));
    let share = r#"dimension="caller",outcome="limited",store="share""#;
    wait_for_metric(
        &one,
        &format!("gatepost_limit_decisions_total{{{share}}} 1"),
    );
    server.restart();
    wait_for_metric(&one, &redis_up_metric(true));
    wait_for_metric(&two, &redis_up_metric(true));
    // Usage in the meantime is known only to the replica that served it.
    let together = allowed_calls(&one) + allowed_calls(&two);
    assert!(together <= 6, "{together}");
}

#[test]
fn fail_closed_gateway_answers_503_while_redis_hangs() {
    let server = RedisServer::start();
    let more = redis_section(&server, "when_down = \"fail_closed\"").replace("2_000", "600");
    let stage = TestGateway::from_config(&open_config("", &more));
    assert!(!stage.post(&count_call()).tool_result().1);
    server.stall();
    for attempt in 1..=6 {
        // It is tried three times and then skipped.
        let most = Duration::from_millis(if attempt > 3 { 500 } else { 3_000 });
        let usual = || drop(stage.admin_get("/metrics"));
        let answer = assert_takes_at_most(most, usual, || stage.post(&count_call()));
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(retry_after_seconds(&answer), 2);
    }
    let ready = stage.admin_get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["redis"]["answers"], json!(false), "{ready:?}");
    server.resume();
    wait_for_metric(&stage, &redis_up_metric(true));
    assert!(!stage.post(&count_call()).tool_result().1);
}

#[test]
fn fail_closed_gateway_without_redis_is_not_ready() {
    let mut server = RedisServer::start();
    let more = redis_section(&server, "when_down = \"fail_closed\"");
    server.kill();
    let stage = TestGateway::from_config(&open_config("", &more));
    let ready = stage.admin_get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["redis"]["answers"], json!(false), "{ready:?}");
    server.restart();
    wait_for_metric(&stage, &redis_up_metric(true));
    // Admin responses are cached for two seconds.
    let begun = Instant::now();
    while stage.admin_get("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_mins(2));
        thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn redis_config_errors_do_not_reveal_the_password() {
    let errors =
        |redis: &str| TestGateway::config_errors(&open_config("", redis), &[("two.txt", "a\nb")]);
    let texts = [
        "[redis]\nurl = \"redis://:hunter2@cache\"",
        "[redis]\nurl = \"cache:6379\"",
        "[redis]\nurl = \"redis://cache\"\npassword = \"hunter2\"\npassword_file = \"two.txt\"",
        "[redis]\nurl = \"redis://cache\"\npassword_file = \"none.txt\"",
        "[redis]\nurl = \"redis://cache\"\nprefix = \"a b\"",
        "[redis]\nurl = \"redis://cache\"\nwhen_down = \"open\"",
        "[redis]\nurl = \"rediss://cache\"\nca_file = \"two.txt\"",
    ]
    .map(errors);
    let text = texts.join("\n\n");
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}
