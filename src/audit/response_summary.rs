//! The summary of a response in an audit record.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::record::MAX_IDS;
use gatepost_odoo::{Operation, RecordId};

/// The summary of a response: its size and, for a read, the ids of the records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResponseSummary {
    /// The size in bytes.
    pub size_bytes: usize,
    /// The number of rows, if it is a list.
    pub rows: Option<usize>,
    /// The first ids.
    pub ids: Vec<RecordId>,
    /// The total number of ids.
    pub ids_count: usize,
}

impl ResponseSummary {
    /// Summarizes the JSON of a response. Only reads and creates return records of the
    /// called model.
    pub fn of(answer: &[u8], effect: Operation) -> Self {
        let size_bytes = answer.len();
        let returns_records = effect.is_read() || effect == Operation::Create;
        let is_list = returns_records && answer.trim_ascii_start().starts_with(b"[");
        let rows = is_list.then(|| serde_json::from_slice::<RowIds>(answer).ok());
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

/// The ids in a list; the rest is skipped.
#[derive(Default)]
struct RowIds {
    count: usize,
    ids: Vec<RecordId>,
    ids_count: usize,
}

impl<'de> Deserialize<'de> for RowIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowIdsVisitor;

        impl<'de> Visitor<'de> for RowIdsVisitor {
            type Value = RowIds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RowIds, A::Error> {
                let mut rows = RowIds::default();
                while let Some(RowId(id)) = items.next_element()? {
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

        deserializer.deserialize_seq(RowIdsVisitor)
    }
}

/// The id of one row: `{"id": 7, …}` of `search_read`, `[7, "…"]` of
/// `name_search`, or `7` of `search`.
struct RowId(Option<RecordId>);

impl<'de> Deserialize<'de> for RowId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowIdVisitor;

        impl<'de> Visitor<'de> for RowIdVisitor {
            type Value = RowId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<RowId, A::Error> {
                let mut id = None;
                while let Some(name) = members.next_key::<std::borrow::Cow<'_, str>>()? {
                    if name == "id" {
                        id = members.next_value::<RowId>()?.0;
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(RowId(id))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RowId, A::Error> {
                let first = items.next_element::<RowId>()?.and_then(|row| row.0);
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(RowId(first))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RowId, E> {
                Ok(RowId(RecordId::try_from(number).ok()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<RowId, E> {
                let number = i64::try_from(number).ok();
                Ok(RowId(number.and_then(|id| RecordId::try_from(id).ok())))
            }

            fn visit_f64<E>(self, _: f64) -> Result<RowId, E> {
                Ok(RowId(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<RowId, E> {
                Ok(RowId(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<RowId, E> {
                Ok(RowId(None))
            }

            fn visit_unit<E>(self) -> Result<RowId, E> {
                Ok(RowId(None))
            }
        }

        deserializer.deserialize_any(RowIdVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::ResponseSummary;
    use gatepost_odoo::{Operation, RecordId};

    fn ids(answer: &str) -> (Option<usize>, Vec<u32>, usize) {
        let summary = ResponseSummary::of(answer.as_bytes(), Operation::Read);
        assert_eq!(summary.size_bytes, answer.len());
        let ids = summary.ids.into_iter().map(RecordId::get).collect();
        (summary.rows, ids, summary.ids_count)
    }

    #[test]
    fn ids_are_found_in_all_list_forms() {
        let rows = r#"[{"name":"x","id":7,"l":[1,{"id":3}]},{"id":8},{"name":null}]"#;
        assert_eq!(ids(rows), (Some(3), vec![7, 8], 2));
        assert_eq!(ids(r#"[[7,"a"],[8,"b"]]"#), (Some(2), vec![7, 8], 2));
        assert_eq!(ids("[7, 8, -1, 2.5, true, null]"), (Some(6), vec![7, 8], 2));
        assert_eq!(ids("[]"), (Some(0), vec![], 0));
    }

    #[test]
    fn other_responses_have_only_a_size() {
        for answer in ["12", r#"{"id":7}"#, "[", "nonsense", ""] {
            assert_eq!(ids(answer), (None, vec![], 0), "{answer}");
        }
        let run = ResponseSummary::of(b"[7]", Operation::Call);
        assert_eq!((run.rows, run.ids_count), (None, 0));
    }
}
