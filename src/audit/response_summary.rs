//! The summary of a response in an audit record.

use serde::Deserialize;
use serde_json::value::RawValue;

use gatepost_odoo::{Operation, RecordId};

/// The most ids in one record; the total is recorded too.
pub(super) const MAX_IDS: usize = 100;

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
        let Some(rows) = row_ids(answer).filter(|_| returns_records) else {
            return Self {
                size_bytes,
                ..Self::default()
            };
        };
        let mut ids: Vec<RecordId> = rows.iter().copied().flatten().collect();
        let ids_count = ids.len();
        ids.truncate(MAX_IDS);
        Self {
            size_bytes,
            rows: Some(rows.len()),
            ids,
            ids_count,
        }
    }
}

/// The ids of the rows, in one pass: `{"id": 7, …}` of `search_read`, `[7, "…"]` of
/// `name_search`, or `7` of `search`; `None` if it is not a list of those.
fn row_ids(answer: &[u8]) -> Option<Vec<Option<RecordId>>> {
    #[derive(Deserialize)]
    struct IdMember<'a> {
        #[serde(borrow, default)]
        id: Option<&'a RawValue>,
    }

    let id = |json: &RawValue| RecordId::try_from(json.get().parse::<i64>().ok()?).ok();
    let list = answer.trim_ascii_start().strip_prefix(b"[")?;
    Some(match list.trim_ascii_start().first()? {
        b'{' => {
            let rows: Vec<IdMember<'_>> = serde_json::from_slice(answer).ok()?;
            rows.iter().map(|row| row.id.and_then(id)).collect()
        }
        b'[' => {
            let rows: Vec<Vec<&RawValue>> = serde_json::from_slice(answer).ok()?;
            rows.iter()
                .map(|row| row.first().copied().and_then(id))
                .collect()
        }
        _ => {
            let rows: Vec<&RawValue> = serde_json::from_slice(answer).ok()?;
            rows.into_iter().map(id).collect()
        }
    })
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
