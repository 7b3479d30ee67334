//! Copies of records.

use serde_json::{Value, json};

use super::{
    call::Invocation,
    refusal::FakeOdooError,
    table::{Row, text, value},
    transaction::Transaction,
};

/// Odoo's `copy`: a new record for each, with `default` over what was there.
pub(super) fn copy(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let nothing = Row::new();
    let default = match call.argument("default") {
        None => &nothing,
        Some(Value::Object(default)) => default,
        Some(_) => {
            return Err(FakeOdooError::type_error(
                "'default' object is not iterable",
            ));
        }
    };
    let model = call.table.model;
    let mut made = Vec::new();
    for id in &call.ids {
        let row = call
            .table
            .row(*id)
            .ok_or_else(|| FakeOdooError::missing_record(model, *id, call.session.user.id))?;
        call.session.user.check_read_access(call.table)?;
        let mut values = copied_values(call, row);
        match model {
            "product.template" | "res.partner" => {
                values.insert(
                    "name".to_owned(),
                    format!("{} (copy)", text(row, "name")).into(),
                );
            }
            "sale.order" => {
                let lines = order_line_commands(call, *id);
                values.insert("order_line".to_owned(), lines.into());
            }
            _ => {}
        }
        values.extend(
            default
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        made.push(transaction.create(model, &values)?);
    }
    Ok(made.into())
}

/// The values that a copy takes along.
fn copied_values(call: &Invocation<'_>, row: &Row) -> Row {
    let fields = call.table.fields.iter().filter(|(_, field)| field.copied);
    fields
        .map(|(name, _)| ((*name).to_owned(), value(row, name).clone()))
        .collect()
}

/// The lines of an order, as commands that make them anew.
fn order_line_commands(call: &Invocation<'_>, order: u32) -> Vec<Value> {
    let Some(table) = call.database.table("sale.order.line") else {
        return Vec::new();
    };
    let of_order = call
        .database
        .referencing_ids("sale.order.line", "order_id", order);
    of_order
        .into_iter()
        .filter_map(|line| table.row(line))
        .map(|row| {
            let fields = table.fields.iter().filter(|(_, field)| field.copied);
            let values: Row = fields
                .map(|(name, _)| ((*name).to_owned(), value(row, name).clone()))
                .collect();
            json!([0, 0, values])
        })
        .collect()
}
