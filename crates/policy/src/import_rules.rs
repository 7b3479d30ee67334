//! Authorizes an import: what Odoo does when it loads a table, to which models and
//! records.
//!
//! Odoo looks up the names and external ids in a table without checking any rule.
//! So where the rules open only some records, only database ids are accepted.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Forbidden, Incomplete,
    import_level::{ColumnView, ImportLevel, RowGroup},
    incomplete::unless_denied,
    post_image::{ParentChange, PostImage},
    row_filter::relation_of,
    with_check::satisfies_after_write,
    write_authorizer::{AccessError, MAX_DEPTH, WriteAuthorizer},
};
use gatepost_odoo::{
    CellMeaning, Column, Domain, Field, FieldClass, FieldKind, Load, ModelName, Operation,
    RecordId, cell_at, parse_ids,
};

impl WriteAuthorizer<'_> {
    /// Permits everything that a table does: it creates or updates records and
    /// their lines, and reads the records that it links to.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub(super) fn authorize_import(
        &mut self,
        model: &ModelName,
        load: &Load,
    ) -> Result<(), Incomplete> {
        let columns = load.columns().iter().enumerate();
        let columns: Vec<ColumnView<'_>> = columns
            .map(|(index, column): (usize, &Column)| ColumnView {
                index,
                steps: column.steps(),
                meaning: column.meaning(),
            })
            .collect();
        let rows = load.rows().iter().map(Vec::as_slice).collect();
        let all = RowGroup { rows, parent: None };
        self.authorize_records(model, &columns, vec![all], 0)
    }

    /// Permits the records of one model that groups of rows hold.
    fn authorize_records(
        &mut self,
        model: &ModelName,
        columns: &[ColumnView<'_>],
        groups: Vec<RowGroup<'_, '_>>,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let facts = self.record_facts.facts;
        let schema = facts.schema_of(model)?;
        let level = ImportLevel::new(model, schema, columns, groups);
        let keys = level.record_keys();
        let fields = level.fields();
        if keys.has_external {
            let filter = self
                .rules
                .row_filter(model, Operation::Write, &fields, facts);
            if !unless_denied(filter)?.is_some_and(|filter| filter.is_empty()) {
                return Err(Forbidden::ExternalIds(model.clone()).into());
            }
        }
        let creates = keys.has_new || keys.has_external;
        let updates = keys.has_external || !keys.ids.is_empty();
        let operations = [(Operation::Create, creates), (Operation::Write, updates)];
        for (operation, _) in operations.into_iter().filter(|(_, done)| *done) {
            let filter = self.rules.row_filter(model, operation, &fields, facts)?;
            self.check_post_images(&level, operation, &keys.ids, &filter)?;
        }
        for (name, columns) in level.columns_by_field() {
            let unknown = || Forbidden::Commands {
                model: model.clone(),
                field: name.to_string(),
            };
            let field = schema.field(name.as_str()).ok_or_else(unknown)?;
            match field.kind.class() {
                FieldClass::One2many if depth == MAX_DEPTH => return Err(unknown().into()),
                FieldClass::One2many => {
                    self.authorize_lines(&level, field, &columns, updates, depth)?;
                }
                FieldClass::Many2many | FieldClass::Many2one => {
                    self.authorize_cell_links(&level, field, &columns, updates)?;
                }
                FieldClass::Binary
                | FieldClass::Document
                | FieldClass::Number
                | FieldClass::Properties
                | FieldClass::Reference
                | FieldClass::Scalar
                | FieldClass::Unknown
                | FieldClass::UntypedId => {
                    let Some((index, CellMeaning::Value)) = only_column(&columns) else {
                        return Err(unknown().into());
                    };
                    for cell in level.cells(index) {
                        self.authorize_linked_record(model, field, &Value::from(cell))?;
                    }
                }
            }
        }
        if creates {
            self.add_access(model, Operation::Create, fields.clone(), Vec::new());
        }
        if updates {
            let ids = keys.ids.into_iter().collect();
            self.add_access(model, Operation::Write, fields, ids);
        }
        Ok(())
    }

    /// Permits the records if the row filter covers them before and after the import.
    fn check_post_images(
        &self,
        level: &ImportLevel<'_, '_>,
        operation: Operation,
        known: &BTreeSet<RecordId>,
        filter: &Domain,
    ) -> Result<(), Incomplete> {
        if filter.is_empty() {
            return Ok(());
        }
        if operation == Operation::Write {
            let ids: Vec<RecordId> = known.iter().copied().collect();
            self.require_covered(level.model, operation, &ids, filter)?;
        }
        for (rows, parent) in level.records.iter().zip(&level.parents) {
            let ids = Vec::from_iter(level.id(rows));
            if (operation == Operation::Write) == ids.is_empty() {
                continue;
            }
            let post_image = PostImage {
                model: level.model,
                operation,
                ids: &ids,
                values: &level.values(rows),
                parent: *parent,
            };
            satisfies_after_write(self.record_facts, post_image, filter.clone())?;
        }
        Ok(())
    }

    /// Permits the lines of the records.
    fn authorize_lines(
        &mut self,
        level: &ImportLevel<'_, '_>,
        field: &Field,
        columns: &[ColumnView<'_>],
        updates: bool,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let unknown = || Forbidden::Commands {
            model: level.model.clone(),
            field: field.name.to_string(),
        };
        // Odoo looks up such lines by name, or ignores their external id.
        if columns
            .iter()
            .any(|column| column.steps.is_empty() && column.meaning != CellMeaning::DatabaseId)
        {
            return Err(unknown().into());
        }
        let relation = relation_of(level.schema, field.name.as_str()).ok_or_else(unknown)?;
        let has_text = |row: &&[String]| {
            columns
                .iter()
                .any(|column| !cell_at(row, column.index).is_empty())
        };
        let post_image: Vec<(Vec<RecordId>, Map<String, Value>)> = level
            .records
            .iter()
            .map(|rows| (Vec::from_iter(level.id(rows)), level.values(rows)))
            .collect();
        let post_image: Vec<PostImage<'_>> = post_image
            .iter()
            .zip(&level.parents)
            .map(|((ids, values), parent)| PostImage {
                model: level.model,
                // A record with an external id may exist: what the rows do not set is
                // then as unknown as in a new record.
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
        let parents: Vec<Option<ParentChange<'_>>> = post_image
            .iter()
            .map(|record| ParentChange::of(field, *record))
            .collect();
        let groups: Vec<RowGroup<'_, '_>> = level
            .records
            .iter()
            .zip(&parents)
            .map(|(rows, parent)| RowGroup {
                rows: rows.iter().copied().filter(has_text).collect(),
                parent: parent.as_ref(),
            })
            .collect();
        // Without lines Odoo removes those that the record has.
        if updates && groups.iter().any(|group| group.rows.is_empty()) {
            self.authorize_unlink(relation, true, &[])
                .map_err(|error| error.or(unknown))?;
        }
        let groups: Vec<RowGroup<'_, '_>> = groups
            .into_iter()
            .filter(|group| !group.rows.is_empty())
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        self.authorize_records(relation, columns, groups, depth + 1)
    }

    /// Permits the records that cells link to.
    fn authorize_cell_links(
        &mut self,
        level: &ImportLevel<'_, '_>,
        field: &Field,
        columns: &[ColumnView<'_>],
        updates: bool,
    ) -> Result<(), Incomplete> {
        let (model, name) = (level.model.clone(), field.name.clone());
        let Some((index, meaning)) = only_column(columns) else {
            let field = name.to_string();
            return Err(Forbidden::Commands { model, field }.into());
        };
        let refused = || Forbidden::Linking {
            model: model.clone(),
            field: name.clone(),
        };
        let by_name = || Forbidden::LinkingByName {
            model: model.clone(),
            field: name.clone(),
        };
        let denied = |error| match error {
            AccessError::Incomplete(incomplete) => incomplete.with_denial(refused),
            AccessError::Unnamed => by_name().into(),
        };
        let relation = relation_of(level.schema, name.as_str()).ok_or_else(refused)?;
        let mut ids = BTreeSet::new();
        let mut named = false;
        for cell in level.cells(index) {
            if meaning == CellMeaning::DatabaseId {
                ids.extend(parse_ids(cell).ok_or_else(refused)?);
            } else {
                named = true;
            }
        }
        if named {
            self.authorize_access(relation, Operation::Read, &[])
                .map_err(denied)?;
            // Odoo searches a name in fields that it does not disclose, such as the
            // reference and the mail address of a contact.
            if meaning == CellMeaning::Value && !self.rules.is_unrestricted(relation) {
                return Err(by_name().into());
            }
        }
        if !ids.is_empty() {
            let ids: Vec<RecordId> = ids.into_iter().collect();
            self.authorize_access(relation, Operation::Read, &ids)
                .map_err(denied)?;
        }
        // The import removes the links that the record had.
        if updates && field.kind == FieldKind::Many2many {
            self.authorize_unlink(relation, false, &[])
                .map_err(denied)?;
        }
        Ok(())
    }
}

/// The position and the meaning of a field's column, if it has only one and that
/// leads no further.
fn only_column(columns: &[ColumnView<'_>]) -> Option<(usize, CellMeaning)> {
    match columns {
        [column] if column.steps.is_empty() => Some((column.index, column.meaning)),
        _ => None,
    }
}
