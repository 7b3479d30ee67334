//! Groups of records as a table.

use std::collections::BTreeMap;

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::TimeZone,
};
use serde_json::{Map, Value, json};

use super::{Rendered, table::render_number};
use gatepost_base::text::{MAX_CELL_CHARS, append, append_one_line, one_line, truncated};
use gatepost_odoo::{FieldKind, Granularity};

/// The longest condition that is shown for the first group, in bytes.
const MAX_CONDITION_BYTES: usize = 240;

/// The groups in a response of `formatted_read_group`.
#[derive(Debug)]
pub struct Groups(Vec<Map<String, Value>>);

/// A column of a table of groups.
#[derive(Debug)]
pub struct GroupColumn {
    /// The grouping or the measure, as it was sent to Odoo.
    pub key: String,
    /// The kind of its values.
    pub kind: FieldKind,
    /// For a date that is grouped by: its period or part.
    pub granularity: Option<Granularity>,
    /// Whether it is computed of the group, so that no value is not a group.
    pub is_measure: bool,
}

impl Groups {
    /// Parses a response.
    ///
    /// # Errors
    /// If it is not a list of objects.
    pub fn parse(answer: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(answer).map(Self)
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops all but the first `count` groups.
    pub fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    /// The value of a column, if it is the same in all groups.
    pub fn constant(&self, column: &GroupColumn) -> Option<String> {
        let mut values = self.0.iter().map(|group| group.get(&column.key));
        let first = values.next()??;
        values
            .all(|value| value == Some(first))
            .then(|| column.render(Some(first), &TimeZone::UTC))
    }

    /// The number in a column of the first group.
    pub fn first_number(&self, key: &str) -> Option<u64> {
        self.0.first()?.get(key)?.as_u64()
    }

    /// The condition that finds the records of the first group, without those on
    /// fields that are the same in all groups, if it is short and simple.
    pub fn first_condition(&self, same: &[&str]) -> Option<String> {
        let terms = self.0.first()?.get("__extra_domain")?.as_array()?;
        // Without other operators, the conditions are all combined by "and".
        if terms.iter().any(|term| term == "|" || term == "!") {
            return None;
        }
        let is_same = |term: &Value| {
            same.iter()
                .any(|name| term.get(0).is_some_and(|at| at == name))
        };
        let shown = terms.iter().filter(|term| *term != "&" && !is_same(term));
        let text = serde_json::to_string(&shown.collect::<Vec<_>>()).ok()?;
        // A value with characters that a table escapes is not worth a line.
        let is_plain =
            text.len() <= MAX_CONDITION_BYTES && one_line(&text, MAX_CONDITION_BYTES) == text;
        is_plain.then_some(text)
    }

    /// Adds empty groups for the periods without records, between the first and the
    /// last group and within `bounds`, which are the days that the domain names. Groups
    /// without a date stay last. Other groupings get each of their values in each
    /// period. Returns `None`, and changes nothing, if there would be more than
    /// `max_groups`.
    pub fn fill_periods(
        &mut self,
        columns: &[GroupColumn],
        zone: &TimeZone,
        bounds: (Option<Date>, Option<Date>),
        max_groups: usize,
    ) -> Option<()> {
        let (period, others) = columns.split_first()?;
        let granularity = period.granularity?;
        let others: Vec<&GroupColumn> = others.iter().filter(|one| !one.is_measure).collect();
        let start_of = |group: &Map<String, Value>| {
            let start = group.get(&period.key)?.get(0)?.as_str()?;
            Some(local_time(start, period.kind, zone)?.date())
        };
        let starts: Vec<Option<Date>> = self.0.iter().map(start_of).collect();
        let dates = || starts.iter().flatten();
        let (Some(first), Some(last)) = (dates().min(), dates().max()) else {
            return Some(());
        };
        let weekday = first.weekday();
        let bound = |day: Option<Date>| period_start(day?, granularity, weekday);
        let from = bound(bounds.0).map_or(*first, |day| day.min(*first));
        let to = bound(bounds.1).map_or(*last, |day| day.max(*last));
        // Each combination of the other groupings, and where its group of a day is.
        let mut combinations: Vec<Vec<Value>> = Vec::new();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut places: BTreeMap<(Date, usize), &Map<String, Value>> = BTreeMap::new();
        for (group, start) in self.0.iter().zip(&starts) {
            let values = others.iter().map(|one| group.get(&one.key).cloned());
            let values: Vec<Value> = values.map(Option::unwrap_or_default).collect();
            let key = json!(values).to_string();
            let number = *numbers.entry(key).or_insert(combinations.len());
            if number == combinations.len() {
                combinations.push(values);
            }
            if let Some(day) = start {
                places.entry((*day, number)).or_insert(group);
            }
        }
        let mut filled = Vec::new();
        let mut day = from;
        while day <= to {
            for (number, values) in combinations.iter().enumerate() {
                filled.push(match places.get(&(day, number)) {
                    Some(group) => (*group).clone(),
                    None => empty_group(columns, &written_start(day, period.kind, zone)?, values),
                });
            }
            if filled.len() > max_groups {
                return None;
            }
            day = next_period(day, granularity)?;
        }
        let dated = self.0.iter().zip(&starts);
        let dateless = dated.filter(|(_, start)| start.is_none());
        filled.extend(dateless.map(|(group, _)| group.clone()));
        self.0 = filled;
        Some(())
    }

    /// Renders one group a line below the headings. The text never exceeds
    /// `budget_bytes`, and ends after a whole group.
    pub fn table(&self, columns: &[GroupColumn], zone: &TimeZone, budget_bytes: usize) -> Rendered {
        let headings: Vec<&str> = columns.iter().map(GroupColumn::heading).collect();
        let mut text = headings.join(" | ");
        text.push('\n');
        let mut shown = 0;
        for group in &self.0 {
            let start = text.len();
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    text.push_str(" | ");
                }
                text.push_str(&column.render(group.get(&column.key), zone));
            }
            if text.len() + 1 > budget_bytes {
                text.truncate(start);
                break;
            }
            text.push('\n');
            shown += 1;
        }
        text.truncate(truncated(&text, budget_bytes).len());
        Rendered { text, shown }
    }

    /// Renders each group on a line without columns: `total USD: count=3`. A group
    /// among the rows cannot look like that, because rows have columns.
    pub fn lines(
        &self,
        title: &str,
        groupings: &[GroupColumn],
        measures: &[GroupColumn],
    ) -> String {
        let zone = &TimeZone::UTC;
        let mut text = String::new();
        for group in &self.0 {
            text.push_str(title);
            for column in groupings {
                append(
                    &mut text,
                    format_args!(" {}", column.render(group.get(&column.key), zone)),
                );
            }
            let values = measures.iter().map(|column| {
                let value = column.render(group.get(&column.key), zone);
                let value = if value.is_empty() { "none" } else { &value };
                format!("{}={value}", column.heading())
            });
            let values: Vec<String> = values.collect();
            append(&mut text, format_args!(": {}\n", values.join(", ")));
        }
        text
    }
}

impl GroupColumn {
    /// The name of the column.
    pub fn heading(&self) -> &str {
        self.key.trim_start_matches("__")
    }

    fn render(&self, value: Option<&Value>, zone: &TimeZone) -> String {
        let none = if self.is_measure { "" } else { "(none)" };
        let Some(value) = value else {
            return none.to_owned();
        };
        match (value, self.granularity) {
            (Value::Array(pair), Some(granularity)) if granularity.is_period() => {
                let start = pair.first().and_then(Value::as_str).unwrap_or_default();
                render_period(start, granularity, self.kind, zone)
                    .unwrap_or_else(|| one_line(start, MAX_CELL_CHARS))
            }
            (Value::Number(number), Some(granularity)) => render_part(number, granularity),
            (Value::Array(pair), _) => match pair.as_slice() {
                [id, Value::String(name)] => {
                    let mut text = String::new();
                    append_one_line(&mut text, name, MAX_CELL_CHARS);
                    append(&mut text, format_args!(" [{id}]"));
                    text
                }
                [id, _] => format!("[{id}]"),
                _ => one_line(&value.to_string(), MAX_CELL_CHARS),
            },
            (Value::Bool(true), _) => "yes".to_owned(),
            (Value::Bool(false), _) if self.kind == FieldKind::Boolean => "no".to_owned(),
            (Value::Bool(false) | Value::Null, _) => none.to_owned(),
            (Value::Number(number), None) => {
                render_number(&number.to_string(), self.kind).into_owned()
            }
            (Value::String(text), _) if text.is_empty() => none.to_owned(),
            (Value::String(text), _) => one_line(text, MAX_CELL_CHARS),
            (Value::Object(_), _) => one_line(&value.to_string(), MAX_CELL_CHARS),
        }
    }
}

/// A group without records: nothing is counted and summed, and there is no average.
fn empty_group(columns: &[GroupColumn], start: &str, others: &[Value]) -> Map<String, Value> {
    let mut others = others.iter();
    let mut group = Map::new();
    for (at, column) in columns.iter().enumerate() {
        let value = if at == 0 {
            json!([start, ""])
        } else if column.is_measure {
            let is_zero = column.key == "__count"
                || column.key.ends_with(":sum")
                || column.key.contains(":count");
            if is_zero {
                0.into()
            } else {
                Value::Bool(false)
            }
        } else {
            others.next().cloned().unwrap_or_default()
        };
        group.insert(column.key.clone(), value);
    }
    group
}

/// A date, or a time in the zone, as Odoo writes it: times are in UTC.
fn local_time(text: &str, kind: FieldKind, zone: &TimeZone) -> Option<DateTime> {
    if kind != FieldKind::Datetime {
        let day = Date::strptime("%Y-%m-%d", text).ok()?;
        return Some(day.to_datetime(Time::midnight()));
    }
    let utc = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(zone.to_datetime(TimeZone::UTC.to_timestamp(utc).ok()?))
}

/// The day, in the zone, of a time or a date in a domain.
pub fn day_of(text: &str, kind: FieldKind, zone: &TimeZone) -> Option<Date> {
    // Of a day alone, that day is meant.
    let kind = if text.len() == 10 {
        FieldKind::Date
    } else {
        kind
    };
    local_time(text, kind, zone).map(DateTime::date)
}

/// A period by its first moment: `2026-10`, `2026-Q4`, `2026-W49 (2026-11-30 to
/// 2026-12-06)`. Odoo returns times in UTC.
fn render_period(
    start: &str,
    granularity: Granularity,
    kind: FieldKind,
    zone: &TimeZone,
) -> Option<String> {
    let start = local_time(start, kind, zone)?;
    let day = start.date();
    Some(match granularity {
        Granularity::Hour => start.strftime("%Y-%m-%d %H:00").to_string(),
        Granularity::Week => {
            let last = day.checked_add(6.days()).ok()?;
            let week = day.iso_week_date();
            if week.weekday() == Weekday::Monday {
                format!("{}-W{:02} ({day} to {last})", week.year(), week.week())
            } else {
                format!("{day} to {last}")
            }
        }
        Granularity::Month => day.strftime("%Y-%m").to_string(),
        Granularity::Quarter => format!("{}-Q{}", day.year(), (day.month() + 2) / 3),
        Granularity::Year => day.year().to_string(),
        Granularity::Day
        | Granularity::HourNumber
        | Granularity::DayOfWeek
        | Granularity::DayOfMonth
        | Granularity::DayOfYear
        | Granularity::IsoWeekNumber
        | Granularity::MonthNumber
        | Granularity::QuarterNumber
        | Granularity::YearNumber => day.to_string(),
    })
}

/// The first day of the period that a day is in. Weeks begin on `first_weekday`.
fn period_start(day: Date, granularity: Granularity, first_weekday: Weekday) -> Option<Date> {
    match granularity {
        Granularity::Day => Some(day),
        Granularity::Week => {
            let since = day.weekday().since(first_weekday);
            day.checked_sub(i64::from(since).days()).ok()
        }
        Granularity::Month => Some(day.first_of_month()),
        Granularity::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).ok(),
        Granularity::Year => Some(day.first_of_year()),
        Granularity::Hour
        | Granularity::HourNumber
        | Granularity::DayOfWeek
        | Granularity::DayOfMonth
        | Granularity::DayOfYear
        | Granularity::IsoWeekNumber
        | Granularity::MonthNumber
        | Granularity::QuarterNumber
        | Granularity::YearNumber => None,
    }
}

/// The first day of the next period.
fn next_period(start: Date, granularity: Granularity) -> Option<Date> {
    let length = match granularity {
        Granularity::Day => 1.day(),
        Granularity::Week => 7.days(),
        Granularity::Month => 1.month(),
        Granularity::Quarter => 3.months(),
        Granularity::Year => 1.year(),
        Granularity::Hour
        | Granularity::HourNumber
        | Granularity::DayOfWeek
        | Granularity::DayOfMonth
        | Granularity::DayOfYear
        | Granularity::IsoWeekNumber
        | Granularity::MonthNumber
        | Granularity::QuarterNumber
        | Granularity::YearNumber => return None,
    };
    start.checked_add(length).ok()
}

/// The first moment of a period, as Odoo writes it.
fn written_start(day: Date, kind: FieldKind, zone: &TimeZone) -> Option<String> {
    if kind != FieldKind::Datetime {
        return Some(day.to_string());
    }
    let moment = zone.to_timestamp(day.to_datetime(Time::midnight())).ok()?;
    let utc = moment.to_zoned(TimeZone::UTC);
    Some(utc.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A part of a date, which Odoo returns as a number with a fraction.
fn render_part(number: &serde_json::Number, granularity: Granularity) -> String {
    const DAYS: [&str; 7] = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ];
    let text = render_number(&number.to_string(), FieldKind::Float).into_owned();
    let day = text.parse::<usize>().ok().and_then(|day| DAYS.get(day));
    match day.filter(|_| granularity == Granularity::DayOfWeek) {
        Some(day) => format!("{text} ({day})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::{GroupColumn, Groups, day_of, render_period};
    use gatepost_odoo::{FieldKind, Granularity};

    fn column(key: &str, kind: FieldKind) -> GroupColumn {
        GroupColumn {
            key: key.to_owned(),
            kind,
            granularity: None,
            is_measure: key.contains(':') || key == "__count",
        }
    }

    #[test]
    fn groups_are_rows_with_readable_periods_links_and_empty_groups() {
        let answer = json!([
            {"partner_id": [10, "Gemini | Furniture\n9 | x"], "date_order:month": ["2026-09-30 22:00:00", "October 2026"], "vip": true, "__count": 3, "amount_total:sum": 1_200.000_000_000_000_2},
            {"partner_id": false, "date_order:month": false, "vip": false, "__count": 1, "amount_total:sum": false},
        ]);
        let groups = Groups::parse(answer.to_string().as_bytes()).unwrap();
        let month = GroupColumn {
            granularity: Some(Granularity::Month),
            is_measure: false,
            ..column("date_order:month", FieldKind::Datetime)
        };
        let columns = [
            column("partner_id", FieldKind::Many2one),
            month,
            column("vip", FieldKind::Boolean),
            column("__count", FieldKind::Integer),
            column("amount_total:sum", FieldKind::Monetary),
        ];
        let zone = TimeZone::get("Europe/Brussels").unwrap();
        let table = groups.table(&columns, &zone, 9_999);
        insta::assert_snapshot!(table.text, @"
        partner_id | date_order:month | vip | count | amount_total:sum
        Gemini \\| Furniture\\n9 \\| x [10] | 2026-10 | yes | 3 | 1200
        (none) | (none) | no | 1 | 
        ");
        assert_eq!(table.shown, 2);
        let cut = groups.table(&columns, &zone, 140);
        assert_eq!((cut.shown, cut.text.lines().count()), (1, 2));
        insta::assert_snapshot!(groups.lines("total", &columns[2..3], &columns[3..]), @"
        total yes: count=3, amount_total:sum=1200
        total no: count=1, amount_total:sum=none
        ");
    }

    #[test]
    fn periods_are_dates_of_the_time_zone() {
        let zone = TimeZone::get("Europe/Brussels").unwrap();
        let shown = |start: &str, granularity| {
            render_period(start, granularity, FieldKind::Datetime, &zone).unwrap()
        };
        assert_eq!(shown("2026-09-30 22:00:00", Granularity::Month), "2026-10");
        assert_eq!(
            shown("2026-09-30 22:00:00", Granularity::Quarter),
            "2026-Q4"
        );
        assert_eq!(shown("2025-12-31 23:00:00", Granularity::Year), "2026");
        assert_eq!(shown("2026-09-30 22:00:00", Granularity::Day), "2026-10-01");
        assert_eq!(
            shown("2026-09-30 22:00:00", Granularity::Hour),
            "2026-10-01 00:00"
        );
        assert_eq!(
            shown("2026-12-27 23:00:00", Granularity::Week),
            "2026-W53 (2026-12-28 to 2027-01-03)"
        );
        // The week of American English begins on Sunday.
        assert_eq!(
            shown("2026-11-28 23:00:00", Granularity::Week),
            "2026-11-29 to 2026-12-05"
        );
    }

    #[test]
    fn empty_periods_are_filled_for_each_value_of_the_other_groupings() {
        let group = |start: serde_json::Value, state: &str, count: u8| json!({"date:month": start, "state": state, "__count": count, "amount:sum": count, "amount:avg": count});
        let at = |start: &str| json!([start, ""]);
        let answer = json!([
            group(at("2026-09-30 22:00:00"), "draft", 3),
            group(at("2026-11-30 23:00:00"), "sale", 1),
            group(json!(false), "sale", 2),
        ]);
        let month = GroupColumn {
            granularity: Some(Granularity::Month),
            is_measure: false,
            ..column("date:month", FieldKind::Datetime)
        };
        let columns = [
            month,
            column("state", FieldKind::Selection),
            column("__count", FieldKind::Integer),
            column("amount:sum", FieldKind::Monetary),
            column("amount:avg", FieldKind::Float),
        ];
        let zone = TimeZone::get("Europe/Brussels").unwrap();
        let bounds = (
            day_of("2026-09-15 10:00:00", FieldKind::Datetime, &zone),
            None,
        );
        let mut groups = Groups::parse(answer.to_string().as_bytes()).unwrap();
        assert!(groups.fill_periods(&columns, &zone, bounds, 7).is_none());
        assert_eq!(groups.len(), 3);
        groups.fill_periods(&columns, &zone, bounds, 8).unwrap();
        insta::assert_snapshot!(groups.table(&columns, &zone, 9_999).text, @"
        date:month | state | count | amount:sum | amount:avg
        2026-09 | draft | 0 | 0 | 
        2026-09 | sale | 0 | 0 | 
        2026-10 | draft | 3 | 3 | 3
        2026-10 | sale | 0 | 0 | 
        2026-11 | draft | 0 | 0 | 
        2026-11 | sale | 0 | 0 | 
        2026-12 | draft | 0 | 0 | 
        2026-12 | sale | 1 | 1 | 1
        (none) | sale | 2 | 2 | 2
        ");
    }

    #[test]
    fn weeks_are_filled_from_the_first_weekday_that_odoo_uses() {
        let week = GroupColumn {
            granularity: Some(Granularity::Week),
            ..column("day:week", FieldKind::Date)
        };
        let columns = [GroupColumn {
            is_measure: false,
            ..week
        }];
        let answer = br#"[{"day:week":["2026-11-29",""]},{"day:week":["2026-12-13",""]}]"#;
        let mut groups = Groups::parse(answer).unwrap();
        let zone = TimeZone::UTC;
        let bounds = (None, day_of("2026-12-23", FieldKind::Date, &zone));
        groups.fill_periods(&columns, &zone, bounds, 99).unwrap();
        insta::assert_snapshot!(groups.table(&columns, &zone, 9_999).text, @"
        day:week
        2026-11-29 to 2026-12-05
        2026-12-06 to 2026-12-12
        2026-12-13 to 2026-12-19
        2026-12-20 to 2026-12-26
        ");
    }

    #[test]
    fn condition_of_first_group_is_short_and_without_needless_operators() {
        let of = |domain: serde_json::Value| {
            let answer = json!([{"__extra_domain": domain}]).to_string();
            let groups = Groups::parse(answer.as_bytes()).unwrap();
            groups.first_condition(&["currency_id"])
        };
        assert_eq!(
            of(json!([
                "&",
                "&",
                ["state", "=", "sale"],
                ["n", ">", 1],
                ["currency_id", "=", 1]
            ]))
            .unwrap(),
            r#"[["state","=","sale"],["n",">",1]]"#
        );
        assert_eq!(of(json!(["|", ["a", "=", 1], ["b", "=", 2]])), None);
        assert_eq!(of(json!([["name", "=", "a | b"]])), None);
        assert_eq!(of(json!([["name", "=", "x".repeat(300)]])), None);
    }
}
