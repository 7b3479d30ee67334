//! Default values of a new record.

use serde_json::{Value, json};

use super::{
    database::Database,
    session::Session,
    table::{Row, Table, link},
};

/// A record without values: `false`, zero or an empty list in each field.
pub(super) fn empty_row(table: &Table) -> Row {
    table
        .fields
        .iter()
        .map(|(name, field)| {
            let empty = match field.kind {
                "integer" | "many2one_reference" => json!(0),
                "float" | "monetary" => json!(0.0),
                "one2many" | "many2many" => json!([]),
                _ => Value::Bool(false),
            };
            ((*name).to_owned(), empty)
        })
        .collect()
}

/// The defaults of a model's fields, as `default_get` returns them.
pub(super) fn default_values(table: &Table, session: &Session) -> Row {
    let defaults = match table.model {
        "account.move" => {
            json!({"move_type": "entry", "state": "draft", "date": session.today()})
        }
        "crm.lead" => {
            json!({"expected_revenue": 0.0, "priority": "0", "type": "opportunity", "user_id": session.user.id})
        }
        "crm.stage" => json!({"sequence": 1}),
        "hr.employee" | "account.journal" => json!({"company_id": session.default_company()}),
        "mail.message" => {
            json!({"message_type": "comment", "date": session.current_datetime(), "author_id": session.user.partner})
        }
        "product.template" => {
            json!({"list_price": 1.0, "sale_ok": true, "type": "consu", "uom_id": 1})
        }
        "project.project" => json!({"user_id": session.user.id}),
        "project.task" => {
            json!({"priority": "0", "state": "01_in_progress", "user_ids": [session.user.id]})
        }
        "res.company" => json!({"fiscalyear_last_month": "12"}),
        "res.partner" => json!({"is_company": false, "lang": "en_US", "type": "contact"}),
        "res.partner.category" => json!({"color": 1}),
        "res.users" => {
            json!({"company_id": session.default_company(), "company_ids": [session.default_company()], "lang": "en_US"})
        }
        "sale.order" => {
            json!({"company_id": session.default_company(), "date_order": session.current_datetime(), "name": "New", "state": "draft"})
        }
        "sale.order.line" => json!({"product_uom_qty": 1.0}),
        _ => json!({}),
    };
    let mut defaults = defaults.as_object().cloned().unwrap_or_default();
    if table.fields.contains_key("active") {
        defaults.insert("active".to_owned(), true.into());
    }
    for (name, value) in &session.context_defaults {
        if table.fields.contains_key(name.as_str()) {
            defaults.insert(name.clone(), value.clone());
        }
    }
    defaults
}

/// Fills in the values that Odoo computes when a record is created, unless they
/// are given.
pub(super) fn fill_computed(
    database: &Database,
    session: &Session,
    model: &str,
    row: &mut Row,
    given: &Row,
) {
    let set = |row: &mut Row, field: &str, value: Value| {
        if !given.contains_key(field) {
            row.insert(field.to_owned(), value);
        }
    };
    match model {
        "account.move" => {
            let company = session.default_company();
            set(row, "company_id", company.into());
            set(row, "journal_id", company.into());
            set(row, "currency_id", currency(database, Some(company)));
            set(row, "payment_state", "not_paid".into());
        }
        "crm.lead" => {
            set(row, "company_id", session.default_company().into());
            set(row, "team_id", 1.into());
            set(row, "stage_id", 1.into());
            set(row, "probability", 25.0.into());
            set(row, "won_status", "pending".into());
        }
        "sale.order" => {
            let customer = link(row, "partner_id").and_then(|id| database.row("res.partner", id));
            let seller = customer.and_then(|customer| link(customer, "user_id"));
            set(row, "user_id", seller.unwrap_or(session.user.id).into());
            set(row, "team_id", 1.into());
            set(row, "invoice_status", "no".into());
            let company = link(row, "company_id");
            row.insert("currency_id".to_owned(), currency(database, company));
        }
        "sale.order.line" => {
            if let Some(product) =
                link(row, "product_id").and_then(|id| database.row("product.product", id))
            {
                let name = product.get("name").cloned().unwrap_or_default();
                let price = product.get("lst_price").cloned().unwrap_or_default();
                set(row, "name", name);
                set(row, "price_unit", price);
            }
        }
        _ => {}
    }
}

fn currency(database: &Database, company: Option<u32>) -> Value {
    company
        .and_then(|id| database.row("res.company", id))
        .and_then(|company| link(company, "currency_id"))
        .map_or(Value::Bool(false), Value::from)
}
