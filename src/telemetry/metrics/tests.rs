//! Tests that the metrics are complete and consistent with the documents.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{HttpOutcome, Metrics, RequestOutcome, label::OrEmpty};
use crate::{
    telemetry::{
        ChangeOutcome, ErrorSource, RequestLog, RpcErrorType, RpcOperation, TokenLookupOutcome,
    },
    tools,
};
use gatepost_base::{InstanceName, ProviderName, Subject, TraceId};
use gatepost_mcp::{Body, Inbound, Transport};
use gatepost_state::{
    limits::{self, LimitDecision, LimitScope, LimitStore},
    store::{StoreErrorReason, StoreOperation},
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
    let mut log = RequestLog::new(TraceId::new(1));
    log.instance = Some(InstanceName::try_from("staging").unwrap());
    log.tool = Some("count_records");
    log.odoo_calls = 2;
    log.odoo_time = Duration::from_millis(298);
    metrics.record(&log, &http_outcome(RequestOutcome::Answered));
    let text = metrics.encode(|_| {}).unwrap();
    for line in [
        r#"gatepost_request_duration_seconds_sum{instance="staging"} 0.3"#,
        r#"gatepost_own_duration_seconds_sum{instance="staging"} 0.002"#,
        r#"gatepost_odoo_duration_seconds_sum{instance="staging"} 0.298"#,
        r#"gatepost_odoo_calls_total{instance="staging",tool="count_records"} 2"#,
        r#"gatepost_answer_size_bytes_sum{instance="staging"} 2000"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn error_is_counted_by_type_and_source_without_caller() {
    let metrics = Metrics::new();
    let mut log = RequestLog::new(TraceId::new(1));
    log.caller = Some(Subject::verified("mara@example.com"));
    log.error_source = Some(ErrorSource::Policy);
    log.error_type = Some("forbidden");
    metrics.record(&log, &http_outcome(RequestOutcome::Refused));
    let text = metrics.encode(|_| {}).unwrap();
    assert!(text.contains(
        r#"gatepost_refusals_total{blame="policy",instance="none",refusal="forbidden"} 1"#
    ));
    assert!(!text.contains("mara"), "{text}");
}

#[test]
fn in_flight_request_counts_for_one_instance_until_dropped() {
    let metrics = Metrics::new();
    let counts = |instance: &str, n: u32| {
        let line = format!("gatepost_requests_in_flight{{instance=\"{instance}\"}} {n}\n");
        metrics.encode(|_| {}).unwrap().contains(&line)
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
                let mut log = RequestLog::new(TraceId::new(1));
                log.instance = Some(InstanceName::try_from("staging").unwrap());
                log.revision = Some(revision);
                log.tool = Some(tool.name);
                log.error_source = failure.map(|_| ErrorSource::Odoo);
                log.error_type = failure.map(|_| "odoo_rule");
                log.odoo_calls = 1;
                log.operations.push(RpcOperation {
                    method: "tools/call",
                    revision,
                    tool: Some(tool.name),
                    id: "1".to_owned(),
                    error_type: failure,
                    change: None,
                    started: Instant::now(),
                    duration: Duration::from_millis(20),
                    span: None,
                    call_spans: Vec::new(),
                });
                metrics.record(&log, &http_outcome(RequestOutcome::Answered));
            }
        }
    }
    let text = metrics.encode(|_| {}).unwrap();
    let of_instance = text.lines().filter(|line| line.contains("\"staging\""));
    let lines = of_instance.count();
    assert!(tools >= 13, "{tools} tools");
    assert!(lines < 475, "{lines} lines");
    // All of them exist: each tool by operation, with its buckets.
    assert!(lines > tools * 2 * 12, "{lines} lines");
}

/// Metrics with at least one sample each, because empty ones are not written.
fn all_metrics() -> String {
    let metrics = Metrics::new();
    let instance = InstanceName::try_from("staging").unwrap();
    let mut log = RequestLog::new(TraceId::new(1));
    log.instance = Some(instance.clone());
    log.error_source = Some(ErrorSource::Odoo);
    log.error_type = Some("odoo_busy");
    log.token_lookup = Some(TokenLookupOutcome::Accepted);
    log.odoo_calls = 1;
    log.rate_limit_checks.push(LimitDecision {
        scope: LimitScope::Address,
        outcome: limits::LimitOutcome::Allowed,
        store: LimitStore::Memory,
    });
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    if let Ok(Body::Single(envelope)) = Body::parse(ping)
        && let Ok(Inbound::Request(request)) = envelope.classify(&Transport::Stdio)
    {
        log.start_operation(&request);
        log.set_change_outcome(ChangeOutcome::Applied);
        log.end_operation();
    }
    metrics.record(&log, &http_outcome(RequestOutcome::Refused));
    let _in_flight = metrics.start_request();
    let provider = ProviderName::try_from("company").unwrap();
    metrics
        .encode(|metrics| {
            metrics.gatepost_audit_up().set(1);
            metrics.gatepost_tasks().set(1);
            metrics
                .gatepost_certificate_expires_timestamp_seconds()
                .set(1);
            metrics.gatepost_config_last_reload_successful().set(1);
            metrics
                .gatepost_config_last_reload_success_timestamp_seconds()
                .set(1);
            metrics.gatepost_ledger_bytes("file").set(2);
            metrics.gatepost_ledger_limit_bytes("file").set(3);
            metrics.gatepost_log_lines_dropped_total().inc();
            metrics.gatepost_ledger_up("file").set(1);
            metrics
                .gatepost_ledger_failures_total(
                    StoreOperation::PutIfAbsent,
                    StoreErrorReason::Full,
                    "file",
                )
                .inc();
            metrics.gatepost_odoo_up(&instance).set(1);
            metrics
                .gatepost_odoo_key_expires_timestamp_seconds(None, &instance)
                .set(1);
            metrics.gatepost_odoo_calls_in_flight(&instance).set(1);
            metrics.gatepost_odoo_calls_waiting(&instance).set(2);
            metrics.gatepost_odoo_connections_open(&instance).set(3);
            metrics.gatepost_odoo_connections_total(&instance).inc_by(4);
            metrics.gatepost_provider_up(&provider).set(1);
            metrics.gatepost_redis_up("limits").set(1);
            metrics
                .otel_sdk_exporter_span_exported_total(OrEmpty(None))
                .inc();
            metrics
                .otel_sdk_processor_span_processed_total(OrEmpty(None))
                .inc();
        })
        .unwrap()
}

/// The name and type of each metric, as exposed.
fn declared_types(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

/// Every name that a sample may have, including those of a histogram.
fn sample_names() -> BTreeSet<String> {
    let text = all_metrics();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

/// The words in a text that are in the form of our metric names.
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
    assert_eq!(rows, declared_types(&text));
}

/// A scrape exposes families, types and help as Prometheus requires.
#[test]
fn promtool_accepts_all_metrics() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`scripts/needs` installs promtool");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(all_metrics().as_bytes()).unwrap();
    drop(input);
    let checked = promtool.wait_with_output().unwrap();
    let objections = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{objections}");
    assert_eq!(objections, "");
}

/// The names, help, types and bounds that dashboards and rules rely on.
#[test]
fn metrics_have_the_published_names_help_and_types() {
    let text = all_metrics();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    insta::assert_snapshot!(heads.join("\n"));
}

/// `prometheus` hashes the label values of a series without separators.
#[test]
fn label_values_with_equal_concatenation_do_not_share_a_series() {
    let metrics = Metrics::new();
    for (tool, instance) in [("ab", "c"), ("a", "bc"), ("abc", "none")] {
        let instance = InstanceName::try_from(instance).unwrap();
        metrics
            .gatepost_odoo_calls_total(Some(tool), Some(&instance))
            .inc();
    }
    metrics.gatepost_odoo_calls_total(Some("abc"), None).inc();
    for (method, tool) in [("ab", Some("c")), ("a", Some("bc")), ("abc", None)] {
        metrics
            .mcp_server_operation_duration_seconds(
                method,
                OrEmpty(tool),
                OrEmpty(None),
                "tcp",
                None,
            )
            .observe(1.0);
    }
    let text = metrics.encode(|_| {}).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| {
            line.starts_with("gatepost_odoo_calls_total{")
                || line.starts_with("mcp_server_operation_duration_seconds_count{")
        })
        .collect();
    // An instance called `none` has the label of no instance.
    insta::assert_snapshot!(lines.join("\n"));
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
            // The document names a histogram without the suffixes of its samples.
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
