//! The description of a field that `fields_get` returns.

use serde_json::{Map, Value, json};

use super::{
    database::model_field,
    table::{Field, Table},
};

/// The attributes of a field.
pub(super) fn describe(table: &Table, name: &str, field: &Field) -> Map<String, Value> {
    let mut described = Map::new();
    let mut set = |key: &str, value: Value| {
        described.insert(key.to_owned(), value);
    };
    set("name", name.into());
    set("type", field.kind.into());
    set("string", field.label.into());
    set("required", field.required.into());
    set("readonly", field.readonly.into());
    set("store", field.stored.into());
    set(
        "searchable",
        (field.stored || name.starts_with("message_")).into(),
    );
    set("sortable", (field.stored && !field.is_x2many()).into());
    if let Some(relation) = field.relation {
        set("relation", relation.into());
    }
    if let Some(domain) = company_domain(table.model, name) {
        set("domain", domain.into());
    }
    if let Some(inverse) = field.inverse {
        set("relation_field", inverse.into());
    }
    if field.kind == "selection" {
        set(
            "selection",
            field
                .choices
                .iter()
                .map(|(key, label)| json!([key, label]))
                .collect(),
        );
    }
    set("depends", depends(table.model, name).into());
    if let Some(decimals) = field.decimals {
        set("digits", json!([16, decimals]));
    }
    match (table.model, name) {
        ("account.journal", "code") => set("size", 5.into()),
        ("res.country", "code") => set("size", 2.into()),
        _ => {}
    }
    if field.kind == "many2one_reference" {
        set("model_field", model_field(table).into());
    }
    if let Some(path) = field.related {
        set("related", path.into());
    }
    if field.kind == "monetary" {
        set("currency_field", "currency_id".into());
    }
    described
}

/// The domain of a field that must belong to the company of its record, as
/// Odoo 19 describes it.
fn company_domain(model: &str, name: &str) -> Option<&'static str> {
    match (model, name) {
        ("account.move", "journal_id") => Some(
            "(company_id and [('company_id', 'in', [company_id] + [False])] or [('company_id', '=', False)]) + ([])",
        ),
        ("sale.order", "partner_id") => Some(
            "(company_id and ['|', ('company_id', '=', False), ('company_id', 'parent_of', [company_id])] or ['|', ('company_id', '=', False), ('company_id', 'parent_of', '')]) + ([])",
        ),
        _ => None,
    }
}

/// The fields that a computed field depends on, as Odoo 19 describes them, as far
/// as they exist here.
fn depends(model: &str, name: &str) -> &'static [&'static str] {
    match (model, name) {
        ("account.move", "currency_id") => &["journal_id"],
        ("account.move", "date") => &["invoice_date", "company_id"],
        ("account.move", "journal_id") => &["move_type"],
        ("account.move", "payment_state") => &["amount_residual", "move_type", "state"],
        ("account.journal", "code") => &["type", "company_id"],
        ("crm.lead", "probability") => &["stage_id", "team_id", "country_id"],
        ("crm.lead", "stage_id") => &["team_id", "type"],
        ("crm.lead", "team_id") => &["user_id", "type"],
        ("crm.lead", "won_status") => &["active", "probability", "stage_id"],
        ("ir.model.data", "complete_name") => &["module", "name"],
        ("product.category", "complete_name") => &["name", "parent_id.complete_name"],
        ("res.partner", "complete_name") => &["is_company", "name", "parent_id.name", "type"],
        ("res.partner", "email_normalized") => &["email"],
        ("sale.order", "amount_tax" | "amount_total" | "amount_untaxed") => {
            &["order_line.price_subtotal", "currency_id", "company_id"]
        }
        ("sale.order", "currency_id") => &["company_id"],
        ("sale.order", "invoice_status") => &["state"],
        ("sale.order", "team_id") => &["partner_id", "user_id"],
        ("sale.order", "user_id") => &["partner_id"],
        ("sale.order.line", "company_id") => &["order_id.company_id"],
        ("sale.order.line", "currency_id") => &["order_id.currency_id"],
        ("sale.order.line", "discount" | "price_unit") => &["product_id", "product_uom_qty"],
        ("sale.order.line", "name" | "product_uom_qty") => &["product_id"],
        ("sale.order.line", "price_subtotal" | "price_tax" | "price_total") => {
            &["product_uom_qty", "discount", "price_unit"]
        }
        ("sale.order.line", "state") => &["order_id.state"],
        (_, "display_name") => &["name"],
        (_, "message_is_follower") => &["message_follower_ids"],
        _ => &[],
    }
}
