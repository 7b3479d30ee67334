//! Imports: dry runs, all or nothing, and errors by row.

use odoo_sim::FaultPoint;
use serde_json::{Value, json};

use super::{
    ALL, answered, assert_unchanged, call_count, confirm_id, created_ids, direct, normalized,
    refused, refused_as, stage,
};

fn partner_import(rows: &Value) -> Value {
    json!({"model": "res.partner", "fields": ["id", "name", "country_id/.id"], "rows": rows})
}

fn with_argument(mut arguments: Value, name: &str, value: impl Into<Value>) -> Value {
    arguments[name] = value.into();
    arguments
}

#[test]
fn dry_run_reports_all_errors_by_row_and_changes_nothing() {
    let stage = direct();
    let rows = json!([
        ["a", "A", 20],
        ["b", "B", 999_999],
        ["c", "", 20],
        ["d", "D", 999_999]
    ]);
    let tried = with_argument(partner_import(&rows), "dry_run", true);
    let message = refused_as(&stage, "import_records", &tried, "unfit");
    insta::assert_snapshot!(normalized(&message));
    assert!(
        !message.contains("create_date") && !message.contains("-1"),
        "{message}"
    );
    // The same without a dry run: nothing is stored either.
    refused(&stage, "import_records", &partner_import(&rows));
    let before = stage.fake_odoo.snapshot();
    let good = json!([["a", "A", 20], ["b", "B", ""]]);
    let tried = with_argument(partner_import(&good), "dry_run", true);
    insta::assert_snapshot!(stage.call_succeeds("import_records", &tried, "previewed"));
    assert_unchanged(&stage, &before, "a dry run");
}

#[test]
fn import_is_one_call_and_external_ids_update_records_later() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let rows: Vec<Value> = (0..300)
        .map(|at| json!([format!("gp_{at}"), format!("Import {at}"), 20]))
        .collect();
    let import = partner_import(&json!(rows));
    let message = stage.call_succeeds("import_records", &import, "applied");
    assert!(message.len() < 1_000, "{message}");
    let new = created_ids(&stage, &before, "res.partner");
    assert_eq!(
        (new.len(), call_count(&stage, "res.partner/load")),
        (300, 1)
    );
    let later = partner_import(&json!([["gp_0", "Other", ""], ["gp_300", "New", ""]]));
    let message = stage.call_succeeds("import_records", &later, "applied");
    insta::assert_snapshot!(normalized(&message));
    assert_eq!(created_ids(&stage, &before, "res.partner").len(), 301);
    let now = stage.fake_odoo.snapshot();
    assert_eq!(now.record("res.partner", new[0]).unwrap()["name"], "Other");
}

#[test]
fn import_creates_lines_and_rejects_updates_that_would_delete_them() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let orders = json!({
        "model": "sale.order",
        "fields": ["partner_id/.id", "order_line/product_id/.id", "order_line/product_uom_qty"],
        "rows": [[7, 1, 2], ["", 2, 1.0], [7, 1, 3]],
    });
    answered(&stage, "import_records", &orders);
    assert_eq!(created_ids(&stage, &before, "sale.order").len(), 2);
    assert_eq!(created_ids(&stage, &before, "sale.order.line").len(), 3);
    let order = created_ids(&stage, &before, "sale.order")[0];
    let bare = json!({
        "model": "sale.order",
        "fields": [".id", "order_line/product_id/.id"],
        "rows": [[order, ""]],
    });
    insta::assert_snapshot!(refused_as(&stage, "import_records", &bare, "unfit"));
}

#[test]
fn invalid_table_is_rejected_and_never_sent() {
    let stage = direct();
    let texts = [
        (json!([]), json!([["A"]])),
        (json!(["name"]), json!([])),
        (json!(["name"]), json!([["A", "B"]])),
        (json!(["name", "name"]), json!([["A", "B"]])),
        (json!(["nmae"]), json!([["A"]])),
        (json!(["country_id/code"]), json!([["BE"]])),
        (json!(["child_ids"]), json!([["A"]])),
        (json!(["create_date"]), json!([["2020-01-01"]])),
        (json!(["id", "name"]), json!([["base.main_partner", "X"]])),
        (json!([".id", "name"]), json!([["-1", "X"]])),
        (json!([".id", "name"]), json!([[7, "X"], [7, "Y"]])),
        (
            json!(["credit_limit"]),
            json!([["1"], ["NaN"], ["-Infinity"], ["1e999"]]),
        ),
        (json!(["name.id"]), json!([["A"]])),
        (json!(["name"]), json!([[["A"]]])),
    ]
    .map(|(fields, rows)| {
        let arguments = json!({"model": "res.partner", "fields": fields, "rows": rows});
        refused(&stage, "import_records", &arguments)
    });
    insta::assert_snapshot!(texts.join("\n\n"));
    assert_eq!(call_count(&stage, "res.partner/load"), 0);
}

#[test]
fn ambiguous_name_is_rejected_as_link() {
    let stage = direct();
    let twins = json!({"model": "res.partner", "values": [{"name": "Twin"}, {"name": "Twin"}]});
    answered(&stage, "create_records", &twins);
    let child = json!({"model": "res.partner", "fields": ["name", "parent_id"], "rows": [["Child", "Twin"]]});
    insta::assert_snapshot!(refused_as(&stage, "import_records", &child, "unfit"));
}

#[test]
fn import_preview_is_a_dry_run_and_is_applied_when_confirmed() {
    let stage = stage("confirm", ALL, &[]);
    let before = stage.fake_odoo.snapshot();
    let rows = json!([["a", "A", 20], ["", "B", ""]]);
    let preview = answered(&stage, "import_records", &partner_import(&rows));
    assert_unchanged(&stage, &before, "a preview");
    let confirm = confirm_id(&preview);
    insta::assert_snapshot!(normalized(&preview));
    let bad = json!([["a", "A", 20], ["", "", ""]]);
    let message = refused(&stage, "import_records", &partner_import(&bad));
    assert!(message.contains("row 2"), "{message}");
    let confirmed = with_argument(partner_import(&rows), "confirm", confirm);
    stage.call_succeeds("import_records", &confirmed, "applied");
    assert_eq!(created_ids(&stage, &before, "res.partner").len(), 2);
    // Two dry runs, and one import.
    assert_eq!(call_count(&stage, "res.partner/load"), 3);
}

#[test]
fn import_preview_shows_every_row_or_says_that_it_is_cut() {
    let stage = stage("confirm", ALL, &[]);
    let orders = json!({
        "model": "sale.order",
        "fields": ["partner_id/.id", "order_line/product_id/.id", "order_line/product_uom_qty"],
        "rows": [[7, 1, 2], ["", 2, 1]],
    });
    let preview = answered(&stage, "import_records", &orders);
    insta::assert_snapshot!(normalized(&preview));
    let rows: Vec<Value> = (0..1000)
        .map(|at| json!(["", format!("{at} {}", "x".repeat(100)), ""]))
        .collect();
    let preview = answered(&stage, "import_records", &partner_import(&json!(rows)));
    let shown = normalized(&preview);
    let (_, end) = shown.split_at(shown.find("\nand ").unwrap());
    insta::assert_snapshot!(end);
    assert!(preview.len() < 26_000, "{}", preview.len());
}

#[test]
fn role_that_may_only_create_cannot_import_updates() {
    let rules = r#"[{ models = ["*"], operations = ["read"] },
        { models = ["res.partner"], operations = ["create"], write_fields = ["name", "country_id"] }]"#;
    let stage = stage("direct", rules, &[]);
    let import = |fields: &[&str], row: &[&str]| json!({"model": "res.partner", "fields": fields, "rows": [row]});
    for arguments in [
        import(&["id", "name"], &["a", "A"]),
        import(&[".id", "name"], &["7", "A"]),
        import(&["name", "email"], &["A", "a@b.c"]),
        import(&["name", "child_ids/name"], &["A", "B"]),
    ] {
        insta::assert_snapshot!(refused_as(
            &stage,
            "import_records",
            &arguments,
            "forbidden"
        ));
        let tried = with_argument(arguments, "dry_run", true);
        refused_as(&stage, "import_records", &tried, "forbidden");
    }
    assert_eq!(call_count(&stage, "res.partner/load"), 0);
    answered(
        &stage,
        "import_records",
        &import(&["name", "country_id/.id"], &["A", "20"]),
    );
}

#[test]
fn import_preview_of_updates_shows_old_values_and_emptied_fields() {
    let stage = stage("confirm", ALL, &[]);
    let company = stage.fake_odoo.snapshot();
    let is_whole = |id: &u32| {
        let row = company.record("res.partner", *id).unwrap();
        row["city"].is_string()
            && !row["country_id"].is_boolean()
            && row["parent_id"] == json!(false)
    };
    let mut ids = company.ids("res.partner").into_iter();
    let id = ids.find(is_whole).unwrap();
    let update = json!({"model": "res.partner", "fields": [".id", "name", "city", "country_id/.id"],
        "rows": [[id, "X; city: \"Y", "", ""]], "context": {"lang": "en_US"}});
    let preview = answered(&stage, "import_records", &update);
    insta::assert_snapshot!(normalized(&preview));
    // For a new record, an empty cell suppresses Odoo's default.
    let new = json!({"model": "res.partner", "fields": ["name", "type"], "rows": [["New", ""]]});
    let preview = answered(&stage, "import_records", &new);
    insta::assert_snapshot!(normalized(&preview));
}

#[test]
fn duplicate_rows_are_found_despite_different_id_spelling() {
    let stage = direct();
    let twice = json!({"model": "res.partner", "fields": [".id", "name"], "rows": [["7", "A"], ["07", "B"]]});
    refused_as(&stage, "import_records", &twice, "arguments");
}

#[test]
fn lost_import_is_not_repeated_over_later_writes() {
    let stage = direct();
    let rows = |name: &str| json!({"model": "res.partner", "fields": [".id", "name"], "rows": [["7", name]]});
    let lost = with_argument(rows("Lost"), "idempotency_key", "k");
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::AfterCommit);
    stage.call("import_records", &lost);
    answered(&stage, "import_records", &rows("A colleague's"));
    refused_as(&stage, "import_records", &lost, "outcome_unclear");
    // An import that never ran leaves no trace, if no other client wrote either.
    let rows = json!({"model": "res.partner", "fields": [".id", "name"], "rows": [["8", "Never"]]});
    let lost = with_argument(rows, "idempotency_key", "other");
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::BeforeCall);
    stage.call("import_records", &lost);
    refused_as(&stage, "import_records", &lost, "outcome_pending");
}

#[test]
fn equal_records_are_not_mistaken_for_a_lost_import() {
    let stage = direct();
    let rows =
        json!({"model": "res.partner", "fields": ["name", "city"], "rows": [["Twin", "Here"]]});
    let earlier = jiff::Timestamp::now() - std::time::Duration::from_mins(1);
    stage.fake_odoo.set_clock(Some(earlier));
    answered(&stage, "import_records", &rows);
    stage.fake_odoo.set_clock(None);
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::BeforeCall);
    let lost = with_argument(rows.clone(), "idempotency_key", "k");
    stage.call("import_records", &lost);
    refused_as(&stage, "import_records", &lost, "outcome_pending");
    // If there are two new ones, it is not known which is whose.
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::AfterCommit);
    let lost = with_argument(rows.clone(), "idempotency_key", "other");
    stage.call("import_records", &lost);
    answered(&stage, "import_records", &rows);
    refused_as(&stage, "import_records", &lost, "outcome_unclear");
}

#[test]
fn names_in_import_do_not_match_hidden_fields() {
    let rules = r#"[{ models = ["res.partner"], operations = ["read", "create"], hidden_fields = ["ref", "email"] },
        { models = ["res.country"] }]"#;
    let stage = stage("direct", rules, &[]);
    let import = |field: &str, cell: &str| json!({"model": "res.partner", "fields": ["name", field], "rows": [["A", cell]], "dry_run": true});
    let message = refused(&stage, "import_records", &import("parent_id", "SECRET-REF"));
    assert!(message.contains("parent_id"), "{message}");
    assert_eq!(call_count(&stage, "res.partner/load"), 0);
    answered(&stage, "import_records", &import("parent_id/.id", "7"));
    answered(&stage, "import_records", &import("country_id", "Belgium"));
}

#[test]
fn created_records_of_lost_import_are_found() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::AfterCommit);
    let import = json!({
        "model": "res.partner", "fields": ["name", "city"],
        "rows": [["Lost", "Here"], ["Lost", "Here"], ["Lost too", ""]], "idempotency_key": "k",
    });
    stage.call_fails("import_records", &import, "outcome_unknown");
    stage.call_succeeds("import_records", &import, "repeated");
    assert_eq!(created_ids(&stage, &before, "res.partner").len(), 3);
    assert_eq!(call_count(&stage, "res.partner/load"), 1);
}

#[test]
fn lost_dry_run_reports_that_nothing_was_imported() {
    let stage = direct();
    stage
        .fake_odoo
        .inject_disconnect("res.partner/load", FaultPoint::AfterCommit);
    let tried = with_argument(partner_import(&json!([["a", "A", 20]])), "dry_run", true);
    insta::assert_snapshot!(refused_as(&stage, "import_records", &tried, "unfit"));
}

#[test]
fn many_records_take_one_call_and_a_short_response() {
    let stage = direct();
    let values: Vec<Value> = (0..500)
        .map(|at| json!({"name": format!("Many {at}")}))
        .collect();
    let message = answered(
        &stage,
        "create_records",
        &json!({"model": "res.partner", "values": values}),
    );
    assert_eq!(call_count(&stage, "res.partner/create"), 1);
    // Every record is named, within the size limit of the preview.
    assert!(message.len() < 24 << 10, "{} bytes", message.len());
    let ids = stage.fake_odoo.snapshot().ids("res.partner");
    let ids: Vec<u32> = ids.into_iter().rev().take(500).collect();
    let message = answered(
        &stage,
        "update_records",
        &json!({"model": "res.partner", "ids": ids, "values": {"city": "Here"}}),
    );
    assert_eq!(call_count(&stage, "res.partner/write"), 1);
    // Every record is named, within the size limit of the preview.
    assert!(message.len() < 24 << 10, "{} bytes", message.len());
}
