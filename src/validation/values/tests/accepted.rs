//! Properties of accepted values, for arbitrary values.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ArgumentPath, FIELDS, coerce, models};
use gatepost_odoo::{FieldKind, ModelName, Operation, RecordId, Schema};

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..12).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "true",
            "False",
            "1",
            "7",
            "-7",
            "1.5",
            "1,5",
            "draft",
            "Low",
            "Same",
            "a",
            "aGVsbG8=",
            "2026-01-31",
            "2026-1-3",
            "2026-01-31T10:00:00+02:00",
            "2026-01-31 10:00:00",
            "9999-12-31T23:59:59-12:00",
            "0001-01-01",
            "2026-01-31T10:00[Europe/Berlin]",
            "res.partner,7",
            "x.order,0",
            "[[4, 1]]",
            "[1, \"a\"]",
            "a\0b",
            "Azure",
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let command = (0_i64..8, -1_i64..9, inner.clone())
            .prop_map(|(number, id, rest)| json!([number, id, rest]));
        let name = prop::sample::select(vec![
            "active", "count", "name", "price", "order_id", "part_ids", "line_ids", "tag_ids",
            "id", "nam", "type", "value",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(command, 1..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|members| Value::Object(
                members
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect()
            )),
        ]
    })
}

/// Whether Odoo accepts this value for the field and stores it unchanged (Odoo
/// 19, `convert_to_cache` and `write` of each field).
fn is_stored_by_odoo(
    known: &BTreeMap<ModelName, Schema>,
    model: &str,
    name: &str,
    value: &Value,
) -> bool {
    let schema = &known[model];
    let field = schema.field(name).unwrap();
    let is_text = |form: &str| {
        value.as_str().is_some_and(|text| {
            jiff::civil::DateTime::strptime(form, text).is_ok()
                || jiff::civil::Date::strptime(form, text).is_ok()
        })
    };
    let is_id = |value: &Value| {
        value
            .as_i64()
            .is_some_and(|id| (1..=2_147_483_647).contains(&id))
    };
    if *value == json!(false) && !field.required && !field.kind.is_x2many() {
        return !matches!(
            field.kind,
            FieldKind::Float | FieldKind::Integer | FieldKind::Monetary
        );
    }
    match field.kind {
        FieldKind::Binary
        | FieldKind::Image
        | FieldKind::Char
        | FieldKind::Html
        | FieldKind::Text => value.as_str().is_some_and(|text| !text.contains('\0')),
        FieldKind::Boolean => value.is_boolean(),
        FieldKind::Date => is_text("%Y-%m-%d") && value.to_string().len() == 12,
        FieldKind::Datetime => is_text("%Y-%m-%d %H:%M:%S") && value.to_string().len() == 21,
        FieldKind::Float | FieldKind::Monetary => value.is_number(),
        FieldKind::Integer => value
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        FieldKind::Json => true,
        FieldKind::Many2one | FieldKind::Many2oneReference => is_id(value),
        FieldKind::Many2many | FieldKind::One2many => {
            let relation = field.relation.as_ref().unwrap().as_str();
            let are_right = |values: &Value| {
                values.as_object().is_some_and(|values| {
                    values
                        .iter()
                        .all(|(name, value)| is_stored_by_odoo(known, relation, name, value))
                })
            };
            value.as_array().is_some_and(|commands| {
                commands
                    .iter()
                    .all(|command| match command.as_array().map(Vec::as_slice) {
                        Some([number, id, rest]) => match number.as_u64() {
                            Some(0) => *id == json!(0) && are_right(rest),
                            Some(1) => is_id(id) && are_right(rest),
                            Some(2..=4) => is_id(id) && *rest == json!(0),
                            Some(5) => *id == json!(0) && *rest == json!(0),
                            Some(6) => {
                                *id == json!(0)
                                    && rest.as_array().is_some_and(|ids| ids.iter().all(is_id))
                            }
                            _ => false,
                        },
                        _ => false,
                    })
            })
        }
        FieldKind::Properties | FieldKind::PropertiesDefinition => {
            value.is_array() || value.is_object()
        }
        FieldKind::Reference => value.as_str().is_some_and(|text| text.contains(',')),
        FieldKind::Selection => field
            .selection
            .iter()
            .any(|choice| *value == json!(&*choice.key)),
        FieldKind::Unknown => false,
    }
}

fn names() -> Vec<String> {
    let known = models(FIELDS);
    let fields = known.values().flat_map(Schema::fields);
    fields.map(|field| field.name.as_str().to_owned()).collect()
}

proptest! {
    #[test]
    fn coerced_values_have_odoo_types_and_coerce_to_themselves(
        values in prop::collection::btree_map(
            prop::sample::select(names()),
            json_value(),
            1..3,
        ),
        creating in any::<bool>(),
    ) {
        let known = models(FIELDS);
        let model = ModelName::try_from("x.order").unwrap();
        let at = ArgumentPath::argument("values");
        let effect = if creating { Operation::Create } else { Operation::Write };
        let values: Map<String, Value> = values.into_iter().collect();
        let mut once = coerce(&model, &known, effect, values, (&at, None)).unwrap();
        if once.errors.is_empty() {
            let twice = coerce(&model, &known, effect, once.values.clone(), (&at, None)).unwrap();
            prop_assert!(twice.errors.is_empty(), "{:?}", twice.errors);
            prop_assert_eq!(&twice.values, &once.values);
            prop_assert_eq!(twice.links.len(), once.links.len());
            for link in &once.links {
                prop_assert!(link.resolve(&mut once.values, RecordId::try_from(7).unwrap()));
            }
            for (name, value) in &once.values {
                prop_assert!(is_stored_by_odoo(&known, "x.order", name, value), "{}: {}", name, value);
            }
        }
    }
}
