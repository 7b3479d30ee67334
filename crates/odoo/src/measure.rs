//! What is computed of each group of records.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{FieldClass, FieldKind, FieldName};

gatepost_base::words! {
    /// A function that computes one value of many (Odoo 19, `READ_GROUP_AGGREGATE`).
    /// Those that return lists of values are not offered.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum Aggregate {
        /// The average of the values that are set.
        Avg = "avg",
        /// Whether all values are true.
        BoolAnd = "bool_and",
        /// Whether any value is true.
        BoolOr = "bool_or",
        /// The number of records whose value is set.
        Count = "count",
        /// The number of different values.
        CountDistinct = "count_distinct",
        /// The largest value.
        Max = "max",
        /// The smallest value.
        Min = "min",
        /// The sum.
        Sum = "sum",
    }

    /// The word for it in Odoo.
    pub fn as_str(self);
}

impl Aggregate {
    /// Every function, in order.
    pub const ALL: [Self; 8] = [
        Self::Avg,
        Self::BoolAnd,
        Self::BoolOr,
        Self::Count,
        Self::CountDistinct,
        Self::Max,
        Self::Min,
        Self::Sum,
    ];

    /// The function of this word, also as SQL and people say it.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let plain = match word.as_str() {
            "average" | "mean" => "avg",
            "all" | "every" => "bool_and",
            "any" | "some" => "bool_or",
            "distinct" | "distinct_count" | "nunique" | "unique" => "count_distinct",
            "highest" | "largest" | "maximum" => "max",
            "lowest" | "minimum" | "smallest" => "min",
            "add" | "total" => "sum",
            other => other,
        };
        Self::ALL.into_iter().find(|one| one.as_str() == plain)
    }

    /// The functions that can be computed of values of this kind.
    pub fn of_kind(kind: FieldKind) -> &'static [Self] {
        match kind.class() {
            FieldClass::Number => &[
                Self::Sum,
                Self::Avg,
                Self::Min,
                Self::Max,
                Self::Count,
                Self::CountDistinct,
            ],
            FieldClass::Scalar if kind.is_date() => {
                &[Self::Min, Self::Max, Self::Count, Self::CountDistinct]
            }
            FieldClass::Scalar if kind == FieldKind::Boolean => &[
                Self::BoolAnd,
                Self::BoolOr,
                Self::Count,
                Self::CountDistinct,
            ],
            FieldClass::Scalar
            | FieldClass::Many2one
            | FieldClass::Reference
            | FieldClass::UntypedId => &[Self::Count, Self::CountDistinct],
            FieldClass::Binary
            | FieldClass::Document
            | FieldClass::Many2many
            | FieldClass::One2many
            | FieldClass::Properties
            | FieldClass::Unknown => &[],
        }
    }

    /// Whether the value is an amount in the currency of the amounts that it is
    /// computed of, so that those must have the same one.
    pub fn returns_amount(self) -> bool {
        match self {
            Self::Avg | Self::Max | Self::Min | Self::Sum => true,
            Self::BoolAnd | Self::BoolOr | Self::Count | Self::CountDistinct => false,
        }
    }
}

/// What is computed of each group of records: their number, or a function of a field
/// such as `amount_total:sum`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measure {
    /// The number of records.
    Count,
    /// A function of a field.
    Of(FieldName, Aggregate),
}

impl Measure {
    /// The field, if it is not the number of records.
    pub fn field(&self) -> Option<&FieldName> {
        match self {
            Self::Count => None,
            Self::Of(field, _) => Some(field),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("__count"),
            Self::Of(field, aggregate) => write!(f, "{field}:{}", aggregate.as_str()),
        }
    }
}

/// A measure as it is requested: the function may be left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestedMeasure {
    /// The number of records.
    Count,
    /// A field and perhaps a function of it.
    Of(FieldName, Option<Aggregate>),
}

/// Not a measure.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a measure; write a field and a function such as `amount_total:sum`, with one of {functions}, or `count` for the number of records",
    functions = Aggregate::ALL.map(Aggregate::as_str).join(", ")
)]
pub struct InvalidMeasure(String);

impl RequestedMeasure {
    /// Parses `field:function`, also as SQL and other tools write it
    /// (`sum(field)`, `count(*)`).
    ///
    /// # Errors
    /// [`InvalidMeasure`] with the text, cut short.
    pub fn parse(text: &str) -> Result<Self, InvalidMeasure> {
        let invalid = || InvalidMeasure(text.chars().take(80).collect());
        let plain = text.trim();
        let (field, function) = match plain.split_once(':') {
            Some((field, function)) => (field.trim(), Some(function.trim())),
            None => match plain
                .strip_suffix(')')
                .and_then(|call| call.split_once('('))
            {
                Some((function, field)) => (field.trim(), Some(function.trim())),
                None => (plain, None),
            },
        };
        let counts = |word: &str| matches!(word, "__count" | "count");
        if matches!((field, function), (_, None) if counts(field))
            || (matches!(field, "" | "*" | "__count" | "id") && function.is_some_and(counts))
        {
            return Ok(Self::Count);
        }
        let function = match function {
            None => None,
            Some(word) => Some(Aggregate::parse(word).ok_or_else(invalid)?),
        };
        let field = FieldName::try_from(field).map_err(|_no_name| invalid())?;
        Ok(Self::Of(field, function))
    }
}

impl<'de> Deserialize<'de> for RequestedMeasure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Aggregate, FieldName, RequestedMeasure};

    #[test]
    fn measure_parses_with_synonyms_and_in_the_form_of_sql() {
        let parsed = |text: &str| RequestedMeasure::parse(text).unwrap();
        let amount = |function| RequestedMeasure::Of(FieldName::known("amount_total"), function);
        for sum in [
            "amount_total:sum",
            " amount_total : SUM ",
            "sum(amount_total)",
            "amount_total:total",
        ] {
            assert_eq!(parsed(sum), amount(Some(Aggregate::Sum)), "{sum}");
        }
        assert_eq!(parsed("amount_total:mean"), amount(Some(Aggregate::Avg)));
        assert_eq!(parsed("amount_total"), amount(None));
        for count in [
            "count", "__count", "id:count", "count(*)", "count()", "*:count",
        ] {
            assert_eq!(parsed(count), RequestedMeasure::Count, "{count}");
        }
    }

    #[test]
    fn invalid_measure_is_rejected_with_the_functions() {
        for invalid in [
            "",
            "a.b:sum",
            "amount_total:median",
            "sum(",
            "a b",
            "array_agg(x)",
            "x:recordset",
        ] {
            assert!(RequestedMeasure::parse(invalid).is_err(), "{invalid}");
        }
        insta::assert_snapshot!(RequestedMeasure::parse("amount_total:median").unwrap_err(), @"`amount_total:median` is not a measure; write a field and a function such as `amount_total:sum`, with one of avg, bool_and, bool_or, count, count_distinct, max, min, sum, or `count` for the number of records");
    }
}
