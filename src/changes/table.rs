//! A table as text: what becomes of each record that it names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Names, Shot, Show, links::seen};
use crate::access::{Access, Denied};
use gatepost_base::text::{self, one_line};
use gatepost_odoo::{
    Column, Context, FieldKind, Load, ModelName, RecordId, Says, Schema, cell_of, ids_in,
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
pub struct Table<'a> {
    /// The table.
    pub load: &'a Load,
    /// The fields of its model.
    pub schema: &'a Schema,
    /// The records that it names by database ids, as they are.
    pub before: &'a Shot,
    /// Those of its external ids that records have; nothing where that is not
    /// to be known.
    pub there: Option<&'a BTreeSet<(String, String)>>,
    /// The names of the records that it links to by database ids.
    pub linked: &'a Links,
}

/// The records that a table links to by database ids: of which model those of a
/// column are, and how they are called.
#[derive(Debug, Default)]
pub struct Links {
    models: BTreeMap<usize, ModelName>,
    names: Names,
}

impl Links {
    /// Looks up what a table links to, as far as the caller may.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn of(
        access: &Access<'_>,
        (model, load): (&ModelName, &Load),
        context: &Context,
    ) -> Result<Self, Denied> {
        let mut links = Self::default();
        let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
        for (at, column) in load.columns().iter().enumerate() {
            if column.says() != Says::DatabaseId || column.steps().is_empty() {
                continue;
            }
            let Some(relation) = end_of(access, model, column).await? else {
                continue;
            };
            let cells = load.rows().iter().map(|row| cell_of(row, at));
            let ids = cells.filter_map(ids_in).flatten();
            wanted.entry(relation.clone()).or_default().extend(ids);
            links.models.insert(at, relation);
        }
        for (model, ids) in wanted {
            let ids: Vec<RecordId> = ids.into_iter().take(MAX_NAMED).collect();
            for ids in ids.chunks(MAX_IDS) {
                let looked = Shot::take(access, (&model, ids), &[], context).await;
                let Some(shot) = seen(looked)? else {
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
    fn told(&self, at: usize, cell: &str) -> Option<String> {
        let model = self.models.get(&at)?;
        let ids = ids_in(cell)?;
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
async fn end_of(
    access: &Access<'_>,
    model: &ModelName,
    column: &Column,
) -> Result<Option<ModelName>, Denied> {
    let mut model = model.clone();
    for step in column.steps() {
        let Some(schema) = seen(access.schema(&model).await)? else {
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

impl Table<'_> {
    /// The rows, by record. What becomes of an empty cell is shown as well, and
    /// of records that are there what they have now. Whoever agrees must know
    /// what is not shown.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        let begins: BTreeSet<usize> = self.load.beginnings(self.schema).into_iter().collect();
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
                let rest = text::counted(rest, "row");
                text::add(
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
        let show = Show {
            schema: self.schema,
            names: &Names::new(),
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
            let told = self.cell(at, column, cell_of(row, at));
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
        let Some((at, column)) = self.load.key() else {
            return (String::new(), None);
        };
        let cell = cell_of(row, at);
        let known = match column.says() {
            _ if cell.is_empty() => return ("new: ".to_owned(), None),
            Says::DatabaseId => ids_in(cell).and_then(|ids| ids.first().copied()),
            Says::ExternalId | Says::Value => None,
        };
        let head = match (known, self.there) {
            (Some(id), _) => format!("{}: ", Show::titles(&[id], self.before)),
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
            .filter(|(at, _, _)| !cell_of(row, *at).is_empty())
            .map(|(_, _, first)| first.as_str())
            .collect();
        columns()
            .filter(|(_, _, first)| says.contains(first.as_str()))
            .map(|(at, column, _)| {
                let told = self.cell(at, column, cell_of(row, at));
                format!("{}: {told}", column.as_str())
            })
            .collect()
    }

    /// What a cell says; quoted, so that it does not look like another one.
    fn cell(&self, at: usize, column: &Column, cell: &str) -> String {
        if cell.is_empty() {
            return "(empty)".to_owned();
        }
        if column.says() == Says::DatabaseId
            && let Some(told) = self.linked.told(at, cell)
        {
            return told;
        }
        format!("\"{}\"", one_line(cell, CELL_CHARS).replace('"', "\\\""))
    }
}
