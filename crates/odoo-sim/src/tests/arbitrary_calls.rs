//! Arbitrary calls, most of them invalid.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ADMIN_KEY, INTERNAL_KEY, SALES_KEY, call_as, fake_odoo};
use crate::Snapshot;

/// Values that are valid somewhere, and values that are valid nowhere.
fn arbitrary_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..60_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zé<&\u{0}]{0,4}".prop_map(Value::from),
        prop_oneof![
            Just("2026-11-21"),
            Just("2026-11-21 10:00:00"),
            Just("draft"),
            Just("20"),
            Just("shop.1"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (0..8_u8, 0..60_u32, arbitrary_fields(inner))
                .prop_map(|(code, id, row)| json!([code, id, row])),
        ]
    })
}

/// Values by field name; some of the fields exist.
fn arbitrary_fields(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "name",
        "partner_id",
        "order_line",
        "state",
        "active",
        "parent_id",
        "category_id",
        "child_ids",
        "date_order",
        "product_uom_qty",
        "price_unit",
        "discount",
        "product_id",
        "order_id",
        "company_id",
        "user_id",
        "stage_id",
        "probability",
        "email",
        "nope",
    ]);
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

fn arbitrary_call() -> impl Strategy<Value = (String, Value)> {
    let model = prop::sample::select(vec![
        "res.partner",
        "sale.order",
        "sale.order.line",
        "crm.lead",
        "res.partner.category",
        "res.users",
        "mail.message",
    ]);
    let ids = prop_oneof![
        3 => prop::collection::vec(1..45_u32, 0..3).prop_map(Value::from),
        1 => arbitrary_value(),
    ];
    (model, ids, arbitrary_fields(arbitrary_value()), arbitrary_value(), 0..8_u8).prop_map(|(model, ids, row, value, which)| {
        let (method, body) = match which {
            0 => ("create", json!({"vals_list": row})),
            1 => ("write", json!({"ids": ids, "vals": row})),
            2 => ("unlink", json!({"ids": ids})),
            3 => ("action_archive", json!({"ids": ids})),
            4 => ("load", json!({"fields": ["id", "name", "partner_id"], "data": [value, ["shop.1", "x", "y"]]})),
            5 => ("message_post", json!({"ids": ids, "body": value, "partner_ids": value})),
            6 => ("action_confirm", json!({"ids": ids})),
            _ => ("message_subscribe", json!({"ids": ids, "partner_ids": value})),
        };
        (format!("{model}/{method}"), body)
    })
}

/// Asserts the invariants between records.
fn assert_references_exist(now: &Snapshot) {
    for id in now.ids("sale.order.line") {
        let line = now.record("sale.order.line", id).unwrap();
        let order = u32::try_from(line["order_id"].as_u64().unwrap()).unwrap();
        assert!(now.record("sale.order", order).is_some(), "line {id}");
    }
    for id in now.ids("res.partner") {
        let country = &now.record("res.partner", id).unwrap()["country_id"];
        let there = country.as_u64().is_none_or(|id| {
            now.record("res.country", u32::try_from(id).unwrap())
                .is_some()
        });
        assert!(there, "contact {id}: {country}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rejected_call_changes_nothing_and_references_stay_valid(
        calls in prop::collection::vec(arbitrary_call(), 1..12),
    ) {
        let odoo = fake_odoo();
        for (path, body) in calls {
            for key in [INTERNAL_KEY, SALES_KEY, ADMIN_KEY] {
                let before = odoo.snapshot();
                let (status, answer) = call_as(&odoo, key, &path, &body);
                let after = odoo.snapshot();
                if status != 200 || answer["ids"] == false {
                    prop_assert_eq!(&after, &before, "{} {}: {}", path, body, answer);
                }
                assert_references_exist(&after);
            }
        }
    }
}
