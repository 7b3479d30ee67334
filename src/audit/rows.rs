//! What an answer held, as far as a record tells of it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::record::MAX_IDS;
use gatepost_odoo::{Effect, RecordId};

/// What an answer held: how much, and of a read the ids of the records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answered {
    /// Its size in bytes.
    pub size_bytes: usize,
    /// The number of its rows, where it is a list.
    pub rows: Option<usize>,
    /// The first ids in it.
    pub ids: Vec<RecordId>,
    /// How many ids there are in all.
    pub ids_count: usize,
}

impl Answered {
    /// Looks into the JSON of an answer. Only the rows of a read, and the ids of
    /// new records, are records of the model that was called.
    pub fn of(answer: &[u8], effect: Effect) -> Self {
        let size_bytes = answer.len();
        let tells = effect.is_read() || effect == Effect::Create;
        let list = tells && answer.trim_ascii_start().starts_with(b"[");
        let rows = list.then(|| serde_json::from_slice::<Rows>(answer).ok());
        let Some(rows) = rows.flatten() else {
            return Self {
                size_bytes,
                ..Self::default()
            };
        };
        Self {
            size_bytes,
            rows: Some(rows.count),
            ids: rows.ids,
            ids_count: rows.ids_count,
        }
    }
}

/// A list, of which the ids are kept and the rest is skipped.
#[derive(Default)]
struct Rows {
    count: usize,
    ids: Vec<RecordId>,
    ids_count: usize,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(Row(id)) = items.next_element()? {
                    rows.count += 1;
                    if let Some(id) = id {
                        rows.ids_count += 1;
                        if rows.ids.len() < MAX_IDS {
                            rows.ids.push(id);
                        }
                    }
                }
                Ok(rows)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// The id of one row: `{"id": 7, …}` of `search_read`, `[7, "…"]` of
/// `name_search`, or `7` of `search`.
struct Row(Option<RecordId>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl<'de> Visitor<'de> for One {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Row, A::Error> {
                let mut id = None;
                while let Some(name) = members.next_key::<std::borrow::Cow<'_, str>>()? {
                    if name == "id" {
                        id = members.next_value::<Row>()?.0;
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Row(id))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Row, A::Error> {
                let first = items.next_element::<Row>()?.and_then(|row| row.0);
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Row(first))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Row, E> {
                Ok(Row(RecordId::try_from(number).ok()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Row, E> {
                let number = i64::try_from(number).ok();
                Ok(Row(number.and_then(|id| RecordId::try_from(id).ok())))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Row, E> {
                Ok(Row(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Row, E> {
                Ok(Row(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Row, E> {
                Ok(Row(None))
            }

            fn visit_unit<E>(self) -> Result<Row, E> {
                Ok(Row(None))
            }
        }

        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use super::Answered;
    use gatepost_odoo::{Effect, RecordId};

    fn ids(answer: &str) -> (Option<usize>, Vec<u32>, usize) {
        let told = Answered::of(answer.as_bytes(), Effect::Read);
        assert_eq!(told.size_bytes, answer.len());
        let ids = told.ids.into_iter().map(RecordId::get).collect();
        (told.rows, ids, told.ids_count)
    }

    #[test]
    fn the_ids_of_all_kinds_of_lists_are_found() {
        let rows = r#"[{"name":"x","id":7,"l":[1,{"id":3}]},{"id":8},{"name":null}]"#;
        assert_eq!(ids(rows), (Some(3), vec![7, 8], 2));
        assert_eq!(ids(r#"[[7,"a"],[8,"b"]]"#), (Some(2), vec![7, 8], 2));
        assert_eq!(ids("[7, 8, -1, 2.5, true, null]"), (Some(6), vec![7, 8], 2));
        assert_eq!(ids("[]"), (Some(0), vec![], 0));
    }

    #[test]
    fn what_is_no_list_of_records_has_a_size_and_nothing_else() {
        for answer in ["12", r#"{"id":7}"#, "[", "nonsense", ""] {
            assert_eq!(ids(answer), (None, vec![], 0), "{answer}");
        }
        let run = Answered::of(b"[7]", Effect::Run);
        assert_eq!((run.rows, run.ids_count), (None, 0));
    }
}
