//! Deleting records, and what is deleted or cleared with them.

use serde_json::Value;

use super::{
    access::AccessMode,
    computed,
    constraints::{check_no_active_user, in_use_error},
    error::FakeOdooError,
    invocation::Invocation,
    table::{OnDelete, link, text, value},
    transaction::Transaction,
    value::ids,
};

impl Transaction<'_> {
    /// Deletes records with the user's rights.
    pub(super) fn unlink(&mut self, model: &'static str, ids: &[u32]) -> Result<(), FakeOdooError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.session
            .user
            .check_access(AccessMode::Unlink, self.table(model)?)?;
        let ids = self.existing_ids(model, ids)?;
        for id in &ids {
            self.check_record_rules(AccessMode::Unlink, model, *id)?;
            self.check_deletable(model, *id)?;
        }
        ids.into_iter()
            .try_for_each(|id| self.delete_cascading(model, id))
    }

    pub(super) fn call_unlink(&mut self, call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
        self.unlink(call.table.model, &call.ids)?;
        Ok(true.into())
    }

    /// Runs the checks of the model itself (`@api.ondelete`).
    fn check_deletable(&self, model: &str, id: u32) -> Result<(), FakeOdooError> {
        let Some(row) = self.database.row(model, id) else {
            return Ok(());
        };
        match model {
            "account.move" if text(row, "state") == "posted" => Err(FakeOdooError::user_error(
                "You can't delete a posted journal item. Don’t play games with your accounting records; reset the journal entry to draft before deleting it.",
            )),
            "res.partner" => {
                let advice = "You cannot delete contacts linked to an active user.\nYou should rather archive them after archiving their associated user.";
                check_no_active_user(&self.database, &[id], advice)
            }
            "sale.order" if !matches!(text(row, "state"), "draft" | "cancel") => {
                Err(FakeOdooError::user_error(
                    "You can not delete a sent quotation or a confirmed sales order. You must first cancel it.",
                ))
            }
            "sale.order.line" if text(row, "state") == "sale" => Err(FakeOdooError::user_error(
                "Once a sales order is confirmed, you can't remove one of its lines (we need to track if something gets invoiced or delivered).\n                Set the quantity to 0 instead.",
            )),
            _ => Ok(()),
        }
    }

    /// Deletes one record as the database does: it follows foreign keys and calls
    /// no model.
    fn delete_cascading(&mut self, model: &str, id: u32) -> Result<(), FakeOdooError> {
        // Already deleted by an earlier cascade.
        let Some(deleted) = self.database.row(model, id).cloned() else {
            return Ok(());
        };
        if let Some(table) = self.database.tables.get_mut(model) {
            table.rows.remove(&id);
        }
        let mut cascades = Vec::new();
        let mut empties = Vec::new();
        for (other, table) in &self.database.tables {
            for (name, field) in table.fields.iter() {
                if field.relation != Some(model) || !field.stored {
                    continue;
                }
                match field.kind {
                    "many2one" => {
                        for pointing in self.database.referencing_ids(other, name, id) {
                            match field.on_delete {
                                OnDelete::Cascade => cascades.push((*other, pointing)),
                                OnDelete::Restrict => return Err(in_use_error(table, name, field)),
                                OnDelete::SetNull => empties.push((*other, pointing, *name)),
                            }
                        }
                    }
                    "many2many" => {
                        let holding = table.ids_where(|row| ids(value(row, name)).contains(&id));
                        empties.extend(holding.into_iter().map(|one| (*other, one, *name)));
                    }
                    _ => {}
                }
            }
        }
        for (other, pointing, name) in empties {
            let Some(row) = self.database.row(other, pointing) else {
                continue;
            };
            let remaining = value(row, name).as_array().map(|all| {
                let others = all.iter().filter(|one| one.as_u64() != Some(id.into()));
                others.cloned().collect()
            });
            let remaining = remaining.unwrap_or(Value::Bool(false));
            self.database.set(other, pointing, name, remaining);
        }
        for (other, pointing) in cascades {
            self.delete_cascading(other, pointing)?;
        }
        for kind in [
            "ir.attachment",
            "ir.model.data",
            "mail.followers",
            "mail.message",
        ] {
            for attached in self.database.attached_ids(kind, model, id) {
                self.delete_cascading(kind, attached)?;
            }
        }
        if model == "sale.order.line"
            && let Some(order) = link(&deleted, "order_id")
        {
            computed::recompute_order(&mut self.database, order);
        }
        Ok(())
    }
}
