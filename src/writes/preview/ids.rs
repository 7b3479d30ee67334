//! Ids as text, and where a model looks records up.

use jiff::Timestamp;

use crate::writes::idempotency::{Baseline, odoo_time};
use gatepost_odoo::{ModelName, RecordId};

/// Ids in one text.
const MAX_IDS: usize = 50;

/// Ids as a list: `[7, 12]`.
pub fn id_list(ids: &[RecordId]) -> String {
    let mut parts: Vec<String> = ids.iter().take(MAX_IDS).map(ToString::to_string).collect();
    if ids.len() > MAX_IDS {
        parts.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", parts.join(", "))
}

/// Ids in their order, with runs in short: `[7-9, 12]`.
pub fn id_ranges(ids: &[RecordId]) -> String {
    const MAX_RUNS: usize = 60;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == id.get() => *end = id.get(),
            Some(_) | None => runs.push((id.get(), id.get())),
        }
    }
    let mut text: Vec<String> = runs
        .iter()
        .take(MAX_RUNS)
        .map(|(from, to)| match to - from {
            0 => from.to_string(),
            _ => format!("{from}-{to}"),
        })
        .collect();
    if runs.len() > MAX_RUNS {
        text.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", text.join(", "))
}

/// The call that shows these records; `end` says what it shows.
pub fn read_hint(model: &ModelName, ids: &[RecordId], end: &str) -> String {
    format!("read_records of `{model}` with ids {} {end}", id_list(ids))
}

/// The call that shows the records whose `date` is from now on; `end` says what it
/// shows.
pub fn search_hint(model: &ModelName, date: &str, end: &str) -> String {
    let now = Baseline::time_only(Timestamp::now()).earliest_odoo_time();
    format!(
        "search_records of `{model}` with `{date}` >= \"{}\" {end}",
        odoo_time(now)
    )
}
