//! What is asked, and what each caller must read.

use odoo_sim::{ADMIN_KEY, DATABASE, SALES_KEY};
use serde_json::{Value, json};

use crate::agent::{Agent, Reply};

/// The roles of the callers, each with a key of its own.
pub(super) const CALLERS: [&str; 5] = ["all", "sales", "narrow", "shifting", "limited"];

/// Whoever may call less often than they do.
pub(super) const LIMITED: usize = 4;
/// How often that is.
pub(super) const LIMITED_PER_MINUTE: usize = 120;
/// And how many at once.
pub(super) const LIMITED_BURST: usize = 20;

/// What one request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    Count,
    Orders,
    Read,
    Search,
    /// A model that no role opens.
    Secret,
    UnknownTool,
}

pub(super) const JOBS: [Job; 6] = [
    Job::Count,
    Job::Orders,
    Job::Read,
    Job::Search,
    Job::Secret,
    Job::UnknownTool,
];

impl Job {
    /// The tool, and its arguments.
    pub(super) fn call(self) -> (&'static str, Value) {
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
            Self::Secret => ("count_records", json!({"model": "ir.config_parameter"})),
            Self::UnknownTool => ("drop_table", json!({})),
        }
    }
}

/// The configuration: one caller sees a field more in the one than in the other.
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

/// What each caller reads for each job, by either configuration.
pub(super) struct Expected(Vec<Vec<[Reply; 2]>>);

impl Expected {
    /// Asks everything once with each configuration, while nobody else asks.
    pub(super) fn learn(agent: &mut Agent, shift: impl FnOnce()) -> Self {
        let mut ask = || -> Vec<Vec<Reply>> {
            (0..CALLERS.len())
                .map(|caller| JOBS.iter().map(|job| agent.ask(caller, *job)).collect())
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
        expected.tells_apart();
        expected
    }

    /// Whether this caller may read this.
    pub(super) fn has(&self, caller: usize, job: Job, reply: &Reply) -> bool {
        self.of(caller, job).contains(reply)
    }

    pub(super) fn of(&self, caller: usize, job: Job) -> &[Reply; 2] {
        let at = JOBS.iter().position(|one| *one == job).unwrap();
        &self.0[caller][at]
    }

    /// An answer of another caller would be seen.
    fn tells_apart(&self) {
        for job in [Job::Search, Job::Orders] {
            for [one, other] in [[0, 1], [0, 2], [1, 2], [0, 3]] {
                assert_ne!(self.of(one, job), self.of(other, job), "{job:?}");
            }
        }
        for (caller, role) in CALLERS.iter().enumerate() {
            for job in JOBS {
                let [before, after] = self.of(caller, job);
                let shifts = *role == "shifting" && matches!(job, Job::Read | Job::Search);
                assert_eq!(
                    before != after,
                    shifts,
                    "{caller} {job:?}: {before:?} {after:?}"
                );
            }
        }
    }
}
