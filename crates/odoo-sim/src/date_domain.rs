//! Computes the dates in a domain, as `_optimize_type_date` and
//! `_optimize_type_datetime` do (Odoo 19, `odoo/orm/domains.py`).

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime, Weekday},
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
        // A day is the whole of it.
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
    Day(Date),
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
        time = time.date().to_datetime(jiff::civil::Time::midnight());
    }
    for term in terms {
        time = step(time, term)?;
    }
    Some(if is_day && time.time() == jiff::civil::Time::midnight() {
        Moment::Day(time.date())
    } else {
        Moment::Time(time)
    })
}

fn step(time: DateTime, term: &str) -> Option<DateTime> {
    let sign = term.chars().next().filter(|sign| "+-=".contains(*sign))?;
    let rest = term.get(1..)?;
    let midnight = jiff::civil::Time::midnight();
    if let Some(day) = weekday(rest) {
        let offset = i64::from(day.to_sunday_zero_offset())
            - i64::from(time.weekday().to_sunday_zero_offset());
        let offset = match sign {
            '+' if offset < 0 => offset + 7,
            '-' if offset > 0 => offset - 7,
            _ => offset,
        };
        let at = if sign == '=' { midnight } else { time.time() };
        return Some(time.date().checked_add(offset.days()).ok()?.to_datetime(at));
    }
    let (number, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    if sign == '=' {
        let number: i16 = number.parse().ok()?;
        let small = i8::try_from(number).ok()?;
        let with = match unit {
            "d" => time.with().day(small).time(midnight),
            "m" => time.with().month(small).time(midnight),
            "y" => time.with().year(number).time(midnight),
            "H" => time.with().hour(small).minute(0).second(0),
            "M" => time.with().minute(small).second(0),
            "S" => time.with().second(small),
            _ => return None,
        };
        return with.subsec_nanosecond(0).build().ok();
    }
    let number: i64 = number.parse().ok()?;
    let number = if sign == '-' { -number } else { number };
    let span = match unit {
        "d" => number.days(),
        "w" => number.weeks(),
        "m" => number.months(),
        "y" => number.years(),
        "H" => number.hours(),
        "M" => number.minutes(),
        "S" => number.seconds(),
        _ => return None,
    };
    time.checked_add(span).ok()
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
