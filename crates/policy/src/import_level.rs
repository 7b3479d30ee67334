//! The records that the rows of an import hold, one model at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::post_image::ParentChange;
use gatepost_odoo::{
    CellMeaning, FieldKind, FieldName, ModelName, RecordId, Schema, cell_at, cell_value, parse_ids,
    record_starts, split_line_columns,
};

/// A column as seen from one of the models that its path leads through.
#[derive(Clone, Copy)]
pub(super) struct ColumnView<'l> {
    /// Its position in the table.
    pub(super) index: usize,
    /// The rest of its path.
    pub(super) steps: &'l [FieldName],
    pub(super) meaning: CellMeaning,
}

/// The rows of one record and of its lines.
pub(super) type RecordRows<'l> = Vec<&'l [String]>;

/// What the rows do to one model.
pub(super) struct ImportLevel<'a, 'l> {
    pub(super) model: &'a ModelName,
    pub(super) schema: &'a Schema,
    columns: &'a [ColumnView<'l>],
    /// The records, each with its rows.
    pub(super) records: Vec<RecordRows<'l>>,
    /// For each record the one whose list it is in, if it is a line.
    pub(super) parents: Vec<Option<&'a ParentChange<'a>>>,
}

/// The rows of one or more records, and the record whose list they are in.
pub(super) struct RowGroup<'a, 'l> {
    pub(super) rows: RecordRows<'l>,
    pub(super) parent: Option<&'a ParentChange<'a>>,
}

/// How records of an import are named.
pub(super) struct RecordKeys {
    /// The database ids.
    pub(super) ids: BTreeSet<RecordId>,
    /// Whether a record may have an external id.
    pub(super) has_external: bool,
    /// Whether a record has neither.
    pub(super) has_new: bool,
}

impl<'a, 'l> ImportLevel<'a, 'l> {
    pub(super) fn new(
        model: &'a ModelName,
        schema: &'a Schema,
        columns: &'a [ColumnView<'l>],
        groups: Vec<RowGroup<'a, 'l>>,
    ) -> Self {
        let steps = columns.iter().map(|column| (column.index, column.steps));
        let (lines, others) = split_line_columns(steps, schema);
        let (mut records, mut parents) = (Vec::new(), Vec::new());
        for RowGroup { rows, parent } in groups {
            let mut begins = record_starts(&rows, &lines, &others).into_iter().peekable();
            while let Some(begin) = begins.next() {
                let end = begins.peek().copied().unwrap_or(rows.len());
                records.push(rows.get(begin..end).unwrap_or_default().to_vec());
                parents.push(parent);
            }
        }
        Self {
            model,
            schema,
            columns,
            records,
            parents,
        }
    }

    fn key_column(&self) -> Option<ColumnView<'l>> {
        let mut columns = self.columns.iter().copied();
        columns.find(|column| column.steps.is_empty())
    }

    /// How the records are named.
    pub(super) fn record_keys(&self) -> RecordKeys {
        let mut keys = RecordKeys {
            ids: BTreeSet::new(),
            has_external: false,
            has_new: false,
        };
        for rows in &self.records {
            match self
                .key_column()
                .map(|column| (column.meaning, first_cell(rows, column.index)))
            {
                None | Some((_, "")) => keys.has_new = true,
                Some((CellMeaning::DatabaseId, cell)) => match parse_ids(cell) {
                    Some(ids) => keys.ids.extend(ids),
                    None => keys.has_external = true,
                },
                Some((CellMeaning::ExternalId | CellMeaning::Value, _)) => {
                    keys.has_external = true;
                }
            }
        }
        keys
    }

    /// The database id of a record, if its rows name one.
    pub(super) fn id(&self, rows: &RecordRows<'_>) -> Option<RecordId> {
        let column = self
            .key_column()
            .filter(|column| column.meaning == CellMeaning::DatabaseId)?;
        parse_ids(first_cell(rows, column.index))?.first().copied()
    }

    /// The fields that get values.
    pub(super) fn fields(&self) -> BTreeSet<FieldName> {
        let firsts = self
            .columns
            .iter()
            .filter_map(|column| column.steps.first());
        firsts.cloned().collect()
    }

    /// The columns of each field, as seen from the related model.
    pub(super) fn columns_by_field(&self) -> BTreeMap<&'l FieldName, Vec<ColumnView<'l>>> {
        let mut fields: BTreeMap<&FieldName, Vec<ColumnView<'_>>> = BTreeMap::new();
        for column in self.columns {
            if let Some((first, steps)) = column.steps.split_first() {
                fields
                    .entry(first)
                    .or_default()
                    .push(ColumnView { steps, ..*column });
            }
        }
        fields
    }

    /// The non-empty cells of a column.
    pub(super) fn cells(&self, at: usize) -> impl Iterator<Item = &'l str> {
        let rows = self.records.iter().flatten();
        rows.map(move |row| cell_at(row, at))
            .filter(|cell| !cell.is_empty())
    }

    /// The values that a record gets. Where only Odoo knows the value of a cell, an
    /// object stands for it, which equals nothing.
    pub(super) fn values(&self, rows: &RecordRows<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, columns) in self.columns_by_field() {
            let value = match (self.schema.field(name.as_str()), &columns[..]) {
                (
                    Some(field),
                    [
                        ColumnView {
                            index: at,
                            steps: [],
                            meaning,
                        },
                    ],
                ) if field.kind != FieldKind::One2many => {
                    cell_value(field, *meaning, first_cell(rows, *at))
                }
                (Some(_) | None, _) => None,
            };
            values.insert(
                name.to_string(),
                value.unwrap_or_else(|| Value::Object(Map::new())),
            );
        }
        values
    }
}

fn first_cell<'l>(rows: &RecordRows<'l>, at: usize) -> &'l str {
    rows.first().map_or("", |row| cell_at(row, at))
}
