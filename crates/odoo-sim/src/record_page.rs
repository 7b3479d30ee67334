//! A page for each record, in place of Odoo's web client: links to records lead
//! somewhere in the demo.

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::{
    database::Database,
    error::html_response,
    table::{Field, Row, Table},
};

/// The page at `/odoo/MODEL/ID`; of any other path below `/odoo`, where to look.
pub(super) fn serve_page(database: &Database, path: &str) -> Response<Bytes> {
    let record = path.split_once('/').and_then(|(model, id)| {
        // Odoo writes `m-` before a model without a dot.
        let table = database.table(model.strip_prefix("m-").unwrap_or(model))?;
        Some((table, table.row(id.trim_end_matches('/').parse().ok()?)?))
    });
    match record {
        Some((table, row)) => html_response(200, &record_page(database, table, row)),
        None => html_response(
            404,
            "<h1>No such record</h1>\n<p>This is the sample company of Gatepost's demo. It has no web client, only a page for each record, such as <a href=\"/odoo/res.partner/1\">/odoo/res.partner/1</a>.\n",
        ),
    }
}

fn record_page(database: &Database, table: &Table, row: &Row) -> String {
    let mut page = format!(
        "<h1>{}</h1>\n<p>{} of the sample company of Gatepost's demo, which has no web client.\n<table>\n",
        escaped(&table.display_name(row)),
        escaped(table.label),
    );
    for (name, field) in table.fields.iter() {
        // As every employee sees it; what a token opens needs no login.
        let visible = field.group.is_none() && field.stored && !name.contains("token");
        let shown = row
            .get(*name)
            .filter(|_| visible)
            .and_then(|value| shown(database, field, value));
        if let Some(shown) = shown {
            page.push_str("<tr><th align=left>");
            page.push_str(&escaped(field.label));
            page.push_str("<td>");
            page.push_str(&escaped(&shown));
            page.push('\n');
        }
    }
    page.push_str("</table>\n");
    page
}

/// A value for a person; `None` if it is empty.
fn shown(database: &Database, field: &Field, value: &Value) -> Option<String> {
    let name_of = |id: &Value| {
        let id = u32::try_from(id.as_u64()?).ok()?;
        let related = database.related(field)?;
        Some(related.display_name(related.row(id)?))
    };
    match value {
        Value::Null | Value::Bool(false) | Value::Object(_) => None,
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Number(number) => name_of(value).or_else(|| Some(number.to_string())),
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(items) => {
            let names: Vec<String> = items.iter().filter_map(name_of).collect();
            (!names.is_empty()).then(|| names.join(", "))
        }
    }
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
