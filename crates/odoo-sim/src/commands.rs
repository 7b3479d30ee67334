//! The commands of x2many fields.

use serde_json::Value;

use super::{
    coerce::{datatype_mismatch, unhashable_error},
    constraints::dangling_link_error,
    database::model_field,
    error::FakeOdooError,
    table::{Field, OnDelete, Row},
    transaction::Transaction,
    value::{parse_record_id, python_repr},
};

impl Transaction<'_> {
    /// Applies a value of an x2many field: a list of commands, or the plain ids
    /// that replace the current ones.
    ///
    /// Like Odoo, silently skips elements that are not commands.
    pub(super) fn apply_x2many(
        &mut self,
        model: &'static str,
        id: u32,
        name: &str,
        field: &Field,
        value: &Value,
    ) -> Result<(), FakeOdooError> {
        let Some(relation) = field.relation else {
            return Ok(());
        };
        let links = X2manyLinks {
            model,
            id,
            name,
            relation,
            inverse: field.inverse,
        };
        let commands = match value {
            Value::Null | Value::Bool(false) => return self.set_links(&links, &[]),
            Value::Array(commands) => commands,
            Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                let shown = value
                    .as_str()
                    .map_or_else(|| python_repr(value), str::to_owned);
                return Err(FakeOdooError::value_error(format!(
                    "Wrong value for {model}.{name}: {shown}"
                )));
            }
        };
        if commands.first().is_some_and(|first| !first.is_array()) {
            return self.set_links(&links, commands);
        }
        for command in commands.iter().filter_map(Value::as_array) {
            // Python treats `1.0` as 1, but not `"1"`.
            let code = command.first().and_then(Value::as_f64);
            let code = code.filter(|_| command.first().is_some_and(Value::is_number));
            let second = || command.get(1).ok_or_else(index_error);
            let third = || command.get(2).ok_or_else(index_error);
            match code.map(|code| format!("{code}")).as_deref() {
                Some("0") => {
                    let values = third()?.as_object().cloned().unwrap_or_default();
                    self.create_linked(&links, values)?;
                }
                Some("1") => {
                    let other = parse_linked_id(&links, second()?)?;
                    if let Some(values) = third()?.as_object() {
                        self.write(relation, &[other], values).map_err(|error| {
                            // Inside a command the ORM checks the names.
                            match error.missing_key() {
                                Some(name) => FakeOdooError::value_error(format!(
                                    "Invalid field '{name}' in '{relation}'"
                                )),
                                None => error,
                            }
                        })?;
                    }
                }
                Some("2") => {
                    let other = parse_linked_id(&links, second()?)?;
                    self.unlink(relation, &[other])?;
                }
                Some("3") => {
                    let other = parse_linked_id(&links, second()?)?;
                    self.remove_links(&links, &[other])?;
                }
                Some("4") => {
                    let other = parse_linked_id(&links, second()?)?;
                    self.add_link(&links, other)?;
                }
                Some("5") => self.set_links(&links, &[])?,
                Some("6") => {
                    let set = third()?;
                    let Value::Array(set) = set else {
                        return Err(FakeOdooError::type_error(format!(
                            "'{}' object is not iterable",
                            python_repr(set)
                        )));
                    };
                    self.set_links(&links, set)?;
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn create_linked(
        &mut self,
        links: &X2manyLinks<'_>,
        mut values: Row,
    ) -> Result<(), FakeOdooError> {
        match links.inverse {
            Some(inverse) => {
                values.insert(inverse.to_owned(), links.id.into());
                if inverse == "res_id" {
                    let names = model_field(self.table(links.relation)?);
                    values.insert(names.to_owned(), links.model.into());
                }
                self.create(links.relation, &values)?;
                Ok(())
            }
            None => {
                let made = self.create(links.relation, &values)?;
                self.add_link(links, made)
            }
        }
    }

    /// The ids of the records that are linked now.
    fn linked_ids(&self, links: &X2manyLinks<'_>) -> Vec<u32> {
        let table = self.database.table(links.model);
        table
            .and_then(|table| {
                let (row, field) = (table.row(links.id)?, table.fields.get(links.name)?);
                Some(self.database.linked_ids(table, row, links.name, field))
            })
            .unwrap_or_default()
    }

    fn add_link(&mut self, links: &X2manyLinks<'_>, other: u32) -> Result<(), FakeOdooError> {
        let there = self.database.row(links.relation, other).is_some();
        match links.inverse {
            Some(inverse) => {
                let values = Row::from_iter([(inverse.to_owned(), links.id.into())]);
                if !there {
                    return Err(self.missing_record(links.relation, other));
                }
                self.write(links.relation, &[other], &values)
            }
            None if !there => Err(dangling_link_error(&links.foreign_key_name())),
            None => {
                let mut linked = self.linked_ids(links);
                if !linked.contains(&other) {
                    linked.push(other);
                    self.database.set(links.model, links.id, links.name, linked);
                }
                Ok(())
            }
        }
    }

    /// Unlinks records: clears their field, or deletes them if it is required.
    fn remove_links(
        &mut self,
        links: &X2manyLinks<'_>,
        others: &[u32],
    ) -> Result<(), FakeOdooError> {
        let linked = self.linked_ids(links);
        let mut released = others.iter().filter(|id| linked.contains(id)).copied();
        match links.inverse {
            Some(inverse) => {
                let cascades = self
                    .table(links.relation)?
                    .fields
                    .get(inverse)
                    .is_some_and(|field| field.on_delete == OnDelete::Cascade);
                let cleared = Row::from_iter([(inverse.to_owned(), Value::Bool(false))]);
                released.try_for_each(|other| {
                    if cascades {
                        self.unlink(links.relation, &[other])
                    } else {
                        self.write(links.relation, &[other], &cleared)
                    }
                })
            }
            None => {
                let remaining: Vec<u32> = linked
                    .into_iter()
                    .filter(|id| !others.contains(id))
                    .collect();
                self.database
                    .set(links.model, links.id, links.name, remaining);
                Ok(())
            }
        }
    }

    fn set_links(&mut self, links: &X2manyLinks<'_>, set: &[Value]) -> Result<(), FakeOdooError> {
        // Python hashes all of them before it checks any.
        if let Some(id) = set.iter().find(|id| id.is_array() || id.is_object()) {
            return Err(unhashable_error(id));
        }
        let mut wanted = Vec::new();
        for id in set {
            wanted.push(parse_linked_id(links, id)?);
        }
        let removed: Vec<u32> = self
            .linked_ids(links)
            .into_iter()
            .filter(|id| !wanted.contains(id))
            .collect();
        self.remove_links(links, &removed)?;
        wanted
            .into_iter()
            .try_for_each(|id| self.add_link(links, id))
    }
}

/// An x2many field of a record.
struct X2manyLinks<'a> {
    model: &'static str,
    id: u32,
    name: &'a str,
    relation: &'static str,
    inverse: Option<&'static str>,
}

impl X2manyLinks<'_> {
    /// The name of the foreign key in PostgreSQL.
    fn foreign_key_name(&self) -> String {
        let (own, other) = (
            self.model.replace('.', "_"),
            self.relation.replace('.', "_"),
        );
        format!("{own}_{other}_rel_{}_fkey", self.name)
    }
}

/// Parses an id in a command or a list of plain ids.
fn parse_linked_id(links: &X2manyLinks<'_>, id: &Value) -> Result<u32, FakeOdooError> {
    if let Some(id) = parse_record_id(id) {
        return Ok(id);
    }
    Err(match id {
        Value::Array(_) | Value::Object(_) => unhashable_error(id),
        Value::Bool(_) => datatype_mismatch("boolean"),
        Value::Null => FakeOdooError::validation_error(format!(
            "The operation cannot be completed: Missing required value for the field '{}'.\nModel: Unknown\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n",
            links.name
        )),
        Value::Number(_) => dangling_link_error(&links.foreign_key_name()),
        // Python treats a string as a list of characters.
        Value::String(text) if text.chars().all(|one| one.is_ascii_digit()) => {
            let letters: Vec<String> = text.chars().map(|one| format!("'{one}'")).collect();
            FakeOdooError::value_error(format!(
                "Expected singleton: {}({})",
                links.relation,
                letters.join(", ")
            ))
        }
        Value::String(text) => FakeOdooError::invalid_integer(text),
    })
}

fn index_error() -> FakeOdooError {
    FakeOdooError::new(500, "builtins.IndexError", "list index out of range")
}
