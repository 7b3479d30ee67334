//! Values that a real Odoo silently ignores or alters are rejected before they
//! are sent.

use serde_json::{Value, json};

use super::{
    ALL, answered, call_count, confirm_id, created_ids, direct, normalized, refused, refused_as,
    stage, with_confirm,
};

/// BC-46 and A10: what is shown, what is written, and what is read are the same text.
#[test]
fn approved_text_is_shown_as_it_is_written_and_read() {
    let stage = stage("confirm", ALL, &[]);
    for (name, shown, read) in [
        ("می\u{200c}خواهم", "می\u{200c}خواهم", "می\u{200c}خواهم"),
        (
            "👨\u{200d}👩\u{200d}👧",
            "👨\u{200d}👩\u{200d}👧",
            "👨\u{200d}👩\u{200d}👧",
        ),
        ("ශ්\u{200d}රී", "ශ්\u{200d}රී", "ශ්\u{200d}රී"),
        (
            "pay\u{200b}pal\u{202e}",
            r"pay\u{200b}pal\u{202e}",
            "paypal…(2 hidden)",
        ),
        ("a\u{e0041}b", r"a\u{e0041}b", "ab…(1 hidden)"),
    ] {
        let before = stage.fake_odoo.snapshot();
        let create = json!({"model": "res.partner", "values": [{"name": name}]});
        let preview = answered(&stage, "create_records", &create);
        assert!(preview.contains(&format!("name: \"{shown}\"")), "{preview}");
        answered(
            &stage,
            "create_records",
            &with_confirm(&create, &confirm_id(&preview)),
        );
        let ids = created_ids(&stage, &before, "res.partner");
        let now = stage.fake_odoo.snapshot();
        assert_eq!(
            now.record("res.partner", ids[0]).unwrap()["name"],
            json!(name)
        );
        let arguments = json!({"model": "res.partner", "ids": ids, "fields": ["name"]});
        let text = answered(&stage, "read_records", &arguments);
        assert!(text.contains(read), "{text}");
    }
}

/// A long new text is seen before it is approved.
#[test]
fn approved_text_of_some_kilobytes_is_shown_whole() {
    let stage = stage("confirm", ALL, &[]);
    let long = format!("<p>{}and pay 10,000 to mallory</p>", "x ".repeat(1_900));
    let update = json!({"model": "res.partner", "ids": [1], "values": {"comment": long}});
    let preview = answered(&stage, "update_records", &update);
    assert!(preview.contains("and pay 10,000 to mallory"), "{preview}");
    let longer = format!("<p>{}</p>", "x ".repeat(2_500));
    let update = json!({"model": "res.partner", "ids": [1], "values": {"comment": longer}});
    let preview = answered(&stage, "update_records", &update);
    let shown = normalized(&preview);
    insta::assert_snapshot!(shown.replace("x ", ""));
}

/// A real Odoo 19 responded `true` to each of these, and did something else or
/// nothing (`facts/odoo19-json2.md`, 0.7, 0.8, 2.3 and 9).
#[test]
fn values_that_odoo_would_silently_misread_are_never_sent() {
    let stage = direct();
    let silent: Vec<(&str, Value, &str)> = vec![
        (
            "res.partner",
            json!({"country_id": "US of nowhere"}),
            "country_id",
        ),
        ("res.partner", json!({"is_company": "maybe"}), "is_company"),
        (
            "res.partner",
            json!({"category_id": [[9, 1, 1]]}),
            "category_id",
        ),
        (
            "res.partner",
            json!({"category_id": [[4, 1], 2]}),
            "category_id",
        ),
        (
            "res.partner",
            json!({"display_name": "Other"}),
            "display_name",
        ),
        ("res.partner", json!({"id": 7}), "id"),
        (
            "res.partner",
            json!({"create_date": "2026-01-01"}),
            "create_date",
        ),
        ("res.partner", json!({"country_id": 999_999}), "country_id"),
        ("res.partner", json!({"nmae": "x"}), "nmae"),
        ("crm.lead", json!({"type": "leed"}), "type"),
        (
            "crm.lead",
            json!({"date_deadline": "31/12/2026"}),
            "date_deadline",
        ),
        (
            "crm.lead",
            json!({"expected_revenue": "1.234,56"}),
            "expected_revenue",
        ),
        ("crm.lead", json!({"name": {"a": 1}}), "name"),
        ("crm.lead", json!({"name": null}), "name"),
    ];
    let writes = || call_count(&stage, "res.partner/write") + call_count(&stage, "crm.lead/write");
    for (model, values, field) in silent {
        let text = refused(
            &stage,
            "update_records",
            &json!({"model": model, "ids": [1], "values": values}),
        );
        assert!(text.contains(field), "{values}: {text}");
    }
    for ids in [
        json!([]),
        json!([0]),
        json!(["one"]),
        json!([1.5]),
        json!([999_999]),
        json!([1, 999_999]),
    ] {
        refused(
            &stage,
            "update_records",
            &json!({"model": "crm.lead", "ids": ids, "values": {"name": "x"}}),
        );
        refused(
            &stage,
            "delete_records",
            &json!({"model": "crm.lead", "ids": ids}),
        );
    }
    assert_eq!(writes(), 0);
    assert_eq!(call_count(&stage, "crm.lead/unlink"), 0);
}

#[test]
fn unambiguous_values_are_coerced() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    answered(
        &stage,
        "update_records",
        &json!({"model": "crm.lead", "ids": [1], "values": {
            "expected_revenue": "1200.5", "date_deadline": "2026-12-24T00:00:00", "active": "true"}}),
    );
    let now = stage.fake_odoo.snapshot();
    let lead = now.record("crm.lead", 1).unwrap();
    assert_eq!(lead["expected_revenue"], json!(1200.5));
    assert_eq!(lead["date_deadline"], json!("2026-12-24"));
    assert_eq!(lead["active"], json!(true));
    drop(before);
}

#[test]
fn all_value_errors_are_reported_at_once_with_corrections() {
    let stage = direct();
    let text = refused(
        &stage,
        "create_records",
        &json!({"model": "crm.lead", "values": [
            {"nam": "x", "type": "leed"},
            {"name": "y", "partner_id": "a", "date_deadline": "soon"}]}),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn link_by_name_is_resolved_or_lists_candidates() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let names: Vec<String> = before
        .ids("res.partner")
        .into_iter()
        .filter_map(|id| {
            Some(
                before.record("res.partner", id)?["name"]
                    .as_str()?
                    .to_owned(),
            )
        })
        .collect();
    let one = names.first().unwrap();
    answered(
        &stage,
        "update_records",
        &json!({"model": "crm.lead", "ids": [1], "values": {"partner_id": one}}),
    );
    let ambiguous = json!({"model": "crm.lead", "ids": [1], "values": {"partner_id": "e"}});
    insta::assert_snapshot!(refused_as(&stage, "update_records", &ambiguous, "unfit"));
}

#[test]
fn link_to_other_company_is_reported_with_other_errors() {
    let stage = direct();
    // The partner of a user of the first company, and an order in each company.
    let theirs = 3;
    let before = stage.fake_odoo.snapshot();
    answered(
        &stage,
        "create_records",
        &json!({"model": "sale.order", "values": [
            {"partner_id": 14, "company_id": 1}, {"partner_id": 14, "company_id": 2}]}),
    );
    let [first, second] = created_ids(&stage, &before, "sale.order")[..] else {
        panic!("two orders");
    };
    let update = json!({"model": "sale.order", "ids": [second], "values": {"partner_id": theirs, "note_": 1}});
    insta::assert_snapshot!(refused_as(&stage, "update_records", &update, "unfit"));
    let text = refused(
        &stage,
        "create_records",
        &json!({"model": "sale.order", "values": [
            {"partner_id": theirs}, {"partner_id": theirs, "company_id": 2}]}),
    );
    assert!(!text.contains("values[0]"), "{text}");
    assert!(text.contains("`values[1].partner_id`"), "{text}");
    answered(
        &stage,
        "update_records",
        &json!({"model": "sale.order", "ids": [first], "values": {"partner_id": theirs}}),
    );
    // A record without a company belongs to all.
    answered(
        &stage,
        "update_records",
        &json!({"model": "sale.order", "ids": [second], "values": {"partner_id": 14}}),
    );
}
