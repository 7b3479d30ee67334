//! Descriptions of the fields of an Odoo model.

use super::{
    Rendered, append_lines,
    default_fields::{is_technical_field, score},
};
use gatepost_base::text::{append, one_line};
use gatepost_odoo::{Field, FieldName, ModelName, Schema};

/// Fields that get a line each if none are requested.
const MAX_LINES: usize = 40;
/// Values of a selection that are shown on one line.
const MAX_CHOICES: usize = 8;

/// The fields to describe.
#[derive(Debug)]
pub enum FieldSelector<'a> {
    /// These, with all details.
    Fields(&'a [FieldName]),
    /// Those whose name or label contains this.
    Query(&'a str),
    /// The most useful ones.
    Relevant,
}

/// Describes fields of a model compactly, and says how to get the others.
pub fn describe(
    model: &ModelName,
    schema: &Schema,
    selector: &FieldSelector<'_>,
    budget_bytes: usize,
) -> Rendered {
    let (fields, whole): (Vec<&Field>, bool) = match selector {
        FieldSelector::Fields(names) => (
            names
                .iter()
                .filter_map(|name| schema.field(name.as_str()))
                .collect(),
            true,
        ),
        FieldSelector::Query(query) => (matching(schema, query), false),
        FieldSelector::Relevant => (most_relevant(schema), false),
    };
    let mut text = format!("{model}: {} fields\n", schema.fields().len());
    if fields.is_empty() {
        text.push_str("no field has that in its name or label\n");
    }
    let lines = fields
        .iter()
        .map(|field| field_line(field, whole || fields.len() <= 3));
    let shown = append_lines(&mut text, lines, budget_bytes.saturating_sub(200));
    if shown < fields.len() {
        append(
            &mut text,
            format_args!(
                "{} more; name fields or give a query\n",
                fields.len() - shown
            ),
        );
    }
    if matches!(selector, FieldSelector::Relevant) {
        append_other_names(&mut text, schema, &fields, budget_bytes);
    }
    Rendered { text, shown }
}

/// The names of the fields that have no line.
fn append_other_names(
    text: &mut String,
    schema: &Schema,
    described: &[&Field],
    budget_bytes: usize,
) {
    let names: Vec<&str> = schema
        .fields()
        .filter(|field| !described.iter().any(|other| other.name == field.name))
        .map(|field| field.name.as_str())
        .collect();
    if names.is_empty() {
        return;
    }
    text.push_str("others (name them in `fields` for more): ");
    for (at, name) in names.iter().enumerate() {
        if text.len() + name.len() + 40 > budget_bytes {
            append(text, format_args!(", and {} more", names.len() - at));
            break;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    text.push('\n');
}

fn most_relevant(schema: &Schema) -> Vec<&Field> {
    let mut scored: Vec<(i32, &Field)> = schema
        .fields()
        .map(|field| {
            let known = score(field).unwrap_or_else(|| {
                // Not shown in tables, but worth listing: x2many and computed fields.
                if is_technical_field(field.name.as_str()) {
                    -50
                } else {
                    8
                }
            });
            (known, field)
        })
        .collect();
    scored.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
    scored
        .into_iter()
        .take(MAX_LINES)
        .map(|(_, field)| field)
        .collect()
}

fn matching<'s>(schema: &'s Schema, query: &str) -> Vec<&'s Field> {
    let query = query.trim().to_lowercase();
    schema
        .fields()
        .filter(|field| {
            field.name.as_str().contains(&query) || field.label.to_lowercase().contains(&query)
        })
        .collect()
}

fn field_line(field: &Field, whole: bool) -> String {
    let mut line = format!("{}: {}", field.name, field.kind);
    if let Some(relation) = &field.relation {
        append(&mut line, format_args!(" -> {relation}"));
    }
    append(
        &mut line,
        format_args!(", \"{}\"", one_line(&field.label, 60)),
    );
    for (holds, word) in [
        (field.required, "required"),
        (field.readonly, "read-only"),
        (!field.stored, "computed"),
        (!field.searchable, "not searchable"),
        (
            field.stored && !field.sortable && !field.kind.is_x2many(),
            "not sortable",
        ),
    ] {
        if holds {
            line.push_str(", ");
            line.push_str(word);
        }
    }
    if let Some(currency) = &field.currency_field {
        append(&mut line, format_args!(", in {currency}"));
    }
    if !field.selection.is_empty() {
        let most = if whole { 60 } else { MAX_CHOICES };
        let choices: Vec<String> = field
            .selection
            .iter()
            .take(most)
            .map(|choice| {
                let (key, label) = (one_line(&choice.key, 40), one_line(&choice.label, 40));
                if key.eq_ignore_ascii_case(&label) {
                    key
                } else {
                    format!("{key} ({label})")
                }
            })
            .collect();
        append(&mut line, format_args!(", one of {}", choices.join(", ")));
        if field.selection.len() > most {
            append(
                &mut line,
                format_args!(", … {} more", field.selection.len() - most),
            );
        }
    }
    if whole && let Some(help) = &field.help {
        append(&mut line, format_args!("; {}", one_line(help, 300)));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::{FieldSelector, describe};
    use gatepost_odoo::{FieldName, ModelName, Schema};

    fn described(wanted: &FieldSelector<'_>) -> String {
        let schema = Schema::parse(
            br#"{"name":{"type":"char","string":"Reference","required":true,"readonly":true},
                 "state":{"type":"selection","string":"Status","selection":[["draft","Quotation"],["sale","Sales Order"]],"help":"Where it\nstands."},
                 "partner_id":{"type":"many2one","string":"Customer","relation":"res.partner"},
                 "amount":{"type":"monetary","string":"Total","store":false,"searchable":false,"currency_field":"currency_id"},
                 "write_date":{"type":"datetime","string":"Changed"}}"#,
        )
        .unwrap();
        describe(
            &ModelName::try_from("sale.order").unwrap(),
            &schema,
            wanted,
            9_999,
        )
        .text
    }

    #[test]
    fn each_field_is_described_on_one_line() {
        insta::assert_snapshot!(described(&FieldSelector::Relevant), @r#"
        sale.order: 5 fields
        name: char, "Reference", required, read-only
        state: selection, "Status", one of draft (Quotation), sale (Sales Order)
        partner_id: many2one -> res.partner, "Customer"
        amount: monetary, "Total", computed, not searchable, in currency_id
        write_date: datetime, "Changed"
        "#);
        insta::assert_snapshot!(described(&FieldSelector::Query("cust")), @r#"
        sale.order: 5 fields
        partner_id: many2one -> res.partner, "Customer"
        "#);
        let state = [FieldName::try_from("state").unwrap()];
        insta::assert_snapshot!(described(&FieldSelector::Fields(&state)), @r#"
        sale.order: 5 fields
        state: selection, "Status", one of draft (Quotation), sale (Sales Order); Where it\nstands.
        "#);
    }
}
