use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{Baseline, operation::MAX_ODOO_WORK_TIME},
    current_state::{CurrentLists, CurrentState, current_state},
    entry::{RequestedValues, UndoEntry, UndoKind, change_key},
    fingerprints::FieldFingerprints,
    operation::{release_undo, reserve_undo},
    restore::{LostLinks, RestoreTarget, grouped},
    tracked_fields::{restorable_fields, tracked_fields, tracked_fields_of_new},
    x2many_lines::X2manyLines,
    x2many_list::list_commands,
};
use crate::{
    access::{ActiveKeys, OdooSession, RecordSnapshot, tests::instance},
    audit::RequestAudit,
    elicitation::Elicitation,
};
use gatepost_base::Subject;
use gatepost_identity::{Caller, CallerKind};
use gatepost_odoo::{FieldName, ModelName, Operation, RecordId, Schema};
use gatepost_odoo_client::CallStats;
use gatepost_policy::Policy;
use gatepost_state::store::{StateStore, StoreTime};

fn schema() -> Schema {
    Schema::parse(
        br#"{"id":{"type":"integer","readonly":true},
            "name":{"type":"char","required":true},
            "phone":{"type":"char"},
            "note":{"type":"html"},
            "image":{"type":"image"},
            "count":{"type":"integer"},
            "active":{"type":"boolean"},
            "state":{"type":"selection","readonly":true,"selection":[["draft","Draft"],["done","Done"]]},
            "reference":{"type":"char","readonly":true},
            "total":{"type":"monetary","readonly":true,"depends":["line_ids"]},
            "price":{"type":"float","depends":["user_id"]},
            "user_id":{"type":"many2one","relation":"res.users"},
            "tag_ids":{"type":"many2many","relation":"crm.tag"},
            "line_ids":{"type":"one2many","relation":"x.line","relation_field":"head_id"},
            "message_ids":{"type":"one2many","relation":"mail.message","relation_field":"res_id"},
            "message_count":{"type":"integer"},
            "user_name":{"type":"char","related":"user_id.name"},
            "access_token":{"type":"char"},
            "age":{"type":"integer","store":false,"readonly":true},
            "write_date":{"type":"datetime","readonly":true}}"#,
    )
    .unwrap()
}

fn lines_schema() -> Schema {
    Schema::parse(
        br#"{"name":{"type":"char"},"count":{"type":"float"},
            "head_id":{"type":"many2one","relation":"x.head"}}"#,
    )
    .unwrap()
}

fn name(name: &str) -> FieldName {
    FieldName::try_from(name).unwrap()
}

fn names(list: &[&str]) -> Vec<FieldName> {
    list.iter().map(|one| name(one)).collect()
}

fn id(number: i64) -> RecordId {
    RecordId::try_from(number).unwrap()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn rows(value: Value) -> RecordSnapshot {
    value.into()
}

/// An update of record 7, of `phone`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn update_entry(before: Value, marks: Option<FieldFingerprints>) -> UndoEntry {
    UndoEntry {
        at: "2026-11-21T10:00:00Z".parse().unwrap(),
        model: ModelName::try_from("x.head").unwrap(),
        kind: UndoKind::Update,
        ids: vec![id(7)],
        fields: names(&["phone"]),
        not_kept: Vec::new(),
        before: rows(json!({ "7": before })),
        lines: Vec::new(),
        wanted: vec![RequestedValues {
            ids: vec![id(7)],
            values: map(json!({"phone": "2"})),
        }],
        after: RecordSnapshot::default(),
        marks,
        context: json!({}),
        used: None,
    }
}

fn state_of(entry: &UndoEntry, now: Value) -> CurrentState {
    let now = RecordSnapshot::from(now);
    current_state(entry, &schema(), id(7), (&now, &CurrentLists::new()))
}

#[test]
fn tracked_fields_are_the_own_columns_of_a_record() {
    assert_eq!(
        tracked_fields(&schema()),
        names(&[
            "active",
            "count",
            "name",
            "phone",
            "price",
            "reference",
            "state",
            "user_id"
        ])
    );
    // A new record would be deleted with everything that users have added to it.
    let new = tracked_fields_of_new(&schema());
    for name in names(&["line_ids", "note", "tag_ids"]) {
        assert!(new.contains(&name), "{name}");
    }
    assert_eq!(
        restorable_fields(&schema()),
        names(&[
            "active",
            "count",
            "line_ids",
            "name",
            "note",
            "phone",
            "price",
            "reference",
            "state",
            "tag_ids",
            "user_id"
        ])
    );
}

#[test]
fn current_state_ignores_write_date() {
    let left = RecordSnapshot::from(json!({"7": {"phone": "2", "name": "A", "write_date": "t1"}}));
    let marks = FieldFingerprints::of(&names(&["phone", "name"]), &left);
    let entry = update_entry(json!({"phone": "1"}), Some(marks));
    for (now, expected) in [
        (
            json!({"7": {"phone": "2", "name": "A", "write_date": "t9"}}),
            CurrentState::Unchanged,
        ),
        (
            json!({"7": {"phone": "3", "name": "A"}}),
            CurrentState::Changed(names(&["phone"])),
        ),
        (
            json!({"7": {"phone": "2", "name": "B"}}),
            CurrentState::Changed(names(&["name"])),
        ),
        (
            json!({"7": {"phone": "1", "name": "A"}}),
            CurrentState::Reverted,
        ),
        (json!({}), CurrentState::Missing),
    ] {
        assert_eq!(state_of(&entry, now.clone()), expected, "{now}");
    }
}

#[test]
fn without_fingerprints_requested_values_decide_the_current_state() {
    let entry = update_entry(json!({"phone": "1", "name": "A"}), None);
    for (now, expected) in [
        (
            json!({"7": {"phone": "2", "name": "B"}}),
            CurrentState::MatchesRequest,
        ),
        (
            json!({"7": {"phone": "1", "name": "B"}}),
            CurrentState::Reverted,
        ),
        (
            json!({"7": {"phone": "3", "name": "A"}}),
            CurrentState::Changed(names(&["phone"])),
        ),
    ] {
        assert_eq!(state_of(&entry, now.clone()), expected, "{now}");
    }
    // Nor is a value restored that cannot be compared.
    let mut entry = entry;
    entry.wanted[0].values = map(json!({"note": "x"}));
    entry.fields = names(&["note"]);
    entry.before = rows(json!({"7": {"note": "<p>old</p>"}}));
    assert_eq!(
        state_of(&entry, json!({"7": {"note": "<p>x <b>y</b></p>"}})),
        CurrentState::Changed(names(&["note"]))
    );
}

#[test]
fn restored_values_are_in_the_form_that_odoo_accepts() {
    let (schema, said) = (schema(), BTreeSet::new());
    let gone = LostLinks {
        records: [("crm.tag", 3), ("res.users", 9)]
            .map(|(model, number)| (ModelName::try_from(model).unwrap(), id(number)))
            .into(),
        models: BTreeSet::new(),
    };
    let target = RestoreTarget {
        schema: &schema,
        writable: &schema,
        operation: Operation::Write,
        lost: &gone,
        defaulted: &said,
    };
    let back = target.values_to_restore(
        &map(
            json!({"name": "A", "phone": false, "user_id": [2, "Marc"], "tag_ids": [1, 3],
            "count": 0, "note": "<p>x</p>", "total": 1, "state": "draft", "active": true,
            "line_ids": [1], "unknown": 1}),
        ),
        &map(
            json!({"name": "B", "phone": "1", "user_id": false, "tag_ids": [4],
            "count": 5, "note": "", "total": 2, "state": "done", "active": true,
            "line_ids": [2], "unknown": 2}),
        ),
    );
    assert_eq!(
        Value::Object(back.values),
        json!({"name": "A", "phone": false, "user_id": 2, "tag_ids": [[6, 0, [1]]], "count": 0,
            "note": "<p>x</p>"})
    );
    let lacking: Vec<String> = back
        .omitted
        .iter()
        .map(|(name, why)| format!("{name} {why}"))
        .collect();
    insta::assert_snapshot!(lacking.join("\n"), @r"
    tag_ids had these, which do not exist any more: 3
    total is read-only: only methods of the model, or Odoo itself, set it
    state is read-only: only methods of the model, or Odoo itself, set it
    line_ids is not stored
    unknown can no longer be seen by you
    ");
    let gone_user = target.restored_value(&name("user_id"), &json!([9, "Gone"]));
    insta::assert_snapshot!(gone_user.unwrap_err(), @"linked to the record 9 of `res.users`, which does not exist any more or cannot be seen by you");
    assert_eq!(
        target.restored_value(&name("user_id"), &json!(false)),
        Ok(json!(false))
    );
}

#[test]
fn recreated_record_empties_fields_that_odoo_would_fill_in() {
    let (schema, gone) = (schema(), LostLinks::default());
    let open = Schema::from_fields(
        schema
            .fields()
            .filter(|field| field.name.as_str() != "phone")
            .cloned(),
    );
    let said = BTreeSet::from([name("price"), name("user_id"), name("active"), name("name")]);
    let target = RestoreTarget {
        schema: &schema,
        writable: &open,
        operation: Operation::Create,
        lost: &gone,
        defaulted: &said,
    };
    let row = map(
        json!({"name": "A", "reference": "R1", "state": "done", "phone": "1",
        "tag_ids": [1, 2]}),
    );
    let made = target.values_to_recreate(&restorable_fields(&schema), &row);
    assert_eq!(
        Value::Object(made.values),
        json!({"active": false, "name": "A", "price": 0, "reference": "R1",
            "tag_ids": [[6, 0, [1, 2]]], "user_id": false})
    );
    let lacking: Vec<&str> = made.omitted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(lacking, ["phone", "state"]);
}

#[test]
fn restored_list_regains_its_lines_and_loses_new_ones() {
    let schema = lines_schema();
    let (gone, said) = (LostLinks::default(), BTreeSet::new());
    let target = |operation| RestoreTarget {
        schema: &schema,
        writable: &schema,
        operation,
        lost: &gone,
        defaulted: &said,
    };
    let lines = X2manyLines {
        field: name("line_ids"),
        model: ModelName::try_from("x.line").unwrap(),
        inverse: name("head_id"),
        fields: names(&["name", "count"]),
        rows: rows(json!({
            "1": {"name": "same", "count": 1.0, "head_id": [7, "H"]},
            "2": {"name": "changed", "count": 1.0, "head_id": [7, "H"]},
            "3": {"name": "deleted", "count": 1.0, "head_id": [7, "H"]},
            "4": {"name": "taken out", "count": 1.0, "head_id": [7, "H"]},
            "5": {"name": "another's now", "count": 1.0, "head_id": [7, "H"]},
            "6": {"name": "hidden now", "count": 1.0, "head_id": [7, "H"]},
            "9": {"name": "taken out and hidden", "count": 1.0, "head_id": [7, "H"]},
            "20": {"name": "another's", "count": 1.0, "head_id": [8, "I"]},
            "21": {"name": "without a head", "count": 1.0, "head_id": false},
            "22": {"name": "stays away", "count": 1.0, "head_id": [8, "I"]},
            "23": {"name": "gone away", "count": 1.0, "head_id": [8, "I"]},
            "24": {"name": "hidden away", "count": 1.0, "head_id": [8, "I"]},
        })),
        marks: None,
    };
    let now = rows(json!({
        "1": {"name": "same", "count": 1.0, "head_id": [7, "H"]},
        "2": {"name": "changed", "count": 2.0, "head_id": [7, "H"]},
        "4": {"name": "taken out", "count": 1.0, "head_id": false},
        "5": {"name": "another's now", "count": 1.0, "head_id": [8, "I"]},
        "10": {"name": "made", "count": 1.0, "head_id": [7, "H"]},
        "20": {"name": "another's", "count": 1.0, "head_id": [7, "H"]},
        "21": {"name": "without a head", "count": 1.0, "head_id": [7, "H"]},
        "22": {"name": "stays away", "count": 3.0, "head_id": [8, "I"]},
    }));
    let before: RecordSnapshot = rows(json!({"7": {"line_ids": [1, 2, 3, 4, 5, 6, 9]}}));
    let others = lines.foreign_lines(&before);
    assert_eq!(others, [20, 21, 22, 23, 24].map(id));
    let (commands, lacking) = list_commands(
        &lines,
        (
            &[1, 2, 3, 4, 5, 6, 9].map(id),
            &[1, 2, 6, 10, 20, 21].map(id),
            &others,
        ),
        (&now, &BTreeSet::from([id(9), id(24)])),
        (&target(Operation::Write), &target(Operation::Create)),
    );
    assert_eq!(
        Value::from(commands),
        json!([
            [2, 10, 0],
            [1, 2, {"count": 1.0}],
            [0, 0, {"name": "deleted", "count": 1.0}],
            [4, 4, 0],
            // Lines that belonged to another record are returned to it, never
            // deleted.
            [1, 20, {"head_id": 8}],
            [3, 21, 0],
            [1, 22, {"count": 1.0}],
        ])
    );
    insta::assert_snapshot!(lacking.join("\n"), @r"
    [5] belongs to another record now
    [6] can no longer be seen by you, and stays
    [9] may still exist where you cannot see it, so it is not created again
    the deleted [23] belonged to another record, and stays deleted
    the hidden [24] belonged to another record, and stays hidden
    ");
}

#[test]
fn records_with_equal_values_are_grouped() {
    let groups = grouped([
        (id(1), map(json!({"a": 1}))),
        (id(2), map(json!({"a": 2}))),
        (id(3), map(json!({"a": 1}))),
    ]);
    let ids: Vec<Vec<RecordId>> = groups.into_iter().map(|(ids, _)| ids).collect();
    assert_eq!(ids, [vec![id(1), id(3)], vec![id(2)]]);
}

#[test]
fn undo_entry_round_trips_through_json() {
    let left = RecordSnapshot::from(json!({"7": {"phone": "2"}}));
    let mut entry = update_entry(
        json!({"phone": "1"}),
        Some(FieldFingerprints::of(&names(&["phone"]), &left)),
    );
    entry.lines.push(X2manyLines {
        field: name("line_ids"),
        model: ModelName::try_from("x.line").unwrap(),
        inverse: name("head_id"),
        fields: names(&["name"]),
        rows: rows(json!({"1": {"name": "a"}})),
        marks: None,
    });
    let written = serde_json::to_vec(&entry).unwrap();
    assert_eq!(
        serde_json::from_slice::<UndoEntry>(&written).unwrap(),
        entry
    );
}

#[test]
fn state_is_unknown_without_fingerprints_and_requested_values() {
    let mut entry = update_entry(json!({"phone": "1"}), None);
    entry.wanted.clear();
    assert_eq!(
        state_of(&entry, json!({"7": {"phone": "2"}})),
        CurrentState::Unknown
    );
    assert_eq!(
        state_of(&entry, json!({"7": {"phone": "1"}})),
        CurrentState::Reverted
    );
}

const CHANGE: &str = "abcdefghijkm";

/// Stores an undo entry of the change `CHANGE`, and reserves it for a change that began
/// this long ago and then for one that begins now. Releases the first one, and returns
/// whether each reservation succeeded and whether a third one does.
async fn reserve_twice(first_age: Duration) -> [bool; 3] {
    let (instance, policy) = (instance(true), Policy::default());
    let store: Arc<StateStore> = Arc::default();
    let now = store.now().await.unwrap();
    let age = u64::try_from(first_age.as_millis()).unwrap();
    let [first, second] = [age, 0].map(|age| Baseline {
        begun_at: StoreTime::from_millis(now.as_millis() - age),
        ..Baseline::time_only(Timestamp::now())
    });
    let (first, second) = (&first, &second);
    let caller = Caller {
        issuer: "gatepost".to_owned(),
        kind: CallerKind::User,
        subject: Subject::verified("ada"),
        name: None,
        roles: Vec::new(),
        credential: None,
    };
    let access = OdooSession {
        instance: &instance,
        policy: &policy,
        caller: &caller,
        call_stats: &CallStats::default(),
        audit: &RequestAudit::disabled(),
        progress: None,
        elicitation: Elicitation::ConfirmToken,
        store: &store,
        in_flight_writes: &Arc::default(),
        active_keys: &ActiveKeys::default(),
    };
    let entry = serde_json::to_vec(&update_entry(json!({"phone": "1"}), None)).unwrap();
    let key = change_key(&access, CHANGE);
    let ttl = Duration::from_mins(5);
    StateStore::put(&store, &key, entry.into(), ttl)
        .await
        .unwrap();
    let reserve = async |by, baseline| {
        let reserved = reserve_undo(&access, CHANGE, Some(by), baseline).await;
        reserved.is_ok()
    };
    let reserved = [
        reserve("first", first).await,
        reserve("second", second).await,
    ];
    let released = release_undo(&access, CHANGE, Some("first"), first).await;
    released.unwrap();
    let [one, two] = reserved;
    [one, two, reserve("third", second).await]
}

#[tokio::test]
async fn slow_undo_does_not_release_the_reservation_of_a_later_undo() {
    let reserved = reserve_twice(Duration::from_hours(1)).await;
    assert_eq!(reserved, [true, true, false]);
}

#[tokio::test]
async fn undo_that_may_still_be_queued_is_not_begun_again() {
    // It may have been sent seconds ago, and Odoo still work on it.
    let reserved = reserve_twice(MAX_ODOO_WORK_TIME + Duration::from_secs(1)).await;
    assert_eq!(reserved, [true, false, true]);
}
