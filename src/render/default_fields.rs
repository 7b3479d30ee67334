//! The fields that are shown if the model names none.

use gatepost_odoo::{Field, FieldKind, FieldName, Schema};
use gatepost_policy::is_secret;

/// The maximum number of fields shown.
const MAX_FIELDS: usize = 10;
/// If a model has fewer well-known fields, others fill up to this number.
const FILL_UP_TO: usize = 6;

/// Names of fields that identify a record, with their scores.
const WELL_KNOWN: [(&str, i32); 45] = [
    ("company_id", 55),
    ("name", 100),
    ("display_name", 20),
    ("state", 80),
    ("stage_id", 80),
    ("move_type", 72),
    ("partner_id", 78),
    ("partner_name", 50),
    ("contact_name", 48),
    ("parent_id", 44),
    ("product_id", 74),
    ("product_tmpl_id", 60),
    ("order_id", 70),
    ("move_id", 66),
    ("default_code", 70),
    ("categ_id", 56),
    ("type", 20),
    ("list_price", 68),
    ("standard_price", 54),
    ("price_unit", 66),
    ("price_subtotal", 62),
    ("quantity", 64),
    ("product_uom_qty", 64),
    ("date_order", 68),
    ("invoice_date", 68),
    ("invoice_date_due", 64),
    ("date", 60),
    ("date_deadline", 62),
    ("scheduled_date", 62),
    ("amount_total", 76),
    ("amount_residual", 66),
    ("balance", 60),
    ("expected_revenue", 72),
    ("probability", 50),
    ("currency_id", 52),
    ("payment_state", 64),
    ("invoice_status", 52),
    ("email", 66),
    ("email_from", 60),
    ("phone", 60),
    ("city", 56),
    ("country_id", 58),
    ("user_id", 58),
    ("project_id", 58),
    ("job_title", 56),
];

/// Returns a model's most useful stored fields: at most ten, best first.
///
/// Never binary data, long or formatted text, and never x2many fields: one that
/// points to a model the user may not read makes Odoo refuse the whole read.
pub fn default_fields(schema: &Schema) -> Vec<FieldName> {
    let mut scored: Vec<(i32, &Field)> = schema
        .fields()
        .filter_map(|field| score(field).map(|score| (score, field)))
        .collect();
    scored.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
    let is_known = |field: &Field| {
        WELL_KNOWN
            .iter()
            .any(|(known, _)| *known == field.name.as_str())
    };
    let known = scored.iter().filter(|(_, field)| is_known(field)).count();
    let mut fields: Vec<FieldName> = scored
        .into_iter()
        .filter(|(_, field)| known < FILL_UP_TO || is_known(field))
        .take(if known < FILL_UP_TO {
            FILL_UP_TO
        } else {
            MAX_FIELDS
        })
        .map(|(_, field)| field.name.clone())
        .collect();
    let named = ["name", "complete_name"]
        .iter()
        .any(|name| fields.iter().any(|field| field.as_str() == *name));
    if !named && schema.field("display_name").is_some() {
        fields.retain(|field| field.as_str() != "display_name");
        fields.insert(0, FieldName::known("display_name"));
        fields.truncate(MAX_FIELDS);
    }
    fields
}

/// Returns how useful a field is; `None` if it is shown only on request.
pub(super) fn score(field: &Field) -> Option<i32> {
    let name = field.name.as_str();
    if !field.stored || is_technical_field(name) {
        return None;
    }
    let kind = match field.kind {
        FieldKind::Char => 22,
        FieldKind::Selection => 26,
        FieldKind::Many2one => 20,
        FieldKind::Monetary => 28,
        FieldKind::Date => 24,
        FieldKind::Datetime => 16,
        FieldKind::Float => 10,
        FieldKind::Integer => 4,
        FieldKind::Boolean => 2,
        FieldKind::Text
        | FieldKind::Binary
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2oneReference
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Unknown => return None,
    };
    if let Some((_, score)) = WELL_KNOWN.iter().find(|(known, _)| *known == name) {
        return Some(*score);
    }
    let required = if field.required { 8 } else { 0 };
    let hint = if name.starts_with("x_") { 14 } else { 0 };
    // A long technical name is seldom what a person asks for.
    let length = i32::try_from(name.len() / 6).unwrap_or(9);
    Some(kind + required + hint - length)
}

/// Returns whether a field serves Odoo itself rather than its users.
pub(super) fn is_technical_field(name: &str) -> bool {
    const EXACT: [&str; 13] = [
        "id",
        "create_uid",
        "create_date",
        "write_uid",
        "write_date",
        "color",
        "sequence",
        "active",
        "lang",
        "tz",
        "complete_name",
        "commercial_partner_id",
        "is_favorite",
    ];
    const BEGINS: [&str; 19] = [
        "message_",
        "activity_",
        "website_",
        "image_",
        "avatar_",
        "access_",
        "is_",
        "has_",
        "property_",
        "signup_",
        "sequence_",
        "made_",
        "can_",
        "alias_",
        "rating_",
        "my_",
        "show_",
        "campaign_id",
        "medium_id",
    ];
    const ENDS: [&str; 9] = [
        "_normalized",
        "_sanitized",
        "_hash",
        "_token",
        "_properties",
        "_definition",
        "_signed",
        "_prefix",
        "_msg",
    ];
    EXACT.contains(&name)
        || BEGINS.iter().any(|begin| name.starts_with(begin))
        || ENDS.iter().any(|end| name.ends_with(end))
        || is_secret(name)
}

#[cfg(test)]
mod tests {
    use super::default_fields;
    use gatepost_odoo::Schema;

    #[test]
    fn default_fields_are_useful_ones_first_without_technical_fields() {
        let schema = Schema::parse(
            br#"{"id":{"type":"integer"},"name":{"type":"char"},"display_name":{"type":"char","store":false},
                 "email":{"type":"char"},"email_normalized":{"type":"char"},"child_ids":{"type":"one2many"},
                 "image_128":{"type":"image"},"comment":{"type":"html"},"write_date":{"type":"datetime"},
                 "country_id":{"type":"many2one"},"city":{"type":"char"},"color":{"type":"integer"},
                 "x_rank":{"type":"selection"},"password":{"type":"char"},"credit":{"type":"monetary","store":false}}"#,
        )
        .unwrap();
        let names: Vec<String> = default_fields(&schema)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["name", "email", "country_id", "city", "x_rank"]);
    }

    #[test]
    fn a_model_without_a_name_shows_its_display_name() {
        let schema = Schema::parse(
            br#"{"display_name":{"type":"char","store":false},"amount_total":{"type":"monetary"}}"#,
        )
        .unwrap();
        let names: Vec<String> = default_fields(&schema)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["display_name", "amount_total"]);
    }
}
