//! Coerces the dates and times in a domain.
//!
//! Odoo 19 also reads times from now, such as `today -7d` and `=monday`
//! (`odoo/tools/date_utils.py`, `parse_date`). It fails on offsets.

use jiff::{civil::Time, tz::TimeZone};

use super::values::{parse_civil, parse_zoned};

/// What is valid, for an error.
pub(crate) const VALID_DATE: &str = "a day such as `\"2026-01-31\"`, or one from now such as `\"today -7d\"`, `\"-1m\"` or `\"=monday\"`";
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
/// The most digits in a term, so that no clock overflows.
const MAX_DIGITS: usize = 5;

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
/// because Odoo compares with the whole of it.
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

/// Whether Odoo computes the text from the time of the request.
fn is_from_now(text: &str) -> bool {
    let mut terms = text.split_ascii_whitespace().peekable();
    let named = terms.next_if(|term| matches!(*term, "today" | "now"));
    (named.is_some() || terms.peek().is_some()) && terms.all(is_offset)
}

/// Whether it is one step from a time to another: `+1m`, `=3H`, `-monday`.
fn is_offset(term: &str) -> bool {
    let Some(rest) = term.strip_prefix(['+', '-', '=']) else {
        return false;
    };
    if DAYS.contains(&rest) {
        return true;
    }
    let number = rest.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let Some(value) = (digits && number.len() <= MAX_DIGITS)
        .then(|| number.parse::<u32>().ok())
        .flatten()
    else {
        return false;
    };
    let unit = rest.get(number.len()..);
    if !term.starts_with('=') {
        return matches!(unit, Some("d" | "w" | "m" | "y" | "H" | "M" | "S"));
    }
    match unit {
        Some("d" | "y") => true,
        Some("m") => value <= 12,
        Some("H") => value < 24,
        Some("M" | "S") => value < 60,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{coerce_date, coerce_datetime};

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
        ] {
            assert_eq!(coerce_date(sent).as_deref(), Some(sent));
            assert_eq!(coerce_datetime(sent).as_deref(), Some(sent));
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
