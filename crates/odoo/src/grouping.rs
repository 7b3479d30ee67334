//! What records are grouped by.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::FieldPath;

gatepost_base::words! {
    /// The period, or the part of a date, that dates are grouped by (Odoo 19,
    /// `READ_GROUP_ALL_TIME_GRANULARITY`).
    ///
    /// From short to long, then the parts of a date, whose groups are numbers.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum Granularity {
        /// An hour.
        Hour = "hour",
        /// A day.
        Day = "day",
        /// A week; it begins on the first day of the week in the user's language.
        Week = "week",
        /// A month.
        Month = "month",
        /// A quarter.
        Quarter = "quarter",
        /// A year.
        Year = "year",
        /// The hour of the day.
        HourNumber = "hour_number",
        /// The day of the week; 0 is Sunday.
        DayOfWeek = "day_of_week",
        /// The day of the month.
        DayOfMonth = "day_of_month",
        /// The day of the year.
        DayOfYear = "day_of_year",
        /// The ISO week of the year.
        IsoWeekNumber = "iso_week_number",
        /// The month of the year.
        MonthNumber = "month_number",
        /// The quarter of the year.
        QuarterNumber = "quarter_number",
        /// The year, as a number.
        YearNumber = "year_number",
    }

    /// The word for it in Odoo.
    pub fn as_str(self);
}

impl Granularity {
    /// The periods, from short to long.
    pub const PERIODS: [Self; 6] = [
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];
    /// The parts of a date.
    pub const PARTS: [Self; 8] = [
        Self::HourNumber,
        Self::DayOfWeek,
        Self::DayOfMonth,
        Self::DayOfYear,
        Self::IsoWeekNumber,
        Self::MonthNumber,
        Self::QuarterNumber,
        Self::YearNumber,
    ];

    /// Whether its groups are periods with a beginning and an end.
    pub fn is_period(self) -> bool {
        Self::PERIODS.contains(&self)
    }

    /// The granularity of this word, also as people say it: `monthly`, `weeks`.
    fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let plain = match word.as_str() {
            "hourly" | "hours" => "hour",
            "daily" | "date" | "days" => "day",
            "iso_week" | "isoweek" | "weekly" | "weeks" => "week",
            "monthly" | "months" => "month",
            "quarterly" | "quarters" => "quarter",
            "annual" | "annually" | "yearly" | "years" => "year",
            "week_number" => "iso_week_number",
            "dow" | "weekday" => "day_of_week",
            other => other,
        };
        let mut all = Self::PERIODS.into_iter().chain(Self::PARTS);
        all.find(|one| one.as_str() == plain)
    }
}

/// What records are grouped by: a field such as `state`, a period of a date such as
/// `date_order:month`, or either at the end of a path such as `partner_id.country_id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Grouping {
    /// The field, or a path of many2one fields to it.
    pub path: FieldPath,
    /// For a date: its period or part.
    pub granularity: Option<Granularity>,
}

/// Not a grouping.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a grouping; write a field such as `state`, a path such as `partner_id.country_id`, or a date with its period such as `date_order:month`: {periods}; or a part of it: {parts}",
    periods = words(&Granularity::PERIODS),
    parts = words(&Granularity::PARTS)
)]
pub struct InvalidGrouping(String);

impl Grouping {
    /// Groups by a field of the model itself.
    pub fn by(field: &super::FieldName) -> Self {
        Self {
            path: FieldPath::from(field),
            granularity: None,
        }
    }

    /// Parses `path` or `path:granularity`.
    ///
    /// # Errors
    /// [`InvalidGrouping`] with the text, cut short.
    pub fn parse(text: &str) -> Result<Self, InvalidGrouping> {
        let invalid = || InvalidGrouping(text.chars().take(80).collect());
        let (path, granularity) = match text.trim().split_once(':') {
            None => (text.trim(), None),
            Some((path, word)) => {
                let granularity = Granularity::parse(word.trim()).ok_or_else(invalid)?;
                (path.trim(), Some(granularity))
            }
        };
        Ok(Self {
            path: FieldPath::try_from(path).map_err(|_no_path| invalid())?,
            granularity,
        })
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        match self.granularity {
            Some(granularity) => write!(f, ":{}", granularity.as_str()),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Grouping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

fn words(all: &[Granularity]) -> String {
    let all: Vec<&str> = all.iter().map(|one| one.as_str()).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::Grouping;

    #[test]
    fn grouping_parses_field_path_and_granularity() {
        let written = |text: &str| Grouping::parse(text).unwrap().to_string();
        assert_eq!(written("state"), "state");
        assert_eq!(written(" date_order : Month "), "date_order:month");
        assert_eq!(written("date_order:weekly"), "date_order:week");
        assert_eq!(written("partner_id.country_id"), "partner_id.country_id");
        assert_eq!(
            written("order_id.date_order:day_of_week"),
            "order_id.date_order:day_of_week"
        );
    }

    #[test]
    fn invalid_grouping_is_rejected_with_the_valid_words() {
        for invalid in [
            "",
            ":month",
            "date:",
            "date_order:fortnight",
            "a b",
            "a:b:c",
            "a;b",
        ] {
            assert!(Grouping::parse(invalid).is_err(), "{invalid}");
        }
        insta::assert_snapshot!(Grouping::parse("date_order:fortnight").unwrap_err(), @"`date_order:fortnight` is not a grouping; write a field such as `state`, a path such as `partner_id.country_id`, or a date with its period such as `date_order:month`: hour, day, week, month, quarter, year; or a part of it: hour_number, day_of_week, day_of_month, day_of_year, iso_week_number, month_number, quarter_number, year_number");
    }
}
