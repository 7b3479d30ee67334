//! Fingerprints of records: the state in which a change left them, in a few bytes.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::RecordSnapshot;
use gatepost_base::digest::json_digest;
use gatepost_odoo::{FieldName, RecordId};

/// Bytes per value. One in 16 million changed values has the fingerprint of the
/// old one.
const FINGERPRINT_BYTES: usize = 3;

/// The state in which records were left: a fingerprint per value.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct FieldFingerprints {
    /// The fields, in the order of their fingerprints.
    pub(super) fields: Vec<FieldName>,
    /// The fingerprints of each record, as base64, by its id.
    rows: BTreeMap<i64, String>,
}

impl FieldFingerprints {
    /// The fingerprints of those of the fields that any record has.
    pub(super) fn of(fields: &[FieldName], records: &RecordSnapshot) -> Self {
        let has = |name: &&FieldName| {
            records
                .rows()
                .any(|(_, row)| row.contains_key(name.as_str()))
        };
        let fields: Vec<FieldName> = fields.iter().filter(has).cloned().collect();
        let rows = records.rows().map(|(id, row)| {
            let bytes: Vec<u8> = fields
                .iter()
                .flat_map(|name| fingerprint(row.get(name.as_str())))
                .collect();
            (i64::from(id.get()), STANDARD_NO_PAD.encode(bytes))
        });
        Self {
            rows: rows.collect(),
            fields,
        }
    }

    /// Whether there are fingerprints of a record.
    pub(super) fn covers(&self, id: RecordId) -> bool {
        self.rows.contains_key(&i64::from(id.get()))
    }

    /// The fields whose values differ from their fingerprints. A value that
    /// cannot be read now is not compared.
    pub(super) fn changed_fields(&self, id: RecordId, row: &Map<String, Value>) -> Vec<&FieldName> {
        let bytes = self.rows.get(&i64::from(id.get()));
        let bytes = bytes.and_then(|bytes| STANDARD_NO_PAD.decode(bytes).ok());
        let bytes = bytes.unwrap_or_default();
        let pairs = self.fields.iter().zip(bytes.chunks(FINGERPRINT_BYTES));
        let changed = pairs.filter(|(name, left)| {
            row.get(name.as_str())
                .is_some_and(|now| fingerprint(Some(now)).as_slice() != *left)
        });
        changed.map(|(name, _)| name).collect()
    }
}

fn fingerprint(value: Option<&Value>) -> [u8; FINGERPRINT_BYTES] {
    let [first, second, third, ..] = json_digest(&value.map(normalized).unwrap_or_default());
    [first, second, third]
}

/// Whether two values that Odoo returned are the same: links by their ids, lists
/// in any order.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    normalized(one) == normalized(other)
}

fn normalized(value: &Value) -> Value {
    let Value::Array(items) = value else {
        return value.clone();
    };
    match items.as_slice() {
        [id @ Value::Number(_), Value::String(_)] => id.clone(),
        items if items.iter().all(Value::is_i64) => {
            let mut ids: Vec<i64> = items.iter().filter_map(Value::as_i64).collect();
            ids.sort_unstable();
            ids.into()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{FieldFingerprints, RecordSnapshot};
    use gatepost_odoo::{FieldName, RecordId};

    #[expect(
        clippy::needless_pass_by_value,
        reason = "reads better where it is called"
    )]
    fn to_map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn names(names: &[&str]) -> Vec<FieldName> {
        let names = names.iter();
        names
            .map(|name| FieldName::try_from(*name).unwrap())
            .collect()
    }

    #[test]
    fn changed_fields_are_reported_and_renamed_linked_record_is_unchanged() {
        let shot = RecordSnapshot::from(json!({"7": {"id": 7, "name": "A", "user_id": [2, "Marc"],
            "tag_ids": [1, 2], "amount": 10.5, "day": false}}));
        let fields = names(&["name", "user_id", "tag_ids", "amount", "day", "never_read"]);
        let marks = FieldFingerprints::of(&fields, &shot);
        let written = serde_json::to_string(&marks).unwrap();
        let marks: FieldFingerprints = serde_json::from_str(&written).unwrap();
        let id = RecordId::try_from(7).unwrap();
        let same = to_map(
            json!({"name": "A", "user_id": [2, "Marc Demo"], "tag_ids": [2, 1],
            "amount": 10.5, "day": false, "never_read": 1}),
        );
        assert_eq!(marks.changed_fields(id, &same), Vec::<&FieldName>::new());
        let other = to_map(
            json!({"name": "a", "user_id": false, "tag_ids": [1], "amount": 10.6,
            "day": "2026-01-01"}),
        );
        assert_eq!(
            marks.changed_fields(id, &other),
            names(&["name", "user_id", "tag_ids", "amount", "day"])
                .iter()
                .collect::<Vec<_>>()
        );
        // Not to be seen is no change.
        assert!(marks.changed_fields(id, &Map::new()).is_empty());
        assert!(marks.covers(id) && !marks.covers(RecordId::try_from(8).unwrap()));
    }
}
