//! Whether the metrics say what they should, and the documents name what there is.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use super::{ErrorLabels, Metrics, Outcome, Remembered, Seen, Served};
use crate::{
    gateway::{Blame, Failure, LookUp, Operation, Readiness, Story},
    tools,
};
use gatepost_base::{InstanceName, ProviderName, Subject, TraceId};
use gatepost_mcp::{Body, Inbound, Transport};
use gatepost_odoo_client::Traffic;
use gatepost_state::{
    limits::{self, Counted, Dimension, Store},
    store::Reason,
};

const DOCUMENT: &str = include_str!("../../../docs/operations.md");

fn served(outcome: Outcome) -> Served {
    Served {
        outcome,
        duration: Duration::from_millis(300),
        size_bytes: 2_000,
        local: false,
    }
}

#[test]
fn our_own_time_is_counted_apart_from_odoos() {
    let metrics = Metrics::new();
    let mut story = Story::new(TraceId::new(1));
    story.instance = Some(InstanceName::try_from("staging").unwrap());
    story.tool = Some("count_records");
    story.odoo_calls = 2;
    story.odoo_time = Duration::from_millis(298);
    metrics.count(&story, &served(Outcome::Answered));
    let text = metrics.encode(&Seen::default()).unwrap();
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
fn a_refusal_is_counted_by_reason_and_blame_and_names_nobody() {
    let metrics = Metrics::new();
    let mut story = Story::new(TraceId::new(1));
    story.caller = Some(Subject::proved("mara@example.com"));
    story.blame = Some(Blame::Policy);
    story.refusal = Some("forbidden");
    metrics.count(&story, &served(Outcome::Refused));
    let text = metrics.encode(&Seen::default()).unwrap();
    assert!(text.contains(
        r#"gatepost_refusals_total{refusal="forbidden",blame="policy",instance="none"} 1"#
    ));
    assert!(!text.contains("mara"), "{text}");
}

#[test]
fn what_is_under_way_counts_until_it_is_dropped_and_of_one_instance_at_a_time() {
    let metrics = Metrics::new();
    let counts = |instance: &str, n: u32| {
        let line = format!("gatepost_requests_in_flight{{instance=\"{instance}\"}} {n}\n");
        metrics.encode(&Seen::default()).unwrap().contains(&line)
    };
    let mut one = metrics.begin();
    assert!(counts("none", 1));
    one.is_for(&InstanceName::try_from("staging").unwrap());
    assert!(counts("none", 0) && counts("staging", 1));
    drop(one);
    assert!(counts("none", 0) && counts("staging", 0));
}

#[test]
fn an_instance_whose_every_tool_was_called_and_failed_in_two_revisions_costs_little() {
    let metrics = Metrics::new();
    let mut tools = 0;
    for tool in &tools::ALL {
        tools += 1;
        for revision in ["2025-06-18", "2025-11-25"] {
            for failure in [None, Some(Failure::Tool)] {
                let mut story = Story::new(TraceId::new(1));
                story.instance = Some(InstanceName::try_from("staging").unwrap());
                story.revision = Some(revision);
                story.tool = Some(tool.name);
                story.blame = failure.map(|_| Blame::Odoo);
                story.refusal = failure.map(|_| "odoo_rule");
                story.odoo_calls = 1;
                story.operations.push(Operation {
                    method: "tools/call",
                    revision,
                    tool: Some(tool.name),
                    id: "1".to_owned(),
                    failure,
                    begun: Instant::now(),
                    took: Duration::from_millis(20),
                    step: None,
                    asked: Vec::new(),
                });
                metrics.count(&story, &served(Outcome::Answered));
            }
        }
    }
    let text = metrics.encode(&Seen::default()).unwrap();
    let of_instance = text.lines().filter(|line| line.contains("\"staging\""));
    let lines = of_instance.count();
    assert!(tools >= 13, "{tools} tools");
    assert!(lines < 475, "{lines} lines");
    // All of them are there: each tool by what it did, with its buckets.
    assert!(lines > tools * 2 * 12, "{lines} lines");
}

/// Metrics of which none is empty: those are not written.
fn everything() -> String {
    let metrics = Metrics::new();
    let instance = InstanceName::try_from("staging").unwrap();
    let mut story = Story::new(TraceId::new(1));
    story.instance = Some(instance.clone());
    story.blame = Some(Blame::Odoo);
    story.refusal = Some("odoo_busy");
    story.look_up = Some(LookUp::Accepted);
    story.odoo_calls = 1;
    story.counted.push(Counted {
        dimension: Dimension::Address,
        outcome: limits::Outcome::Allowed,
        store: Store::Memory,
    });
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    if let Ok(Body::Single(envelope)) = Body::parse(ping)
        && let Ok(Inbound::Request(request)) = envelope.understand(&Transport::Stdio)
    {
        story.begin(&request);
        story.end();
    }
    metrics.count(&story, &served(Outcome::Refused));
    metrics.redis(Some(true));
    metrics.audit(Some(true));
    let spans = metrics.spans();
    drop(spans.processed.get_or_create(&ErrorLabels::none()));
    drop(spans.exported.get_or_create(&ErrorLabels::none()));
    let _in_flight = metrics.begin();
    let traffic = Traffic {
        in_flight: 1,
        waiting: 2,
        connections: 3,
        opened: 4,
    };
    let seen = Seen {
        traffic: vec![(instance.clone(), traffic)],
        readiness: Readiness {
            instances: vec![(instance, Ok(()))],
            providers: vec![(ProviderName::try_from("company").unwrap(), Ok(()))],
            audit: None,
            changes: Some(Ok(())),
            limits: Some(Ok(())),
        },
        remembered: Remembered {
            store: "file",
            is_here: Some(true),
            failures: vec![(gatepost_state::store::Operation::Claim, Reason::Full, 1)],
        },
    };
    metrics.encode(&seen).unwrap()
}

/// Name and type of each metric, as they are announced.
fn announced(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

/// Each name under which a sample stands, with those that a histogram may have.
fn samples() -> BTreeSet<String> {
    let text = everything();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

/// The words in a text that look like names of metrics of ours.
fn named(text: &str) -> BTreeSet<String> {
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
fn the_document_has_every_metric_with_its_type_and_labels_and_no_other() {
    let text = everything();
    let mut rows = BTreeSet::new();
    let table = DOCUMENT.lines().skip_while(|line| *line != "## Metrics");
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
    let announced = announced(&text)
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
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let samples = samples();
    for file in [
        "compose/prometheus/rules.yml",
        "compose/prometheus/rules_test.yml",
        "compose/grafana/dashboards/gatepost.json",
        "docs/operations.md",
    ] {
        let named = named(&fs::read_to_string(file).unwrap());
        assert!(named.len() >= 5, "{file}: {named:?}");
        for name in named {
            // A histogram is called without the ends of its samples in the document.
            let known = samples.contains(&name) || samples.contains(&format!("{name}_bucket"));
            assert!(known, "{file}: `{name}`");
        }
    }
}

#[test]
fn every_alert_is_in_the_document_and_tried() {
    let rules = fs::read_to_string("compose/prometheus/rules.yml").unwrap();
    let tried = fs::read_to_string("compose/prometheus/rules_test.yml").unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 9, "{alerts:?}");
    for alert in alerts {
        assert!(DOCUMENT.contains(&format!("| `{alert}` |")), "{alert}");
        assert!(tried.contains(&format!("alertname: {alert}\n")), "{alert}");
    }
}
