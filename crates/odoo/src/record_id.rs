//! The id of a record.

use std::{borrow::Cow, fmt, num::NonZeroU32};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// The database id of a record: 1 to 2³¹−1 (PostgreSQL `int4`).
///
/// Odoo reads `"1"` as no record and 0 as an empty one, both without an error, so
/// Gatepost rejects them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RecordId(NonZeroU32);

/// Not a record id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a record id; an id is a whole number from 1 to 2147483647, without quotes")]
pub struct InvalidRecordId(String);

impl RecordId {
    /// The id in a JSON number, or `None` for any other value.
    pub fn from_json(value: &Value) -> Option<Self> {
        Self::try_from(value.as_i64()?).ok()
    }

    /// The id as a number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<i64> for RecordId {
    type Error = InvalidRecordId;

    fn try_from(number: i64) -> Result<Self, InvalidRecordId> {
        i32::try_from(number)
            .ok()
            .and_then(|id| u32::try_from(id).ok())
            .and_then(NonZeroU32::new)
            .map(Self)
            .ok_or_else(|| InvalidRecordId(number.to_string()))
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RecordIdVisitor;

        impl de::Visitor<'_> for RecordIdVisitor {
            type Value = RecordId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record id, a whole number from 1 to 2147483647")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<RecordId, E> {
                RecordId::try_from(number).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RecordId, E> {
                i64::try_from(number)
                    .map_err(|_too_large| E::custom(InvalidRecordId(number.to_string())))
                    .and_then(|number| self.visit_i64(number))
            }

            // Some models write 7.0 for 7; the meaning is clear.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<RecordId, E> {
                if number.fract() == 0.0 && (1.0..=f64::from(i32::MAX)).contains(&number) {
                    format!("{number:.0}")
                        .parse::<i64>()
                        .map_err(E::custom)
                        .and_then(|number| self.visit_i64(number))
                } else {
                    Err(E::custom(InvalidRecordId(number.to_string())))
                }
            }
        }

        deserializer.deserialize_any(RecordIdVisitor)
    }
}

impl JsonSchema for RecordId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RecordId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1 })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::RecordId;

    #[test]
    fn only_a_positive_int4_is_a_record_id() {
        for good in ["1", "2147483647", "7.0"] {
            assert!(serde_json::from_str::<RecordId>(good).is_ok(), "{good}");
        }
        for bad in [
            "0",
            "-1",
            "2147483648",
            "1.5",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "1e99",
        ] {
            assert!(serde_json::from_str::<RecordId>(bad).is_err(), "{bad}");
        }
        let error = RecordId::try_from(0).unwrap_err();
        insta::assert_snapshot!(error, @"`0` is not a record id; an id is a whole number from 1 to 2147483647, without quotes");
    }
}
