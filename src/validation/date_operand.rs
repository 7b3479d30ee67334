//! Coerces the dates and times in a domain.
//!
//! Odoo 19 also reads times from now, such as `today -7d` and `=monday`
//! (`odoo/tools/date_utils.py`, `parse_date`). It fails on offsets.

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};

use super::values::{parse_civil, parse_zoned};

/// What is valid, for an error.
pub(crate) const VALID_DATE: &str = "a day such as `\"2026-01-31\"`, or one from now such as `\"today -7d\"`, `\"-1m\"` or `\"=monday\"`";
/// What is valid where equal times are found, for an error.
pub(crate) const VALID_EXACT_TIME: &str =
    "a time in UTC such as `\"2026-01-31 13:45:00\"`, of which Odoo finds the whole second";
/// What is valid, for an error.
pub(crate) const VALID_DATETIME: &str = "a time in UTC such as `\"2026-01-31 13:45:00\"`, a day, or a time from now such as `\"today -7d\"`, `\"-2H\"` or `\"=monday\"`";

/// The days that a term may name.
const DAYS: [&str; 8] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "week_start",
];
/// The most digits in a term.
const MAX_DIGITS: usize = 5;
/// How far all terms together may move, in days: 900 years. Odoo fails before the year 1
/// and after 9999.
const MAX_DAYS: u64 = 900 * 365;

/// The day in Odoo's form; `None` if the text means none. Like Odoo, it ignores a time
/// of day.
pub(crate) fn coerce_date(text: &str) -> Option<String> {
    let text = text.trim();
    if is_from_now(text) {
        return Some(text.to_owned());
    }
    let (day, _) = parse_civil(text)?;
    (day.year() > 0).then(|| day.to_string())
}

/// The time in Odoo's form, in UTC; `None` if the text means none. A day stays one,
/// because for `>` and `<=` Odoo compares with the whole of it. For the operators that
/// find equal times it does not: see [`day_after`].
pub(crate) fn coerce_datetime(text: &str) -> Option<String> {
    let text = text.trim();
    if is_from_now(text) {
        return Some(text.to_owned());
    }
    let (day, time) = match parse_zoned(text) {
        Some(moment) => {
            let moment = moment.to_zoned(TimeZone::UTC).datetime();
            (moment.date(), Some(moment.time()))
        }
        None => parse_civil(text)?,
    };
    let at = |time: Time| {
        day.to_datetime(time)
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    };
    (day.year() > 0).then(|| time.map_or_else(|| day.to_string(), at))
}

/// A day after the operand, of which [`coerce_datetime`] made the form, if that is a day or
/// computed from now. Odoo finds only one second of it with `=` (Odoo 19,
/// `odoo/orm/domains.py`, `_optimize_type_datetime`).
pub(crate) fn day_after(operand: &str) -> Option<String> {
    if is_from_now(operand) {
        return Some(format!("{operand} +1d"));
    }
    match parse_civil(operand)? {
        (day, None) => Some(day.tomorrow().unwrap_or(Date::MAX).to_string()),
        (_, Some(_)) => None,
    }
}

/// Whether Odoo computes the text from the time of the request.
fn is_from_now(text: &str) -> bool {
    let mut terms = text.split_ascii_whitespace().peekable();
    let named = terms.next_if(|term| matches!(*term, "today" | "now"));
    if named.is_none() && terms.peek().is_none() {
        return false;
    }
    terms
        .map(offset_days)
        .try_fold(0_u64, |sum, days| Some(sum + u64::from(days?)))
        .is_some_and(|days| days <= MAX_DAYS)
}

/// How many days one step from a time to another can move it, at most: `+1m`, `=3H`,
/// `-monday`. `None` if it is no step.
fn offset_days(term: &str) -> Option<u32> {
    let rest = term.strip_prefix(['+', '-', '='])?;
    if DAYS.contains(&rest) {
        return Some(7);
    }
    let number = rest.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || number.len() > MAX_DIGITS {
        return None;
    }
    let value: u32 = number.parse().ok()?;
    let unit = rest.get(number.len()..)?;
    if !term.starts_with('=') {
        return match unit {
            "d" => Some(value),
            "w" => Some(value * 7),
            "m" => Some(value * 31),
            "y" => Some(value * 366),
            "H" | "M" | "S" => Some(value.div_ceil(24)),
            _ => None,
        };
    }
    let is_valid = match unit {
        "d" => true,
        "m" => value <= 12,
        // No year that the other terms could leave the calendar from.
        "y" => (1_000..=9_000).contains(&value),
        "H" => value < 24,
        "M" | "S" => value < 60,
        _ => false,
    };
    is_valid.then_some(0)
}

#[cfg(test)]
mod tests {
    use super::{coerce_date, coerce_datetime, day_after};

    #[test]
    fn times_get_the_form_of_odoo() {
        for (sent, date, datetime) in [
            ("2026-01-31", "2026-01-31", "2026-01-31"),
            ("2026-1-5", "2026-01-05", "2026-01-05"),
            (" 2026-01-31T10:00 ", "2026-01-31", "2026-01-31 10:00:00"),
            ("2026-01-31 10:00:00", "2026-01-31", "2026-01-31 10:00:00"),
            ("2026-01-31 10:00:00.5", "2026-01-31", "2026-01-31 10:00:00"),
            (
                "2026-01-31T00:30:00+02:00",
                "2026-01-31",
                "2026-01-30 22:30:00",
            ),
            ("2026-01-31T10:00:00Z", "2026-01-31", "2026-01-31 10:00:00"),
        ] {
            assert_eq!(coerce_date(sent).as_deref(), Some(date), "{sent}");
            assert_eq!(coerce_datetime(sent).as_deref(), Some(datetime), "{sent}");
        }
    }

    #[test]
    fn times_from_now_are_left_to_odoo() {
        for sent in [
            "today",
            "now",
            "-1d",
            "+3d",
            "today -7d",
            "now +2H -30M",
            "=1d",
            "=6m =1d",
            "today =week_start",
            "=monday",
            "+sunday",
            "-1y =12m =31d",
            "-99999d",
            "+890y",
            "=2027y",
            "=9000y +890y",
        ] {
            assert_eq!(coerce_date(sent).as_deref(), Some(sent));
            assert_eq!(coerce_datetime(sent).as_deref(), Some(sent));
        }
    }

    #[test]
    fn day_or_time_from_now_ends_a_day_later() {
        for (operand, end) in [
            ("2026-01-31", Some("2026-02-01")),
            ("9999-12-31", Some("9999-12-31")),
            ("today", Some("today +1d")),
            ("=monday", Some("=monday +1d")),
            ("2026-01-31 00:00:00", None),
        ] {
            assert_eq!(day_after(operand).as_deref(), end, "{operand}");
        }
    }

    #[test]
    fn text_that_means_no_time_is_refused() {
        for sent in [
            "",
            "  ",
            "yesterday-ish",
            "yesterday",
            "Today",
            "today now",
            "today-7d",
            "7d",
            "-7",
            "-d",
            "-7days",
            "-7D",
            "=2w",
            "=13m",
            "=24H",
            "=60M",
            "-999999d",
            "+99999y",
            "-99999m",
            "-99999w",
            "+500y +500y",
            "=99999y",
            "=9999y",
            "=26y",
            "+mondays",
            "2026-13-45",
            "2026-02-30",
            "2026-01",
            "31/01/2026",
            "01-31-2026",
            "2026-01-31 25:00:00",
            "2026-01-31 noon",
            "-000001-01-01",
        ] {
            assert_eq!(coerce_date(sent), None, "{sent}");
            assert_eq!(coerce_datetime(sent), None, "{sent}");
        }
    }
}
