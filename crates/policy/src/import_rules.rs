//! What a table does when Odoo loads it, to which models and records.
//!
//! The names and external ids in it are looked up by Odoo, past all rules. So
//! where a rule opens some records only, nothing but database ids will do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    Forbidden, Incomplete,
    effective_rules::relation_of,
    post_image::{self, ParentChange, PostImage},
    write_authorizer::{MAX_DEPTH, WriteAuthorizer},
};
use gatepost_odoo::{
    CellMeaning, Column, Domain, Field, FieldClass, FieldKind, FieldName, Load, ModelName,
    Operation, RecordId, Schema, beginnings, cell_at, cell_value, parse_ids, split_line_columns,
};

/// A column as one model on its way sees it.
#[derive(Clone, Copy)]
struct ColumnView<'l> {
    /// Where its cells are.
    index: usize,
    /// Where it leads from here.
    steps: &'l [FieldName],
    meaning: CellMeaning,
}

/// Rows of one record and of its lines.
type RecordRows<'l> = Vec<&'l [String]>;

/// What the rows do to one model.
struct ImportLevel<'a, 'l> {
    model: &'a ModelName,
    schema: &'a Schema,
    columns: &'a [ColumnView<'l>],
    /// The records, each with its rows.
    records: Vec<RecordRows<'l>>,
    /// The one in whose list each of them is, where they are lines.
    parents: Vec<Option<&'a ParentChange<'a>>>,
}

/// The rows of one record and perhaps of others after it, and the one in whose
/// list they are.
struct RowGroup<'a, 'l> {
    rows: RecordRows<'l>,
    parent: Option<&'a ParentChange<'a>>,
}

impl WriteAuthorizer<'_> {
    /// Allows all that a table does: its records and their lines are new, or
    /// changed where the rows may name one; its links are read.
    ///
    /// # Errors
    /// [`Undecided`].
    pub(super) fn authorize_import(
        &mut self,
        model: &ModelName,
        load: &Load,
    ) -> Result<(), Incomplete> {
        let columns = load.columns().iter().enumerate();
        let parts: Vec<ColumnView<'_>> = columns
            .map(|(at, column): (usize, &Column)| ColumnView {
                index: at,
                steps: column.steps(),
                meaning: column.meaning(),
            })
            .collect();
        let rows = load.rows().iter().map(Vec::as_slice).collect();
        let all = RowGroup { rows, parent: None };
        self.authorize_records(model, &parts, vec![all], 0)
    }

    /// Allows the records of one model that groups of rows hold.
    fn authorize_records(
        &mut self,
        model: &ModelName,
        parts: &[ColumnView<'_>],
        groups: Vec<RowGroup<'_, '_>>,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let schemas = self.record_facts.facts;
        let schema = schemas.schema_of(model)?;
        let level = ImportLevel::new(model, schema, parts, groups);
        let (known, named, new) = level.summarize_keys();
        let fields = level.fields();
        if named && self.allows_updating_every_record(model, &fields).is_none() {
            // Asked again, for what must be known first.
            if let Err(needs @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) = self
                .rules
                .row_filter(model, Operation::Write, &fields, schemas)
            {
                return Err(needs);
            }
            return Err(Forbidden::ExternalIds(model.clone()).into());
        }
        let updates = named || !known.is_empty();
        let effects = [
            (Operation::Create, new || named),
            (Operation::Write, updates),
        ];
        for (effect, _) in effects.into_iter().filter(|(_, done)| *done) {
            let cover = self.rules.row_filter(model, effect, &fields, schemas)?;
            self.check_post_images(&level, effect, &known, &cover)?;
        }
        for (name, parts) in level.columns_by_field() {
            let unknown = || Forbidden::Commands {
                model: model.clone(),
                field: name.to_string(),
            };
            let field = schema.field(name.as_str()).ok_or_else(unknown)?;
            match field.kind.class() {
                FieldClass::One2many if depth == MAX_DEPTH => return Err(unknown().into()),
                FieldClass::One2many => {
                    self.authorize_lines(&level, field, &parts, updates, depth)?
                }
                FieldClass::Many2many | FieldClass::Many2one => {
                    self.authorize_cell_links(&level, field, &parts, updates)?;
                }
                FieldClass::Binary
                | FieldClass::Document
                | FieldClass::Number
                | FieldClass::Properties
                | FieldClass::Reference
                | FieldClass::Scalar
                | FieldClass::Unknown
                | FieldClass::UntypedId => {
                    let [
                        ColumnView {
                            index: at,
                            steps: [],
                            meaning: CellMeaning::Value,
                        },
                    ] = parts[..]
                    else {
                        return Err(unknown().into());
                    };
                    for cell in level.cells(at) {
                        self.authorize_linked_record(model, field, &Value::from(cell))?;
                    }
                }
            }
        }
        if new || named {
            self.add_access(model, Operation::Create, fields.clone(), Vec::new());
        }
        if updates {
            self.add_access(model, Operation::Write, fields, known.into_iter().collect());
        }
        Ok(())
    }

    /// Whether every record may be updated with these fields.
    fn allows_updating_every_record(
        &self,
        model: &ModelName,
        fields: &BTreeSet<FieldName>,
    ) -> Option<()> {
        let cover = self
            .rules
            .row_filter(model, Operation::Write, fields, self.record_facts.facts);
        cover.ok().filter(Domain::is_empty).map(drop)
    }

    /// Allows the records if they are within the cover, and stay there.
    fn check_post_images(
        &self,
        level: &ImportLevel<'_, '_>,
        effect: Operation,
        known: &BTreeSet<RecordId>,
        cover: &Domain,
    ) -> Result<(), Incomplete> {
        if cover.is_empty() {
            return Ok(());
        }
        if effect == Operation::Write {
            let ids: Vec<RecordId> = known.iter().copied().collect();
            self.require_covered(level.model, effect, &ids, cover)?;
        }
        for (rows, parent) in level.records.iter().zip(&level.parents) {
            let ids = Vec::from_iter(level.id(rows));
            if (effect == Operation::Write) == ids.is_empty() {
                continue;
            }
            let becoming = PostImage {
                model: level.model,
                operation: effect,
                ids: &ids,
                values: &level.values(rows),
                parent: *parent,
            };
            post_image::satisfies_after_write(self.record_facts, becoming, cover.clone())?;
        }
        Ok(())
    }

    /// Allows the lines of the records.
    fn authorize_lines(
        &mut self,
        level: &ImportLevel<'_, '_>,
        field: &Field,
        parts: &[ColumnView<'_>],
        updates: bool,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let unknown = || Forbidden::Commands {
            model: level.model.clone(),
            field: field.name.to_string(),
        };
        // Odoo looks such lines up by their names, or gives them no external id.
        if parts
            .iter()
            .any(|part| part.steps.is_empty() && part.meaning != CellMeaning::DatabaseId)
        {
            return Err(unknown().into());
        }
        let relation = relation_of(level.schema, field.name.as_str()).ok_or_else(unknown)?;
        let said = |row: &&[String]| {
            parts
                .iter()
                .any(|part| !cell_at(row, part.index).is_empty())
        };
        let becoming: Vec<(Vec<RecordId>, Map<String, Value>)> = level
            .records
            .iter()
            .map(|rows| (Vec::from_iter(level.id(rows)), level.values(rows)))
            .collect();
        let becoming: Vec<PostImage<'_>> = becoming
            .iter()
            .zip(&level.parents)
            .map(|((ids, values), parent)| PostImage {
                model: level.model,
                // One with an external id may be there: what it does not get here
                // is then as unknown as of a new one.
                operation: if ids.is_empty() {
                    Operation::Create
                } else {
                    Operation::Write
                },
                ids,
                values,
                parent: *parent,
            })
            .collect();
        let parents: Vec<Option<ParentChange<'_>>> = becoming
            .iter()
            .map(|of| ParentChange::of(field, of))
            .collect();
        let groups: Vec<RowGroup<'_, '_>> = level
            .records
            .iter()
            .zip(&parents)
            .map(|(rows, parent)| RowGroup {
                rows: rows.iter().copied().filter(said).collect(),
                parent: parent.as_ref(),
            })
            .collect();
        // Without any lines Odoo takes away those that the record has.
        if updates && groups.iter().any(|group| group.rows.is_empty()) {
            self.authorize_unlink(relation, true, &[])
                .map_err(|refused| refused.unwrap_or_else(|| unknown().into()))?;
        }
        let groups: Vec<RowGroup<'_, '_>> = groups
            .into_iter()
            .filter(|group| !group.rows.is_empty())
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        self.authorize_records(relation, parts, groups, depth + 1)
    }

    /// Allows the records that cells link to.
    fn authorize_cell_links(
        &mut self,
        level: &ImportLevel<'_, '_>,
        field: &Field,
        parts: &[ColumnView<'_>],
        updates: bool,
    ) -> Result<(), Incomplete> {
        let (model, name) = (level.model.clone(), field.name.clone());
        let [
            ColumnView {
                index: at,
                steps: [],
                meaning: says,
            },
        ] = *parts
        else {
            let field = name.to_string();
            return Err(Forbidden::Commands { model, field }.into());
        };
        let refuse = || {
            Incomplete::from(Forbidden::Linking {
                model: model.clone(),
                field: name.clone(),
            })
        };
        let relation = relation_of(level.schema, name.as_str()).ok_or_else(refuse)?;
        let mut ids = BTreeSet::new();
        let mut named = false;
        for cell in level.cells(at) {
            if says == CellMeaning::DatabaseId {
                ids.extend(parse_ids(cell).ok_or_else(refuse)?);
            } else {
                named = true;
            }
        }
        let only_refused = |refused: Option<Incomplete>, otherwise: Forbidden| match refused {
            Some(undecided @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) => {
                undecided
            }
            Some(Incomplete::Denied(_)) => refuse(),
            None => otherwise.into(),
        };
        let by_name = || Forbidden::LinkingByName {
            model: model.clone(),
            field: name.clone(),
        };
        if named {
            self.authorize_access(relation, Operation::Read, &[])
                .map_err(|refused| only_refused(refused, by_name()))?;
            // Odoo looks for a name in fields that it tells nobody, such as the
            // reference and the mail address of a contact.
            if says == CellMeaning::Value && !self.rules.is_unrestricted(relation) {
                return Err(by_name().into());
            }
        }
        if !ids.is_empty() {
            let ids: Vec<RecordId> = ids.into_iter().collect();
            self.authorize_access(relation, Operation::Read, &ids)
                .map_err(|refused| only_refused(refused, by_name()))?;
        }
        // What was linked before is not any more.
        if updates && field.kind == FieldKind::Many2many {
            self.authorize_unlink(relation, false, &[])
                .map_err(|refused| only_refused(refused, by_name()))?;
        }
        Ok(())
    }
}

impl<'a, 'l> ImportLevel<'a, 'l> {
    fn new(
        model: &'a ModelName,
        schema: &'a Schema,
        columns: &'a [ColumnView<'l>],
        groups: Vec<RowGroup<'a, 'l>>,
    ) -> Self {
        let steps = columns.iter().map(|part| (part.index, part.steps));
        let (lines, others) = split_line_columns(steps, schema);
        let (mut records, mut parents) = (Vec::new(), Vec::new());
        for RowGroup { rows, parent } in groups {
            let mut begins = beginnings(&rows, &lines, &others).into_iter().peekable();
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
        let mut parts = self.columns.iter().copied();
        parts.find(|part| part.steps.is_empty())
    }

    /// The database ids that records have, whether some may have an external
    /// one, and whether some have neither.
    fn summarize_keys(&self) -> (BTreeSet<RecordId>, bool, bool) {
        let mut known = BTreeSet::new();
        let (mut named, mut new) = (false, false);
        for rows in &self.records {
            match self
                .key_column()
                .map(|part| (part.meaning, first_cell(rows, part.index)))
            {
                None | Some((_, "")) => new = true,
                Some((CellMeaning::DatabaseId, cell)) => match parse_ids(cell) {
                    Some(ids) => known.extend(ids),
                    None => named = true,
                },
                Some((CellMeaning::ExternalId | CellMeaning::Value, _)) => named = true,
            }
        }
        (known, named, new)
    }

    fn id(&self, rows: &RecordRows<'_>) -> Option<RecordId> {
        let part = self
            .key_column()
            .filter(|part| part.meaning == CellMeaning::DatabaseId)?;
        parse_ids(first_cell(rows, part.index))?.first().copied()
    }

    fn fields(&self) -> BTreeSet<FieldName> {
        let firsts = self.columns.iter().filter_map(|part| part.steps.first());
        firsts.cloned().collect()
    }

    /// The columns of each field, as its model sees them.
    fn columns_by_field(&self) -> BTreeMap<&'l FieldName, Vec<ColumnView<'l>>> {
        let mut fields: BTreeMap<&FieldName, Vec<ColumnView<'_>>> = BTreeMap::new();
        for part in self.columns {
            if let Some((first, steps)) = part.steps.split_first() {
                fields
                    .entry(first)
                    .or_default()
                    .push(ColumnView { steps, ..*part });
            }
        }
        fields
    }

    /// The cells of a column in which something stands.
    fn cells(&self, at: usize) -> impl Iterator<Item = &'l str> {
        let rows = self.records.iter().flatten();
        rows.map(move |row| cell_at(row, at))
            .filter(|cell| !cell.is_empty())
    }

    /// What a record gets. What Odoo makes of a cell that only it can read is
    /// nothing that could be judged.
    fn values(&self, rows: &RecordRows<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, parts) in self.columns_by_field() {
            let value = match (self.schema.field(name.as_str()), &parts[..]) {
                (
                    Some(field),
                    [
                        ColumnView {
                            index: at,
                            steps: [],
                            meaning: says,
                        },
                    ],
                ) if field.kind != FieldKind::One2many => {
                    cell_value(field, *says, first_cell(rows, *at))
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
