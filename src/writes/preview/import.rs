//! The preview of an import: what happens to each record that the rows name.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable},
    writes::{PreviewRenderer, preview::records::quoted_new_text},
};
use gatepost_base::text::{join_bounded, pluralize};
use gatepost_odoo::{
    CellMeaning, Column, Context, FieldKind, FieldName, Load, ModelName, RecordId, Schema, cell_at,
    parse_ids,
};

/// The largest preview, in bytes.
const MAX_BYTES: usize = 24 << 10;
/// Records of one model whose names are read; the others are shown by their ids.
const MAX_NAMED: usize = 3_000;
/// Records of one cell that are shown.
const MAX_OF_CELL: usize = 100;

/// The rows, and what is known of the records in them.
#[derive(Debug)]
pub struct ImportPreview<'a> {
    /// The rows.
    pub load: &'a Load,
    /// The fields of their model.
    pub schema: &'a Schema,
    /// The records that the rows name by database ids, as they are now.
    pub before: &'a RecordSnapshot,
    /// Those external ids of the rows that have a record; `None` if the Odoo user
    /// may not know.
    pub existing_external_ids: Option<&'a BTreeSet<(String, String)>>,
    /// The names of the records that the rows link to by database ids.
    pub links: &'a ImportLinks,
}

/// The records that rows link to by database ids: their model by column, and
/// their names.
#[derive(Debug, Default)]
pub struct ImportLinks {
    models: BTreeMap<usize, ModelName>,
    names: DisplayNames,
}

impl ImportLinks {
    /// Reads the records that the rows link to, as far as the caller may.
    pub async fn load(
        access: &OdooSession<'_>,
        (model, load): (&ModelName, &Load),
        context: &Context,
    ) -> Result<Self, OperationError> {
        let mut links = Self::default();
        let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
        for (at, column) in load.columns().iter().enumerate() {
            if column.meaning() != CellMeaning::DatabaseId || column.steps().is_empty() {
                continue;
            }
            let Some(relation) = target_model(access, model, column).await? else {
                continue;
            };
            let cells = load.rows().iter().map(|row| cell_at(row, at));
            let ids = cells.filter_map(parse_ids).flatten();
            wanted.entry(relation.clone()).or_default().extend(ids);
            links.models.insert(at, relation);
        }
        for (model, ids) in wanted {
            let ids: Vec<RecordId> = ids.into_iter().take(MAX_NAMED).collect();
            let records = RecordSnapshot::read(access, (&model, &ids), &[], context).await;
            if let Some(records) = readable(records)? {
                links.names.add_names(&model, &records);
            }
        }
        Ok(links)
    }

    /// The records of a cell, with their names.
    fn describe_cell(&self, at: usize, cell: &str) -> Option<String> {
        let model = self.models.get(&at)?;
        let ids = parse_ids(cell)?;
        let some = ids.iter().take(MAX_OF_CELL);
        let mut parts: Vec<String> = some.map(|id| self.names.label(model, *id)).collect();
        if ids.len() > MAX_OF_CELL {
            let rest = ids.len() - MAX_OF_CELL;
            parts.push(format!("and {rest} more that are NOT SHOWN"));
        }
        Some(parts.join(", "))
    }
}

/// The model that the last step of a column leads to.
async fn target_model(
    access: &OdooSession<'_>,
    model: &ModelName,
    column: &Column,
) -> Result<Option<ModelName>, OperationError> {
    let mut model = model.clone();
    for step in column.steps() {
        let Some(schema) = readable(access.schema(&model).await)? else {
            return Ok(None);
        };
        let field = schema.field(step.as_str());
        let Some(relation) = field.and_then(|field| field.relation.clone()) else {
            return Ok(None);
        };
        model = relation;
    }
    Ok(Some(model))
}

impl ImportPreview<'_> {
    /// The rows, by record. Empty cells are shown, and what existing records have
    /// now. The text says what it does not show.
    pub fn render(&self) -> String {
        let starts = self.load.record_start_rows(self.schema);
        let starts: BTreeSet<usize> = starts.into_iter().collect();
        let mut number = 0;
        let rows = self.load.rows().iter().enumerate().map(|(at, row)| {
            if starts.contains(&at) {
                number += 1;
                format!("{number}. {}", self.record(row))
            } else {
                format!("   + {}", self.line(row).join("; "))
            }
        });
        join_bounded(rows, "\n", MAX_BYTES, |at| {
            let rest = pluralize(self.load.rows().len() - at, "row");
            format!(
                "and {rest} more, which are NOT SHOWN: there is too much. Import fewer at once to see all"
            )
        })
    }

    /// A record, with the line in its row.
    fn record(&self, row: &[String]) -> String {
        let renderer = PreviewRenderer::without_names(self.schema);
        let (head, known) = self.head(row);
        let now = known.and_then(|id| self.before.row(id));
        let mut parts = Vec::new();
        for (at, column) in self.load.columns().iter().enumerate() {
            let Some(first) = column.steps().first() else {
                continue;
            };
            let field = self.schema.field(first.as_str());
            if field.is_some_and(|field| field.kind == FieldKind::One2many) {
                continue;
            }
            let new = self.cell(at, column, cell_at(row, at));
            let old = now.and_then(|now| now.get(first.as_str()));
            let old = old.map(|old| renderer.value(field, old));
            parts.push(match old {
                // What was cut may differ beyond that.
                Some(old) if old == new && !new.contains("…(+") => {
                    format!("{}: {new} (as it is)", column.as_str())
                }
                Some(old) => format!("{}: {old} -> {new}", column.as_str()),
                None => format!("{}: {new}", column.as_str()),
            });
        }
        parts.extend(self.line(row));
        format!("{head}{}", parts.join("; "))
    }

    /// Which record a row is about.
    fn head(&self, row: &[String]) -> (String, Option<RecordId>) {
        let Some((at, column)) = self.load.key_column() else {
            return (String::new(), None);
        };
        let cell = cell_at(row, at);
        let known = match column.meaning() {
            _ if cell.is_empty() => return ("new: ".to_owned(), None),
            CellMeaning::DatabaseId => parse_ids(cell).and_then(|ids| ids.first().copied()),
            CellMeaning::ExternalId | CellMeaning::Value => None,
        };
        let cell_text = quoted_new_text(cell);
        let head = match (known, self.existing_external_ids) {
            (Some(id), _) => format!("{}: ", PreviewRenderer::titles(&[id], self.before)),
            (None, Some(existing)) if existing.contains(&Load::external_id(cell)) => {
                format!("{cell_text} (exists already): ")
            }
            (None, Some(_)) => format!("{cell_text} (new): "),
            (None, None) => format!("{cell_text}: "),
        };
        (head, known)
    }

    /// The cells of the lines in a row. If any cell of a line has a value, its
    /// empty cells clear their fields.
    fn line(&self, row: &[String]) -> Vec<String> {
        let columns = || self.load.line_columns(self.schema);
        let filled = columns().filter(|(at, _, _)| !cell_at(row, *at).is_empty());
        let filled: BTreeSet<&FieldName> = filled.map(|(_, _, list)| list).collect();
        columns()
            .filter(|(_, _, list)| filled.contains(list))
            .map(|(at, column, _)| {
                let value = self.cell(at, column, cell_at(row, at));
                format!("{}: {value}", column.as_str())
            })
            .collect()
    }

    /// The value of a cell, quoted so that it does not look like another cell.
    fn cell(&self, at: usize, column: &Column, cell: &str) -> String {
        if cell.is_empty() {
            return "(empty)".to_owned();
        }
        if column.meaning() == CellMeaning::DatabaseId
            && let Some(records) = self.links.describe_cell(at, cell)
        {
            return records;
        }
        quoted_new_text(cell)
    }
}
