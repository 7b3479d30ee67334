//! Whether the metrics say what they should, and the documents name what there is.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use super::{ErrorLabels, HttpOutcome, Metrics, MetricsSnapshot, RequestOutcome, StoreStatus};
use crate::{
    telemetry::{ErrorSource, Readiness, RequestLog, RpcErrorType, RpcOperation, TokenLookup},
    tools,
};
use gatepost_base::{InstanceName, ProviderName, Subject, TraceId};
use gatepost_mcp::{Body, Inbound, Transport};
use gatepost_odoo_client::ClientStats;
use gatepost_state::{
    limits::{self, LimitDecision, LimitScope, LimitStore},
    store::StoreErrorReason,
};

const OPERATIONS_DOC: &str = include_str!("../../../docs/operations.md");

fn http_outcome(outcome: RequestOutcome) -> HttpOutcome {
    HttpOutcome {
        outcome,
        duration: Duration::from_millis(300),
        size_bytes: 2_000,
        is_stdio: false,
    }
}

#[test]
fn own_duration_excludes_odoo_time() {
    let metrics = Metrics::new();
    let mut story = RequestLog::new(TraceId::new(1));
    story.instance = Some(InstanceName::try_from("staging").unwrap());
    story.tool = Some("count_records");
    story.odoo_calls = 2;
    story.odoo_time = Duration::from_millis(298);
    metrics.record(&story, &http_outcome(RequestOutcome::Answered));
    let text = metrics.encode(&MetricsSnapshot::default()).unwrap();
    for line in [
        r#"gatepost_request_duration_seconds_sum{instance="staging"} 0.3"#,
        r#"gatepost_own_duration_seconds_sum{instance="staging"} 0.002"#,
        r#"gatepost_odoo_duration_seconds_sum{instance="staging"} 0.298"#,
        r#"gatepost_odoo_calls_total{instance="staging",tool="count_records"} 2"#,
        r#"gatepost_answer_size_bytes_sum{instance="staging"} 2000.0"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn error_is_counted_by_type_and_source_without_caller() {
    let metrics = Metrics::new();
    let mut story = RequestLog::new(TraceId::new(1));
    story.caller = Some(Subject::verified("mara@example.com"));
    story.error_source = Some(ErrorSource::Policy);
    story.error_type = Some("forbidden");
    metrics.record(&story, &http_outcome(RequestOutcome::Refused));
    let text = metrics.encode(&MetricsSnapshot::default()).unwrap();
    assert!(text.contains(
        r#"gatepost_refusals_total{refusal="forbidden",blame="policy",instance="none"} 1"#
    ));
    assert!(!text.contains("mara"), "{text}");
}

#[test]
fn in_flight_request_counts_for_one_instance_until_dropped() {
    let metrics = Metrics::new();
    let counts = |instance: &str, n: u32| {
        let line = format!("gatepost_requests_in_flight{{instance=\"{instance}\"}} {n}\n");
        metrics
            .encode(&MetricsSnapshot::default())
            .unwrap()
            .contains(&line)
    };
    let mut one = metrics.start_request();
    assert!(counts("none", 1));
    one.set_instance(&InstanceName::try_from("staging").unwrap());
    assert!(counts("none", 0) && counts("staging", 1));
    drop(one);
    assert!(counts("none", 0) && counts("staging", 0));
}

#[test]
fn series_per_instance_stay_below_limit() {
    let metrics = Metrics::new();
    let mut tools = 0;
    for tool in tools::ALL {
        tools += 1;
        for revision in ["2025-06-18", "2025-11-25"] {
            for failure in [None, Some(RpcErrorType::Tool)] {
                let mut story = RequestLog::new(TraceId::new(1));
                story.instance = Some(InstanceName::try_from("staging").unwrap());
                story.revision = Some(revision);
                story.tool = Some(tool.name);
                story.error_source = failure.map(|_| ErrorSource::Odoo);
                story.error_type = failure.map(|_| "odoo_rule");
                story.odoo_calls = 1;
                story.operations.push(RpcOperation {
                    method: "tools/call",
                    revision,
                    tool: Some(tool.name),
                    id: "1".to_owned(),
                    error_type: failure,
                    started: Instant::now(),
                    duration: Duration::from_millis(20),
                    span: None,
                    call_spans: Vec::new(),
                });
                metrics.record(&story, &http_outcome(RequestOutcome::Answered));
            }
        }
    }
    let text = metrics.encode(&MetricsSnapshot::default()).unwrap();
    let of_instance = text.lines().filter(|line| line.contains("\"staging\""));
    let lines = of_instance.count();
    assert!(tools >= 13, "{tools} tools");
    assert!(lines < 475, "{lines} lines");
    // All of them are there: each tool by what it did, with its buckets.
    assert!(lines > tools * 2 * 12, "{lines} lines");
}

/// Metrics of which none is empty: those are not written.
fn all_metrics() -> String {
    let metrics = Metrics::new();
    let instance = InstanceName::try_from("staging").unwrap();
    let mut story = RequestLog::new(TraceId::new(1));
    story.instance = Some(instance.clone());
    story.error_source = Some(ErrorSource::Odoo);
    story.error_type = Some("odoo_busy");
    story.token_lookup = Some(TokenLookup::Accepted);
    story.odoo_calls = 1;
    story.rate_limit_checks.push(LimitDecision {
        scope: LimitScope::Address,
        outcome: limits::LimitOutcome::Allowed,
        store: LimitStore::Memory,
    });
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    if let Ok(Body::Single(envelope)) = Body::parse(ping)
        && let Ok(Inbound::Request(request)) = envelope.classify(&Transport::Stdio)
    {
        story.start_operation(&request);
        story.end_operation();
    }
    metrics.record(&story, &http_outcome(RequestOutcome::Refused));
    metrics.set_redis_up(Some(true));
    metrics.set_audit_up(Some(true));
    let spans = metrics.span_counts();
    drop(spans.processed.get_or_create(&ErrorLabels::none()));
    drop(spans.exported.get_or_create(&ErrorLabels::none()));
    let _in_flight = metrics.start_request();
    let traffic = ClientStats {
        in_flight: 1,
        queued: 2,
        open_connections: 3,
        connections_opened: 4,
    };
    let seen = MetricsSnapshot {
        upstream: vec![(instance.clone(), traffic)],
        readiness: Readiness {
            instances: vec![(instance, Ok(()))],
            providers: vec![(ProviderName::try_from("company").unwrap(), Ok(()))],
            audit: None,
            state_store: Some(Ok(())),
            limits: Some(Ok(())),
        },
        store: StoreStatus {
            kind: "file",
            is_available: Some(true),
            failures: vec![(
                gatepost_state::store::StoreOperation::PutIfAbsent,
                StoreErrorReason::Full,
                1,
            )],
        },
    };
    metrics.encode(&seen).unwrap()
}

/// Name and type of each metric, as they are announced.
fn declared_types(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

/// Each name under which a sample stands, with those that a histogram may have.
fn sample_names() -> BTreeSet<String> {
    let text = all_metrics();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

/// The words in a text that look like names of metrics of ours.
fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words
        .filter(|word| {
            ["gatepost_", "mcp_server_", "otel_sdk_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn operations_doc_lists_exactly_the_metrics_with_types_and_labels() {
    let text = all_metrics();
    let mut rows = BTreeSet::new();
    let table = OPERATIONS_DOC
        .lines()
        .skip_while(|line| *line != "## Metrics");
    for row in table
        .take_while(|line| *line != "## Alerts")
        .filter(|row| row.starts_with("| `"))
    {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let labels: BTreeSet<String> = cells[3]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        let sample = text
            .lines()
            .find(|line| {
                line.starts_with(&name) && !line.starts_with('#') && !line.contains("le=\"")
            })
            .unwrap_or_else(|| panic!("there is no `{name}`"));
        let inside = sample.split_once('{').map_or("", |(_, rest)| rest);
        let written = inside
            .split("=\"")
            .map(|part| part.rsplit(['"', ',']).next().unwrap());
        let mut written: BTreeSet<String> = written.map(str::to_owned).collect();
        written.retain(|label| {
            label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                && !label.is_empty()
        });
        assert_eq!(labels, written, "{row}\n{sample}");
        rows.insert((name, cells[2].to_owned()));
    }
    let announced = declared_types(&text)
        .into_iter()
        .map(|(name, kind)| match kind.as_str() {
            // OpenMetrics announces them without the ends of their samples.
            "counter" => (format!("{name}_total"), kind),
            "info" => (format!("{name}_info"), kind),
            _ => (name, kind),
        });
    assert_eq!(rows, announced.collect());
}

#[test]
fn rules_and_dashboard_name_only_existing_metrics() {
    let samples = sample_names();
    for file in [
        "compose/prometheus/rules.yml",
        "compose/prometheus/rules_test.yml",
        "compose/grafana/dashboards/gatepost.json",
        "docs/operations.md",
    ] {
        let named = metric_names(&fs::read_to_string(file).unwrap());
        assert!(named.len() >= 5, "{file}: {named:?}");
        for name in named {
            // A histogram is called without the ends of its samples in the document.
            let known = samples.contains(&name) || samples.contains(&format!("{name}_bucket"));
            assert!(known, "{file}: `{name}`");
        }
    }
}

#[test]
fn every_alert_is_documented_and_tested() {
    let rules = fs::read_to_string("compose/prometheus/rules.yml").unwrap();
    let tried = fs::read_to_string("compose/prometheus/rules_test.yml").unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 9, "{alerts:?}");
    for alert in alerts {
        assert!(
            OPERATIONS_DOC.contains(&format!("| `{alert}` |")),
            "{alert}"
        );
        assert!(tried.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}
