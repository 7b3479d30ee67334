use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    back::{Gone, Target, grouped, list_commands},
    entry::{Entry, Kind, Rows, Wanted},
    lines::Lines,
    marks::Marks,
    standing::{Lists, Standing, standing},
    watched::{restorable, watched, watched_of_new},
};
use crate::changes::Shot;
use gatepost_odoo::{Effect, FieldName, ModelName, RecordId, Schema};

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

fn rows(value: Value) -> Rows {
    let rows = map(value).into_iter();
    rows.map(|(id, row)| (id.parse().unwrap(), map(row)))
        .collect()
}

/// An update of record 7, of `phone`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn update(before: Value, marks: Option<Marks>) -> Entry {
    Entry {
        at: "2026-11-21T10:00:00Z".parse().unwrap(),
        model: ModelName::try_from("x.head").unwrap(),
        kind: Kind::Update,
        ids: vec![id(7)],
        fields: names(&["phone"]),
        not_kept: Vec::new(),
        before: rows(json!({ "7": before })),
        lines: Vec::new(),
        wanted: vec![Wanted {
            ids: vec![id(7)],
            values: map(json!({"phone": "2"})),
        }],
        after: Rows::new(),
        marks,
        context: json!({}),
        used: None,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn stands(entry: &Entry, now: Value) -> Standing {
    let now = Shot::from_json(&now);
    standing(entry, &schema(), id(7), (&now, &Lists::new()))
}

#[test]
fn only_a_records_own_columns_tell_whether_it_moved_on() {
    assert_eq!(
        watched(&schema()),
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
    // A new record would go with all that somebody has put into it.
    let new = watched_of_new(&schema());
    for name in names(&["line_ids", "note", "tag_ids"]) {
        assert!(new.contains(&name), "{name}");
    }
    assert_eq!(
        restorable(&schema()),
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
fn a_record_is_as_it_was_left_or_moved_on_whatever_its_write_date() {
    let left = Shot::from_json(&json!({"7": {"phone": "2", "name": "A", "write_date": "t1"}}));
    let marks = Marks::of(&names(&["phone", "name"]), &left);
    let entry = update(json!({"phone": "1"}), Some(marks));
    for (now, expected) in [
        (
            json!({"7": {"phone": "2", "name": "A", "write_date": "t9"}}),
            Standing::AsLeft,
        ),
        (
            json!({"7": {"phone": "3", "name": "A"}}),
            Standing::Moved(names(&["phone"])),
        ),
        (
            json!({"7": {"phone": "2", "name": "B"}}),
            Standing::Moved(names(&["name"])),
        ),
        (
            json!({"7": {"phone": "1", "name": "A"}}),
            Standing::AsBefore,
        ),
        (json!({}), Standing::Gone),
    ] {
        assert_eq!(stands(&entry, now.clone()), expected, "{now}");
    }
}

#[test]
fn where_nobody_looked_afterwards_what_was_wanted_decides() {
    let entry = update(json!({"phone": "1", "name": "A"}), None);
    for (now, expected) in [
        (
            json!({"7": {"phone": "2", "name": "B"}}),
            Standing::AsWanted,
        ),
        (
            json!({"7": {"phone": "1", "name": "B"}}),
            Standing::AsBefore,
        ),
        (
            json!({"7": {"phone": "3", "name": "A"}}),
            Standing::Moved(names(&["phone"])),
        ),
    ] {
        assert_eq!(stands(&entry, now.clone()), expected, "{now}");
    }
    // Nor is anything taken back that cannot be compared.
    let mut entry = entry;
    entry.wanted[0].values = map(json!({"note": "x"}));
    entry.fields = names(&["note"]);
    entry.before = rows(json!({"7": {"note": "<p>old</p>"}}));
    assert_eq!(
        stands(&entry, json!({"7": {"note": "<p>x <b>y</b></p>"}})),
        Standing::Moved(names(&["note"]))
    );
}

#[test]
fn old_values_are_written_in_the_form_that_odoo_takes() {
    let (schema, said) = (schema(), BTreeSet::new());
    let gone = Gone::from([
        (ModelName::try_from("crm.tag").unwrap(), id(3)),
        (ModelName::try_from("res.users").unwrap(), id(9)),
    ]);
    let target = Target {
        schema: &schema,
        open: &schema,
        effect: Effect::Write,
        gone: &gone,
        said: &said,
    };
    let back = target.given_back(
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
        .lacking
        .iter()
        .map(|(name, why)| format!("{name} {why}"))
        .collect();
    insta::assert_snapshot!(lacking.join("\n"), @r"
    tag_ids had these, which are not there any more: 3
    total is read-only: only methods of the model, or Odoo itself, set it
    state is read-only: only methods of the model, or Odoo itself, set it
    line_ids is not kept
    unknown is not to be seen any more
    ");
    let gone_user = target.value(&name("user_id"), &json!([9, "Gone"]));
    assert!(gone_user.unwrap_err().contains("record 9 of `res.users`"));
    assert_eq!(
        target.value(&name("user_id"), &json!(false)),
        Ok(json!(false))
    );
}

#[test]
fn a_record_is_made_again_from_what_it_had_and_what_was_empty_is_said_where_odoo_would_fill_it() {
    let (schema, gone) = (schema(), Gone::new());
    let open = Schema::from_fields(
        schema
            .fields()
            .filter(|field| field.name.as_str() != "phone")
            .cloned(),
    );
    let said = BTreeSet::from([name("price"), name("user_id"), name("active"), name("name")]);
    let target = Target {
        schema: &schema,
        open: &open,
        effect: Effect::Create,
        gone: &gone,
        said: &said,
    };
    let row = map(
        json!({"name": "A", "reference": "R1", "state": "done", "phone": "1",
        "tag_ids": [1, 2]}),
    );
    let made = target.made_again(&restorable(&schema), &row);
    assert_eq!(
        Value::Object(made.values),
        json!({"active": false, "name": "A", "price": 0, "reference": "R1",
            "tag_ids": [[6, 0, [1, 2]]], "user_id": false})
    );
    let lacking: Vec<&str> = made.lacking.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(lacking, ["phone", "state"]);
}

#[test]
fn a_list_gets_its_records_back_and_loses_those_that_were_made() {
    let schema = lines_schema();
    let (gone, said) = (Gone::new(), BTreeSet::new());
    let target = |effect| Target {
        schema: &schema,
        open: &schema,
        effect,
        gone: &gone,
        said: &said,
    };
    let lines = Lines {
        field: name("line_ids"),
        model: ModelName::try_from("x.line").unwrap(),
        inverse: name("head_id"),
        fields: names(&["name", "count"]),
        rows: rows(json!({
            "1": {"name": "same", "count": 1.0, "head_id": [7, "H"]},
            "2": {"name": "changed", "count": 1.0, "head_id": [7, "H"]},
            "3": {"name": "deleted", "count": 1.0, "head_id": [7, "H"]},
            "4": {"name": "taken out", "count": 1.0, "head_id": [7, "H"]},
            "5": {"name": "somebody's now", "count": 1.0, "head_id": [7, "H"]},
            "6": {"name": "hidden now", "count": 1.0, "head_id": [7, "H"]},
            "20": {"name": "another's", "count": 1.0, "head_id": [8, "I"]},
            "21": {"name": "nobody's", "count": 1.0, "head_id": false},
            "22": {"name": "stays away", "count": 1.0, "head_id": [8, "I"]},
            "23": {"name": "gone away", "count": 1.0, "head_id": [8, "I"]},
        })),
        marks: None,
    };
    let now = rows(json!({
        "1": {"name": "same", "count": 1.0, "head_id": [7, "H"]},
        "2": {"name": "changed", "count": 2.0, "head_id": [7, "H"]},
        "4": {"name": "taken out", "count": 1.0, "head_id": false},
        "5": {"name": "somebody's now", "count": 1.0, "head_id": [8, "I"]},
        "10": {"name": "made", "count": 1.0, "head_id": [7, "H"]},
        "20": {"name": "another's", "count": 1.0, "head_id": [7, "H"]},
        "21": {"name": "nobody's", "count": 1.0, "head_id": [7, "H"]},
        "22": {"name": "stays away", "count": 3.0, "head_id": [8, "I"]},
    }));
    let before: Rows = rows(json!({"7": {"line_ids": [1, 2, 3, 4, 5, 6]}}));
    let others = lines.others(&before);
    assert_eq!(others, [20, 21, 22, 23]);
    let (commands, lacking) = list_commands(
        &lines,
        (&[1, 2, 3, 4, 5, 6], &[1, 2, 6, 10, 20, 21], &others),
        &now,
        (&target(Effect::Write), &target(Effect::Create)),
    );
    assert_eq!(
        Value::from(commands),
        json!([
            [2, 10, 0],
            [1, 2, {"count": 1.0}],
            [0, 0, {"name": "deleted", "count": 1.0}],
            [4, 4, 0],
            // What belonged to another is given back, never deleted.
            [1, 20, {"head_id": 8}],
            [3, 21, 0],
            [1, 22, {"count": 1.0}],
        ])
    );
    insta::assert_snapshot!(lacking.join("\n"), @r"
    [5] belongs to another record now
    [6] is not to be seen by you any more, and stays
    the deleted [23] belonged to another record, and stays deleted
    ");
}

#[test]
fn records_that_get_the_same_values_are_written_in_one_call() {
    let groups = grouped([
        (id(1), map(json!({"a": 1}))),
        (id(2), map(json!({"a": 2}))),
        (id(3), map(json!({"a": 1}))),
    ]);
    let ids: Vec<Vec<RecordId>> = groups.into_iter().map(|(ids, _)| ids).collect();
    assert_eq!(ids, [vec![id(1), id(3)], vec![id(2)]]);
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let left = Shot::from_json(&json!({"7": {"phone": "2"}}));
    let mut entry = update(
        json!({"phone": "1"}),
        Some(Marks::of(&names(&["phone"]), &left)),
    );
    entry.lines.push(Lines {
        field: name("line_ids"),
        model: ModelName::try_from("x.line").unwrap(),
        inverse: name("head_id"),
        fields: names(&["name"]),
        rows: rows(json!({"1": {"name": "a"}})),
        marks: None,
    });
    let written = serde_json::to_vec(&entry).unwrap();
    assert_eq!(serde_json::from_slice::<Entry>(&written).unwrap(), entry);
}

#[test]
fn where_neither_the_marks_nor_what_was_wanted_are_kept_nothing_can_be_said() {
    let mut entry = update(json!({"phone": "1"}), None);
    entry.wanted.clear();
    assert_eq!(
        stands(&entry, json!({"7": {"phone": "2"}})),
        Standing::Unknown
    );
    assert_eq!(
        stands(&entry, json!({"7": {"phone": "1"}})),
        Standing::AsBefore
    );
}
