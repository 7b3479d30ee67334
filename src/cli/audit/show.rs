//! `gatepost audit show`.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    fs,
    str::FromStr,
};

use clap::Args;
use jiff::{SignedDuration, Timestamp, Unit, Zoned, civil::DateTime, tz::TimeZone};

use super::{CliError, JournalLocation, expiry::Expiry, terminal};
use crate::audit::{AuditOutcome, ChainDamage, JournalSummary, StoredRecord};
use gatepost_base::text::pluralize;
use gatepost_odoo::OdooError;
use gatepost_odoo_client::CallError;
use gatepost_policy::{Forbidden, Pattern};

/// Reasons that are none of an error's kinds; `forbidden` stands in older journals.
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

It does not ask whether the journal is whole; `gatepost audit verify` does.
Questions of the gateway's own have a `*` behind the method. Of what was refused before
there was a call, (write) and the like tell what it was to do.")]
pub(super) struct Show {
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
    /// Only calls that name this record; of long lists only the first hundred are kept
    #[arg(long, value_name = "ID")]
    id: Option<u32>,
    /// Only calls that ended so (answered, cancelled, failed, forbidden, refused,
    /// unknown), changes of whose end nothing is told (begun), or calls that ended
    /// for this reason, such as `odoo_access`
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    outcome: Option<String>,
    /// Only calls of this request, by its number or the beginning of it
    #[arg(long, value_name = "NUMBER")]
    request: Option<String>,
    /// Only calls from then on: `2026-11-21`, `2026-11-21T08:00` (UTC), or `30min`, `12h`, `7d`, `2w` ago
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArgument>,
    /// Only calls before then, written the same way
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArgument>,
    /// At most so many, the newest; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// The lines as they stand in the journal
    #[arg(long)]
    json: bool,
}

/// A time as it is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct TimeArgument(Timestamp);

/// A text that is no time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a day such as `2026-11-21` or a time such as `2026-11-21T08:00` (both UTC; `+01:00` behind it for another), or how long ago, such as `30min`, `12h`, `7d` or `2w`"
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
            // Else the name of a zone would be passed over.
            let time = text
                .parse::<Zoned>()
                .map_err(|_no_time| InvalidTimeArgument)?;
            return Ok(Self(time.timestamp()));
        }
        // A day, too; `Date` would take a time and pass it over.
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

/// One of the words for an end, or for the reason of one: a slip would else look
/// as if there were no such call.
fn outcome(text: &str) -> Result<String, String> {
    let reasons: BTreeSet<&str> = [&OdooError::KINDS[..], &CallError::KINDS, &Forbidden::KINDS]
        .concat()
        .into_iter()
        .chain(OTHER_REASONS)
        .collect();
    if AuditOutcome::NAMES.contains(&text) || reasons.contains(text) {
        return Ok(text.to_owned());
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    Err(format!(
        "calls end as {}, or for one of the reasons {}",
        AuditOutcome::NAMES.join(", "),
        reasons.join(", ")
    ))
}

pub(super) fn run(show: &Show) -> Result<(), CliError> {
    let (files, _) = show.location.resolve()?;
    for file in &files {
        if fs::metadata(file).is_ok_and(|file| file.len() == 0) {
            let emptied = ChainDamage::Emptied { file: file.clone() };
            terminal::print_stderr(&format!("note: {emptied}"));
        }
    }
    let endless = show.outcome.as_deref() == Some(AuditOutcome::Begun.as_str());
    let mut found: VecDeque<(StoredRecord, String)> = VecDeque::new();
    let mut open = HashSet::new();
    let mut ended = HashSet::new();
    let unreadable = JournalSummary::read(&files, |told, line| {
        let call = || (told.request.clone(), told.call);
        // Its end counts whatever else is asked for.
        if endless && told.outcome != "begun" && open.remove(&call()) {
            found.retain(|(begun, _)| (begun.request.clone(), begun.call) != call());
        }
        if !show.matches(told) {
            return;
        }
        if told.outcome == "begun" {
            open.insert(call());
        } else if !open.is_empty() && open.remove(&call()) {
            ended.insert(call());
        }
        // Of those without an end it is not known yet which these are.
        if show.limit > 0 && found.len() == show.limit && !endless {
            found.pop_front();
        }
        let line = String::from_utf8_lossy(line).into_owned();
        found.push_back((told.clone(), if show.json { line } else { String::new() }));
    })?;
    if endless && show.limit > 0 {
        found.drain(..found.len().saturating_sub(show.limit));
    }
    if unreadable > 0 {
        let lines = pluralize(unreadable, "line");
        terminal::print_stderr(&format!(
            "note: {lines} that cannot be read left out; `gatepost audit verify` names the first wrong one"
        ));
    }
    if show.json {
        let lines: Vec<String> = found.into_iter().map(|(_, line)| line).collect();
        if !lines.is_empty() {
            terminal::print(&lines.join("\n"))?;
        }
        return Ok(());
    }
    // What became of a change stands in its second record.
    found.retain(|(told, _)| {
        told.outcome != "begun" || !ended.contains(&(told.request.clone(), told.call))
    });
    if found.is_empty() {
        terminal::print_stderr("nothing is kept of such a call");
        return Ok(());
    }
    let heads = [
        "TIME", "CALLER", "INSTANCE", "TOOL", "MODEL", "METHOD", "RECORDS", "MS", "OUTCOME",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.iter().map(|(told, _)| row(told)));
    terminal::print(&terminal::columns(&rows))
}

impl Show {
    fn matches(&self, told: &StoredRecord) -> bool {
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
        if told.kind != "call" {
            // Gaps and torn ends belong to nobody's calls.
            return by_call && told.kind != "began" && self.is_in_period(told);
        }
        let outcome = self.outcome.as_deref();
        same(&self.caller, Some(&told.caller.subject))
            && same(&self.instance, Some(&told.instance))
            && same(&self.tool, told.tool.as_deref())
            && self.model.as_ref().is_none_or(|pattern| {
                told.model
                    .as_deref()
                    .is_some_and(|model| pattern.matches(model))
            })
            && self.id.is_none_or(|id| told.ids.contains(&id))
            && outcome.is_none_or(|outcome| {
                told.outcome == outcome || told.reason.as_deref() == Some(outcome)
            })
            && self
                .request
                .as_deref()
                .is_none_or(|request| told.request.starts_with(request))
            && self.is_in_period(told)
    }

    fn is_in_period(&self, told: &StoredRecord) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        told.time.parse::<Timestamp>().is_ok_and(|time| {
            self.since.is_none_or(|since| time >= since.0)
                && self.until.is_none_or(|until| time < until.0)
        })
    }
}

/// One record in nine cells.
fn row(told: &StoredRecord) -> [String; 9] {
    let or_dash = |text: Option<&str>| printable(text.unwrap_or("-"));
    let time = told.time.parse::<Timestamp>().map_or_else(
        |_unreadable| printable(&told.time),
        |time| time.round(Unit::Second).unwrap_or(time).to_string(),
    );
    if told.kind != "call" {
        let what = match told.lost {
            0 => format!("({})", printable(&told.kind)),
            lost => format!("({} of {lost} records)", printable(&told.kind)),
        };
        let dash = || "-".to_owned();
        return [
            time,
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
            what,
        ];
    }
    let records = match (told.ids_count, told.rows) {
        (0, None) => "-".to_owned(),
        (0, Some(rows)) => rows.to_string(),
        (1, _) => told
            .ids
            .first()
            .map_or_else(|| "1".to_owned(), |id| format!("[{id}]")),
        (count, _) => count.to_string(),
    };
    let own = if told.inquiry { "*" } else { "" };
    let outcome = match &told.reason {
        Some(reason) => format!("{}: {}", printable(&told.outcome), printable(reason)),
        None => printable(&told.outcome),
    };
    let left = if told.client_left {
        ", and the client had left"
    } else {
        ""
    };
    [
        time,
        or_dash(Some(&told.caller.subject)),
        or_dash(Some(&told.instance)),
        or_dash(told.tool.as_deref()),
        or_dash(told.model.as_deref()),
        // Of what was refused at once there is often no method.
        match (&told.method, &told.effect) {
            (None, Some(effect)) => format!("({}){own}", printable(effect)),
            (method, _) => format!("{}{own}", or_dash(method.as_deref())),
        },
        records,
        format!("{:.0}", told.duration_ms),
        format!("{outcome}{left}"),
    ]
}

/// A text that does nothing to the terminal: a subject is a provider's word,
/// and a journal may be anybody's file.
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
        let told = outcome("beguns").unwrap_err();
        assert!(told.contains("answered, begun, cancelled"), "{told}");
        assert!(told.contains("odoo_access"), "{told}");
    }

    #[test]
    fn printed_text_contains_no_control_characters() {
        assert_eq!(printable("ada\u{1b}[2J\n"), "ada\u{fffd}[2J\u{fffd}");
        assert_eq!(printable(""), "-");
    }
}
