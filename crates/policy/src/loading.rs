//! What a table does when Odoo loads it, to which models and records.
//!
//! The names and external ids in it are looked up by Odoo, past all rules. So
//! where a rule opens some records only, nothing but database ids will do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    Forbidden, Undecided,
    becoming::{self, Becoming, Parent},
    mandate::related,
    values::{Look, MAX_DEPTH},
};
use gatepost_odoo::{
    Column, Domain, Effect, Field, FieldKind, FieldName, Load, ModelName, RecordId, Says, Schema,
    beginnings, cell_of, ids_in, split, value_of,
};

/// A column as one model on its way sees it.
#[derive(Clone, Copy)]
struct Part<'l> {
    /// Where its cells are.
    at: usize,
    /// Where it leads from here.
    steps: &'l [FieldName],
    says: Says,
}

/// Rows of one record and of its lines.
type Rows<'l> = Vec<&'l [String]>;

/// What the rows do to one model.
struct Level<'a, 'l> {
    model: &'a ModelName,
    schema: &'a Schema,
    parts: &'a [Part<'l>],
    /// The records, each with its rows.
    records: Vec<Rows<'l>>,
    /// The one in whose list each of them is, where they are lines.
    parents: Vec<Option<&'a Parent<'a>>>,
}

/// The rows of one record and perhaps of others after it, and the one in whose
/// list they are.
struct Group<'a, 'l> {
    rows: Rows<'l>,
    parent: Option<&'a Parent<'a>>,
}

impl Look<'_> {
    /// Allows all that a table does: its records and their lines are new, or
    /// changed where the rows may name one; its links are read.
    ///
    /// # Errors
    /// [`Undecided`].
    pub(super) fn load(&mut self, model: &ModelName, load: &Load) -> Result<(), Undecided> {
        let columns = load.columns().iter().enumerate();
        let parts: Vec<Part<'_>> = columns
            .map(|(at, column): (usize, &Column)| Part {
                at,
                steps: column.steps(),
                says: column.says(),
            })
            .collect();
        let rows = load.rows().iter().map(Vec::as_slice).collect();
        let all = Group { rows, parent: None };
        self.records(model, &parts, vec![all], 0)
    }

    /// Allows the records of one model that groups of rows hold.
    fn records(
        &mut self,
        model: &ModelName,
        parts: &[Part<'_>],
        groups: Vec<Group<'_, '_>>,
        depth: usize,
    ) -> Result<(), Undecided> {
        let schemas = self.evidence.schemas;
        let schema = schemas.of(model)?;
        let level = Level::new(model, schema, parts, groups);
        let (known, named, new) = level.keys();
        let fields = level.fields();
        if named && self.cover_of_all_updates(model, &fields).is_none() {
            // Asked again, for what must be known first.
            if let Err(needs @ (Undecided::Needs(_) | Undecided::Seeks(_))) =
                self.mandate.cover(model, Effect::Write, &fields, schemas)
            {
                return Err(needs);
            }
            return Err(Forbidden::ExternalIds(model.clone()).into());
        }
        let updates = named || !known.is_empty();
        let effects = [(Effect::Create, new || named), (Effect::Write, updates)];
        for (effect, _) in effects.into_iter().filter(|(_, done)| *done) {
            let cover = self.mandate.cover(model, effect, &fields, schemas)?;
            self.stay(&level, effect, &known, &cover)?;
        }
        for (name, parts) in level.by_field() {
            let unknown = || Forbidden::Commands {
                model: model.clone(),
                field: name.to_string(),
            };
            let field = schema.field(name.as_str()).ok_or_else(unknown)?;
            match field.kind {
                FieldKind::One2many if depth == MAX_DEPTH => return Err(unknown().into()),
                FieldKind::One2many => self.lines(&level, field, &parts, updates, depth)?,
                FieldKind::Many2many | FieldKind::Many2one => {
                    self.links(&level, field, &parts, updates)?;
                }
                FieldKind::Binary
                | FieldKind::Boolean
                | FieldKind::Char
                | FieldKind::Date
                | FieldKind::Datetime
                | FieldKind::Float
                | FieldKind::Html
                | FieldKind::Image
                | FieldKind::Integer
                | FieldKind::Json
                | FieldKind::Many2oneReference
                | FieldKind::Monetary
                | FieldKind::Properties
                | FieldKind::PropertiesDefinition
                | FieldKind::Reference
                | FieldKind::Selection
                | FieldKind::Text
                | FieldKind::Unknown => {
                    let [
                        Part {
                            at,
                            steps: [],
                            says: Says::Value,
                        },
                    ] = parts[..]
                    else {
                        return Err(unknown().into());
                    };
                    for cell in level.cells(at) {
                        self.linked(model, field, &Value::from(cell))?;
                    }
                }
            }
        }
        if new || named {
            self.touch(model, Effect::Create, fields.clone(), Vec::new());
        }
        if updates {
            self.touch(model, Effect::Write, fields, known.into_iter().collect());
        }
        Ok(())
    }

    /// Whether every record may be updated with these fields.
    fn cover_of_all_updates(&self, model: &ModelName, fields: &BTreeSet<FieldName>) -> Option<()> {
        let cover = self
            .mandate
            .cover(model, Effect::Write, fields, self.evidence.schemas);
        cover.ok().filter(Domain::is_empty).map(drop)
    }

    /// Allows the records if they are within the cover, and stay there.
    fn stay(
        &self,
        level: &Level<'_, '_>,
        effect: Effect,
        known: &BTreeSet<RecordId>,
        cover: &Domain,
    ) -> Result<(), Undecided> {
        if cover.is_empty() {
            return Ok(());
        }
        if effect == Effect::Write {
            let ids: Vec<RecordId> = known.iter().copied().collect();
            self.covered(level.model, effect, &ids, cover)?;
        }
        for (rows, parent) in level.records.iter().zip(&level.parents) {
            let ids = Vec::from_iter(level.id(rows));
            if (effect == Effect::Write) == ids.is_empty() {
                continue;
            }
            let becoming = Becoming {
                model: level.model,
                effect,
                ids: &ids,
                values: &level.values(rows),
                parent: *parent,
            };
            becoming::stays(self.evidence, becoming, cover.clone())?;
        }
        Ok(())
    }

    /// Allows the lines of the records.
    fn lines(
        &mut self,
        level: &Level<'_, '_>,
        field: &Field,
        parts: &[Part<'_>],
        updates: bool,
        depth: usize,
    ) -> Result<(), Undecided> {
        let unknown = || Forbidden::Commands {
            model: level.model.clone(),
            field: field.name.to_string(),
        };
        // Odoo looks such lines up by their names, or gives them no external id.
        if parts
            .iter()
            .any(|part| part.steps.is_empty() && part.says != Says::DatabaseId)
        {
            return Err(unknown().into());
        }
        let relation = related(level.schema, field.name.as_str()).ok_or_else(unknown)?;
        let said = |row: &&[String]| parts.iter().any(|part| !cell_of(row, part.at).is_empty());
        let becoming: Vec<(Vec<RecordId>, Map<String, Value>)> = level
            .records
            .iter()
            .map(|rows| (Vec::from_iter(level.id(rows)), level.values(rows)))
            .collect();
        let becoming: Vec<Becoming<'_>> = becoming
            .iter()
            .zip(&level.parents)
            .map(|((ids, values), parent)| Becoming {
                model: level.model,
                // One with an external id may be there: what it does not get here
                // is then as unknown as of a new one.
                effect: if ids.is_empty() {
                    Effect::Create
                } else {
                    Effect::Write
                },
                ids,
                values,
                parent: *parent,
            })
            .collect();
        let parents: Vec<Option<Parent<'_>>> =
            becoming.iter().map(|of| Parent::of(field, of)).collect();
        let groups: Vec<Group<'_, '_>> = level
            .records
            .iter()
            .zip(&parents)
            .map(|(rows, parent)| Group {
                rows: rows.iter().copied().filter(said).collect(),
                parent: parent.as_ref(),
            })
            .collect();
        // Without any lines Odoo takes away those that the record has.
        if updates && groups.iter().any(|group| group.rows.is_empty()) {
            self.unlink(relation, true, &[])
                .map_err(|refused| refused.unwrap_or_else(|| unknown().into()))?;
        }
        let groups: Vec<Group<'_, '_>> = groups
            .into_iter()
            .filter(|group| !group.rows.is_empty())
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        self.records(relation, parts, groups, depth + 1)
    }

    /// Allows the records that cells link to.
    fn links(
        &mut self,
        level: &Level<'_, '_>,
        field: &Field,
        parts: &[Part<'_>],
        updates: bool,
    ) -> Result<(), Undecided> {
        let (model, name) = (level.model.clone(), field.name.clone());
        let [
            Part {
                at,
                steps: [],
                says,
            },
        ] = *parts
        else {
            let field = name.to_string();
            return Err(Forbidden::Commands { model, field }.into());
        };
        let refuse = || {
            Undecided::from(Forbidden::Linking {
                model: model.clone(),
                field: name.clone(),
            })
        };
        let relation = related(level.schema, name.as_str()).ok_or_else(refuse)?;
        let mut ids = BTreeSet::new();
        let mut named = false;
        for cell in level.cells(at) {
            if says == Says::DatabaseId {
                ids.extend(ids_in(cell).ok_or_else(refuse)?);
            } else {
                named = true;
            }
        }
        let only_refused = |refused: Option<Undecided>, otherwise: Forbidden| match refused {
            Some(undecided @ (Undecided::Needs(_) | Undecided::Seeks(_))) => undecided,
            Some(Undecided::Forbidden(_)) => refuse(),
            None => otherwise.into(),
        };
        let by_name = || Forbidden::LinkingByName {
            model: model.clone(),
            field: name.clone(),
        };
        if named {
            self.act(relation, Effect::Read, &[])
                .map_err(|refused| only_refused(refused, by_name()))?;
            // Odoo looks for a name in fields that it tells nobody, such as the
            // reference and the mail address of a contact.
            if says == Says::Value && !self.mandate.sees_whole(relation) {
                return Err(by_name().into());
            }
        }
        if !ids.is_empty() {
            let ids: Vec<RecordId> = ids.into_iter().collect();
            self.act(relation, Effect::Read, &ids)
                .map_err(|refused| only_refused(refused, by_name()))?;
        }
        // What was linked before is not any more.
        if updates && field.kind == FieldKind::Many2many {
            self.unlink(relation, false, &[])
                .map_err(|refused| only_refused(refused, by_name()))?;
        }
        Ok(())
    }
}

impl<'a, 'l> Level<'a, 'l> {
    fn new(
        model: &'a ModelName,
        schema: &'a Schema,
        parts: &'a [Part<'l>],
        groups: Vec<Group<'a, 'l>>,
    ) -> Self {
        let steps = parts.iter().map(|part| (part.at, part.steps));
        let (lines, others) = split(steps, schema);
        let (mut records, mut parents) = (Vec::new(), Vec::new());
        for Group { rows, parent } in groups {
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
            parts,
            records,
            parents,
        }
    }

    fn key(&self) -> Option<Part<'l>> {
        let mut parts = self.parts.iter().copied();
        parts.find(|part| part.steps.is_empty())
    }

    /// The database ids that records have, whether some may have an external
    /// one, and whether some have neither.
    fn keys(&self) -> (BTreeSet<RecordId>, bool, bool) {
        let mut known = BTreeSet::new();
        let (mut named, mut new) = (false, false);
        for rows in &self.records {
            match self
                .key()
                .map(|part| (part.says, first_cell(rows, part.at)))
            {
                None | Some((_, "")) => new = true,
                Some((Says::DatabaseId, cell)) => match ids_in(cell) {
                    Some(ids) => known.extend(ids),
                    None => named = true,
                },
                Some((Says::ExternalId | Says::Value, _)) => named = true,
            }
        }
        (known, named, new)
    }

    fn id(&self, rows: &Rows<'_>) -> Option<RecordId> {
        let part = self.key().filter(|part| part.says == Says::DatabaseId)?;
        ids_in(first_cell(rows, part.at))?.first().copied()
    }

    fn fields(&self) -> BTreeSet<FieldName> {
        let firsts = self.parts.iter().filter_map(|part| part.steps.first());
        firsts.cloned().collect()
    }

    /// The columns of each field, as its model sees them.
    fn by_field(&self) -> BTreeMap<&'l FieldName, Vec<Part<'l>>> {
        let mut fields: BTreeMap<&FieldName, Vec<Part<'_>>> = BTreeMap::new();
        for part in self.parts {
            if let Some((first, steps)) = part.steps.split_first() {
                fields
                    .entry(first)
                    .or_default()
                    .push(Part { steps, ..*part });
            }
        }
        fields
    }

    /// The cells of a column in which something stands.
    fn cells(&self, at: usize) -> impl Iterator<Item = &'l str> {
        let rows = self.records.iter().flatten();
        rows.map(move |row| cell_of(row, at))
            .filter(|cell| !cell.is_empty())
    }

    /// What a record gets. What Odoo makes of a cell that only it can read is
    /// nothing that could be judged.
    fn values(&self, rows: &Rows<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, parts) in self.by_field() {
            let value = match (self.schema.field(name.as_str()), &parts[..]) {
                (
                    Some(field),
                    [
                        Part {
                            at,
                            steps: [],
                            says,
                        },
                    ],
                ) if field.kind != FieldKind::One2many => {
                    value_of(field, *says, first_cell(rows, *at))
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

fn first_cell<'l>(rows: &Rows<'l>, at: usize) -> &'l str {
    rows.first().map_or("", |row| cell_of(row, at))
}
