//! The requests, and the response that each caller must receive.

use odoo_sim::{ADMIN_KEY, DATABASE, SALES_KEY};
use serde_json::{Value, json};

use crate::agent::{Agent, ComparableResponse};

/// The roles of the callers, each with its own key.
pub(super) const CALLERS: [&str; 5] = ["all", "sales", "narrow", "shifting", "limited"];

/// The caller with a lower rate limit.
pub(super) const LIMITED_CALLER: usize = 4;
/// Its calls per minute.
pub(super) const LIMITED_PER_MINUTE: usize = 120;
/// Its burst.
pub(super) const LIMITED_BURST: usize = 20;

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LoadRequestKind {
    Count,
    Orders,
    Read,
    Search,
    /// A model that no role allows.
    ForbiddenModel,
    UnknownTool,
}

pub(super) const REQUEST_KINDS: [LoadRequestKind; 6] = [
    LoadRequestKind::Count,
    LoadRequestKind::Orders,
    LoadRequestKind::Read,
    LoadRequestKind::Search,
    LoadRequestKind::ForbiddenModel,
    LoadRequestKind::UnknownTool,
];

impl LoadRequestKind {
    /// The tool and its arguments.
    pub(super) fn tool_call(self) -> (&'static str, Value) {
        match self {
            Self::Count => ("count_records", json!({"model": "res.partner"})),
            Self::Orders => ("count_records", json!({"model": "sale.order"})),
            Self::Read => (
                "read_records",
                json!({"model": "res.partner", "ids": [1, 2, 3, 20]}),
            ),
            Self::Search => (
                "search_records",
                json!({"model": "res.partner", "limit": 7}),
            ),
            Self::ForbiddenModel => ("count_records", json!({"model": "ir.config_parameter"})),
            Self::UnknownTool => ("drop_table", json!({})),
        }
    }
}

/// The configuration. The two configurations differ in one field of one caller.
pub(super) fn configuration(odoo: &str, shifted: bool) -> String {
    let (fields, timeout) = if shifted {
        (r#"["name", "city"]"#, 20_000)
    } else {
        (r#"["name"]"#, 30_000)
    };
    format!(
        r#"
[instances.demo]
url = "{odoo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
timeout_ms = {timeout}
max_in_flight = 16
max_waiting = 400
max_wait_ms = 30_000
[instances.demo.credentials.sales]
api_key = "{SALES_KEY}"
[roles.all]
rules = [{{ models = ["*"] }}]
[roles.sales]
credential = "sales"
rules = [{{ models = ["*"] }}]
[roles.narrow]
rules = [{{ models = ["res.partner"], domain = [["id", "<", 9]] }}]
[roles.shifting]
rules = [{{ models = ["res.partner"], fields = {fields} }}]
[roles.limited]
rules = [{{ models = ["*"] }}]
[roles.limited.limits]
caller_per_minute = {LIMITED_PER_MINUTE}
caller_burst = {LIMITED_BURST}
[keys]
file = "keys.toml"
[audit]
file = "audit.jsonl"
max_file_bytes = 1_048_576
keep_files = 10_000
[limits]
address_per_minute = 1_000_000
address_burst = 1_000_000
instance_per_minute = 1_000_000
instance_burst = 1_000_000
caller_per_minute = 1_000_000
caller_burst = 1_000_000
read_per_minute = 1_000_000
read_burst = 1_000_000
rows_per_minute = 1_000_000_000
bytes_per_minute = 4_000_000_000
"#
    )
}

/// The response that each caller receives for each job, with either
/// configuration.
pub(super) struct ExpectedResponses(Vec<Vec<[ComparableResponse; 2]>>);

impl ExpectedResponses {
    /// Sends every request once with each configuration, without other clients.
    pub(super) fn record(agent: &mut Agent, shift: impl FnOnce()) -> Self {
        let mut ask = || -> Vec<Vec<ComparableResponse>> {
            (0..CALLERS.len())
                .map(|caller| {
                    REQUEST_KINDS
                        .iter()
                        .map(|job| agent.send_and_count(caller, *job))
                        .collect()
                })
                .collect()
        };
        let before = ask();
        shift();
        let after = ask();
        let pairs = before.into_iter().zip(after).map(|(before, after)| {
            let pairs = before.into_iter().zip(after);
            pairs.map(|(before, after)| [before, after]).collect()
        });
        let expected = Self(pairs.collect());
        expected.assert_callers_differ();
        expected
    }

    /// Whether this caller may receive this response.
    pub(super) fn contains(
        &self,
        caller: usize,
        job: LoadRequestKind,
        reply: &ComparableResponse,
    ) -> bool {
        self.responses(caller, job).contains(reply)
    }

    pub(super) fn responses(
        &self,
        caller: usize,
        job: LoadRequestKind,
    ) -> &[ComparableResponse; 2] {
        let at = REQUEST_KINDS.iter().position(|one| *one == job).unwrap();
        &self.0[caller][at]
    }

    /// Whether a response could be recognized as another caller's.
    fn assert_callers_differ(&self) {
        for job in [LoadRequestKind::Search, LoadRequestKind::Orders] {
            for [one, other] in [[0, 1], [0, 2], [1, 2], [0, 3]] {
                assert_ne!(
                    self.responses(one, job),
                    self.responses(other, job),
                    "{job:?}"
                );
            }
        }
        for (caller, role) in CALLERS.iter().enumerate() {
            for job in REQUEST_KINDS {
                let [before, after] = self.responses(caller, job);
                let shifts = *role == "shifting"
                    && matches!(job, LoadRequestKind::Read | LoadRequestKind::Search);
                assert_eq!(
                    before != after,
                    shifts,
                    "{caller} {job:?}: {before:?} {after:?}"
                );
            }
        }
    }
}
