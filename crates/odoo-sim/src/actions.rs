//! The actions of buttons in Odoo's own client.

use serde_json::{Value, json};

use super::{
    access::AccessMode,
    error::FakeOdooError,
    invocation::Invocation,
    table::{Row, link, row_from_json, text, value},
    transaction::Transaction,
    value::is_truthy,
};

/// `action_archive` and `action_unarchive`: changes only records that differ.
pub(super) fn set_active(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
    active: bool,
) -> Result<Value, FakeOdooError> {
    let model = call.table.model;
    if !call.table.fields.contains_key("active") {
        return Err(FakeOdooError::new(
            500,
            "builtins.AssertionError",
            format!("No 'active' field on model {model}"),
        ));
    }
    let existing = transaction.existing_ids(model, &call.ids)?;
    let changed = ids_where_field(call, &existing, "active", |now| {
        *now == Value::Bool(!active)
    });
    transaction.write(model, &changed, &row_from_json(json!({"active": active})))?;
    Ok(Value::Null)
}

/// The ids of the records whose field satisfies the condition.
fn ids_where_field(
    call: &Invocation<'_>,
    ids: &[u32],
    field: &str,
    condition: impl Fn(&Value) -> bool,
) -> Vec<u32> {
    let matches = |id: &&u32| {
        call.table
            .row(**id)
            .is_some_and(|row| condition(value(row, field)))
    };
    ids.iter().filter(matches).copied().collect()
}

fn ids_in_state(call: &Invocation<'_>, ids: &[u32], states: &[&str]) -> Vec<u32> {
    ids_where_field(call, ids, "state", |state| {
        state.as_str().is_some_and(|state| states.contains(&state))
    })
}

/// `sale.order.action_confirm` (`addons/sale/models/sale_order.py`).
pub(super) fn confirm_orders(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let orders = transaction.existing_ids("sale.order", &call.ids)?;
    for id in &orders {
        if ids_in_state(call, &[*id], &["draft", "sent"]).is_empty() {
            return Err(FakeOdooError::user_error(
                "Some orders are not in a state requiring confirmation.",
            ));
        }
        let lines = call
            .database
            .referencing_ids("sale.order.line", "order_id", *id);
        let has_no_product = |line: &u32| {
            let line = call.database.row("sale.order.line", *line);
            line.is_some_and(|line| link(line, "product_id").is_none())
        };
        if lines.iter().any(has_no_product) {
            return Err(FakeOdooError::user_error(
                "Some order lines are missing a product, you need to correct them before going further.",
            ));
        }
    }
    let confirmed = row_from_json(
        json!({"state": "sale", "date_order": call.session.current_datetime(), "invoice_status": "to_invoice"}),
    );
    transaction.write("sale.order", &orders, &confirmed)?;
    Ok(true.into())
}

/// `sale.order.action_cancel`.
pub(super) fn cancel_orders(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let orders = transaction.existing_ids("sale.order", &call.ids)?;
    if !ids_where_field(call, &orders, "locked", |locked| {
        *locked == Value::Bool(true)
    })
    .is_empty()
    {
        return Err(FakeOdooError::user_error(
            "You cannot cancel a locked order. Please unlock it first.",
        ));
    }
    let cancelled = row_from_json(json!({"state": "cancel", "invoice_status": "no"}));
    transaction.write("sale.order", &orders, &cancelled)?;
    Ok(true.into())
}

/// `sale.order.action_draft`: resets only sent and cancelled orders.
pub(super) fn reset_orders_to_draft(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let orders = transaction.existing_ids("sale.order", &call.ids)?;
    let orders = ids_in_state(call, &orders, &["cancel", "sent"]);
    transaction.write(
        "sale.order",
        &orders,
        &row_from_json(json!({"state": "draft"})),
    )?;
    Ok(true.into())
}

/// `sale.order.action_lock` and `action_unlock`.
pub(super) fn set_orders_locked(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
    locked: bool,
) -> Result<Value, FakeOdooError> {
    transaction.write(
        "sale.order",
        &call.ids,
        &row_from_json(json!({"locked": locked})),
    )?;
    Ok(Value::Null)
}

/// The only record of a call (`ensure_one`).
fn ensure_one<'a>(call: &Invocation<'a>) -> Result<(u32, &'a Row), FakeOdooError> {
    let id = call.only_id()?;
    let user = call.session.user;
    let missing = || FakeOdooError::missing_record(call.table.model, id, user.id);
    let row = call.table.row(id).ok_or_else(missing)?;
    user.check_read_access(call.table)?;
    if !user.passes_record_rules(call.table, row, user.companies) {
        return Err(user.record_rule_error(AccessMode::Read, call.table, row));
    }
    Ok((id, row))
}

/// `sale.order.action_preview_sale_order`.
pub(super) fn preview_order(call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
    ensure_one(call)?;
    let url = portal_url(call)?;
    Ok(json!({"type": "ir.actions.act_url", "target": "self", "url": url}))
}

/// `portal.mixin.get_portal_url`: a link that works without a login.
pub(super) fn portal_url(call: &Invocation<'_>) -> Result<Value, FakeOdooError> {
    let (id, row) = ensure_one(call)?;
    let mut url = format!("/my/orders/{id}?access_token={}", text(row, "access_token"));
    if let Some(report) = call.text("report_type") {
        url.push_str("&report_type=");
        url.push_str(report);
    }
    if call.argument("download").is_some_and(is_truthy) {
        url.push_str("&download=true");
    }
    Ok(url.into())
}

/// `crm.lead.action_set_won` (`addons/crm/models/crm_lead.py`).
pub(super) fn mark_leads_won(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let won = call.database.table("crm.stage").and_then(|table| {
        let mut stages = table.rows.iter();
        stages.find_map(|(id, row)| (row.get("is_won") == Some(&Value::Bool(true))).then_some(*id))
    });
    let won = row_from_json(
        json!({"active": true, "stage_id": won.map_or(Value::Bool(false), Value::from), "probability": 100.0, "date_closed": call.session.current_datetime()}),
    );
    transaction.write("crm.lead", &call.ids, &won)?;
    Ok(true.into())
}

/// `crm.lead.action_set_lost`, with additional values to write.
pub(super) fn mark_leads_lost(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let leads = transaction.existing_ids("crm.lead", &call.ids)?;
    let won = ids_where_field(call, &leads, "won_status", |status| status == "won");
    if !won.is_empty() {
        return Err(FakeOdooError::validation_error(
            "A lead in a Won stage cannot be lost. Move it to another stage first.",
        ));
    }
    let mut lost_values = call.arguments.clone();
    lost_values.extend(row_from_json(json!({
        "active": false, "probability": 0.0, "date_closed": call.session.current_datetime(),
    })));
    transaction.write("crm.lead", &leads, &lost_values)?;
    Ok(Value::Null)
}
