//! Default values of a new record.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    data_cell::parse_cell,
    database::Database,
    session::Session,
    table::{Field, Row, Table, link},
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
    let fields = table.fields.iter();
    let mut defaults: Row = fields
        .filter_map(|(name, field)| {
            Some((
                (*name).to_owned(),
                declared_value(field, field.default?, session),
            ))
        })
        .collect();
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

/// The value that `data/models.txt` declares for a field of a new record.
fn declared_value(field: &Field, text: &str, session: &Session) -> Value {
    if text == "now" {
        return session.current_datetime().into();
    }
    let text = [
        ("{company}", session.default_company()),
        ("{partner}", session.user.partner),
        ("{user}", session.user.id),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, id)| {
        text.replace(name, &id.to_string())
    });
    parse_cell(
        field.kind,
        &text,
        session.now.to_zoned(TimeZone::UTC).date(),
    )
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
    for (name, field) in database
        .table(model)
        .into_iter()
        .flat_map(|table| table.fields.iter())
    {
        if let Some(text) = field.computed {
            set(row, name, declared_value(field, text, session));
        }
    }
    match model {
        "account.move" => {
            let company = session.default_company();
            set(row, "currency_id", currency(database, Some(company)));
        }
        "crm.lead" => {
            let company = link(row, "company_id").unwrap_or_else(|| session.default_company());
            row.insert(
                "company_currency".to_owned(),
                currency(database, Some(company)),
            );
        }
        "sale.order" => {
            let customer = link(row, "partner_id").and_then(|id| database.row("res.partner", id));
            let seller = customer.and_then(|customer| link(customer, "user_id"));
            set(row, "user_id", seller.unwrap_or(session.user.id).into());
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

/// The currency of a company.
pub(super) fn currency(database: &Database, company: Option<u32>) -> Value {
    company
        .and_then(|id| database.row("res.company", id))
        .and_then(|company| link(company, "currency_id"))
        .map_or(Value::Bool(false), Value::from)
}
