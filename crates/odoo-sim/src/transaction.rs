//! Changes that are committed together or not at all.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    access::AccessMode,
    coerce::{WriteContext, coerce},
    computed, constraints,
    database::Database,
    defaults,
    error::FakeOdooError,
    followers,
    invocation::Invocation,
    session::Session,
    table::{Field, Row, Table, link, row_from_json, text},
    value::{parse_record_id, python_repr},
};

/// A copy of the records that one call works on.
pub(super) struct Transaction<'a> {
    pub(super) database: Database,
    pub(super) session: &'a Session,
}

/// The fields that Odoo fills itself. Writes to them are ignored.
const MAGIC_COLUMNS: [&str; 5] = ["id", "create_date", "create_uid", "write_date", "write_uid"];

impl<'a> Transaction<'a> {
    pub(super) fn begin(database: &Database, session: &'a Session) -> Self {
        Self {
            database: database.clone(),
            session,
        }
    }

    /// The records to store.
    pub(super) fn commit(self) -> Database {
        self.database
    }

    /// A table, or an error if the model does not exist.
    pub(super) fn table(&self, model: &str) -> Result<&Table, FakeOdooError> {
        self.database
            .table(model)
            .ok_or_else(|| FakeOdooError::not_found(format!("the model '{model}' does not exist")))
    }

    /// Creates a record with the user's rights.
    pub(super) fn create(
        &mut self,
        model: &'static str,
        values: &Row,
    ) -> Result<u32, FakeOdooError> {
        self.session
            .user
            .check_access(AccessMode::Create, self.table(model)?)?;
        self.create_as_superuser(model, values)
    }

    /// Creates a record that Odoo itself needs, without checking the user's rights.
    pub(super) fn create_as_superuser(
        &mut self,
        model: &'static str,
        values: &Row,
    ) -> Result<u32, FakeOdooError> {
        let session = self.session;
        let table = self.table(model)?;
        let unknown = values
            .keys()
            .find(|name| !table.fields.contains_key(name.as_str()));
        if let Some(name) = unknown {
            return Err(unknown_field_error(model, name));
        }
        let fields = Arc::clone(&table.fields);
        let mut given = defaults::default_values(table, session);
        given.extend(
            values
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        let mut row = defaults::empty_row(table);
        for (name, value) in &given {
            let Some(field) = writable_field(&fields, name) else {
                continue;
            };
            if !field.is_x2many() {
                let value = coerce(self.table(model)?, name, field, value, WriteContext::Create)?;
                self.check_link_exists(field, &value)?;
                row.insert(name.clone(), value);
            }
        }
        defaults::fill_computed(&self.database, session, model, &mut row, &given);
        self.assign_order_number(model, &mut row);
        self.create_parent_record(model, &mut row)?;
        constraints::check_required(self.table(model)?, &row)?;
        let Some(table) = self.database.tables.get_mut(model) else {
            return Err(FakeOdooError::not_found(format!(
                "the model '{model}' does not exist"
            )));
        };
        let id = table.insert(row, session.user.id, &session.current_datetime());
        for (name, value) in &given {
            if let Some(field) = writable_field(&fields, name).filter(|field| field.is_x2many()) {
                self.apply_x2many(model, id, name, field, value)?;
            }
        }
        let changed: Vec<&str> = fields.keys().copied().collect();
        computed::recompute(&mut self.database, model, id, &changed);
        if model == "product.template" {
            let name = self
                .database
                .row(model, id)
                .map_or("", |row| text(row, "name"))
                .to_owned();
            let variant = row_from_json(json!({"name": name, "product_tmpl_id": id}));
            self.create_as_superuser("product.product", &variant)?;
            computed::recompute(&mut self.database, model, id, &changed);
        }
        constraints::check_constraints(&self.database, model, id, &changed)?;
        self.check_record_rules(AccessMode::Create, model, id)?;
        followers::add_default_followers(&mut self.database, session, model, id);
        Ok(id)
    }

    /// Writes the values to the records.
    pub(super) fn write(
        &mut self,
        model: &'static str,
        ids: &[u32],
        values: &Row,
    ) -> Result<(), FakeOdooError> {
        if ids.is_empty() {
            return Ok(());
        }
        let session = self.session;
        let table = self.table(model)?;
        session.user.check_access(AccessMode::Write, table)?;
        let fields = Arc::clone(&table.fields);
        if let Some(name) = values
            .keys()
            .find(|name| !fields.contains_key(name.as_str()))
        {
            // Contacts check the fields before the ORM does.
            return Err(if model == "res.partner" {
                FakeOdooError::new(500, "builtins.KeyError", name.as_str())
            } else {
                unknown_field_error(model, name)
            });
        }
        let ids = self.existing_ids(model, ids)?;
        for id in &ids {
            self.check_record_rules(AccessMode::Write, model, *id)?;
        }
        if values.is_empty() {
            return Ok(());
        }
        constraints::check_before_write(&self.database, model, &ids, values)?;
        let previous_orders: Vec<u32> = ids
            .iter()
            .filter_map(|id| self.database.row(model, *id))
            .filter_map(|row| link(row, "order_id"))
            .filter(|_| values.contains_key("order_id"))
            .collect();
        for id in &ids {
            for (name, value) in values {
                let Some(field) = writable_field(&fields, name) else {
                    continue;
                };
                if field.is_x2many() {
                    self.apply_x2many(model, *id, name, field, value)?;
                    continue;
                }
                let value = coerce(self.table(model)?, name, field, value, WriteContext::Update)?;
                self.check_link_exists(field, &value)?;
                self.database.set(model, *id, name, value);
            }
            self.database
                .set(model, *id, "write_date", session.current_datetime());
            self.database.set(model, *id, "write_uid", session.user.id);
        }
        let changed: Vec<&str> = values.keys().map(String::as_str).collect();
        for id in ids {
            computed::recompute(&mut self.database, model, id, &changed);
            if let Some(row) = self.database.row(model, id) {
                constraints::check_required(self.table(model)?, row)?;
            }
            constraints::check_constraints(&self.database, model, id, &changed)?;
            // Odoo checks again: a write may not hide the record from its writer.
            self.check_record_rules(AccessMode::Write, model, id)?;
            if values.contains_key("user_id") {
                followers::add_responsible_follower(&mut self.database, session, model, id);
            }
        }
        for order in previous_orders {
            computed::recompute_order(&mut self.database, order);
        }
        Ok(())
    }

    /// The ids that exist.
    ///
    /// A thread reads its records before it changes them, so a missing one is an
    /// error; plain models ignore it.
    pub(super) fn existing_ids(&self, model: &str, ids: &[u32]) -> Result<Vec<u32>, FakeOdooError> {
        let table = self.table(model)?;
        let reads_first = table.is_thread() || model == "sale.order.line";
        let absent = ids.iter().find(|id| !table.rows.contains_key(id));
        if let Some(absent) = absent.filter(|_| reads_first) {
            return Err(self.missing_record(model, *absent));
        }
        let exists = |id: &&u32| table.rows.contains_key(id);
        Ok(ids.iter().filter(exists).copied().collect())
    }

    /// The error for a record that does not exist.
    pub(super) fn missing_record(&self, model: &str, id: u32) -> FakeOdooError {
        FakeOdooError::missing_record(model, id, self.session.user.id)
    }

    /// Checks that the record rules allow this operation on a record.
    pub(super) fn check_record_rules(
        &self,
        operation: AccessMode,
        model: &str,
        id: u32,
    ) -> Result<(), FakeOdooError> {
        let (table, user) = (self.table(model)?, self.session.user);
        match table.row(id) {
            Some(row) if !user.passes_record_rules(table, row, user.companies) => {
                Err(user.record_rule_error(operation, table, row))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the record exists that a many2one value points to.
    fn check_link_exists(&self, field: &Field, value: &Value) -> Result<(), FakeOdooError> {
        let (Some(model), Some(id)) = (field.relation, parse_record_id(value)) else {
            return Ok(());
        };
        if field.kind == "many2one" && self.database.row(model, id).is_none() {
            return Err(self.missing_record(model, id));
        }
        Ok(())
    }

    /// Numbers a new order, as Odoo's sequence does.
    fn assign_order_number(&mut self, model: &str, row: &mut Row) {
        if model == "sale.order" && text(row, "name") == "New" {
            self.database.last_order_number += 1;
            let name = format!("S{:05}", self.database.last_order_number);
            row.insert("name".to_owned(), name.into());
        }
    }

    /// Creates the contact that a new user needs.
    fn create_parent_record(&mut self, model: &str, user: &mut Row) -> Result<(), FakeOdooError> {
        if model == "res.users" && link(user, "partner_id").is_none() {
            let partner = row_from_json(json!({"name": text(user, "name")}));
            let id = self.create("res.partner", &partner)?;
            user.insert("partner_id".to_owned(), id.into());
        }
        Ok(())
    }

    pub(super) fn call_create(&mut self, call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
        let model = call.table.model;
        let one;
        let rows = match call.arguments.get("vals_list") {
            Some(Value::Array(rows)) => rows.as_slice(),
            Some(Value::Object(row)) => {
                one = [Value::Object(row.clone())];
                &one
            }
            _ => return Err(FakeOdooError::new(500, "builtins.AssertionError", "")),
        };
        // Odoo checks the right to create even if the list is empty.
        self.session
            .user
            .check_access(AccessMode::Create, call.table)?;
        let mut created = Vec::new();
        for row in rows {
            let Value::Object(values) = row else {
                return Err(FakeOdooError::value_error(format!(
                    "Invalid field {} in '{model}'",
                    python_repr(row)
                )));
            };
            created.push(self.create(model, values)?);
        }
        Ok(created.into())
    }

    pub(super) fn call_write(&mut self, call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
        let model = call.table.model;
        match call.arguments.get("vals") {
            Some(Value::Object(values)) => {
                self.write(model, &call.ids, values)?;
                Ok(true.into())
            }
            Some(other) => Err(FakeOdooError::new(
                500,
                "builtins.AttributeError",
                format!("{} has no attribute 'items'", python_repr(other)),
            )),
            None => Err(FakeOdooError::invalid_arguments(
                "missing a required argument: 'vals'",
            )),
        }
    }
}

/// The field of this name, if Odoo does not ignore writes to it.
fn writable_field<'a>(
    fields: &'a std::collections::BTreeMap<&'static str, Field>,
    name: &str,
) -> Option<&'a Field> {
    fields
        .get(name)
        .filter(|field| field.stored && !MAGIC_COLUMNS.contains(&name))
}

fn unknown_field_error(model: &str, name: &str) -> FakeOdooError {
    FakeOdooError::value_error(format!("Invalid field '{name}' in '{model}'"))
}
