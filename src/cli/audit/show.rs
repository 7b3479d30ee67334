//! `gatepost audit show`.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    fs,
    str::FromStr,
};

use clap::Args;
use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

use super::{CliError, JournalLocation, expiry::Expiry, terminal};
use crate::audit::{AuditOutcome, ChainDamage, JournalSummary, StoredRecord};
use gatepost_base::text::pluralize;
use gatepost_odoo::OdooError;
use gatepost_odoo_client::CallError;
use gatepost_policy::{Forbidden, Pattern};

/// Reasons that are not the kind of an error; `forbidden` is in older journals.
const OTHER_REASONS: [&str; 6] = [
    "forbidden",
    "hung_up",
    "read_only",
    "unapproved",
    "unaudited",
    "unknown_credential",
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost audit show audit.jsonl
  gatepost audit show audit.jsonl --outcome begun
  gatepost audit show audit.jsonl --caller 7k2mq0z9xw1c --model 'sale.*' --since 2d
  gatepost audit show audit.jsonl --id 42 --model res.partner --limit 20
  gatepost audit show audit.jsonl --request 5f1c… --json

It does not check that the journal is intact; `gatepost audit verify` does.
A `*` after the method marks the gateway's own calls. For a call that was denied before
it had a method, the operation is printed, such as (write).")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    location: JournalLocation,
    /// Only calls of this subject, such as the id of an API key
    #[arg(long, value_name = "SUBJECT")]
    caller: Option<String>,
    /// Only calls to this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only calls to this model, or to those of a pattern such as `sale.*`
    #[arg(long, value_name = "MODEL", value_parser = pattern)]
    model: Option<Pattern>,
    /// Only calls by this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only calls that name this record; of long lists only the first hundred are recorded
    #[arg(long, value_name = "ID")]
    id: Option<u32>,
    /// Only calls with this outcome (answered, cancelled, failed, forbidden, refused,
    /// unknown), writes without an outcome (begun), or calls with this reason, such
    /// as `odoo_access`
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    outcome: Option<String>,
    /// Only calls of this request, by its id or the beginning of it
    #[arg(long, value_name = "NUMBER")]
    request: Option<String>,
    /// Only calls since a time: `2026-11-21`, `2026-11-21T08:00` (UTC), or `30min`, `12h`, `7d`, `2w` ago
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArgument>,
    /// Only calls before a time, written the same way
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArgument>,
    /// How many records to print, the newest; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Print the lines of the journal unchanged
    #[arg(long)]
    json: bool,
}

/// A time on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TimeArgument(Timestamp);

/// A text that is not a time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a day such as `2026-11-21` or a time such as `2026-11-21T08:00` (both UTC; append `+01:00` for another zone), or an age, such as `30min`, `12h`, `7d` or `2w`"
)]
struct InvalidTimeArgument;

impl FromStr for TimeArgument {
    type Err = InvalidTimeArgument;

    fn from_str(text: &str) -> Result<Self, InvalidTimeArgument> {
        if let Ok(ago) = text.parse::<Expiry>() {
            return Ok(Self(ago.before(Timestamp::now())));
        }
        if let Some(number) = text.strip_suffix("min") {
            return minutes_ago(number);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        if text.contains('[') {
            // The other parsers would ignore the zone.
            let time = text
                .parse::<Zoned>()
                .map_err(|_no_time| InvalidTimeArgument)?;
            return Ok(Self(time.timestamp()));
        }
        // Also accepts a day. `Date` would accept a time and ignore it.
        let time = text
            .parse::<DateTime>()
            .map_err(|_no_time| InvalidTimeArgument)?;
        let time = time
            .to_zoned(TimeZone::UTC)
            .map_err(|_far| InvalidTimeArgument)?;
        Ok(Self(time.timestamp()))
    }
}

fn minutes_ago(number: &str) -> Result<TimeArgument, InvalidTimeArgument> {
    let minutes = number
        .parse::<u32>()
        .map_err(|_no_number| InvalidTimeArgument)?;
    let ago = SignedDuration::from_mins(minutes.into());
    (minutes > 0)
        .then(|| Timestamp::now().checked_sub(ago).ok())
        .flatten()
        .map(TimeArgument)
        .ok_or(InvalidTimeArgument)
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

/// An outcome or a reason. Other words are rejected because a misspelled one would
/// suggest that there was no such call.
fn outcome(text: &str) -> Result<String, String> {
    let reasons: BTreeSet<&str> = [&OdooError::WORDS[..], &CallError::KINDS, &Forbidden::WORDS]
        .concat()
        .into_iter()
        .chain(OTHER_REASONS)
        .collect();
    if AuditOutcome::WORDS.contains(&text) || reasons.contains(text) {
        return Ok(text.to_owned());
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    Err(format!(
        "outcomes are {}; reasons are {}",
        AuditOutcome::WORDS.join(", "),
        reasons.join(", ")
    ))
}

pub(super) fn run(show: &ShowArgs) -> Result<(), CliError> {
    let (files, _) = show.location.resolve()?;
    for file in &files {
        if fs::metadata(file).is_ok_and(|file| file.len() == 0) {
            let emptied = ChainDamage::Emptied(file.clone());
            terminal::print_stderr(&format!("note: {emptied}"));
        }
    }
    let unfinished_only = show.outcome.as_deref() == Some(AuditOutcome::Begun.as_str());
    let mut found: VecDeque<(StoredRecord, String)> = VecDeque::new();
    let mut unfinished = HashSet::new();
    let mut ended = HashSet::new();
    let unreadable = JournalSummary::read(&files, |record, line| {
        let call = || (record.request.clone(), record.call);
        // The end of a write counts even if the filter does not match it.
        if unfinished_only && record.outcome != "begun" && unfinished.remove(&call()) {
            found.retain(|(begun, _)| (begun.request.clone(), begun.call) != call());
        }
        if !show.matches(record) {
            return;
        }
        if record.outcome == "begun" {
            unfinished.insert(call());
        } else if !unfinished.is_empty() && unfinished.remove(&call()) {
            ended.insert(call());
        }
        // Unfinished writes are known only after the last record.
        if show.limit > 0 && found.len() == show.limit && !unfinished_only {
            found.pop_front();
        }
        let line = String::from_utf8_lossy(line).into_owned();
        found.push_back((record.clone(), if show.json { line } else { String::new() }));
    })?;
    if unfinished_only && show.limit > 0 {
        found.drain(..found.len().saturating_sub(show.limit));
    }
    if unreadable > 0 {
        let lines = pluralize(unreadable, "line");
        terminal::print_stderr(&format!(
            "note: skipped {lines} that cannot be read; `gatepost audit verify` names the first"
        ));
    }
    if show.json {
        let lines: Vec<String> = found.into_iter().map(|(_, line)| line).collect();
        if !lines.is_empty() {
            terminal::print(&lines.join("\n"))?;
        }
        return Ok(());
    }
    // The second record of a write has its outcome.
    found.retain(|(record, _)| {
        record.outcome != "begun" || !ended.contains(&(record.request.clone(), record.call))
    });
    if found.is_empty() {
        terminal::print_stderr("no matching records");
        return Ok(());
    }
    let heads = [
        "TIME", "CALLER", "INSTANCE", "TOOL", "MODEL", "METHOD", "RECORDS", "MS", "OUTCOME",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.iter().map(|(record, _)| row(record)));
    terminal::print(&terminal::columns(&rows))
}

impl ShowArgs {
    fn matches(&self, record: &StoredRecord) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
        };
        let by_call = self.caller.is_none()
            && self.instance.is_none()
            && self.model.is_none()
            && self.tool.is_none()
            && self.id.is_none()
            && self.outcome.is_none()
            && self.request.is_none();
        if record.kind != "call" {
            // Gaps and incomplete records belong to no call.
            return by_call && record.kind != "began" && self.is_in_period(record);
        }
        let outcome = self.outcome.as_deref();
        (same(&self.caller, Some(&record.caller.subject))
            || same(&self.caller, record.caller.name.as_deref()))
            && same(&self.instance, Some(&record.instance))
            && same(&self.tool, record.tool.as_deref())
            && self.model.as_ref().is_none_or(|pattern| {
                record
                    .model
                    .as_deref()
                    .is_some_and(|model| pattern.matches(model))
            })
            && self.id.is_none_or(|id| record.ids.contains(&id))
            && outcome.is_none_or(|outcome| {
                record.outcome == outcome || record.reason.as_deref() == Some(outcome)
            })
            && self
                .request
                .as_deref()
                .is_none_or(|request| record.request.starts_with(request))
            && self.is_in_period(record)
    }

    fn is_in_period(&self, record: &StoredRecord) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        record.time.parse::<Timestamp>().is_ok_and(|time| {
            self.since.is_none_or(|since| time >= since.0)
                && self.until.is_none_or(|until| time < until.0)
        })
    }
}

/// The cells of one record.
fn row(record: &StoredRecord) -> [String; 9] {
    let or_dash = |text: Option<&str>| printable(text.unwrap_or("-"));
    let time = record
        .time
        .parse::<Timestamp>()
        .map_or_else(|_unreadable| printable(&record.time), terminal::format_time);
    if record.kind != "call" {
        let what = match record.lost {
            0 => format!("({})", printable(&record.kind)),
            lost => format!("({} of {lost} records)", printable(&record.kind)),
        };
        let mut cells: [String; 9] = std::array::from_fn(|_| "-".to_owned());
        let [first, .., last] = &mut cells;
        (*first, *last) = (time, what);
        return cells;
    }
    let records = match (record.ids_count, record.rows) {
        (0, None) => "-".to_owned(),
        (0, Some(rows)) => rows.to_string(),
        (1, _) => record
            .ids
            .first()
            .map_or_else(|| "1".to_owned(), |id| format!("[{id}]")),
        (count, _) => count.to_string(),
    };
    let own = if record.inquiry { "*" } else { "" };
    let outcome = match &record.reason {
        Some(reason) => format!("{}: {}", printable(&record.outcome), printable(reason)),
        None => printable(&record.outcome),
    };
    let disconnected = if record.client_left {
        ", client disconnected"
    } else {
        ""
    };
    [
        time,
        match &record.caller.name {
            None => or_dash(Some(&record.caller.subject)),
            Some(name) => format!(
                "{} ({})",
                printable(&record.caller.subject),
                printable(name)
            ),
        },
        or_dash(Some(&record.instance)),
        or_dash(record.tool.as_deref()),
        or_dash(record.model.as_deref()),
        // A call that was denied early may have no method.
        match (&record.method, &record.effect) {
            (None, Some(effect)) => format!("({}){own}", printable(effect)),
            (method, _) => format!("{}{own}", or_dash(method.as_deref())),
        },
        records,
        format!("{:.0}", record.duration_ms),
        format!("{outcome}{disconnected}"),
    ]
}

/// A short text without control characters, because a provider chose the subject
/// and the journal may be any file.
fn printable(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(60)
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{InvalidTimeArgument, TimeArgument, outcome, printable};
    use gatepost_odoo_client::CallError;

    #[test]
    fn time_argument_accepts_dates_timestamps_and_ages() {
        let time = |text: &str| {
            text.parse::<TimeArgument>()
                .map(|moment| moment.0.to_string())
        };
        assert_eq!(time("2026-11-21").unwrap(), "2026-11-21T00:00:00Z");
        assert_eq!(
            time("2026-11-21T08:00:00+01:00").unwrap(),
            "2026-11-21T07:00:00Z"
        );
        let ago: TimeArgument = "2d".parse().unwrap();
        let hours = Timestamp::now().duration_since(ago.0).as_hours();
        assert_eq!(hours, 48);
        // Not the day alone, and not the hours of this machine.
        for text in [
            "2026-11-21T08:30",
            "2026-11-21 08:30:00",
            "2026-11-21T09:30+01:00",
            "2026-11-21T09:30[Europe/Brussels]",
            "2026-11-21T09:30:00+01:00[Europe/Brussels]",
        ] {
            assert_eq!(time(text).unwrap(), "2026-11-21T08:30:00Z", "{text}");
        }
        let minutes = |text: &str| {
            let ago: TimeArgument = text.parse().unwrap();
            Timestamp::now().duration_since(ago.0).as_mins()
        };
        assert_eq!((minutes("90min"), minutes("2h")), (90, 120));
        for text in [
            "yesterday",
            "08:30",
            "0min",
            "-5min",
            "5m",
            "2026-11-21T",
            "2026-02-30",
            "2026-11-21[Europe/Nowhere]",
            "2026-11-21T25:00",
            "99999999999999min",
        ] {
            assert_eq!(
                text.parse::<TimeArgument>(),
                Err(InvalidTimeArgument),
                "{text}"
            );
        }
    }

    #[test]
    fn outcome_filter_accepts_every_recorded_reason() {
        // The other two make both from one table.
        let source = include_str!("../../../crates/odoo-client/src/call_error.rs");
        let (_, after) = source.split_once("pub fn kind(&self)").unwrap();
        let (body, _) = after.split_once("\n    }\n").unwrap();
        let kinds: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
        assert_eq!(kinds, CallError::KINDS);
        for word in ["begun", "odoo_access", "records", "unapproved"] {
            assert_eq!(outcome(word).as_deref(), Ok(word));
        }
        let record = outcome("beguns").unwrap_err();
        assert!(record.contains("answered, begun, cancelled"), "{record}");
        assert!(record.contains("odoo_access"), "{record}");
    }

    #[test]
    fn printed_text_contains_no_control_characters() {
        assert_eq!(printable("ada\u{1b}[2J\n"), "ada\u{fffd}[2J\u{fffd}");
        assert_eq!(printable(""), "-");
    }
}
