//! Computes the dates in a domain, as `_optimize_type_date` and
//! `_optimize_type_datetime` do (Odoo 19, `odoo/orm/domains.py`).

use jiff::{
    Span, Timestamp, ToSpan as _,
    civil::{Date, DateTime, Time, Weekday},
    tz::TimeZone,
};
use serde_json::{Value, json};

use super::{
    database::Database,
    error::FakeOdooError,
    table::{Field, Table},
};

/// The domain, with each date and time compared as text in Odoo's form.
pub(super) fn with_dates(
    database: &Database,
    table: &Table,
    domain: &[Value],
    now: Timestamp,
) -> Result<Vec<Value>, FakeOdooError> {
    let terms = domain.iter().map(|term| {
        let [Value::String(path), Value::String(operator), operand] =
            term.as_array().map(Vec::as_slice).unwrap_or_default()
        else {
            return Ok(term.clone());
        };
        let Some((field, related)) = field_at(database, table, path) else {
            return Ok(term.clone());
        };
        match (field.kind, related, operand) {
            (_, Some(related), Value::Array(inner)) if operator.ends_with("any") => {
                let inner = with_dates(database, related, inner, now)?;
                Ok(json!([path, operator, inner]))
            }
            ("date" | "datetime", ..) if !operator.contains("like") => {
                compared(field, (path, operator, operand), now)
            }
            _ => Ok(term.clone()),
        }
    });
    terms.collect()
}

/// The field at the end of a path, and the model that it links to.
fn field_at<'d>(
    database: &'d Database,
    table: &'d Table,
    path: &str,
) -> Option<(&'d Field, Option<&'d Table>)> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let field = table.fields.get(first)?;
    let related = database.related(field);
    if rest.is_empty() {
        Some((field, related))
    } else {
        field_at(database, related?, rest)
    }
}

fn compared(
    field: &Field,
    (path, operator, operand): (&str, &str, &Value),
    now: Timestamp,
) -> Result<Value, FakeOdooError> {
    let one = |value: &Value| {
        if *value == Value::Bool(false) {
            return Ok((value.clone(), operator));
        }
        let text = value.as_str().ok_or_else(|| {
            FakeOdooError::value_error(format!("Failed to cast {value} into a date"))
        })?;
        let moment = parse(text, now)
            .ok_or_else(|| FakeOdooError::value_error(format!("Invalid date: '{text}'")))?;
        let day = match moment {
            Moment::Day(day) if field.kind == "datetime" => day,
            Moment::Day(day) => return Ok((day.to_string().into(), operator)),
            Moment::Time(time) if field.kind == "date" => {
                return Ok((time.date().to_string().into(), operator));
            }
            Moment::Time(time) => {
                let text = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
                return Ok((text.into(), operator));
            }
        };
        // A day is the whole of it for these two operators, and midnight for the others.
        let (day, operator) = match operator {
            ">" => (day.saturating_add(1.day()), ">="),
            "<=" => (day.saturating_add(1.day()), "<"),
            other => (day, other),
        };
        Ok((format!("{day} 00:00:00").into(), operator))
    };
    if let Value::Array(all) = operand {
        let all: Result<Vec<Value>, _> = all.iter().map(|value| Ok(one(value)?.0)).collect();
        return Ok(json!([path, operator, all?]));
    }
    let (operand, operator) = one(operand)?;
    Ok(json!([path, operator, operand]))
}

/// What a text means.
enum Moment {
    /// A day as it is written.
    Day(Date),
    /// A time, or one from now. `today` is midnight.
    Time(DateTime),
}

/// `parse_date` (`odoo/tools/date_utils.py`), for a user in UTC whose week starts on
/// Sunday.
fn parse(text: &str, now: Timestamp) -> Option<Moment> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return if text.len() <= 10 {
            text.parse().ok().map(Moment::Day)
        } else {
            text.parse().ok().map(Moment::Time)
        };
    }
    let mut terms: Vec<&str> = text.split_whitespace().collect();
    let is_day = *terms.first()? == "today";
    if is_day || *terms.first()? == "now" {
        terms.remove(0);
    }
    let mut time = now.to_zoned(TimeZone::UTC).datetime();
    if is_day {
        time = time.date().to_datetime(Time::midnight());
    }
    for term in terms {
        // Python has no years before the first.
        time = step(time, term).filter(|time| time.year() > 0)?;
    }
    Some(Moment::Time(time))
}

fn step(time: DateTime, term: &str) -> Option<DateTime> {
    let sign = term.chars().next().filter(|sign| "+-=".contains(*sign))?;
    let rest = term.get(1..)?;
    if let Some(day) = weekday(rest) {
        let offset = i64::from(day.to_sunday_zero_offset())
            - i64::from(time.weekday().to_sunday_zero_offset());
        let offset = match sign {
            '+' if offset < 0 => offset + 7,
            '-' if offset > 0 => offset - 7,
            _ => offset,
        };
        let at = if sign == '=' {
            Time::midnight()
        } else {
            time.time()
        };
        return Some(time.date().checked_add(offset.days()).ok()?.to_datetime(at));
    }
    let (number, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = number.parse().ok()?;
    if sign == '=' {
        return set(time, unit, i16::try_from(number).ok()?);
    }
    let number = if sign == '-' { -number } else { number };
    let span = Span::new();
    let span = match unit {
        "d" => span.try_days(number),
        "w" => span.try_weeks(number),
        "m" => span.try_months(number),
        "y" => span.try_years(number),
        "H" => span.try_hours(number),
        "M" => span.try_minutes(number),
        "S" => span.try_seconds(number),
        _ => return None,
    };
    time.checked_add(span.ok()?).ok()
}

/// Sets one part of a time and resets the smaller ones. Like dateutil, it cuts off a day
/// that the month does not have, and leaves a day, month or year that is set to 0.
fn set(time: DateTime, unit: &str, number: i16) -> Option<DateTime> {
    let small = i8::try_from(number).ok();
    let date = |year: i16, month: i8, day: i8| {
        let first = Date::new(year, month, 1).ok()?;
        let day = day.min(first.days_in_month());
        Some(
            Date::new(year, month, day)
                .ok()?
                .to_datetime(Time::midnight()),
        )
    };
    let (year, month, day) = (time.year(), time.month(), time.day());
    let with = match (unit, number) {
        ("d" | "m" | "y", 0) => return date(year, month, day),
        // Every month ends before this day.
        ("d", _) => return date(year, month, small.unwrap_or(i8::MAX)),
        ("m", _) => return date(year, small?, day),
        ("y", _) => return date(number, month, day),
        ("H", _) => time.with().hour(small?).minute(0).second(0),
        ("M", _) => time.with().minute(small?).second(0),
        ("S", _) => time.with().second(small?),
        _ => return None,
    };
    with.subsec_nanosecond(0).build().ok()
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" | "week_start" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Moment, parse};

    // As Odoo 19 answers, with dateutil.
    #[test]
    fn day_that_the_month_does_not_have_becomes_its_last() {
        for (now, text, meant) in [
            ("2026-02-10T09:30:00Z", "=31d", "2026-02-28T00:00:00"),
            ("2026-03-31T09:30:00Z", "=2m", "2026-02-28T00:00:00"),
            ("2026-03-31T09:30:00Z", "=4m =31d", "2026-04-30T00:00:00"),
            ("2028-02-29T09:30:00Z", "=2027y", "2027-02-28T00:00:00"),
            ("2026-03-31T09:30:00Z", "=999d", "2026-03-31T00:00:00"),
            ("2026-03-31T09:30:00Z", "-1m", "2026-02-28T09:30:00"),
            ("2026-03-31T09:30:00Z", "=0m", "2026-03-31T00:00:00"),
            ("2026-03-31T09:30:00Z", "today", "2026-03-31T00:00:00"),
        ] {
            let Some(Moment::Time(time)) = parse(text, now.parse().unwrap()) else {
                panic!("{text}");
            };
            assert_eq!(time.to_string(), meant, "{now} {text}");
        }
    }
}
