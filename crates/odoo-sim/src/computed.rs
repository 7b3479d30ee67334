//! Computed values, recomputed after every change.

use serde_json::Value;

use super::{
    database::Database,
    defaults,
    table::{link, number, text},
};

/// The only tax rate.
const TAX_RATE: f64 = 0.21;

/// Rounds an amount to cents, half up as Odoo does.
pub(super) fn round_to_cents(amount: f64) -> f64 {
    // The offset helps halves without an exact binary form, such as 1.005.
    (amount * 100.0 + amount.signum() * 1e-7).round() / 100.0
}

/// Recomputes what depends on the changed fields of a record.
pub(super) fn recompute(database: &mut Database, model: &str, id: u32, changed: &[&str]) {
    let has = |fields: &[&str]| changed.iter().any(|name| fields.contains(name));
    if model == "crm.lead" && has(&["company_id"]) {
        recompute_lead_currency(database, id);
    }
    match model {
        "crm.lead" if has(&["stage_id", "active", "probability"]) => {
            recompute_lead(database, id, changed);
        }
        "ir.model.data" if has(&["module", "name"]) => {
            if let Some(row) = database.row(model, id) {
                let name = format!("{}.{}", text(row, "module"), text(row, "name"));
                database.set(model, id, "complete_name", name);
            }
        }
        "product.category" if has(&["name", "parent_id"]) => {
            recompute_complete_name(database, model, id, " / ");
        }
        "product.template" => sync_variants(database, id, changed),
        "res.partner" => {
            if has(&["email"]) {
                let email = database.row(model, id).map_or("", |row| text(row, "email"));
                let normal = normalize_email(email);
                database.set(model, id, "email_normalized", normal);
            }
            if has(&["name", "parent_id"]) {
                recompute_complete_name(database, model, id, ", ");
            }
        }
        "res.users" if has(&["name"]) => {
            if let Some((partner, name)) = database
                .row(model, id)
                .and_then(|row| Some((link(row, "partner_id")?, row.get("name").cloned()?)))
            {
                database.set("res.partner", partner, "name", name);
                recompute_complete_name(database, "res.partner", partner, ", ");
            }
        }
        "sale.order" if has(&["state", "company_id", "currency_id", "order_line"]) => {
            recompute_order(database, id);
        }
        "sale.order.line" => {
            if let Some(order_id) = database
                .row(model, id)
                .and_then(|row| link(row, "order_id"))
            {
                recompute_order(database, order_id);
            }
        }
        _ => {}
    }
}

/// Recomputes the currency of a lead, which is that of its company.
pub(super) fn recompute_lead_currency(database: &mut Database, id: u32) {
    let company = database
        .row("crm.lead", id)
        .and_then(|lead| link(lead, "company_id"));
    let currency = defaults::currency(database, company.or(Some(1)));
    database.set("crm.lead", id, "company_currency", currency);
}

/// Recomputes the amounts of an order and the values that its lines copy from it.
pub(super) fn recompute_order(database: &mut Database, id: u32) {
    let Some(order) = database.row("sale.order", id) else {
        return;
    };
    let copied = ["state", "currency_id", "company_id"]
        .map(|field| (field, order.get(field).cloned().unwrap_or_default()));
    let (mut untaxed, mut tax) = (0.0, 0.0);
    for line in database.referencing_ids("sale.order.line", "order_id", id) {
        let Some(row) = database.row_mut("sale.order.line", line) else {
            continue;
        };
        let full = number(row, "product_uom_qty") * number(row, "price_unit");
        let subtotal = round_to_cents(full * (1.0 - number(row, "discount") / 100.0));
        let line_tax = round_to_cents(subtotal * TAX_RATE);
        untaxed += subtotal;
        tax += line_tax;
        for (field, value) in copied.clone() {
            row.insert(field.to_owned(), value);
        }
        for (field, amount) in [
            ("price_subtotal", subtotal),
            ("price_tax", line_tax),
            ("price_total", round_to_cents(subtotal + line_tax)),
        ] {
            row.insert(field.to_owned(), amount.into());
        }
    }
    for (field, amount) in [
        ("amount_untaxed", untaxed),
        ("amount_tax", tax),
        ("amount_total", untaxed + tax),
    ] {
        database.set("sale.order", id, field, round_to_cents(amount));
    }
}

fn recompute_lead(database: &mut Database, id: u32, changed: &[&str]) {
    let Some(row) = database.row("crm.lead", id) else {
        return;
    };
    let stage = link(row, "stage_id").and_then(|stage| database.row("crm.stage", stage));
    let won = stage.is_some_and(|stage| stage.get("is_won") == Some(&Value::Bool(true)));
    let active = row.get("active") == Some(&Value::Bool(true));
    let status = match (won, active) {
        (true, _) => "won",
        (false, false) if number(row, "probability") == 0.0 => "lost",
        (false, _) => "pending",
    };
    database.set("crm.lead", id, "won_status", status);
    if won && changed.contains(&"stage_id") {
        database.set("crm.lead", id, "probability", 100.0);
    }
}

/// Recomputes the complete names of a record and its descendants.
fn recompute_complete_name(database: &mut Database, model: &str, id: u32, separator: &str) {
    let Some(row) = database.row(model, id) else {
        return;
    };
    let name = text(row, "name").to_owned();
    let above = link(row, "parent_id")
        .and_then(|parent| database.row(model, parent))
        .map(|parent| {
            let own = if model == "res.partner" {
                "name"
            } else {
                "complete_name"
            };
            text(parent, own).to_owned()
        });
    let complete = match above {
        Some(above) => format!("{above}{separator}{name}"),
        None => name,
    };
    database.set(model, id, "complete_name", complete);
    for below in database.referencing_ids(model, "parent_id", id) {
        if below != id {
            recompute_complete_name(database, model, below, separator);
        }
    }
}

/// Copies the values of a template to its only variant.
fn sync_variants(database: &mut Database, id: u32, changed: &[&str]) {
    let Some(row) = database.row("product.template", id).cloned() else {
        return;
    };
    for variant in database.referencing_ids("product.product", "product_tmpl_id", id) {
        for (field, of_variant) in [
            ("active", "active"),
            ("default_code", "default_code"),
            ("list_price", "lst_price"),
            ("name", "name"),
        ] {
            if changed.contains(&field)
                && let Some(value) = row.get(field)
            {
                database.set("product.product", variant, of_variant, value.clone());
            }
        }
    }
}

/// A bare address in lower case, as `email_normalize` returns it.
fn normalize_email(email: &str) -> Value {
    let inside = email
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or(email, |(inside, _)| inside);
    if inside.contains('@') {
        inside.trim().to_lowercase().into()
    } else {
        Value::Bool(false)
    }
}
