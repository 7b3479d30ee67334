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
    if let Some(domain) = field.domain {
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
    set("depends", json!(field.depends));
    if let Some(decimals) = field.decimals {
        set("digits", json!([16, decimals]));
    }
    if let Some(size) = field.size {
        set("size", size.into());
    }
    if field.kind == "many2one_reference" {
        set("model_field", model_field(table).into());
    }
    if let Some(path) = field.related {
        set("related", path.into());
    }
    if field.kind == "monetary" {
        let of_company = table.fields.contains_key("company_currency");
        let currency = if of_company {
            "company_currency"
        } else {
            "currency_id"
        };
        set("currency_field", currency.into());
    }
    described
}
