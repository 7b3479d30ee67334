//! Properties of all writes: a call that is rejected or only previewed changes
//! nothing, and a write changes only what was previewed.

use odoo_sim::RecordChange;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{ALL, stage};
use crate::test_gateway::TestGateway;

const MODELS: [&str; 4] = ["crm.lead", "res.partner", "sale.order", "sale.order.line"];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..60).prop_map(Value::from),
        (0_u32..5000).prop_map(|cents| json!(f64::from(cents) / 100.0)),
        "[a-zA-Z ]{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("2026-12-24"),
            Just("2026-12-24 10:00:00"),
            Just("lead"),
            Just("sale"),
            Just("true"),
            Just("Brussels"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (0_u64..8, 0_i64..30, inner).prop_map(|(code, id, value)| json!([[code, id, value]])),
        ]
    })
}

fn any_values() -> impl Strategy<Value = Map<String, Value>> {
    let field = prop_oneof![
        Just("name"),
        Just("expected_revenue"),
        Just("partner_id"),
        Just("user_id"),
        Just("active"),
        Just("date_deadline"),
        Just("type"),
        Just("tag_ids"),
        Just("country_id"),
        Just("is_company"),
        Just("category_id"),
        Just("order_line"),
        Just("product_uom_qty"),
        Just("price_unit"),
        Just("note"),
        Just("state"),
        Just("amount_total"),
        Just("nonsense"),
        Just("id"),
    ];
    prop::collection::vec((field.prop_map(str::to_owned), any_value()), 0..4)
        .prop_map(|pairs| pairs.into_iter().collect())
}

/// Plausible values, some of them invalid.
fn good_values(model: &'static str) -> BoxedStrategy<Map<String, Value>> {
    let text = "[A-Z][a-z]{2,10}".prop_map(Value::from).boxed();
    let money = (0_u32..5000)
        .prop_map(|cents| json!(f64::from(cents) / 100.0))
        .boxed();
    let id = (1_i64..12).prop_map(Value::from).boxed();
    let fields: Vec<(&str, BoxedStrategy<Value>)> = match model {
        "crm.lead" => vec![
            ("name", text),
            ("expected_revenue", money),
            ("partner_id", id),
            ("active", any::<bool>().prop_map(Value::from).boxed()),
            ("date_deadline", Just(json!("2026-12-24")).boxed()),
        ],
        "res.partner" => vec![
            ("name", text),
            ("is_company", any::<bool>().prop_map(Value::from).boxed()),
            ("email", Just(json!("a@example.com")).boxed()),
            ("parent_id", id),
        ],
        "sale.order" => vec![
            ("partner_id", id.clone()),
            ("note", text),
            (
                "order_line",
                (id, 1_u32..9)
                    .prop_map(|(product, count)| json!([[0, 0, {"product_id": product, "product_uom_qty": count}]]))
                    .boxed(),
            ),
        ],
        _ => vec![("product_uom_qty", (1_u32..9).prop_map(Value::from).boxed()), ("price_unit", money)],
    };
    let pairs: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| (Just(name.to_owned()), value, any::<bool>()))
        .collect();
    pairs
        .prop_map(|pairs| {
            let kept = pairs.into_iter().enumerate();
            kept.filter(|(index, (_, _, keep))| *index == 0 || *keep)
                .map(|(_, (name, value, _))| (name, value))
                .collect()
        })
        .boxed()
}

fn some_values(model: &'static str) -> BoxedStrategy<Map<String, Value>> {
    prop_oneof![3 => good_values(model), 1 => any_values()].boxed()
}

fn any_call() -> impl Strategy<Value = (&'static str, Value)> {
    let models = prop::sample::select(MODELS.to_vec());
    models.prop_flat_map(|model| {
        let good = prop::collection::btree_set(1_i64..14, 1..3);
        let odd =
            prop::collection::btree_set(prop_oneof![1_i64..14, -2_i64..1, 900_i64..903], 0..4);
        let ids = prop_oneof![3 => good, 1 => odd];
        prop_oneof![
            prop::collection::vec(some_values(model), 1..3).prop_map(move |values| {
                ("create_records", json!({"model": model, "values": values}))
            }),
            (ids.clone(), some_values(model)).prop_map(move |(ids, values)| {
                (
                    "update_records",
                    json!({"model": model, "ids": ids, "values": values}),
                )
            }),
            ids.prop_map(move |ids| ("delete_records", json!({"model": model, "ids": ids}))),
        ]
    })
}

/// Fields that Odoo sets along with others.
fn is_set_by_odoo(field: &str) -> bool {
    matches!(
        field,
        "write_date" | "write_uid" | "create_date" | "create_uid"
    )
}

/// Whether a change to one record is part of the request.
fn is_requested(change: &RecordChange, tool: &str, arguments: &Value) -> bool {
    let model = arguments["model"].as_str().unwrap();
    let named = |id: u32| {
        arguments["ids"]
            .as_array()
            .is_some_and(|ids| ids.contains(&json!(id)))
    };
    match (tool, &change.before, &change.after) {
        ("create_records", None, Some(_)) | ("delete_records", Some(_), None) => true,
        ("update_records", Some(_), Some(after)) if change.model == model && named(change.id) => {
            // Values that Odoo computes from the new ones may change; nothing
            // else of other records may.
            let written = arguments["values"].as_object().unwrap();
            after.keys().all(|field| {
                written.contains_key(field) || is_set_by_odoo(field) || is_computed(field)
            })
        }
        // Lines that commands in the values create, update or delete, and their
        // totals.
        (_, _, _) => has_commands(arguments) || is_line_side_effect(change),
    }
}

fn is_computed(field: &str) -> bool {
    field.starts_with("amount_")
        || field.starts_with("price_")
        || field.ends_with("_name")
        || matches!(
            field,
            "probability"
                | "commercial_partner_id"
                | "partner_share"
                | "email_normalized"
                | "line_ids"
                | "order_line"
                | "child_ids"
                | "message_follower_ids"
                | "message_ids"
                | "message_partner_ids"
                | "tax_ids"
                | "product_uom_id"
                | "name"
        )
}

fn has_commands(arguments: &Value) -> bool {
    let text = arguments.to_string();
    ["order_line", "tag_ids", "category_id"]
        .iter()
        .any(|field| text.contains(field))
}

/// A total of an order whose lines changed.
fn is_line_side_effect(change: &RecordChange) -> bool {
    matches!(
        change.model,
        "sale.order" | "mail.message" | "mail.followers" | "res.partner" | "crm.lead"
    ) && change.after.as_ref().is_none_or(|after| {
        after
            .keys()
            .all(|field| is_computed(field) || is_set_by_odoo(field))
            || change.before.is_none()
    })
}

fn confirm_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("`confirm`: \"")?;
    rest.split('"').next().map(str::to_owned)
}

fn check(stage: &TestGateway, tool: &str, arguments: &Value) -> Result<bool, TestCaseError> {
    let before = stage.fake_odoo.snapshot();
    let (text, _) = stage.call(tool, arguments);
    // Rejected or previewed: never executed.
    let shown = stage.fake_odoo.snapshot();
    prop_assert!(
        before.changes_to(&shown).is_empty(),
        "{tool} {arguments}: {text}"
    );
    let Some(id) = confirm_id(&text) else {
        return Ok(false);
    };
    let mut confirmed = arguments.clone();
    confirmed["confirm"] = json!(id);
    let (text, failed) = stage.call(tool, &confirmed);
    let changes = before.changes_to(&stage.fake_odoo.snapshot());
    if failed {
        prop_assert!(
            changes.is_empty(),
            "{tool} {arguments}: {text}: {changes:?}"
        );
        return Ok(false);
    }
    for change in &changes {
        prop_assert!(
            is_requested(change, tool, arguments),
            "{tool} {arguments}: {change:?}"
        );
    }
    Ok(true)
}

#[test]
fn only_confirmed_calls_change_records_and_only_as_requested() {
    let much = [
        "GATEPOST_LIMITS__WRITE_BURST",
        "GATEPOST_LIMITS__CALLER_BURST",
        "GATEPOST_LIMITS__ADDRESS_BURST",
        "GATEPOST_LIMITS__INSTANCE_BURST",
    ];
    let stage = stage("confirm", ALL, &much.map(|key| (key, "1000000")));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let done = std::cell::Cell::new(0_u32);
    let result = runner.run(&any_call(), |(tool, arguments)| {
        if check(&stage, tool, &arguments)? {
            done.set(done.get() + 1);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Otherwise it would test nothing.
    assert!(done.get() > 20, "{} of 300 were done", done.get());
}
