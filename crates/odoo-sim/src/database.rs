//! All records at one moment.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    table::{Field, Row, Table, link, text, value},
    value::ids,
};

/// The name of the only database.
pub const DATABASE: &str = "demo";

/// The contents of the database between two transactions.
///
/// Cheap to clone: each transaction works on its own copy, and a failed one is
/// dropped.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) tables: BTreeMap<&'static str, Table>,
    /// The last number given to an order.
    pub(super) last_order_number: u32,
}

impl Database {
    pub(super) fn table(&self, model: &str) -> Option<&Table> {
        self.tables.get(model)
    }

    /// The model that a field points to.
    pub(super) fn related(&self, field: &Field) -> Option<&Table> {
        self.table(field.relation?)
    }

    pub(super) fn row(&self, model: &str, id: u32) -> Option<&Row> {
        self.table(model)?.row(id)
    }

    /// A record, for writing.
    pub(super) fn row_mut(&mut self, model: &str, id: u32) -> Option<&mut Row> {
        self.tables
            .get_mut(model)?
            .rows
            .get_mut(&id)
            .map(Arc::make_mut)
    }

    /// Sets one value without checks.
    pub(super) fn set(&mut self, model: &str, id: u32, field: &str, value: impl Into<Value>) {
        if let Some(row) = self.row_mut(model, id) {
            row.insert(field.to_owned(), value.into());
        }
    }

    /// The records of a model whose field points to this record.
    pub(super) fn referencing_ids(&self, model: &str, field: &str, id: u32) -> Vec<u32> {
        self.table(model).map_or_else(Vec::new, |table| {
            table.ids_where(|row| link(row, field) == Some(id))
        })
    }

    /// The records in a relational field of a record.
    pub(super) fn linked_ids(
        &self,
        table: &Table,
        row: &Row,
        name: &str,
        field: &Field,
    ) -> Vec<u32> {
        let id = link(row, "id").unwrap_or(0);
        match (field.kind, field.relation, field.inverse) {
            ("one2many", Some(relation), Some("res_id")) => {
                let mut attached = self.attached_ids(relation, table.model, id);
                // Odoo orders messages by date, newest first.
                if relation == "mail.message" {
                    attached.reverse();
                }
                attached
            }
            ("one2many", Some(relation), Some(inverse)) => {
                self.referencing_ids(relation, inverse, id)
            }
            _ if name == "message_partner_ids" => self.follower_partners(table.model, id),
            _ => ids(value(row, name)),
        }
    }

    /// The partners that follow a record.
    pub(super) fn follower_partners(&self, model: &str, id: u32) -> Vec<u32> {
        self.attached_ids("mail.followers", model, id)
            .into_iter()
            .filter_map(|follower| link(self.row("mail.followers", follower)?, "partner_id"))
            .collect()
    }

    /// The records of a mail or data model that are attached to this record: they
    /// name its model and its id in two fields.
    pub(super) fn attached_ids(&self, kind: &str, model: &str, id: u32) -> Vec<u32> {
        let Some(table) = self.table(kind) else {
            return Vec::new();
        };
        let names = model_field(table);
        table.ids_where(|row| text(row, names) == model && link(row, "res_id") == Some(id))
    }

    /// The `ir.model.data` record of an external id.
    pub(super) fn find_external_id(&self, module: &str, name: &str) -> Option<(u32, &Row)> {
        self.table("ir.model.data")?
            .rows
            .iter()
            .find(|(_, row)| text(row, "module") == module && text(row, "name") == name)
            .map(|(id, row)| (*id, row.as_ref()))
    }
}

/// The field that holds the model of the record that a record is attached to.
pub(super) fn model_field(table: &Table) -> &'static str {
    if table.fields.contains_key("res_model") {
        "res_model"
    } else {
        "model"
    }
}
