//! Changes that are kept together or not at all.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    access::AccessMode,
    call::Invocation,
    cast::{WriteContext, coerce, parse_record_id},
    computed, constraints,
    database::Database,
    defaults,
    domain::python_repr,
    messages, models,
    refusal::FakeOdooError,
    session::Session,
    table::{Field, Row, Table, link, text},
};

/// A copy of the records on which a call works.
pub(super) struct Transaction<'a> {
    pub(super) database: Database,
    pub(super) session: &'a Session,
}

/// The fields that Odoo fills itself. What is written to them is ignored.
const MAGIC_COLUMNS: [&str; 5] = ["id", "create_date", "create_uid", "write_date", "write_uid"];

impl<'a> Transaction<'a> {
    pub(super) fn begin(database: &Database, session: &'a Session) -> Self {
        Self {
            database: database.clone(),
            session,
        }
    }

    /// What is to be kept.
    pub(super) fn commit(self) -> Database {
        self.database
    }

    /// A table that is known to be there.
    pub(super) fn table(&self, model: &str) -> Result<&Table, FakeOdooError> {
        self.database
            .table(model)
            .ok_or_else(|| FakeOdooError::not_found(format!("the model '{model}' does not exist")))
    }

    /// Makes a record as a user asks for it.
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

    /// Makes a record that Odoo itself needs, whatever the user may.
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
                let kept = coerce(self.table(model)?, name, field, value, WriteContext::Create)?;
                self.check_link_exists(field, &kept)?;
                row.insert(name.clone(), kept);
            }
        }
        defaults::fill_computed(&self.database, session, model, &mut row, &given);
        self.assign_order_number(model, &mut row);
        self.create_parent_record(model, &mut row)?;
        constraints::check_required(self.table(model)?, &row)?;
        let now = session.current_datetime();
        for (field, value) in [
            ("create_date", json!(now)),
            ("create_uid", json!(session.user.id)),
            ("write_date", json!(now)),
            ("write_uid", json!(session.user.id)),
        ] {
            row.insert(field.to_owned(), value);
        }
        let Some(table) = self.database.tables.get_mut(model) else {
            return Err(FakeOdooError::not_found(format!(
                "the model '{model}' does not exist"
            )));
        };
        table.last_id += 1;
        let id = table.last_id;
        row.insert("id".to_owned(), id.into());
        table.rows.insert(id, Arc::new(row));
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
            let variant = Row::from_iter([
                ("name".to_owned(), name.into()),
                ("product_tmpl_id".to_owned(), id.into()),
            ]);
            self.create_as_superuser("product.product", &variant)?;
            computed::recompute(&mut self.database, model, id, &changed);
        }
        constraints::check_constraints(&self.database, model, id, &changed)?;
        self.check_record_rules(AccessMode::Create, model, id)?;
        messages::add_default_followers(self, model, id)?;
        Ok(id)
    }

    /// Changes records.
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
            // Contacts look at the fields before the ORM does.
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
        let left: Vec<u32> = ids
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
                let kept = coerce(self.table(model)?, name, field, value, WriteContext::Update)?;
                self.check_link_exists(field, &kept)?;
                self.database.set(model, *id, name, kept);
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
            // Odoo looks again: nobody writes a record out of their own sight.
            self.check_record_rules(AccessMode::Write, model, id)?;
            if values.contains_key("user_id") {
                messages::add_responsible_follower(self, model, id)?;
            }
        }
        for order in left {
            computed::recompute_order(&mut self.database, order);
        }
        Ok(())
    }

    /// The records of these ids that are there.
    ///
    /// A thread reads what it is about to change and misses what is not there;
    /// a plain model does not look.
    pub(super) fn existing_ids(&self, model: &str, ids: &[u32]) -> Result<Vec<u32>, FakeOdooError> {
        let table = self.table(model)?;
        let looks = models::is_thread(model) || model == "sale.order.line";
        let absent = ids.iter().find(|id| !table.rows.contains_key(id));
        if let Some(absent) = absent.filter(|_| looks) {
            return Err(FakeOdooError::missing_record(
                model,
                *absent,
                self.session.user.id,
            ));
        }
        let here = |id: &&u32| table.rows.contains_key(id);
        Ok(ids.iter().filter(here).copied().collect())
    }

    /// Lets the user touch a record, as far as the record rules go.
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

    /// Whether the record is there that a field is to point to.
    fn check_link_exists(&self, field: &Field, value: &Value) -> Result<(), FakeOdooError> {
        let (Some(model), Some(id)) = (field.relation, parse_record_id(value)) else {
            return Ok(());
        };
        if field.kind == "many2one" && self.database.row(model, id).is_none() {
            return Err(FakeOdooError::missing_record(
                model,
                id,
                self.session.user.id,
            ));
        }
        Ok(())
    }

    /// The number of a new order, from Odoo's sequence.
    fn assign_order_number(&mut self, model: &str, row: &mut Row) {
        if model == "sale.order" && text(row, "name") == "New" {
            self.database.last_order_number += 1;
            let name = format!("S{:05}", self.database.last_order_number);
            row.insert("name".to_owned(), name.into());
        }
    }

    /// The record of the parent model that a new one needs.
    fn create_parent_record(&mut self, model: &str, row: &mut Row) -> Result<(), FakeOdooError> {
        if model == "res.users" && link(row, "partner_id").is_none() {
            let mut partner = Row::new();
            partner.insert("name".to_owned(), text(row, "name").into());
            let id = self.create("res.partner", &partner)?;
            row.insert("partner_id".to_owned(), id.into());
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
        // Odoo checks the right to create even when there is nothing to make.
        self.session
            .user
            .check_access(AccessMode::Create, call.table)?;
        let mut made = Vec::new();
        for row in rows {
            let Value::Object(values) = row else {
                return Err(FakeOdooError::value_error(format!(
                    "Invalid field {} in '{model}'",
                    python_repr(row)
                )));
            };
            made.push(self.create(model, values)?);
        }
        Ok(made.into())
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

    pub(super) fn name_create(&mut self, call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
        let name = call.arguments.get("name").cloned().unwrap_or_default();
        let values = Row::from_iter([("name".to_owned(), name)]);
        let id = self.create(call.table.model, &values)?;
        let table = self.table(call.table.model)?;
        let shown = table.row(id).map(|row| table.display_name(row));
        Ok(json!([id, shown]))
    }

    /// Creates or writes, and reads back what `specification` names.
    pub(super) fn web_save(&mut self, call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
        let model = call.table.model;
        let Some(Value::Object(values)) = call.arguments.get("vals") else {
            return Err(FakeOdooError::type_error("vals must be a dict"));
        };
        let ids = if call.ids.is_empty() {
            vec![self.create(model, values)?]
        } else {
            self.write(model, &call.ids, values)?;
            call.ids.clone()
        };
        let empty = Row::new();
        let specification = call.argument("specification").and_then(Value::as_object);
        let specification = specification.unwrap_or(&empty);
        let call = Invocation {
            database: &self.database,
            session: self.session,
            table: self.table(model)?,
            ids,
            arguments: &empty,
        };
        call.web_read(specification)
    }
}

/// The field that is written by this name, if Odoo does not ignore it.
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
