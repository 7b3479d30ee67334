//! Periods and parts of dates.

use jiff::{
    SignedDuration, ToSpan,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use serde_json::{Value, json};

use crate::{invocation::Invocation, table::Field};

/// The periods of dates, and the parts of dates.
pub(super) const PERIODS: [&str; 6] = ["hour", "day", "week", "month", "quarter", "year"];
pub(super) const PARTS: [&str; 8] = [
    "year_number",
    "quarter_number",
    "month_number",
    "iso_week_number",
    "day_of_year",
    "day_of_month",
    "day_of_week",
    "hour_number",
];
const DATETIME: &str = "%Y-%m-%d %H:%M:%S";

impl Invocation<'_> {
    /// The beginning of the period in the time zone of the call, or the part of the
    /// date as a number.
    pub(super) fn period_of(&self, field: &Field, value: &Value, function: &str) -> Value {
        let Some(time) = self.local_time(field, value) else {
            return Value::Bool(false);
        };
        let day = time.date();
        let part = match function {
            "year_number" => i32::from(day.year()),
            "quarter_number" => i32::from((day.month() + 2) / 3),
            "month_number" => i32::from(day.month()),
            "iso_week_number" => i32::from(day.iso_week_date().week()),
            "day_of_year" => i32::from(day.day_of_year()),
            "day_of_month" => i32::from(day.day()),
            "day_of_week" => i32::from(day.weekday().to_sunday_zero_offset()),
            "hour_number" => i32::from(time.hour()),
            _ => {
                let start = self.start_of(time, function);
                return Value::from(start.strftime(DATETIME).to_string());
            }
        };
        Value::from(f64::from(part))
    }

    fn local_time(&self, field: &Field, value: &Value) -> Option<DateTime> {
        let text = value.as_str()?;
        if field.kind == "date" {
            return Some(
                Date::strptime("%Y-%m-%d", text)
                    .ok()?
                    .to_datetime(Time::midnight()),
            );
        }
        let utc = DateTime::strptime(DATETIME, text).ok()?;
        let moment = TimeZone::UTC.to_timestamp(utc).ok()?;
        Some(self.session.time_zone.to_datetime(moment))
    }

    fn start_of(&self, time: DateTime, period: &str) -> DateTime {
        let day = time.date();
        let first = |month: i8| Date::new(day.year(), month, 1).unwrap_or(day);
        let start = match period {
            "hour" => {
                return day.at(time.hour(), 0, 0, 0);
            }
            "week" => {
                let weekday = day.weekday();
                let since = if self.session.week_starts_on_monday {
                    weekday.to_monday_zero_offset()
                } else {
                    weekday.to_sunday_zero_offset()
                };
                day.saturating_sub(i64::from(since).days())
            }
            "month" => first(day.month()),
            "quarter" => first((day.month() - 1) / 3 * 3 + 1),
            "year" => first(1),
            _ => day,
        };
        start.at(0, 0, 0, 0)
    }

    pub(super) fn format_period(
        &self,
        field: &Field,
        name: &str,
        start: &str,
        period: &str,
    ) -> (Value, Vec<Value>) {
        let start = DateTime::strptime(DATETIME, start).unwrap_or_default();
        let end = match period {
            "hour" => start.saturating_add(SignedDuration::from_hours(1)),
            "day" => start.saturating_add(1.day()),
            "week" => start.saturating_add(7.days()),
            "month" => start.saturating_add(1.month()),
            "quarter" => start.saturating_add(3.months()),
            _ => start.saturating_add(1.year()),
        };
        let written = |time: DateTime| {
            if field.kind == "date" {
                return time.strftime("%Y-%m-%d").to_string();
            }
            let moment = self
                .session
                .time_zone
                .to_timestamp(time)
                .unwrap_or_default();
            moment
                .to_zoned(TimeZone::UTC)
                .strftime(DATETIME)
                .to_string()
        };
        let label = match period {
            "hour" => start.strftime("%H:00 %d %b").to_string(),
            "day" => start.strftime("%d %b %Y").to_string(),
            "week" => self.week_label(start.date()),
            "month" => start.strftime("%B %Y").to_string(),
            "quarter" => format!("Q{} {}", (start.month() + 2) / 3, start.year()),
            _ => start.year().to_string(),
        };
        let (from, to) = (written(start), written(end));
        (
            json!([from, label]),
            vec![
                "&".into(),
                json!([name, ">=", from]),
                json!([name, "<", to]),
            ],
        )
    }

    /// The number of the week in the language: ISO, or that of the week with January 1.
    fn week_label(&self, first: Date) -> String {
        if self.session.week_starts_on_monday {
            let week = first.iso_week_date();
            return format!("W{} {:04}", week.week(), week.year());
        }
        let last = first.saturating_add(6.days());
        let week = (last.day_of_year() - 1) / 7 + 1;
        format!("W{week} {:04}", last.year())
    }
}
