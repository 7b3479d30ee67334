//! Records as they will be after a write.

use serde_json::{Map, Value};

use super::comparison::{compare, is_empty};
use gatepost_odoo::{
    Field, FieldKind, FieldName, FieldPath, ModelName, Operation, Operator, RecordId,
};

/// Records as they will be after the write.
#[derive(Clone, Copy)]
pub(super) struct PostImage<'a> {
    /// Their model.
    pub(super) model: &'a ModelName,
    /// What the call does to them.
    pub(super) operation: Operation,
    /// Their ids; empty for new records.
    pub(super) ids: &'a [RecordId],
    /// The values that they get.
    pub(super) values: &'a Map<String, Value>,
    /// The records whose list they will be in.
    pub(super) parent: Option<&'a ParentChange<'a>>,
}

/// The records whose list a record will be in.
#[derive(Clone, Copy)]
pub(super) struct ParentChange<'a> {
    /// The field by which the record links to them.
    pub(super) inverse: &'a FieldName,
    /// These records.
    pub(super) record: PostImage<'a>,
}

impl<'a> PostImage<'a> {
    /// Records that get these values, in no list.
    pub(super) fn of(
        model: &'a ModelName,
        ids: &'a [RecordId],
        values: &'a Map<String, Value>,
    ) -> Self {
        Self {
            model,
            operation: Operation::Write,
            ids,
            values,
            parent: None,
        }
    }

    /// A new record with these values, in no list.
    pub(super) fn new_record(model: &'a ModelName, values: &'a Map<String, Value>) -> Self {
        Self {
            operation: Operation::Create,
            ..Self::of(model, &[], values)
        }
    }
}

impl<'a> ParentChange<'a> {
    /// These records as the parent of those in a list of theirs; `None` where the
    /// list shows another record's, or the link is unknown.
    pub(super) fn of(field: &'a Field, record: PostImage<'a>) -> Option<Self> {
        let own = field.kind == FieldKind::One2many && field.stored && field.related.is_none();
        let inverse = field.inverse.as_ref().filter(|_| own)?;
        Some(Self { inverse, record })
    }

    /// Whether a link to the parent compares so; `None` where that is unknown, or
    /// differs between the records.
    pub(super) fn compare(&self, operator: Operator, wanted: &Value) -> Option<bool> {
        if self.record.operation == Operation::Create {
            // No rule can name a new record, and the link is not empty.
            let (positive, negated) = operator.without_negation();
            let only_empty = match wanted.as_array() {
                Some(values) => values.iter().all(is_empty),
                None => is_empty(wanted),
            };
            return (only_empty && matches!(positive, Operator::Equal | Operator::In))
                .then_some(negated);
        }
        let mut results = self
            .record
            .ids
            .iter()
            .map(|id| compare(FieldKind::Many2one, operator, &id.get().into(), wanted));
        let first = results.next()??;
        results.all(|result| result == Some(first)).then_some(first)
    }
}

/// The path `id`.
pub(super) fn id_path() -> FieldPath {
    FieldPath::known("id")
}
