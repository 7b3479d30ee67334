//! Coerces the values of date and datetime fields.
//!
//! Odoo reads `YYYY-MM-DD` and `YYYY-MM-DD HH:MM:SS` in UTC, ignores what follows a
//! date, and fails on `T`, `Z` and offsets (Odoo 19,
//! `odoo/orm/fields_temporal.py`).

use jiff::{
    Timestamp, Zoned,
    civil::{self, DateTime, Time},
    fmt::temporal::{Pieces, PiecesOffset},
    tz::TimeZone,
};
use serde_json::Value;

use super::{coerced::Coerced, error::quoted};

/// A date. A time is accepted only at midnight.
pub(crate) fn coerce_date(value: &Value) -> Result<Coerced, String> {
    let wrong = || {
        format!(
            "is a date and takes a day that exists, in the form `2026-01-31`, not {}",
            quoted(value)
        )
    };
    let text = value.as_str().ok_or_else(wrong)?.trim();
    let (day, time) = parse_civil(text).ok_or_else(wrong)?;
    if time.is_some_and(|time| time != Time::midnight()) {
        return Err(format!(
            "is a date, and {} has a time of day, so its day depends on the time zone; \
             write only the day, in the form `{day}`",
            quoted(value)
        ));
    }
    in_range(day).ok_or_else(wrong)?;
    Ok(Coerced::from_written(value, day.to_string().into()))
}

/// A time, in UTC.
///
/// In Odoo's own form it is in UTC, as in everything that Odoo returns. In another
/// form without an offset it is in the time zone of the context, if that has one.
pub(crate) fn coerce_datetime(value: &Value, zone: Option<&TimeZone>) -> Result<Coerced, String> {
    let wrong = || {
        format!(
            "is a date and time and takes `2026-01-31 13:45:00` in UTC, or with an offset \
             `2026-01-31T13:45:00+02:00`, not {}",
            quoted(value)
        )
    };
    let text = value.as_str().ok_or_else(wrong)?.trim();
    let own_form = |moment: DateTime| moment.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let (moment, note) = match parse_zoned(text) {
        Some(moment) => {
            let moment = moment.to_zoned(TimeZone::UTC).datetime();
            let note = format!("was converted to UTC: `{}`", own_form(moment));
            (moment, note)
        }
        None => {
            let (day, time) = parse_civil(text).ok_or_else(wrong)?;
            in_range(day).ok_or_else(wrong)?;
            let moment = day.to_datetime(time.unwrap_or(Time::midnight()));
            match (zone, own_form(moment) == text) {
                (None, true) => (moment, "has no offset, so it is in UTC".to_owned()),
                (None, false) => {
                    let note = format!("has no offset, so it is in UTC: `{}`", own_form(moment));
                    (moment, note)
                }
                (Some(zone), true) => {
                    let utc = moment.to_zoned(TimeZone::UTC).map_err(|_odd| wrong())?;
                    let there = utc.with_time_zone(zone.clone()).datetime();
                    let note = format!(
                        "is in UTC, like all times that Odoo returns: `{}` in {}",
                        own_form(there),
                        zone_name(zone)
                    );
                    (moment, note)
                }
                (Some(zone), false) => {
                    let local = zone.to_ambiguous_zoned(moment).unambiguous();
                    let local = local.map_err(|_none_or_two| {
                        format!(
                            "has no offset, and in {} {} occurs twice or never, because \
                             clocks change then; write it with its offset",
                            zone_name(zone),
                            quoted(value)
                        )
                    })?;
                    let moment = local.with_time_zone(TimeZone::UTC).datetime();
                    let note = format!(
                        "has no offset, so it is in {}, the `tz` of the context: `{}` in UTC",
                        zone_name(zone),
                        own_form(moment)
                    );
                    (moment, note)
                }
            }
        }
    };
    in_range(moment.date()).ok_or_else(wrong)?;
    Ok(Coerced::with_note(own_form(moment).into(), note))
}

fn zone_name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("this time zone")
}

/// Parses a time with an offset or the name of a time zone.
pub(crate) fn parse_zoned(text: &str) -> Option<Timestamp> {
    if text.contains('[') {
        return text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
    }
    text.parse().ok()
}

/// Parses a date and an optional time (ISO 8601); days and months may have one
/// digit.
pub(crate) fn parse_civil(text: &str) -> Option<(civil::Date, Option<Time>)> {
    if let Ok(pieces) = Pieces::parse(text) {
        let known = match pieces.offset() {
            // The zone may be unknown, or have another offset.
            _ if pieces.time_zone_annotation().is_some() => text.parse::<Zoned>().is_ok(),
            Some(PiecesOffset::Numeric(_) | PiecesOffset::Zulu) | None => true,
            Some(_) => false,
        };
        return known.then(|| (pieces.date(), pieces.time()));
    }
    let mut parts = text.split('-');
    let mut part = |shortest: usize, longest: usize| {
        let part = parts.next()?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        (digits && (shortest..=longest).contains(&part.len()))
            .then(|| part.parse::<i16>().ok())
            .flatten()
    };
    let (year, month, day) = (part(4, 4)?, part(1, 2)?, part(1, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let day = civil::Date::new(year, month, day).ok()?;
    Some((day, None))
}

/// Python writes years before 1000 without zeros, and reads four digits.
fn in_range(day: civil::Date) -> Option<()> {
    (1000..=9999).contains(&day.year()).then_some(())
}
