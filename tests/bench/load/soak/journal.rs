//! Whether the audit journal has every call.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{super::odoo::CountingOdoo, client::ClientReport};

/// The members of a line that matter here.
#[derive(Deserialize)]
struct Line {
    kind: String,
    #[serde(default)]
    request: String,
    #[serde(default)]
    outcome: String,
}

/// Asserts that the calls of each answered request that reached Odoo have a record
/// each. While Odoo was gone, a read may have been sent twice for one record.
pub(super) fn assert_complete(
    folder: &Path,
    odoo: &CountingOdoo,
    report: &ClientReport,
    outages: &[(Duration, Duration)],
) {
    let recorded = records_by_request(folder);
    let reached = odoo.calls_by_trace();
    let (mut calls, mut in_outage) = (0_u64, 0_u64);
    for request in &report.answered {
        let of_odoo = reached.get(&request.trace).copied().unwrap_or(0);
        let of_journal = recorded.get(&request.id).copied().unwrap_or(0);
        let (from, to) = request.during;
        let disturbed = outages
            .iter()
            .any(|(begin, end)| from < *end && to > *begin);
        if disturbed {
            in_outage += 1;
            assert!(
                of_journal > 0 || of_odoo == 0,
                "{:032x}: no record of {of_odoo} calls",
                request.id
            );
        } else {
            calls += u64::from(of_odoo);
            assert_eq!(
                of_odoo, of_journal,
                "calls and records of {:032x}",
                request.id
            );
        }
    }
    println!(
        "{calls} calls, each with its record; {in_outage} requests while Odoo was restarted, each with a record"
    );
}

/// The records of each request about calls that ended.
fn records_by_request(folder: &Path) -> HashMap<u128, u32> {
    let older = (1..).map(|number| folder.join(format!("audit.jsonl.{number}")));
    let mut files: Vec<PathBuf> = older.take_while(|file| file.exists()).collect();
    files.push(folder.join("audit.jsonl"));
    let mut records = HashMap::new();
    for file in files {
        for line in BufReader::new(File::open(file).unwrap()).lines() {
            let line: Line = serde_json::from_str(&line.unwrap()).unwrap();
            if line.kind == "call" && !["begun", "forbidden"].contains(&&*line.outcome) {
                let request = u128::from_str_radix(&line.request, 16).unwrap();
                *records.entry(request).or_default() += 1;
            }
        }
    }
    records
}
