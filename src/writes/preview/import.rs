//! A table as text: what becomes of each record that it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{OdooSession, OperationError, readable};
use crate::{
    access::{DisplayNames, RecordSnapshot},
    writes::PreviewRenderer,
};
use gatepost_base::text::{self, one_line};
use gatepost_odoo::{
    CellMeaning, Column, Context, FieldKind, Load, ModelName, RecordId, Schema, cell_at, parse_ids,
};

/// Bytes of all that is shown.
const MAX_BYTES: usize = 24 << 10;
/// Characters of one cell, and of one name.
const CELL_CHARS: usize = 160;
/// Ids that are looked up at once.
const MAX_IDS: usize = 1_000;
/// Records of one model that are named; of the others the ids.
const MAX_NAMED: usize = 3_000;
/// Records of one cell that are shown.
const MAX_OF_CELL: usize = 100;

/// A table with what is known of the records in it.
#[derive(Debug)]
pub struct ImportPreview<'a> {
    /// The table.
    pub load: &'a Load,
    /// The fields of its model.
    pub schema: &'a Schema,
    /// The records that it names by database ids, as they are.
    pub before: &'a RecordSnapshot,
    /// Those of its external ids that records have; nothing where that is not
    /// to be known.
    pub existing_external_ids: Option<&'a BTreeSet<(String, String)>>,
    /// The names of the records that it links to by database ids.
    pub links: &'a ImportLinks,
}

/// The records that a table links to by database ids: of which model those of a
/// column are, and how they are called.
#[derive(Debug, Default)]
pub struct ImportLinks {
    models: BTreeMap<usize, ModelName>,
    names: DisplayNames,
}

impl ImportLinks {
    /// Looks up what a table links to, as far as the caller may.
    ///
    /// # Errors
    /// [`Denied`].
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
            for ids in ids.chunks(MAX_IDS) {
                let looked = RecordSnapshot::read(access, (&model, ids), &[], context).await;
                let Some(shot) = readable(looked)? else {
                    continue;
                };
                let there = ids.iter().filter(|id| shot.row(**id).is_some());
                let named = there.map(|id| ((model.clone(), *id), shot.name(*id).to_owned()));
                links.names.extend(named);
            }
        }
        Ok(links)
    }

    /// The records of a cell, with their names.
    fn describe_cell(&self, at: usize, cell: &str) -> Option<String> {
        let model = self.models.get(&at)?;
        let ids = parse_ids(cell)?;
        let named = |id: &RecordId| match self.names.get(&(model.clone(), *id)) {
            Some(name) => format!("{} [{id}]", one_line(name, CELL_CHARS)),
            None => format!("[{id}]"),
        };
        let mut parts: Vec<String> = ids.iter().take(MAX_OF_CELL).map(named).collect();
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
    /// The rows, by record. What becomes of an empty cell is shown as well, and
    /// of records that are there what they have now. Whoever agrees must know
    /// what is not shown.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let begins: BTreeSet<usize> = self
            .load
            .record_start_rows(self.schema)
            .into_iter()
            .collect();
        let mut number = 0;
        for (at, row) in self.load.rows().iter().enumerate() {
            let one = if begins.contains(&at) {
                number += 1;
                format!("{number}. {}", self.record(row))
            } else {
                format!("   + {}", self.line(row).join("; "))
            };
            if at > 0 && text.len() + one.len() > MAX_BYTES {
                let rest = self.load.rows().len() - at;
                let rest = text::pluralize(rest, "row");
                text::append(
                    &mut text,
                    format_args!(
                        "and {rest} more, which are NOT SHOWN: there is too much. Fewer at once are shown whole"
                    ),
                );
                break;
            }
            text.push_str(&one);
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// A record, with the line that stands in its row.
    fn record(&self, row: &[String]) -> String {
        let show = PreviewRenderer {
            schema: self.schema,
            names: &DisplayNames::new(),
        };
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
            let told = self.cell(at, column, cell_at(row, at));
            let had = now.and_then(|now| now.get(first.as_str()));
            let had = had.map(|had| show.value(field, had));
            parts.push(match had {
                // What was cut may differ behind that.
                Some(had) if had == told && !told.contains("…(+") => {
                    format!("{}: {told} (as it is)", column.as_str())
                }
                Some(had) => format!("{}: {had} -> {told}", column.as_str()),
                None => format!("{}: {told}", column.as_str()),
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
        let head = match (known, self.existing_external_ids) {
            (Some(id), _) => format!("{}: ", PreviewRenderer::titles(&[id], self.before)),
            (None, Some(there)) => {
                let is_there = Load::external_id(cell);
                let word = if there.contains(&is_there) {
                    "is there already"
                } else {
                    "new"
                };
                format!("\"{}\" ({word}): ", one_line(cell, CELL_CHARS))
            }
            (None, None) => format!("\"{}\": ", one_line(cell, CELL_CHARS)),
        };
        (head, known)
    }

    /// The cells of the lines in a row. Where one of a line says something, its
    /// empty ones say that there is nothing.
    fn line(&self, row: &[String]) -> Vec<String> {
        let columns = || {
            self.load
                .columns()
                .iter()
                .enumerate()
                .filter_map(|(at, column)| {
                    let first = column.steps().first()?;
                    let field = self.schema.field(first.as_str())?;
                    (field.kind == FieldKind::One2many).then_some((at, column, first))
                })
        };
        let says: BTreeSet<&str> = columns()
            .filter(|(at, _, _)| !cell_at(row, *at).is_empty())
            .map(|(_, _, first)| first.as_str())
            .collect();
        columns()
            .filter(|(_, _, first)| says.contains(first.as_str()))
            .map(|(at, column, _)| {
                let told = self.cell(at, column, cell_at(row, at));
                format!("{}: {told}", column.as_str())
            })
            .collect()
    }

    /// What a cell says; quoted, so that it does not look like another one.
    fn cell(&self, at: usize, column: &Column, cell: &str) -> String {
        if cell.is_empty() {
            return "(empty)".to_owned();
        }
        if column.meaning() == CellMeaning::DatabaseId
            && let Some(told) = self.links.describe_cell(at, cell)
        {
            return told;
        }
        format!("\"{}\"", one_line(cell, CELL_CHARS).replace('"', "\\\""))
    }
}
