//! Undo of changes, and changes that cannot be undone.

use odoo_sim::{ADMIN_KEY, FaultPoint, Snapshot};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    ALL, answered, approval::new_key_header, call_count, change_id, confirm_id, created_ids,
    direct, normalized, refused_as, stage, undo_change, with_confirm,
};
use crate::test_gateway::{TestGateway, tool_call};

fn refused_undo(stage: &TestGateway, name: &str, kind: &str) -> String {
    refused_as(stage, "undo_change", &json!({ "change": name }), kind)
}

/// The differences from before, except write times and messages.
fn differences(stage: &TestGateway, before: &Snapshot) -> Vec<String> {
    let changes = before.changes_to(&stage.fake_odoo.snapshot());
    let changes = changes
        .iter()
        .filter(|change| change.model != "mail.message");
    let plain = |row: &Option<Map<String, Value>>| {
        let mut row = row.clone()?;
        row.retain(|name, _| !["write_date", "write_uid"].contains(&name.as_str()));
        (!row.is_empty()).then_some(row)
    };
    changes
        .filter_map(|change| {
            let (one, other) = (plain(&change.before), plain(&change.after));
            (one.is_some() || other.is_some())
                .then(|| format!("{} {}: {one:?} -> {other:?}", change.model, change.id))
        })
        .collect()
}

fn record(stage: &TestGateway, model: &str, id: u32) -> Map<String, Value> {
    let now = stage.fake_odoo.snapshot();
    now.record(model, id).unwrap().clone()
}

fn update_records(stage: &TestGateway, model: &str, ids: &[u32], values: &Value) -> String {
    let arguments = json!({"model": model, "ids": ids, "values": values});
    change_id(&answered(stage, "update_records", &arguments))
}

#[test]
fn change_whose_undo_the_role_does_not_allow_says_why() {
    let rules = r#"[{ models = ["*"], operations = ["read", "create"] }]"#;
    let stage = stage("direct", rules, &[]);
    let tag = json!({"model": "res.partner.category", "values": {"name": "Passing"}});
    let text = answered(&stage, "create_records", &tag);
    insta::assert_snapshot!(text.lines().last().unwrap(), @"It cannot be undone here, because that would delete records of `res.partner.category`, which your role does not allow.");
}

#[test]
fn updates_are_undone_in_reverse_order_and_undo_can_be_undone() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let first = update_records(
        &stage,
        "crm.lead",
        &[1, 2],
        &json!({"expected_revenue": 5, "user_id": null}),
    );
    let middle = stage.fake_odoo.snapshot();
    let second = update_records(
        &stage,
        "crm.lead",
        &[1],
        &json!({"expected_revenue": 6, "active": false}),
    );
    let after = stage.fake_odoo.snapshot();
    let text = refused_undo(&stage, &first, "undo_conflict");
    insta::assert_snapshot!(normalized(&text));
    let text = undo_change(&stage, &second);
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(differences(&stage, &middle), Vec::<String>::new());
    let redo_second = change_id(&text);
    let text = undo_change(&stage, &first);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
    undo_change(&stage, &change_id(&text));
    undo_change(&stage, &redo_second);
    assert_eq!(differences(&stage, &after), Vec::<String>::new());
}

#[test]
fn undo_writes_once_for_each_distinct_set_of_values() {
    let stage = direct();
    let ids = [1, 2, 3, 4];
    update_records(&stage, "crm.lead", &[1, 3], &json!({"priority": "1"}));
    update_records(&stage, "crm.lead", &[2, 4], &json!({"priority": "2"}));
    let before = stage.fake_odoo.snapshot();
    let name = update_records(&stage, "crm.lead", &ids, &json!({"priority": "3"}));
    let writes = call_count(&stage, "crm.lead/write");
    undo_change(&stage, &name);
    assert_eq!(call_count(&stage, "crm.lead/write") - writes, 2);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn change_is_undone_once_and_names_the_redo() {
    let stage = direct();
    let name = update_records(&stage, "crm.lead", &[1], &json!({"priority": "3"}));
    let redo = change_id(&undo_change(&stage, &name));
    let text = refused_undo(&stage, &name, "nothing_to_undo");
    assert_eq!(change_id(&text), redo);
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn undo_with_key_is_executed_once() {
    let stage = direct();
    let name = update_records(&stage, "crm.lead", &[1], &json!({"priority": "3"}));
    let arguments = json!({"change": name, "idempotency_key": "k"});
    let first = answered(&stage, "undo_change", &arguments);
    let writes = call_count(&stage, "crm.lead/write");
    let second = stage.call_succeeds("undo_change", &arguments, "repeated");
    assert_eq!(change_id(&second), change_id(&first));
    assert_eq!(call_count(&stage, "crm.lead/write"), writes);
}

#[test]
fn unknown_and_invalid_change_ids_are_distinguished() {
    let stage = direct();
    insta::assert_snapshot!(refused_undo(&stage, "abcdefghijkm", "unfit"));
    for wrong in ["", "x", "abcdefghijk!", "abcdefghijkmn"] {
        refused_undo(&stage, wrong, "arguments");
    }
}

#[test]
fn undo_of_create_deletes_records_and_can_be_undone() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let create =
        json!({"model": "crm.lead", "values": [{"name": "One", "priority": "2"}, {"name": "Two"}]});
    let name = change_id(&answered(&stage, "create_records", &create));
    let text = undo_change(&stage, &name);
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
    undo_change(&stage, &change_id(&text));
    let ids = created_ids(&stage, &before, "crm.lead");
    let names: Vec<Value> = ids
        .iter()
        .map(|id| record(&stage, "crm.lead", *id)["name"].clone())
        .collect();
    assert_eq!(names, [json!("One"), json!("Two")]);
    assert_eq!(record(&stage, "crm.lead", ids[0])["priority"], json!("2"));
}

#[test]
fn undo_of_create_is_refused_after_record_or_children_changed() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let create = json!({"model": "res.partner", "values": [{"name": "Firm", "is_company": true}]});
    let created = change_id(&answered(&stage, "create_records", &create));
    let id = created_ids(&stage, &before, "res.partner")[0];
    let changed = update_records(&stage, "res.partner", &[id], &json!({"phone": "1"}));
    let text = refused_undo(&stage, &created, "undo_conflict");
    assert!(text.contains("`phone`"), "{text}");
    undo_change(&stage, &changed);
    // Odoo's times are whole seconds.
    stage.fake_odoo.set_clock(Some(
        jiff::Timestamp::now() + std::time::Duration::from_mins(1),
    ));
    let child = json!({"model": "res.partner", "values": [{"name": "Child", "parent_id": id}]});
    let added = change_id(&answered(&stage, "create_records", &child));
    let text = refused_undo(&stage, &created, "undo_conflict");
    assert!(text.contains("`child_ids`"), "{text}");
    undo_change(&stage, &added);
    undo_change(&stage, &created);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn undo_of_create_is_refused_after_text_tag_child_or_message() {
    let rules = r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] }, { models = ["res.users"] },
        { models = ["res.partner"], methods = ["message_post"] }]"#;
    let stage = stage("direct", rules, &[]);
    let create = |name: &str| {
        let before = stage.fake_odoo.snapshot();
        let values =
            json!({"model": "res.partner", "values": [{"name": name, "comment": "<p>Mine</p>"}]});
        let name = change_id(&answered(&stage, "create_records", &values));
        (name, created_ids(&stage, &before, "res.partner")[0])
    };
    // A long text that was written since, and a tag.
    for values in [
        json!({"comment": "<p>A day's work of a colleague</p>"}),
        json!({"category_id": [[4, 1]]}),
    ] {
        let (created, id) = create("Worked on");
        let theirs = update_records(&stage, "res.partner", &[id], &values);
        refused_undo(&stage, &created, "undo_conflict");
        undo_change(&stage, &theirs);
        undo_change(&stage, &created);
    }
    // An older contact that was moved below it.
    let (below, child) = create("Older");
    let (created, id) = create("Parent");
    let moved = update_records(&stage, "res.partner", &[child], &json!({"parent_id": id}));
    let text = refused_undo(&stage, &created, "undo_conflict");
    assert!(text.contains("`child_ids`"), "{text}");
    undo_change(&stage, &moved);
    undo_change(&stage, &created);
    undo_change(&stage, &below);
    // A message.
    let (created, id) = create("Written on");
    stage.fake_odoo.set_clock(Some(
        jiff::Timestamp::now() + std::time::Duration::from_mins(1),
    ));
    let post = json!({"model": "res.partner", "id": id, "body": "I called them"});
    answered(&stage, "post_message", &post);
    let text = refused_undo(&stage, &created, "undo_conflict");
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn undo_of_recovered_create_is_refused_after_a_later_write() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("res.partner/create", FaultPoint::AfterCommit);
    let create =
        json!({"model": "res.partner", "values": [{"name": "Lost"}], "idempotency_key": "k"});
    stage.call("create_records", &create);
    let id = created_ids(&stage, &before, "res.partner")[0];
    stage.fake_odoo.set_clock(Some(
        jiff::Timestamp::now() + std::time::Duration::from_mins(1),
    ));
    let theirs = json!({"comment": "<p>A day's work</p>"});
    update_records(&stage, "res.partner", &[id], &theirs);
    stage.fake_odoo.set_clock(None);
    let found = answered(&stage, "create_records", &create);
    let text = refused_undo(&stage, &change_id(&found), "undo_conflict");
    insta::assert_snapshot!(text);
}

/// A draft order with two lines, and its id.
fn create_order(stage: &TestGateway) -> u32 {
    let before = stage.fake_odoo.snapshot();
    let create = json!({"model": "sale.order", "values": [{"partner_id": 1, "client_order_ref": "U",
        "order_line": [{"product_id": 1, "product_uom_qty": 3, "price_unit": 11.5},
            {"product_id": 2, "product_uom_qty": 2, "price_unit": 7}]}]});
    answered(stage, "create_records", &create);
    created_ids(stage, &before, "sale.order")[0]
}

/// The lines of an order, without the values that every new record gets.
fn order_lines(stage: &TestGateway, order: u32) -> Vec<Map<String, Value>> {
    let now = stage.fake_odoo.snapshot();
    let ids = now.ids("sale.order.line");
    let rows = ids
        .iter()
        .filter_map(|id| now.record("sale.order.line", *id));
    rows.filter(|row| row["order_id"] == json!(order) || row["order_id"][0] == json!(order))
        .map(|row| {
            let mut row = row.clone();
            row.retain(|name, _| {
                !["id", "order_id", "create_date", "write_date"].contains(&name.as_str())
            });
            row
        })
        .collect()
}

#[test]
fn undo_of_delete_restores_order_with_number_and_lines() {
    let stage = direct();
    let order = create_order(&stage);
    let (was, had) = (
        record(&stage, "sale.order", order),
        order_lines(&stage, order),
    );
    assert_eq!(had.len(), 2);
    let before = stage.fake_odoo.snapshot();
    let delete = json!({"model": "sale.order", "ids": [order]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    let text = undo_change(&stage, &name);
    let new = created_ids(&stage, &before, "sale.order")[0];
    insta::assert_snapshot!(normalized(&text));
    let is = record(&stage, "sale.order", new);
    for field in [
        "name",
        "partner_id",
        "client_order_ref",
        "date_order",
        "amount_total",
    ] {
        assert_eq!(is[field], was[field], "{field}");
    }
    assert_eq!(order_lines(&stage, new), had);
    // The undo can itself be undone.
    undo_change(&stage, &change_id(&text));
    assert!(created_ids(&stage, &before, "sale.order").is_empty());
}

#[test]
fn undo_names_what_was_not_restored() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let tag = json!({"model": "res.partner.category", "values": [{"name": "Old"}]});
    let made_tag = change_id(&answered(&stage, "create_records", &tag));
    let tag = created_ids(&stage, &before, "res.partner.category")[0];
    let partner =
        json!({"model": "res.partner", "values": [{"name": "Tagged", "category_id": [tag]}]});
    answered(&stage, "create_records", &partner);
    let partner = created_ids(&stage, &before, "res.partner")[0];
    let delete = json!({"model": "res.partner", "ids": [partner]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    undo_change(&stage, &made_tag);
    let text = undo_change(&stage, &name);
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn undo_restores_recreates_and_deletes_order_lines() {
    let stage = direct();
    let order = create_order(&stage);
    let had = order_lines(&stage, order);
    let now = stage.fake_odoo.snapshot();
    let ids: Vec<u32> = now
        .ids("sale.order.line")
        .into_iter()
        .filter(|id| {
            let row = now.record("sale.order.line", *id).unwrap();
            row["order_id"] == json!(order) || row["order_id"][0] == json!(order)
        })
        .collect();
    let commands = json!([[1, ids[0], {"product_uom_qty": 9}], [2, ids[1]],
        [0, 0, {"product_id": 3, "product_uom_qty": 1, "price_unit": 1}]]);
    let update = json!({"model": "sale.order", "ids": [order], "values": {"order_line": commands}});
    let text = answered(&stage, "update_records", &update);
    let changed = order_lines(&stage, order);
    let text = undo_change(&stage, &change_id(&text));
    let sorted = |mut lines: Vec<Map<String, Value>>| {
        lines.sort_by_key(|line| line["product_id"].to_string());
        lines
    };
    assert_eq!(sorted(order_lines(&stage, order)), sorted(had));
    undo_change(&stage, &change_id(&text));
    assert_eq!(sorted(order_lines(&stage, order)), sorted(changed));
}

/// Contacts with these names and parents, in this order.
fn create_contacts(stage: &TestGateway, contacts: &[(&str, Option<u32>)]) -> Vec<u32> {
    let before = stage.fake_odoo.snapshot();
    let values: Vec<Value> = contacts
        .iter()
        .map(|(name, parent)| json!({"name": name, "parent_id": parent, "is_company": parent.is_none()}))
        .collect();
    let create = json!({"model": "res.partner", "values": values});
    answered(stage, "create_records", &create);
    created_ids(stage, &before, "res.partner")
}

#[test]
fn undo_for_several_records_does_not_delete_line_taken_from_another_record() {
    let stage = direct();
    let parents = create_contacts(&stage, &[("One", None), ("Two", None), ("Third", None)]);
    let child = create_contacts(&stage, &[("Child", Some(parents[2]))])[0];
    let before = stage.fake_odoo.snapshot();
    let take = json!({"child_ids": [[4, child]]});
    let name = update_records(&stage, "res.partner", &parents[..2], &take);
    assert_eq!(
        record(&stage, "res.partner", child)["parent_id"],
        parents[1]
    );
    undo_change(&stage, &name);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn undo_for_several_records_does_not_delete_line_that_moved_between_them() {
    let stage = direct();
    let parents = create_contacts(&stage, &[("One", None), ("Two", None)]);
    let child = create_contacts(&stage, &[("Child", Some(parents[0]))])[0];
    let before = stage.fake_odoo.snapshot();
    let take = json!({"child_ids": [[4, child]]});
    let name = update_records(&stage, "res.partner", &parents, &take);
    assert_eq!(
        record(&stage, "res.partner", child)["parent_id"],
        parents[1]
    );
    let text = undo_change(&stage, &name);
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn undo_of_delete_does_not_duplicate_line_that_still_exists_but_is_hidden() {
    let rules = r#"[{ models = ["res.partner"], operations = ["read", "create", "write", "delete"],
        domain = ["|", ["is_company", "=", true], ["parent_id", "!=", false]] },
        { models = ["res.users"] }]"#;
    let stage = stage("direct", rules, &[]);
    let parent = create_contacts(&stage, &[("Firm", None)])[0];
    let child = create_contacts(&stage, &[("Child", Some(parent))])[0];
    let delete = json!({"model": "res.partner", "ids": [parent]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    assert_eq!(record(&stage, "res.partner", child)["parent_id"], false);
    let before = stage.fake_odoo.snapshot();
    undo_change(&stage, &name);
    assert_eq!(created_ids(&stage, &before, "res.partner").len(), 1);
}

#[test]
fn records_and_their_lines_deleted_together_are_not_created_twice_by_undo() {
    let stage = direct();
    let parent = create_contacts(&stage, &[("Firm", None)])[0];
    let child = create_contacts(&stage, &[("Child", Some(parent))])[0];
    let before = stage.fake_odoo.snapshot();
    let delete = json!({"model": "res.partner", "ids": [parent, child]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    undo_change(&stage, &name);
    assert_eq!(created_ids(&stage, &before, "res.partner").len(), 2);
}

#[test]
fn undo_of_delete_does_not_turn_zero_into_the_default() {
    let stage = direct();
    let order = create_order(&stage);
    let now = stage.fake_odoo.snapshot();
    let line = now.ids("sale.order.line").into_iter().max().unwrap();
    let empty = json!({"product_uom_qty": 0});
    update_records(&stage, "sale.order.line", &[line], &empty);
    let had = order_lines(&stage, order);
    let before = stage.fake_odoo.snapshot();
    let delete = json!({"model": "sale.order", "ids": [order]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    undo_change(&stage, &name);
    let new = created_ids(&stage, &before, "sale.order")[0];
    assert_eq!(order_lines(&stage, new), had);
}

#[test]
fn undo_is_refused_after_a_line_was_changed() {
    let stage = direct();
    let order = create_order(&stage);
    let now = stage.fake_odoo.snapshot();
    let line = now.ids("sale.order.line").into_iter().max().unwrap();
    let name = update_records(
        &stage,
        "sale.order",
        &[order],
        &json!({"order_line": [[1, line, {"product_uom_qty": 9}]]}),
    );
    update_records(&stage, "sale.order.line", &[line], &json!({"discount": 50}));
    let text = refused_undo(&stage, &name, "undo_conflict");
    assert!(text.contains("`order_line`"), "{text}");
}

#[test]
fn undo_is_previewed_and_applied_when_confirmed() {
    let stage = stage("confirm", ALL, &[]);
    let confirmed = |tool: &str, arguments: &Value| {
        let preview = answered(&stage, tool, arguments);
        let arguments = with_confirm(arguments, &confirm_id(&preview));
        (stage.call_succeeds(tool, &arguments, "applied"), preview)
    };
    let before = stage.fake_odoo.snapshot();
    let (done, _) = confirmed(
        "update_records",
        &json!({"model": "crm.lead", "ids": [1, 2], "values": {"expected_revenue": 5, "user_id": null}}),
    );
    let name = change_id(&done);
    let shown = stage.fake_odoo.snapshot();
    let (_, preview) = confirmed("undo_change", &json!({ "change": name }));
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
    assert!(!before.changes_to(&shown).is_empty());
    insta::assert_snapshot!(normalized(&preview));
}

#[test]
fn lost_update_can_be_undone_if_it_was_applied() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::AfterCommit);
    let change_it =
        json!({"model": "crm.lead", "ids": [1], "values": {"priority": "3", "phone": "1"}});
    let text = stage.call_fails("update_records", &change_it, "outcome_unknown");
    let name = change_id(&text);
    undo_change(&stage, &name);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::BeforeCall);
    let (text, failed) = stage.call("update_records", &change_it);
    assert!(failed, "{text}");
    let text = refused_undo(&stage, &change_id(&text), "nothing_to_undo");
    insta::assert_snapshot!(text);
}

#[test]
fn lost_undo_is_not_executed_twice() {
    let stage = direct();
    let order = create_order(&stage);
    let before = stage.fake_odoo.snapshot();
    let delete = json!({"model": "sale.order", "ids": [order]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    stage
        .fake_odoo
        .inject_disconnect("sale.order/create", FaultPoint::AfterCommit);
    let arguments = json!({ "change": name });
    stage.call_fails("undo_change", &arguments, "outcome_unknown");
    refused_undo(&stage, &name, "nothing_to_undo");
    assert_eq!(created_ids(&stage, &before, "sale.order").len(), 1);
}

#[test]
fn undo_refused_by_odoo_can_be_retried() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let name = update_records(&stage, "crm.lead", &[1], &json!({"priority": "3"}));
    stage.fake_odoo.inject_conflict("crm.lead/write");
    refused_undo(&stage, &name, "odoo_conflict");
    undo_change(&stage, &name);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn failed_steps_of_undo_are_applied_by_next_call() {
    let stage = direct();
    update_records(&stage, "crm.lead", &[1], &json!({"priority": "1"}));
    update_records(&stage, "crm.lead", &[2], &json!({"priority": "2"}));
    let before = stage.fake_odoo.snapshot();
    let name = update_records(&stage, "crm.lead", &[1, 2], &json!({"priority": "3"}));
    // The second of the two writes: the first passes before the fault holds it.
    let held = stage
        .fake_odoo
        .hold_call("crm.lead/write", FaultPoint::AfterCommit);
    let stage = std::sync::Arc::new(stage);
    let other = std::sync::Arc::clone(&stage);
    let undoing = {
        let undo = json!({ "change": name });
        std::thread::spawn(move || other.call_fails("undo_change", &undo, "partly_done"))
    };
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(held.wait_until_reached());
    stage.fake_odoo.inject_conflict("crm.lead/write");
    held.release();
    insta::assert_snapshot!(undoing.join().unwrap());
    undo_change(&stage, &name);
    assert_eq!(differences(&stage, &before), Vec::<String>::new());
}

#[test]
fn hidden_fields_are_neither_stored_nor_restored() {
    let stage = stage(
        "direct",
        r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"], hidden_fields = ["phone"] }, { models = ["res.users"] }]"#,
        &[],
    );
    let before = stage.fake_odoo.snapshot();
    let with_phone = before
        .ids("crm.lead")
        .into_iter()
        .find(|id| before.record("crm.lead", *id).unwrap()["phone"].is_string())
        .unwrap();
    let delete = json!({"model": "crm.lead", "ids": [with_phone]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    undo_change(&stage, &name);
    let new = created_ids(&stage, &before, "crm.lead")[0];
    let now = record(&stage, "crm.lead", new);
    assert_eq!(
        now["name"],
        before.record("crm.lead", with_phone).unwrap()["name"]
    );
    assert!(!now["phone"].is_string(), "{now:?}");
}

#[test]
fn links_to_models_that_the_role_does_not_open_are_named_and_the_rest_is_restored() {
    let rules =
        r#"[{ models = ["crm.lead"], operations = ["read", "create", "write", "delete"] }]"#;
    let stage = stage("direct", rules, &[]);
    let before = stage.fake_odoo.snapshot();
    let id = before.ids("crm.lead")[0];
    let old = record(&stage, "crm.lead", id);
    assert!(old["user_id"].as_u64().is_some(), "{old:?}");

    let renamed = update_records(&stage, "crm.lead", &[id], &json!({"name": "Other"}));
    undo_change(&stage, &renamed);
    assert_eq!(record(&stage, "crm.lead", id)["name"], old["name"]);

    let delete = json!({"model": "crm.lead", "ids": [id]});
    let name = change_id(&answered(&stage, "delete_records", &delete));
    let text = undo_change(&stage, &name);
    let new = created_ids(&stage, &before, "crm.lead")[0];
    let now = record(&stage, "crm.lead", new);
    assert_eq!(now["name"], old["name"]);
    assert_eq!(now["expected_revenue"], old["expected_revenue"]);
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn change_is_undone_only_by_the_caller_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let (mine, theirs) = (new_key_header(&file, "ada"), new_key_header(&file, "bob"));
    let stage = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_KEYS__FILE", file.to_str().unwrap()),
            ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
            ("GATEPOST_INSTANCES__DEMO__WRITES", "direct"),
            ("GATEPOST_ROLES__READER__RULES", ALL),
        ],
    );
    let call = |who: &str, tool: &str, arguments: &Value| {
        let message = tool_call(tool, arguments).to_string();
        let headers = ["Content-Type: application/json", who];
        stage.request("POST", "/demo/mcp", &headers, &message)
    };
    let (text, _) = call(
        &mine,
        "update_records",
        &json!({"model": "crm.lead", "ids": [1], "values": {"priority": "3"}}),
    )
    .tool_result();
    let undo = json!({ "change": change_id(&text) });
    let refused = call(&theirs, "undo_change", &undo);
    assert_eq!(refused.error_kind(), "unfit", "{}", refused.body);
    let (text, failed) = call(&mine, "undo_change", &undo).tool_result();
    assert!(!failed, "{text}");
}

fn lead_values() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        (Just("name"), "[A-Z][a-z]{1,8}".prop_map(Value::from)),
        (
            Just("priority"),
            prop::sample::select(vec!["0", "1", "2"]).prop_map(Value::from)
        ),
        (Just("expected_revenue"), (0_u32..900).prop_map(Value::from)),
        (
            Just("partner_id"),
            prop_oneof![Just(Value::Null), (1_u32..6).prop_map(Value::from)]
        ),
        (Just("user_id"), Just(Value::Null)),
        (Just("active"), any::<bool>().prop_map(Value::from)),
        (Just("stage_id"), (1_u32..5).prop_map(Value::from)),
        (
            Just("date_deadline"),
            prop_oneof![Just(Value::Null), Just(json!("2026-12-24"))]
        ),
    ];
    prop::collection::vec(value, 1..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn undoing_all_updates_restores_the_original_state(
        updates in prop::collection::vec((prop::collection::btree_set(1_u32..6, 1..4), lead_values()), 1..4)
    ) {
        let stage = direct();
        let before = stage.fake_odoo.snapshot();
        let mut names = Vec::new();
        for (ids, values) in updates {
            let arguments = json!({"model": "crm.lead", "ids": ids, "values": values});
            let (text, failed) = stage.call("update_records", &arguments);
            if !failed {
                names.push(change_id(&text));
            }
        }
        for name in names.into_iter().rev() {
            let undo = tool_call("undo_change", &json!({ "change": name }));
            let response = stage.post(&undo);
            // A write that changed nothing leaves nothing to undo.
            prop_assert!(!response.tool_result().1 || response.error_kind() == "nothing_to_undo");
        }
        prop_assert_eq!(differences(&stage, &before), Vec::<String>::new());
    }
}
