//! The metrics, in one place, with the labels they may have.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::gateway::Story;

/// All metrics of one process (or of one edge, in tests).
///
/// Every label comes from a closed set: configured instances, our tools, the
/// protocol revisions we speak, [`Outcome`], [`crate::gateway::Blame`], [`crate::gateway::LookUp`]
/// and what is in [`crate::limits::Counted`].
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<WorkLabels, Histogram, fn() -> Histogram>,
    own_duration: Family<WorkLabels, Histogram, fn() -> Histogram>,
    odoo_duration: Family<WorkLabels, Histogram, fn() -> Histogram>,
    odoo_calls: Family<WorkLabels, Counter>,
    answer_size: Family<WorkLabels, Histogram, fn() -> Histogram>,
    audit_failures: Counter,
    refusals: Family<RefusalLabels, Counter>,
    look_ups: Family<LookUpLabels, Counter>,
    limits: Family<LimitLabels, Counter>,
    redis: Family<RedisLabels, Gauge>,
    in_flight: Gauge,
    connections: Gauge,
    accepted: Counter,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It was answered as it asked.
    Answered,
    /// The client took it back.
    Cancelled,
    /// We stopped before its answer was written.
    Cut,
    /// The client left before its answer.
    HungUp,
    /// It was refused; by whom is in the label `blame`.
    Refused,
}

/// The end of one request, as the edge saw it.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// How it ended.
    pub outcome: Outcome,
    /// From the first look at its head to its last byte.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub size_bytes: usize,
}

/// One request under way; it counts as such until it is dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

/// One open connection; it counts as such until it is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    instance: String,
    tool: &'static str,
    revision: &'static str,
    outcome: &'static str,
    blame: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct WorkLabels {
    instance: String,
    tool: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RefusalLabels {
    refusal: &'static str,
    blame: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LookUpLabels {
    instance: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LimitLabels {
    dimension: &'static str,
    outcome: &'static str,
    store: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RedisLabels {
    used_for: &'static str,
}

/// The label of what does not apply.
const NONE: &str = "none";

impl Metrics {
    /// Fresh metrics, all at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("gatepost"),
            requests: Family::default(),
            duration: Family::new_with_constructor(times),
            own_duration: Family::new_with_constructor(times),
            odoo_duration: Family::new_with_constructor(times),
            odoo_calls: Family::default(),
            answer_size: Family::new_with_constructor(sizes),
            audit_failures: Counter::default(),
            refusals: Family::default(),
            look_ups: Family::default(),
            limits: Family::default(),
            redis: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
        };
        let registry = &mut metrics.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        registry.register(
            "requests",
            "Requests by how they ended",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request's head to the end of its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "own_duration",
            "The same without the time that Odoo took",
            Unit::Seconds,
            metrics.own_duration.clone(),
        );
        registry.register_with_unit(
            "odoo_duration",
            "How long Odoo took for all calls of one request",
            Unit::Seconds,
            metrics.odoo_duration.clone(),
        );
        registry.register("odoo_calls", "Calls to Odoo", metrics.odoo_calls.clone());
        registry.register(
            "audit_failures",
            "Calls to Odoo for whose audit record there was no room",
            metrics.audit_failures.clone(),
        );
        registry.register_with_unit(
            "answer_size",
            "Size of the answers' bodies",
            Unit::Bytes,
            metrics.answer_size.clone(),
        );
        registry.register(
            "refusals",
            "Refused requests by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "token_lookups",
            "Tokens of identity providers by what became of them",
            metrics.look_ups.clone(),
        );
        registry.register(
            "limit_decisions",
            "Allowances that were looked at, by what was decided and who decided",
            metrics.limits.clone(),
        );
        registry.register(
            "redis_up",
            "Whether the Redis of the limits was there when last needed",
            metrics.redis.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests under way",
            metrics.in_flight.clone(),
        );
        registry.register(
            "connections_open",
            "Open client connections",
            metrics.connections.clone(),
        );
        registry.register(
            "connections",
            "Client connections accepted",
            metrics.accepted.clone(),
        );
        metrics
    }

    /// Counts a request as under way.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts a connection as open.
    pub fn connect(&self) -> Connected {
        self.accepted.inc();
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// Counts a request that is over.
    pub fn count(&self, story: &Story, served: &Served) {
        let blame = story.blame.map_or(NONE, crate::gateway::Blame::as_str);
        let work = WorkLabels {
            instance: story
                .instance
                .as_ref()
                .map_or_else(|| NONE.to_owned(), |name| name.as_str().to_owned()),
            tool: story.tool.unwrap_or(NONE),
        };
        self.requests
            .get_or_create(&RequestLabels {
                instance: work.instance.clone(),
                tool: work.tool,
                revision: story.revision.unwrap_or(NONE),
                outcome: served.outcome.as_str(),
                blame,
            })
            .inc();
        if let Some(refusal) = story.refusal {
            self.refusals
                .get_or_create(&RefusalLabels { refusal, blame })
                .inc();
        }
        if let Some(look_up) = story.look_up {
            self.look_ups
                .get_or_create(&LookUpLabels {
                    instance: work.instance.clone(),
                    outcome: look_up.as_str(),
                })
                .inc();
        }
        for counted in &story.counted {
            self.limits
                .get_or_create(&LimitLabels {
                    dimension: counted.dimension.as_str(),
                    outcome: counted.outcome.as_str(),
                    store: counted.store.as_str(),
                })
                .inc();
        }
        let own = served.duration.saturating_sub(story.odoo_time);
        observe(&self.duration, &work, served.duration.as_secs_f64());
        observe(&self.own_duration, &work, own.as_secs_f64());
        if story.odoo_calls > 0 {
            observe(&self.odoo_duration, &work, story.odoo_time.as_secs_f64());
            self.odoo_calls
                .get_or_create(&work)
                .inc_by(u64::from(story.odoo_calls));
        }
        self.audit_failures.inc_by(u64::from(story.audit_failures));
        // Up to 4 GiB; nobody waits for a larger answer.
        let size = u32::try_from(served.size_bytes).unwrap_or(u32::MAX);
        observe(&self.answer_size, &work, f64::from(size));
    }

    /// Tells whether Redis is there, where that is known.
    pub fn redis(&self, is_here: Option<bool>) {
        match is_here {
            Some(is_here) => {
                let labels = RedisLabels { used_for: "limits" };
                self.redis.get_or_create(&labels).set(i64::from(is_here));
            }
            None => self.redis.clear(),
        }
    }

    /// All metrics in the text format of `OpenMetrics`.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Outcome {
    /// The word for it in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Cancelled => "cancelled",
            Self::Cut => "cut",
            Self::HungUp => "hung_up",
            Self::Refused => "refused",
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn observe(
    family: &Family<WorkLabels, Histogram, fn() -> Histogram>,
    work: &WorkLabels,
    value: f64,
) {
    family.get_or_create(work).observe(value);
}

/// From what we need ourselves (1 ms) to Odoo's longest time-out (60 s).
fn times() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

/// From an empty result to the largest answer.
fn sizes() -> Histogram {
    Histogram::new([
        256.0,
        1024.0,
        4096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
    ])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Metrics, Outcome, Served};
    use crate::{
        gateway::{Blame, Story},
        names::{InstanceName, Subject, TraceId},
    };

    fn served(outcome: Outcome) -> Served {
        Served {
            outcome,
            duration: Duration::from_millis(300),
            size_bytes: 2_000,
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
        let text = metrics.encode().unwrap();
        let labels = r#"{instance="staging",tool="count_records"}"#;
        for line in [
            format!("gatepost_request_duration_seconds_sum{labels} 0.3"),
            format!("gatepost_own_duration_seconds_sum{labels} 0.002"),
            format!("gatepost_odoo_duration_seconds_sum{labels} 0.298"),
            format!("gatepost_odoo_calls_total{labels} 2"),
            format!("gatepost_answer_size_bytes_sum{labels} 2000.0"),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
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
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"gatepost_refusals_total{refusal="forbidden",blame="policy"} 1"#));
        assert!(!text.contains("mara"), "{text}");
    }

    #[test]
    fn what_is_under_way_counts_until_it_is_dropped() {
        let metrics = Metrics::new();
        let one = metrics.begin();
        let line = |n: u32| format!("gatepost_requests_in_flight {n}\n");
        assert!(metrics.encode().unwrap().contains(&line(1)));
        drop(one);
        assert!(metrics.encode().unwrap().contains(&line(0)));
    }
}
