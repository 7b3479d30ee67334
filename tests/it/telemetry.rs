//! Traces at a collector, and metrics.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use gatepost::config::{Sources, load};
use odoo_sim::ADMIN_KEY;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde_json::{Value, json};

use crate::{
    log,
    pace::assert_takes_at_most,
    test_gateway::{TestGateway, tool_call},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Longer than any step here takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(2);

/// What a collector does with an export.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CollectorBehavior {
    /// Accepts all of it.
    Accepts,
    /// Answers 503 this many times, then accepts it.
    Unavailable(u32),
    /// Answers 400.
    BadRequest,
    /// Accepts all but this many spans.
    PartialSuccess(i64),
    /// Does not answer.
    Hangs,
}

/// A collector of traces that stores what it receives.
struct FakeCollector {
    url: String,
    /// Heads and bodies.
    received: mpsc::Receiver<(String, Vec<u8>)>,
    /// The connections that are not answered.
    _held: Arc<Mutex<Vec<TcpStream>>>,
}

impl FakeCollector {
    fn open(behavior: CollectorBehavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        let held = Arc::new(Mutex::new(Vec::new()));
        let holding = Arc::clone(&held);
        thread::spawn(move || {
            let mut left = if let CollectorBehavior::Unavailable(times) = behavior {
                times
            } else {
                0
            };
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some((head, body)) = read_request(&mut stream) else {
                    continue;
                };
                if sender.send((head, body)).is_err() {
                    return;
                }
                let (status, answer) = match behavior {
                    CollectorBehavior::Unavailable(_) if left > 0 => {
                        left -= 1;
                        ("503 Service Unavailable", Vec::new())
                    }
                    CollectorBehavior::Unavailable(_) | CollectorBehavior::Accepts => {
                        ("200 OK", Vec::new())
                    }
                    CollectorBehavior::BadRequest => ("400 Bad Request", Vec::new()),
                    CollectorBehavior::PartialSuccess(spans) => {
                        let partial = ExportTraceServiceResponse {
                            partial_success: Some(ExportTracePartialSuccess {
                                rejected_spans: spans,
                                error_message: "too many".to_owned(),
                            }),
                        };
                        ("200 OK", partial.encode_to_vec())
                    }
                    CollectorBehavior::Hangs => {
                        holding.lock().unwrap().push(stream);
                        continue;
                    }
                };
                let length = answer.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        Self {
            url,
            received,
            _held: held,
        }
    }

    /// Waits for the next export and decodes its spans.
    fn next_spans(&self) -> Vec<Span> {
        let (_, body) = self.received.recv_timeout(TEST_TIMEOUT).unwrap();
        decode_spans(&body)
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn decode_spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|one| {
        let name = string_attribute(&one.resource.unwrap().attributes, "service.name");
        assert_eq!(name, "gatepost");
        one.scope_spans
    });
    scopes.flat_map(|scope| scope.spans).collect()
}

fn string_attribute(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Any::StringValue(text)) => text,
        None => String::new(),
        other => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A gateway with anonymous callers that exports traces to this URL.
fn start_traced(url: &str, more: &[(&str, &str)]) -> TestGateway {
    let mut settings = vec![
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_ADMIN__LISTEN", "127.0.0.1:0"),
        ("GATEPOST_TELEMETRY__OTLP_URL", url),
    ];
    settings.extend_from_slice(more);
    TestGateway::with_key(ADMIN_KEY, &settings)
}

/// A call that counts records, with this `_meta`.
fn count_call(meta: &Value) -> Value {
    let mut call = tool_call("count_records", &json!({"model": "res.partner"}));
    call["params"]["_meta"] = meta.clone();
    call
}

fn post_ok(stage: &TestGateway, headers: &[&str], message: &Value) {
    let mut all = vec!["Content-Type: application/json"];
    all.extend_from_slice(headers);
    let answer = stage.request("POST", "/mcp", &all, &message.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// `traceparent` and `tracestate` of each call that Odoo received.
fn trace_headers_at_odoo(stage: &TestGateway) -> Vec<(String, String)> {
    let header = |headers: &http::HeaderMap, name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let calls = stage.fake_odoo.calls();
    let calls = calls.iter().filter(|call| call.path.starts_with("/json/"));
    calls
        .map(|call| {
            (
                header(&call.headers, "traceparent"),
                header(&call.headers, "tracestate"),
            )
        })
        .collect()
}

/// Waits until the metrics contain a line.
fn wait_for_metric(stage: &TestGateway, line: &str) {
    let until = Instant::now() + TEST_TIMEOUT;
    loop {
        let metrics = stage.admin_get("/metrics").body;
        if metrics.contains(line) {
            return;
        }
        assert!(Instant::now() < until, "{line} in\n{metrics}");
    }
}

#[test]
fn request_span_is_child_of_client_span_and_parent_of_odoo_spans() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    let meta = json!({"traceparent": TRACEPARENT, "tracestate": "rojo=1", "baggage": "who=mara"});
    post_ok(&stage, &[], &count_call(&meta));
    let spans = collector.next_spans();
    let (server, calls) = spans.split_first().unwrap();
    assert_eq!(server.name, "tools/call count_records");
    assert_eq!(server.kind, i32::from(SpanKind::Server));
    assert_eq!(hex(&server.trace_id), TRACE);
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(server.flags, 0x301);
    assert_eq!(server.trace_state, "rojo=1");
    assert!(server.status.is_none());
    let attributes: Vec<String> = server
        .attributes
        .iter()
        .filter(|attribute| attribute.key != "request.id")
        .map(|one| {
            format!(
                "{}={}",
                one.key,
                string_attribute(&server.attributes, &one.key)
            )
        })
        .collect();
    insta::assert_snapshot!(attributes.join("\n"), @r"
    mcp.method.name=tools/call
    mcp.protocol.version=2025-03-26
    jsonrpc.request.id=1
    network.transport=tcp
    network.protocol.name=http
    gen_ai.operation.name=execute_tool
    gen_ai.tool.name=count_records
    instance.name=demo
    ");
    assert!(!calls.is_empty());
    for call in calls {
        assert_eq!(call.kind, i32::from(SpanKind::Client));
        assert_eq!(call.trace_id, server.trace_id);
        assert_eq!(call.parent_span_id, server.span_id);
        assert_eq!(call.flags, 0x101);
        assert!(call.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(call.end_time_unix_nano <= server.end_time_unix_nano);
    }
    let last = calls.last().unwrap();
    assert_eq!(last.name, "search_count res.partner");
    assert_eq!(
        string_attribute(&last.attributes, "odoo.model"),
        "res.partner"
    );
    // Odoo received exactly these spans, in this order.
    let spans: Vec<_> = calls
        .iter()
        .map(|call| format!("00-{TRACE}-{}-01", hex(&call.span_id)))
        .collect();
    let received = trace_headers_at_odoo(&stage);
    let parents: Vec<_> = received.iter().map(|(parent, _)| parent.clone()).collect();
    assert_eq!(parents, spans);
    assert!(received.iter().all(|(_, state)| state == "rojo=1"));
    let lines = log::lines_with(TRACE);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("trace_id=") && line.contains("request.id="))
    );
}

#[test]
fn message_trace_context_takes_precedence_and_header_is_linked() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    let header = "traceparent: 00-11111111111111111111111111111111-2222222222222222-01";
    post_ok(
        &stage,
        &[header],
        &count_call(&json!({"traceparent": TRACEPARENT})),
    );
    let server = &collector.next_spans()[0];
    assert_eq!(hex(&server.trace_id), TRACE);
    assert_eq!(hex(&server.links[0].trace_id), "1".repeat(32));
    assert_eq!(hex(&server.links[0].span_id), "2".repeat(16));
    // A malformed context in the message counts as none.
    for meta in [
        json!({}),
        json!({"traceparent": "00-zz-1-01"}),
        json!({"traceparent": 7}),
    ] {
        post_ok(
            &stage,
            &[header, "tracestate: a=1", "tracestate: b=2"],
            &count_call(&meta),
        );
        let server = &collector.next_spans()[0];
        assert_eq!(hex(&server.trace_id), "1".repeat(32), "{meta}");
        assert_eq!(server.trace_state, "a=1,b=2");
        assert!(server.links.is_empty());
    }
}

#[test]
fn new_trace_uses_request_id_as_trace_id() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    post_ok(&stage, &[], &count_call(&json!({})));
    let spans = collector.next_spans();
    let server = &spans[0];
    assert_eq!(
        hex(&server.trace_id),
        string_attribute(&server.attributes, "request.id")
    );
    assert!(server.parent_span_id.is_empty());
    assert!(
        trace_headers_at_odoo(&stage)[0]
            .0
            .starts_with(&format!("00-{}-", hex(&server.trace_id)))
    );
}

#[test]
fn without_collector_client_trace_is_propagated_and_none_is_started() {
    let stage = TestGateway::anonymous();
    post_ok(&stage, &[], &count_call(&json!({})));
    for wrong in [
        "",
        "00-1-1-01",
        &TRACEPARENT.to_uppercase(),
        &format!("{TRACEPARENT}-more"),
    ] {
        post_ok(&stage, &[], &count_call(&json!({"traceparent": wrong})));
    }
    let twice = format!("traceparent: {TRACEPARENT}");
    post_ok(&stage, &[&twice, &twice], &count_call(&json!({})));
    assert!(
        trace_headers_at_odoo(&stage)
            .iter()
            .all(|(parent, state)| parent.is_empty() && state.is_empty())
    );
    let before = trace_headers_at_odoo(&stage).len();
    let meta = json!({"traceparent": TRACEPARENT, "tracestate": "rojo=1,congo=t61r"});
    post_ok(&stage, &[], &count_call(&meta));
    post_ok(&stage, &[], &count_call(&meta));
    let received = trace_headers_at_odoo(&stage).split_off(before);
    for (parent, state) in &received {
        assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"));
        assert!(!parent.contains(PARENT));
        assert_eq!(state, "rojo=1,congo=t61r");
    }
    assert!(received.len() > 1 && received[0].0 != received[1].0);
}

#[test]
fn unsampled_request_is_not_exported_and_odoo_gets_unsampled_flag() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[("GATEPOST_TELEMETRY__SAMPLE_RATIO", "0")]);
    post_ok(&stage, &[], &count_call(&json!({})));
    let unsampled = TRACEPARENT.replace("-01", "-00");
    post_ok(&stage, &[], &count_call(&json!({"traceparent": unsampled})));
    assert!(
        trace_headers_at_odoo(&stage)
            .iter()
            .all(|(parent, _)| parent.ends_with("-00"))
    );
    post_ok(
        &stage,
        &[],
        &count_call(&json!({"traceparent": TRACEPARENT})),
    );
    // A client cannot ask for more than the ratio.
    let metrics = stage.admin_get("/metrics").body;
    assert!(
        !metrics.contains("otel_sdk_processor_span_processed_total{"),
        "{metrics}"
    );
}

#[test]
fn span_has_error_type_but_no_caller_or_arguments() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    let secret = "Azure-Interior-Secret";
    let domain = json!([["name", "=", secret], ["no_such_field", "=", 1]]);
    let call = tool_call(
        "search_records",
        &json!({"model": "res.partner", "domain": domain}),
    );
    post_ok(&stage, &[], &call);
    post_ok(&stage, &[], &tool_call("no_such_tool", &json!({})));
    let (_, body) = collector.received.recv_timeout(TEST_TIMEOUT).unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(!text.contains(secret) && !text.contains(ADMIN_KEY) && !text.contains("anonymous"));
    let mut all = decode_spans(&body);
    if !all.iter().any(|span| span.name == "tools/call") {
        all.extend(collector.next_spans());
    }
    let failed = |name: &str| {
        let span = all.iter().find(|span| span.name == name).unwrap();
        assert_eq!(
            span.status.as_ref().unwrap().code,
            i32::from(StatusCode::Error)
        );
        string_attribute(&span.attributes, "error.type")
    };
    assert_eq!(failed("tools/call search_records"), "tool_error");
    assert_eq!(failed("tools/call"), "-32602");
}

#[test]
fn configured_caller_and_collector_headers_are_sent() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "Authorization: Basic c2VjcmV0\n\nX-Scope: odoo\n").unwrap();
    let more = [
        (
            "GATEPOST_TELEMETRY__OTLP_HEADERS_FILE",
            file.to_str().unwrap(),
        ),
        ("GATEPOST_TELEMETRY__INCLUDE_CALLER", "true"),
    ];
    let stage = start_traced(&collector.url, &more);
    post_ok(&stage, &[], &count_call(&json!({})));
    let (head, body) = collector.received.recv_timeout(TEST_TIMEOUT).unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    for line in [
        "authorization: basic c2vjcmv0",
        "x-scope: odoo",
        "content-type: application/x-protobuf",
    ] {
        assert!(head.contains(line), "{line} in\n{head}");
    }
    assert_eq!(
        string_attribute(&decode_spans(&body)[0].attributes, "enduser.id"),
        "anonymous"
    );
}

#[test]
fn hanging_collector_delays_no_call_and_shutdown_only_briefly() {
    let collector = FakeCollector::open(CollectorBehavior::Hangs);
    let stage = start_traced(
        &collector.url,
        &[("GATEPOST_SERVER__DRAIN_TIMEOUT_MS", "200")],
    );
    post_ok(&stage, &[], &count_call(&json!({})));
    collector.received.recv_timeout(TEST_TIMEOUT).unwrap();
    // An export that waits for the collector takes ten seconds.
    let usual = || drop(stage.admin_get("/metrics"));
    assert_takes_at_most(Duration::from_secs(10), usual, || {
        for _ in 0..20 {
            post_ok(&stage, &[], &count_call(&json!({})));
        }
    });
    let started = Instant::now();
    drop(stage);
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[test]
fn spans_beyond_queue_capacity_are_dropped_and_counted() {
    let collector = FakeCollector::open(CollectorBehavior::Hangs);
    let stage = start_traced(
        &collector.url,
        &[("GATEPOST_SERVER__DRAIN_TIMEOUT_MS", "200")],
    );
    post_ok(&stage, &[], &count_call(&json!({})));
    collector.received.recv_timeout(TEST_TIMEOUT).unwrap();
    // Twenty in a body: the queue holds four thousand.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let batch = Value::Array(vec![ping; 20]);
    for _ in 0..215 {
        post_ok(&stage, &[], &batch);
    }
    wait_for_metric(
        &stage,
        "otel_sdk_processor_span_processed_total{error_type=\"queue_full\"} ",
    );
}

#[test]
fn recovered_collector_gets_retried_spans_and_failure_is_logged_once() {
    let collector = FakeCollector::open(CollectorBehavior::Unavailable(2));
    let stage = start_traced(&collector.url, &[]);
    post_ok(
        &stage,
        &[],
        &count_call(&json!({"traceparent": TRACEPARENT})),
    );
    let first = collector.next_spans();
    assert_eq!(first, collector.next_spans());
    assert_eq!(first, collector.next_spans());
    let line = format!(
        "otel_sdk_exporter_span_exported_total{{error_type=\"\"}} {}\n",
        first.len()
    );
    wait_for_metric(&stage, &line);
    // No other test has a collector that answers 503.
    let lines = log::lines_with("it answered 503");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!log::lines_with("Resumed exporting traces").is_empty());
}

#[test]
fn rejected_spans_are_counted_and_not_retried() {
    let collector = FakeCollector::open(CollectorBehavior::BadRequest);
    let stage = start_traced(&collector.url, &[]);
    post_ok(
        &stage,
        &[],
        &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    );
    wait_for_metric(
        &stage,
        "otel_sdk_exporter_span_exported_total{error_type=\"not_taken\"} 1\n",
    );
    let collector = FakeCollector::open(CollectorBehavior::PartialSuccess(1));
    let stage = start_traced(&collector.url, &[]);
    post_ok(
        &stage,
        &[],
        &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    );
    wait_for_metric(
        &stage,
        "otel_sdk_exporter_span_exported_total{error_type=\"rejected\"} 1\n",
    );
}

#[test]
fn queued_spans_are_exported_on_shutdown() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    post_ok(
        &stage,
        &[],
        &count_call(&json!({"traceparent": TRACEPARENT})),
    );
    drop(stage);
    // Shutdown has exported it already.
    let (_, body) = collector.received.try_recv().unwrap();
    assert_eq!(hex(&decode_spans(&body)[0].trace_id), TRACE);
}

#[test]
fn each_request_of_a_batch_is_counted_and_traced_separately() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    let mut call = count_call(&json!({"traceparent": TRACEPARENT}));
    call["id"] = json!("second");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    post_ok(&stage, &[], &json!([ping, call]));
    let spans = collector.next_spans();
    let servers: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == i32::from(SpanKind::Server))
        .map(|span| (span.name.as_str(), hex(&span.trace_id) == TRACE))
        .collect();
    assert_eq!(
        servers,
        [("ping", false), ("tools/call count_records", true)]
    );
    for (method, tool) in [("ping", ""), ("tools/call", "count_records")] {
        wait_for_metric(
            &stage,
            &format!(
                "mcp_server_operation_duration_seconds_count{{error_type=\"\",gen_ai_tool_name=\"{tool}\",instance=\"demo\",mcp_method_name=\"{method}\",network_transport=\"tcp\"}} 1\n"
            ),
        );
    }
}

#[test]
fn doubtful_collector_settings_give_warnings() {
    let one = [
        ("ODOO_URL", "http://odoo:8069"),
        ("ODOO_API_KEY", "key"),
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_ROLES__READER__RULES", r#"[{ models = ["*"] }]"#),
    ];
    let warned = |key: &'static str, value: &'static str| {
        let settings = one.into_iter().chain([(key, value)]);
        let checked = load(&Sources::with_environment(None, settings)).unwrap();
        let warnings = checked.warnings.iter().map(ToString::to_string);
        let of_ours = warnings.filter(|text| text.contains("TELEMETRY"));
        of_ours.collect::<String>()
    };
    let url = "GATEPOST_TELEMETRY__OTLP_URL";
    assert_eq!(warned(url, "http://collector:4318"), "");
    let file = "tests/fixtures/config/authority.pem";
    let texts = [
        warned(url, "http://collector:4317"),
        warned(url, "http://traces.example.com"),
        warned("GATEPOST_TELEMETRY__OTLP_CA_FILE", file),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn metrics_report_odoo_availability_and_connections() {
    let collector = FakeCollector::open(CollectorBehavior::Accepts);
    let stage = start_traced(&collector.url, &[]);
    post_ok(&stage, &[], &count_call(&json!({})));
    wait_for_metric(&stage, "gatepost_odoo_up{instance=\"demo\"} 1\n");
    let metrics = stage.admin_get("/metrics").body;
    // The sample company closes the connection after each response, as Odoo does.
    for line in [
        "gatepost_odoo_connections_open{instance=\"demo\"} 0\n",
        "gatepost_odoo_calls_in_flight{instance=\"demo\"} 0\n",
        "gatepost_odoo_calls_waiting{instance=\"demo\"} 0\n",
        "gatepost_requests_in_flight{instance=\"demo\"} 0\n",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let opened = metrics
        .lines()
        .find_map(|line| line.strip_prefix("gatepost_odoo_connections_total{instance=\"demo\"} "));
    assert!(opened.unwrap().parse::<usize>().unwrap() >= trace_headers_at_odoo(&stage).len());
}
