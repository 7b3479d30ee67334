//! What operators are told: traces at a collector, and metrics.

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
    stage::{Stage, calling},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a collector does with what it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// It takes all of it.
    Takes,
    /// It answers 503 so often, and then takes it.
    Busy(u32),
    /// It says that it never wants to see it again.
    Refuses,
    /// It takes it, but for so many spans.
    Rejects(i64),
    /// It says nothing.
    Hangs,
}

/// A collector of traces that keeps what it is sent.
struct Collector {
    url: String,
    /// Heads and bodies as they came.
    received: mpsc::Receiver<(String, Vec<u8>)>,
    /// Those that say nothing hold their connections.
    _held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Collector {
    fn open(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        let held = Arc::new(Mutex::new(Vec::new()));
        let holding = Arc::clone(&held);
        thread::spawn(move || {
            let mut left = if let Mood::Busy(times) = mood {
                times
            } else {
                0
            };
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some((head, body)) = read(&mut stream) else {
                    continue;
                };
                if sender.send((head, body)).is_err() {
                    return;
                }
                let (status, answer) = match mood {
                    Mood::Busy(_) if left > 0 => {
                        left -= 1;
                        ("503 Service Unavailable", Vec::new())
                    }
                    Mood::Busy(_) | Mood::Takes => ("200 OK", Vec::new()),
                    Mood::Refuses => ("400 Bad Request", Vec::new()),
                    Mood::Rejects(spans) => {
                        let partly = ExportTraceServiceResponse {
                            partial_success: Some(ExportTracePartialSuccess {
                                rejected_spans: spans,
                                error_message: "too many".to_owned(),
                            }),
                        };
                        ("200 OK", partly.encode_to_vec())
                    }
                    Mood::Hangs => {
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

    /// The next spans that come.
    fn spans(&self) -> Vec<Span> {
        let (_, body) = self.received.recv_timeout(PATIENCE).unwrap();
        spans(&body)
    }
}

fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
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

fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|one| {
        let name = text(&one.resource.unwrap().attributes, "service.name");
        assert_eq!(name, "gatepost");
        one.scope_spans
    });
    scopes.flat_map(|scope| scope.spans).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
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

/// A gateway that everybody may use, with traces going there.
fn traced(url: &str, more: &[(&str, &str)]) -> Stage {
    let mut settings = vec![
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_ADMIN__LISTEN", "127.0.0.1:0"),
        ("GATEPOST_TELEMETRY__OTLP_URL", url),
    ];
    settings.extend_from_slice(more);
    Stage::with(ADMIN_KEY, &settings)
}

/// A call that counts records, with more in its `_meta`.
fn counting(meta: &Value) -> Value {
    let mut call = calling("count_records", &json!({"model": "res.partner"}));
    call["params"]["_meta"] = meta.clone();
    call
}

fn posted(stage: &Stage, headers: &[&str], message: &Value) {
    let mut all = vec!["Content-Type: application/json"];
    all.extend_from_slice(headers);
    let answer = stage.request("POST", "/mcp", &all, &message.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// What Odoo was told as `traceparent` and `tracestate`, call by call.
fn told(stage: &Stage) -> Vec<(String, String)> {
    let header = |headers: &http::HeaderMap, name: &str| {
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let calls = stage.company.calls();
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

/// Waits until a metric has a value.
fn metric(stage: &Stage, line: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let metrics = stage.admin("/metrics").body;
        if metrics.contains(line) {
            return;
        }
        assert!(Instant::now() < until, "{line} in\n{metrics}");
    }
}

#[test]
fn a_request_is_a_step_of_the_clients_trace_and_each_call_to_odoo_one_below_it() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    let meta = json!({"traceparent": TRACEPARENT, "tracestate": "rojo=1", "baggage": "who=mara"});
    posted(&stage, &[], &counting(&meta));
    let spans = collector.spans();
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
        .map(|one| format!("{}={}", one.key, text(&server.attributes, &one.key)))
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
    assert_eq!(text(&last.attributes, "odoo.model"), "res.partner");
    // Odoo was told of exactly these steps, in this order.
    let steps: Vec<_> = calls
        .iter()
        .map(|call| format!("00-{TRACE}-{}-01", hex(&call.span_id)))
        .collect();
    let told = told(&stage);
    let parents: Vec<_> = told.iter().map(|(parent, _)| parent.clone()).collect();
    assert_eq!(parents, steps);
    assert!(told.iter().all(|(_, state)| state == "rojo=1"));
    let lines = log::lines_with(TRACE);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("trace_id=") && line.contains("request.id="))
    );
}

#[test]
fn the_word_of_the_message_wins_over_the_header_which_is_linked() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    let header = "traceparent: 00-11111111111111111111111111111111-2222222222222222-01";
    posted(
        &stage,
        &[header],
        &counting(&json!({"traceparent": TRACEPARENT})),
    );
    let server = &collector.spans()[0];
    assert_eq!(hex(&server.trace_id), TRACE);
    assert_eq!(hex(&server.links[0].trace_id), "1".repeat(32));
    assert_eq!(hex(&server.links[0].span_id), "2".repeat(16));
    // What the message says wrongly, it does not say.
    for meta in [
        json!({}),
        json!({"traceparent": "00-zz-1-01"}),
        json!({"traceparent": 7}),
    ] {
        posted(
            &stage,
            &[header, "tracestate: a=1", "tracestate: b=2"],
            &counting(&meta),
        );
        let server = &collector.spans()[0];
        assert_eq!(hex(&server.trace_id), "1".repeat(32), "{meta}");
        assert_eq!(server.trace_state, "a=1,b=2");
        assert!(server.links.is_empty());
    }
}

#[test]
fn a_trace_that_begins_here_has_the_number_of_the_request() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    posted(&stage, &[], &counting(&json!({})));
    let spans = collector.spans();
    let server = &spans[0];
    assert_eq!(
        hex(&server.trace_id),
        text(&server.attributes, "request.id")
    );
    assert!(server.parent_span_id.is_empty());
    assert!(
        told(&stage)[0]
            .0
            .starts_with(&format!("00-{}-", hex(&server.trace_id)))
    );
}

#[test]
fn without_a_collector_a_clients_trace_is_handed_on_and_none_begins_here() {
    let stage = Stage::open();
    posted(&stage, &[], &counting(&json!({})));
    for wrong in [
        "",
        "00-1-1-01",
        &TRACEPARENT.to_uppercase(),
        &format!("{TRACEPARENT}-more"),
    ] {
        posted(&stage, &[], &counting(&json!({"traceparent": wrong})));
    }
    let twice = format!("traceparent: {TRACEPARENT}");
    posted(&stage, &[&twice, &twice], &counting(&json!({})));
    assert!(
        told(&stage)
            .iter()
            .all(|(parent, state)| parent.is_empty() && state.is_empty())
    );
    let before = told(&stage).len();
    let meta = json!({"traceparent": TRACEPARENT, "tracestate": "rojo=1,congo=t61r"});
    posted(&stage, &[], &counting(&meta));
    posted(&stage, &[], &counting(&meta));
    let told = told(&stage).split_off(before);
    for (parent, state) in &told {
        assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"));
        assert!(!parent.contains(PARENT));
        assert_eq!(state, "rojo=1,congo=t61r");
    }
    assert!(told.len() > 1 && told[0].0 != told[1].0);
}

#[test]
fn what_the_client_or_the_ratio_leaves_out_is_not_kept_and_odoo_hears_so() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[("GATEPOST_TELEMETRY__SAMPLE_RATIO", "0")]);
    posted(&stage, &[], &counting(&json!({})));
    let unkept = TRACEPARENT.replace("-01", "-00");
    posted(&stage, &[], &counting(&json!({"traceparent": unkept})));
    assert!(
        told(&stage)
            .iter()
            .all(|(parent, _)| parent.ends_with("-00"))
    );
    posted(&stage, &[], &counting(&json!({"traceparent": TRACEPARENT})));
    let kept = collector.spans();
    assert!(kept.iter().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!(
        kept.iter()
            .filter(|span| span.name.starts_with("tools/"))
            .count(),
        1
    );
}

#[test]
fn a_span_says_how_it_failed_and_neither_who_nor_what_it_was_about() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    let secret = "Azure-Interior-Secret";
    let domain = json!([["name", "=", secret], ["no_such_field", "=", 1]]);
    let call = calling(
        "search_records",
        &json!({"model": "res.partner", "domain": domain}),
    );
    posted(&stage, &[], &call);
    posted(&stage, &[], &calling("no_such_tool", &json!({})));
    let (_, body) = collector.received.recv_timeout(PATIENCE).unwrap();
    let told = String::from_utf8_lossy(&body).into_owned();
    assert!(!told.contains(secret) && !told.contains(ADMIN_KEY) && !told.contains("anonymous"));
    let mut all = spans(&body);
    if !all.iter().any(|span| span.name == "tools/call") {
        all.extend(collector.spans());
    }
    let failed = |name: &str| {
        let span = all.iter().find(|span| span.name == name).unwrap();
        assert_eq!(
            span.status.as_ref().unwrap().code,
            i32::from(StatusCode::Error)
        );
        text(&span.attributes, "error.type")
    };
    assert_eq!(failed("tools/call search_records"), "tool_error");
    assert_eq!(failed("tools/call"), "-32602");
}

#[test]
fn the_caller_and_header_fields_for_the_collector_are_sent_where_they_are_configured() {
    let collector = Collector::open(Mood::Takes);
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
    let stage = traced(&collector.url, &more);
    posted(&stage, &[], &counting(&json!({})));
    let (head, body) = collector.received.recv_timeout(PATIENCE).unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    for line in [
        "authorization: basic c2vjcmv0",
        "x-scope: odoo",
        "content-type: application/x-protobuf",
    ] {
        assert!(head.contains(line), "{line} in\n{head}");
    }
    assert_eq!(text(&spans(&body)[0].attributes, "enduser.id"), "anonymous");
}

#[test]
fn a_collector_that_hangs_delays_no_call_and_the_end_only_a_little() {
    let collector = Collector::open(Mood::Hangs);
    let stage = traced(
        &collector.url,
        &[("GATEPOST_SERVER__DRAIN_TIMEOUT_MS", "200")],
    );
    posted(&stage, &[], &counting(&json!({})));
    collector.received.recv_timeout(PATIENCE).unwrap();
    let begun = Instant::now();
    for _ in 0..20 {
        posted(&stage, &[], &counting(&json!({})));
    }
    // The collector would have kept each of them for ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(10));
    let begun = Instant::now();
    drop(stage);
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn spans_for_which_there_is_no_room_are_dropped_and_counted() {
    let collector = Collector::open(Mood::Hangs);
    let stage = traced(
        &collector.url,
        &[("GATEPOST_SERVER__DRAIN_TIMEOUT_MS", "200")],
    );
    posted(&stage, &[], &counting(&json!({})));
    collector.received.recv_timeout(PATIENCE).unwrap();
    // Twenty in a body: the queue holds four thousand.
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let batch = Value::Array(vec![ping; 20]);
    for _ in 0..215 {
        posted(&stage, &[], &batch);
    }
    metric(
        &stage,
        "otel_sdk_processor_span_processed_total{error_type=\"queue_full\"} ",
    );
}

#[test]
fn a_collector_that_comes_back_gets_what_it_missed_and_the_log_says_it_once() {
    let collector = Collector::open(Mood::Busy(2));
    let stage = traced(&collector.url, &[]);
    posted(&stage, &[], &counting(&json!({"traceparent": TRACEPARENT})));
    let first = collector.spans();
    assert_eq!(first, collector.spans());
    assert_eq!(first, collector.spans());
    let line = format!(
        "otel_sdk_exporter_span_exported_total{{error_type=\"\"}} {}\n",
        first.len()
    );
    metric(&stage, &line);
    // Nobody else here answers that.
    let lines = log::lines_with("it answers 503");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!log::lines_with("Hands over traces again").is_empty());
}

#[test]
fn spans_that_a_collector_does_not_want_are_counted_and_not_offered_again() {
    let collector = Collector::open(Mood::Refuses);
    let stage = traced(&collector.url, &[]);
    posted(
        &stage,
        &[],
        &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    );
    metric(
        &stage,
        "otel_sdk_exporter_span_exported_total{error_type=\"not_taken\"} 1\n",
    );
    let collector = Collector::open(Mood::Rejects(1));
    let stage = traced(&collector.url, &[]);
    posted(
        &stage,
        &[],
        &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
    );
    metric(
        &stage,
        "otel_sdk_exporter_span_exported_total{error_type=\"rejected\"} 1\n",
    );
}

#[test]
fn what_is_not_handed_over_yet_is_when_the_gateway_leaves() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    posted(&stage, &[], &counting(&json!({"traceparent": TRACEPARENT})));
    drop(stage);
    // It is there by now: nothing has to be waited for.
    let (_, body) = collector.received.try_recv().unwrap();
    assert_eq!(hex(&spans(&body)[0].trace_id), TRACE);
}

#[test]
fn each_request_of_a_batch_is_counted_and_traced_by_itself() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    let mut call = counting(&json!({"traceparent": TRACEPARENT}));
    call["id"] = json!("second");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    posted(&stage, &[], &json!([ping, call]));
    let spans = collector.spans();
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
        metric(
            &stage,
            &format!(
                "mcp_server_operation_duration_seconds_count{{mcp_method_name=\"{method}\",gen_ai_tool_name=\"{tool}\",error_type=\"\",network_transport=\"tcp\",instance=\"demo\"}} 1\n"
            ),
        );
    }
}

#[test]
fn doubtful_ways_to_a_collector_are_told() {
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
    assert!(warned(url, "http://collector:4317").contains("gRPC"));
    assert!(warned(url, "http://traces.example.com").contains("unencrypted"));
    let file = "tests/fixtures/config/odoo.key";
    let alone = warned("GATEPOST_TELEMETRY__OTLP_CA_FILE", file);
    assert!(alone.contains("no use without `otlp_url`"), "{alone}");
}

#[test]
fn metrics_say_who_answers_and_how_many_connections_there_are() {
    let collector = Collector::open(Mood::Takes);
    let stage = traced(&collector.url, &[]);
    posted(&stage, &[], &counting(&json!({})));
    metric(&stage, "gatepost_odoo_up{instance=\"demo\"} 1\n");
    let metrics = stage.admin("/metrics").body;
    // The sample company closes after each answer, as Odoo's workers do.
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
    assert!(opened.unwrap().parse::<usize>().unwrap() >= told(&stage).len());
}
