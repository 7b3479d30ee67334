mod accepted;
mod recorded;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{ArgumentPath, CoercedValues, LinkTarget, MissingSchema, coerce, format_errors};
use gatepost_odoo::{ModelName, Operation, RecordId, Schema};

/// A model with a field of each type, and a model for its lines.
const FIELDS: &str = r#"{
    "x.order": {
        "active": {"type": "boolean"},
        "amount": {"type": "monetary"},
        "code": {"type": "char", "size": 5},
        "count": {"type": "integer"},
        "data": {"type": "json"},
        "day": {"type": "date"},
        "document": {"type": "binary"},
        "hologram": {"type": "hologram"},
        "image": {"type": "image"},
        "line_ids": {"type": "one2many", "relation": "x.line", "relation_field": "order_id", "string": "Lines"},
        "name": {"type": "char", "required": true, "string": "Name"},
        "note": {"type": "text"},
        "page": {"type": "html"},
        "partner_id": {"type": "many2one", "relation": "res.partner", "string": "Customer"},
        "props": {"type": "properties"},
        "props_definition": {"type": "properties_definition"},
        "ref": {"type": "reference", "selection": [["res.partner", "Contact"], ["x.order", "Order"]]},
        "res_id": {"type": "many2one_reference", "model_field": "res_model"},
        "res_model": {"type": "char"},
        "start": {"type": "datetime"},
        "state": {"type": "selection", "readonly": true, "selection": [["draft", "Draft"], ["sale", "Sold"]]},
        "tag_ids": {"type": "many2many", "relation": "x.tag"},
        "total": {"type": "float", "readonly": true, "depends": ["line_ids.price", "hidden_id.rate"]},
        "kind": {"type": "selection", "selection": [["0", "Low"], ["1", "High"], ["a", "Same"], ["b", "Same"]]},
        "weight": {"type": "float", "digits": [16, 2]},
        "write_date": {"type": "datetime", "readonly": true}
    },
    "x.line": {
        "name": {"type": "char", "required": true, "string": "Description"},
        "order_id": {"type": "many2one", "relation": "x.order", "required": true},
        "price": {"type": "float"},
        "part_ids": {"type": "one2many", "relation": "x.line", "relation_field": "order_id"}
    },
    "x.tag": {"name": {"type": "char", "required": true}}
}"#;

fn models(text: &str) -> BTreeMap<ModelName, Schema> {
    let models: BTreeMap<ModelName, Value> = serde_json::from_str(text).unwrap();
    models
        .into_iter()
        .map(|(model, fields)| {
            let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
            (model, schema)
        })
        .collect()
}

fn members(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else {
        panic!("no object: {value}");
    };
    members
}

fn coerce_order(effect: Operation, values: Value) -> CoercedValues {
    let model = ModelName::try_from("x.order").unwrap();
    let at = ArgumentPath::argument("values");
    coerce(
        &model,
        &models(FIELDS),
        effect,
        members(values),
        (&at, None),
    )
    .unwrap()
}

/// The coerced value of an update of one field.
#[expect(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn coerce_change(field: &str, value: Value) -> Result<Value, String> {
    let mut fitted = coerce_order(Operation::Write, json!({field: value}));
    if fitted.errors.is_empty() {
        Ok(fitted.values.remove(field).unwrap())
    } else {
        assert!(!fitted.values.contains_key(field) || field.ends_with("_ids"));
        Err(format_errors(&fitted.errors))
    }
}

#[track_caller]
fn assert_coerced(field: &str, table: &[(Value, Value)]) {
    for (written, sent) in table {
        assert_eq!(
            coerce_change(field, written.clone()).as_ref(),
            Ok(sent),
            "{field}: {written}"
        );
    }
}

#[track_caller]
fn assert_rejected(field: &str, values: &[Value]) {
    for value in values {
        let coerced = coerce_change(field, value.clone());
        assert!(coerced.is_err(), "{field} took {value} as {coerced:?}");
    }
}

#[test]
fn boolean_accepts_common_spellings() {
    let truths = [
        json!(true),
        json!("true"),
        json!("True "),
        json!(1),
        json!("1"),
    ];
    let lies = [
        json!(false),
        json!("false"),
        json!(0),
        json!(0.0),
        json!(null),
    ];
    assert_coerced("active", &truths.map(|written| (written, json!(true))));
    assert_coerced("active", &lies.map(|written| (written, json!(false))));
    assert_rejected(
        "active",
        &[json!("yes"), json!(""), json!(2), json!([]), json!({})],
    );
    insta::assert_snapshot!(coerce_change("active", json!("maybe")).unwrap_err(), @r#"`values.active` is a boolean and takes `true` or `false`, not `"maybe"`"#);
}

#[test]
fn integer_must_be_whole_and_within_int4() {
    assert_coerced(
        "count",
        &[
            (json!(7), json!(7)),
            (json!("7"), json!(7)),
            (json!(" -7 "), json!(-7)),
            (json!(3.0), json!(3)),
            (json!(-0.0), json!(0)),
            (json!(null), json!(0)),
            (json!(false), json!(0)),
            (json!(2_147_483_647), json!(2_147_483_647)),
        ],
    );
    assert_rejected(
        "count",
        &[
            json!(3.5),
            json!("3.5"),
            json!(2_147_483_648_u32),
            json!(1e300),
            json!(true),
            json!("seven"),
            json!("1,000"),
            json!([1]),
        ],
    );
}

#[test]
fn number_in_text_allows_only_digits_sign_and_point() {
    assert_coerced(
        "amount",
        &[
            (json!(7), json!(7)),
            (json!("1234.5"), json!(1234.5)),
            (json!("-.5"), json!(-0.5)),
            (json!(null), json!(0)),
        ],
    );
    for text in [
        "1.234,56", "1,5", "12 €", "nan", "inf", "1e5", "1 000", "--1", ".",
    ] {
        assert_rejected("amount", &[json!(text)]);
    }
    assert_rejected("amount", &[json!(true), json!([1.0]), json!({"value": 1})]);
    insta::assert_snapshot!(coerce_change("amount", json!("1.234,56")).unwrap_err(), @r#"`values.amount` is monetary and takes a number with a point and no separators, units or currency signs, such as `1234.56`, not `"1.234,56"`"#);
}

#[test]
fn rounding_of_decimals_is_noted() {
    let fitted = coerce_order(Operation::Write, json!({"weight": 1.239}));
    assert_eq!(fitted.values["weight"], json!(1.239));
    insta::assert_snapshot!(fitted.notes[0], @"`values.weight` has 2 decimals, so Odoo rounds `1.239`");
    assert!(
        coerce_order(Operation::Write, json!({"weight": 1.20}))
            .notes
            .is_empty()
    );
}

#[test]
fn text_accepts_strings_and_whole_numbers() {
    assert_coerced(
        "note",
        &[
            (json!("a\nb"), json!("a\nb")),
            (json!(4930), json!("4930")),
            (json!(""), json!("")),
            (json!(null), json!(false)),
            (json!(false), json!(false)),
        ],
    );
    assert_rejected(
        "note",
        &[json!(2.5), json!(true), json!(["a"]), json!({"en_US": "a"})],
    );
    assert_rejected("page", &[json!({"a": 1}), json!("a\0b")]);
    assert_rejected("note", &[json!("x".repeat((1 << 20) + 1))]);
    insta::assert_snapshot!(coerce_change("code", json!("abcdef")).unwrap_err(), @"`values.code` may have 5 characters, and this has 6: Odoo would cut it silently");
    // Characters, not bytes.
    assert!(coerce_change("code", json!("äöüßé")).is_ok());
}

#[test]
fn date_accepts_only_unambiguous_days() {
    for written in [
        "2026-01-31",
        "2026-1-31",
        " 2026-01-31 ",
        "2026-01-31T00:00:00",
        "2026-01-31 00:00",
        "2026-01-31T00:00:00+05:00",
        "20260131",
    ] {
        assert_coerced("day", &[(json!(written), json!("2026-01-31"))]);
    }
    assert_coerced(
        "day",
        &[(json!(""), json!(false)), (json!(null), json!(false))],
    );
    for written in [
        "2026-02-30",
        "2026-13-01",
        "01/02/2026",
        "01.02.2026",
        "26-01-31",
        "2026-01",
        "2026-01-31x",
        "today",
        "0099-01-01",
        "-002026-01-31",
    ] {
        assert_rejected("day", &[json!(written)]);
    }
    assert_rejected(
        "day",
        &[json!(20_260_131), json!(true), json!(["2026-01-31"])],
    );
    insta::assert_snapshot!(coerce_change("day", json!("01/02/2026")).unwrap_err(), @r#"`values.day` is a date and takes a day that exists, in the form `2026-01-31`, not `"01/02/2026"`"#);
    insta::assert_snapshot!(coerce_change("day", json!("2026-01-31T23:30:00Z")).unwrap_err(), @r#"`values.day` is a date, and `"2026-01-31T23:30:00Z"` has a time of day, so its day depends on the time zone; write only the day, in the form `2026-01-31`"#);
}

#[test]
fn datetime_is_converted_to_utc_in_odoo_format() {
    for (written, sent) in [
        ("2026-01-31 13:45:00", "2026-01-31 13:45:00"),
        ("2026-01-31T13:45:00", "2026-01-31 13:45:00"),
        ("2026-01-31T13:45", "2026-01-31 13:45:00"),
        ("2026-01-31T13:45:00Z", "2026-01-31 13:45:00"),
        ("2026-01-31T13:45:00.987654+02:00", "2026-01-31 11:45:00"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31 23:30:00"),
        ("2026-07-01T12:00[Europe/Berlin]", "2026-07-01 10:00:00"),
        ("2026-01-31", "2026-01-31 00:00:00"),
    ] {
        assert_coerced("start", &[(json!(written), json!(sent))]);
    }
    for written in [
        "2026-02-30 10:00:00",
        "2026-01-31 25:00:00",
        "13:45",
        "31.01.2026 13:45",
        "2026-01-31 13:45 Europe/Berlin",
        "2026-07-01T12:00[Europe/Atlantis]",
        "now",
    ] {
        assert_rejected("start", &[json!(written)]);
    }
    assert_rejected("start", &[json!(1_769_940_000), json!(true)]);
    let note =
        |text: &str| coerce_order(Operation::Write, json!({"start": text})).notes[0].to_string();
    insta::assert_snapshot!(note("2026-01-31 13:45:00"), @"`values.start` has no offset, so it is in UTC");
    insta::assert_snapshot!(note("2026-01-31T13:45:00+02:00"), @"`values.start` was converted to UTC: `2026-01-31 11:45:00`");
}

#[test]
fn datetime_without_offset_is_in_call_time_zone_unless_in_odoo_format() {
    let zone = TimeZone::get("Europe/Brussels").unwrap();
    let model = ModelName::try_from("x.order").unwrap();
    let at = ArgumentPath::argument("values");
    let fitted = |text: &str| {
        let values = members(json!({"start": text}));
        let known = models(FIELDS);
        let at = (&at, Some(&zone));
        coerce(&model, &known, Operation::Write, values, at).unwrap()
    };
    let note = |text: &str| fitted(text).notes[0].to_string();
    for (written, sent) in [
        ("2026-12-24T10:00:00", "2026-12-24 09:00:00"),
        ("2026-07-24T10:00", "2026-07-24 08:00:00"),
        ("2026-07-24", "2026-07-23 22:00:00"),
        ("2026-12-24T10:00:00Z", "2026-12-24 10:00:00"),
        ("2026-12-24 10:00:00", "2026-12-24 10:00:00"),
    ] {
        assert_eq!(fitted(written).values["start"], json!(sent), "{written}");
    }
    insta::assert_snapshot!(note("2026-12-24T10:00:00"), @"`values.start` has no offset, so it is in Europe/Brussels, the `tz` of the context: `2026-12-24 09:00:00` in UTC");
    insta::assert_snapshot!(note("2026-12-24 10:00:00"), @"`values.start` is in UTC, like all times that Odoo returns: `2026-12-24 11:00:00` in Europe/Brussels");
    let odd = ["2026-03-29T02:30:00", "2026-10-25T02:30:00"];
    let problems = odd.map(|odd| format_errors(&fitted(odd).errors));
    insta::assert_snapshot!(problems.join("\n"), @r#"
    `values.start` has no offset, and in Europe/Brussels `"2026-03-29T02:30:00"` occurs twice or never, because clocks change then; write it with its offset
    `values.start` has no offset, and in Europe/Brussels `"2026-10-25T02:30:00"` occurs twice or never, because clocks change then; write it with its offset
    "#);
    assert!(fitted("0001-01-01").values.is_empty());
}

#[test]
fn blank_text_that_empties_a_field_is_noted() {
    let fitted = coerce_order(
        Operation::Write,
        json!({"day": "", "name": "x", "note": ""}),
    );
    let notes: Vec<String> = fitted.notes.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(notes.join("\n"), @"`values.day` is emptied, because the text is blank");
    assert!(
        coerce_order(Operation::Write, json!({"day": null}))
            .notes
            .is_empty()
    );
}

#[test]
fn selection_accepts_key_or_unambiguous_label() {
    assert_coerced(
        "kind",
        &[
            (json!("1"), json!("1")),
            (json!(1), json!("1")),
            (json!("high"), json!("1")),
            (json!("A"), json!("a")),
            (json!(null), json!(false)),
            (json!(""), json!(false)),
        ],
    );
    assert_rejected(
        "kind",
        &[
            json!("Same"),
            json!("x"),
            json!(2),
            json!(true),
            json!(["1"]),
        ],
    );
    insta::assert_snapshot!(coerce_change("kind", json!("same")).unwrap_err(), @r#"`values.kind` takes one of `0` (Low), `1` (High), `a` (Same), `b` (Same), not `"same"`"#);
}

#[test]
fn many2one_accepts_id_in_every_form_odoo_returns() {
    for written in [
        json!(7),
        json!(7.0),
        json!("7"),
        json!([7, "Azure Interior"]),
        json!([7]),
        json!({"id": 7}),
        json!({"id": 7, "display_name": "Azure Interior"}),
    ] {
        let fitted = coerce_order(Operation::Write, json!({"partner_id": written}));
        assert_eq!(fitted.values["partner_id"], json!(7), "{written}");
        assert_eq!(
            fitted.links[0].target,
            LinkTarget::Id(RecordId::try_from(7).unwrap())
        );
    }
    assert_coerced(
        "partner_id",
        &[(json!(null), json!(false)), (json!(""), json!(false))],
    );
    assert_rejected(
        "partner_id",
        &[
            json!(0),
            json!(-1),
            json!("0"),
            json!(7.5),
            json!(true),
            json!([]),
            json!([7, 8]),
            json!({"name": "New"}),
            json!({"id": 7, "phone": "1"}),
            json!({}),
            json!("x".repeat(501)),
        ],
    );
    insta::assert_snapshot!(coerce_change("partner_id", json!({"name": "New"})).unwrap_err(), @r#"`values.partner_id` takes the id of one record of `res.partner`, such as `7`, or its name, not `{"name":"New"}`"#);
}

#[test]
fn link_by_name_is_replaced_by_the_resolved_id() {
    let mut fitted = coerce_order(
        Operation::Create,
        json!({"name": "x", "partner_id": " Azure ", "tag_ids": [3, "VIP"],
               "line_ids": [{"name": "a", "part_ids": [[4, 9]]}]}),
    );
    assert!(fitted.errors.is_empty(), "{:?}", fitted.errors);
    let links: Vec<String> = fitted
        .links
        .iter()
        .map(|link| {
            format!(
                "{} {} {:?} {}",
                link.path, link.model, link.target, link.pointer
            )
        })
        .collect();
    insta::assert_snapshot!(links.join("\n"), @r#"
    values.partner_id res.partner Name("Azure") /partner_id
    values.tag_ids[0] x.tag Id(RecordId(3)) /tag_ids/0/2/0
    values.tag_ids[1] x.tag Name("VIP") /tag_ids/0/2/1
    values.line_ids[0].part_ids[0] x.line Id(RecordId(9)) /line_ids/0/2/part_ids/0/1
    "#);
    assert_eq!(&*fitted.links[0].label, "Customer");
    for (link, id) in fitted.links.iter().zip([7, 0, 5, 0]) {
        if let Ok(id) = RecordId::try_from(id) {
            assert!(link.resolve(&mut fitted.values, id));
        }
    }
    assert_eq!(fitted.values["partner_id"], json!(7));
    assert_eq!(fitted.values["tag_ids"], json!([[6, 0, [3, 5]]]));
}

#[test]
fn every_link_pointer_points_to_its_target() {
    let fitted = coerce_order(
        Operation::Write,
        json!({"partner_id": "P1", "tag_ids": [[4, 1], [6, 0, ["7", "P3"]]],
               "line_ids": [[1, 5, {"part_ids": [[0, 0, {"name": "x", "part_ids": [[4, 6]]}]]}]]}),
    );
    assert!(fitted.errors.is_empty(), "{:?}", fitted.errors);
    let values = Value::Object(fitted.values);
    assert_eq!(fitted.links.len(), 6);
    for link in fitted.links {
        let there = values.pointer(&link.pointer.to_string()).unwrap();
        match link.target {
            LinkTarget::Id(id) => assert_eq!(*there, json!(id.get())),
            LinkTarget::Name(name) => assert_eq!(*there, json!(name)),
        }
    }
}

#[test]
fn reference_accepts_only_allowed_models() {
    assert_coerced(
        "ref",
        &[
            (json!("res.partner,7"), json!("res.partner,7")),
            (json!(" res.partner , 7 "), json!("res.partner,7")),
            (json!(null), json!(false)),
        ],
    );
    assert_rejected(
        "ref",
        &[
            json!("res.users,7"),
            json!("res.partner,0"),
            json!("res.partner"),
            json!(7),
            json!("Res Partner,7"),
        ],
    );
    insta::assert_snapshot!(coerce_change("ref", json!("res.users,1")).unwrap_err(), @"`values.ref` takes records of one of `res.partner` (Contact), `x.order` (Order), not of `res.users`");
}

#[test]
fn many2one_reference_is_resolved_when_its_model_is_given() {
    let fitted = coerce_order(
        Operation::Write,
        json!({"res_id": "7", "res_model": "res.partner"}),
    );
    assert_eq!(fitted.values["res_id"], json!(7));
    assert_eq!(fitted.links[0].model.as_str(), "res.partner");
    assert!(
        coerce_order(Operation::Write, json!({"res_id": 7}))
            .links
            .is_empty()
    );
    assert_coerced(
        "res_id",
        &[(json!(0), json!(false)), (json!(null), json!(false))],
    );
    assert_rejected("res_id", &[json!(-1), json!("Azure"), json!([7, "x"])]);
}

#[test]
fn x2many_value_is_converted_to_commands() {
    assert_coerced(
        "tag_ids",
        &[
            (json!([1, 2]), json!([[6, 0, [1, 2]]])),
            (json!([1, "2", "VIP"]), json!([[6, 0, [1, 2, "VIP"]]])),
            (json!([{"name": "New"}]), json!([[0, 0, {"name": "New"}]])),
            (json!("[[4, 1]]"), json!([[4, 1, 0]])),
            (json!("[1]"), json!([[6, 0, [1]]])),
            (json!(null), json!([[5, 0, 0]])),
            (json!(false), json!([[5, 0, 0]])),
            (
                json!([[0, "virtual_1", {"name": "a"}], [1, 2, {"name": "b"}], [2, 3], [3, 4, false],
                       [4, 5, null], [5], [6, false, [7]]]),
                json!([[0, 0, {"name": "a"}], [1, 2, {"name": "b"}], [2, 3, 0], [3, 4, 0],
                       [4, 5, 0], [5, 0, 0], [6, 0, [7]]]),
            ),
        ],
    );
    assert_eq!(
        coerce_order(Operation::Create, json!({"tag_ids": null})).values["tag_ids"],
        json!([])
    );
}

#[test]
fn invalid_x2many_value_is_rejected_with_the_accepted_forms() {
    assert_rejected(
        "tag_ids",
        &[
            json!(7),
            json!("VIP"),
            json!({"name": "VIP"}),
            json!([]),
            json!([[]]),
            json!([true]),
            json!([null]),
            json!([[7, 1]]),
            json!([[-1, 1]]),
            json!([[4]]),
            json!([[4, 0]]),
            json!([[4, "VIP"]]),
            json!([[4, "1"]]),
            json!([[4, 1, {"name": "x"}]]),
            json!([[4, 1, 0, 0]]),
            json!([["4", 1]]),
            json!([[0, {"name": "x"}]]),
            json!([[0, 7, {"name": "x"}]]),
            json!([[1, 7]]),
            json!([[6, [1]]]),
            json!([[6, 0, 1]]),
            json!([[6, 0, [0]]]),
            json!([[5, 7]]),
            json!([6, 0, [1]]),
            json!([1, [4, 2]]),
            json!([1, {"name": "x"}]),
            json!([{"id": 7, "name": "x"}]),
            json!("[[4, 1]"),
            json!("[\"a\\u0000b\"]"),
            json!(vec![1; 1001]),
            json!([[6, 0, vec![1; 1001]]]),
        ],
    );
    insta::assert_snapshot!(coerce_change("tag_ids", json!([[7, 1]])).unwrap_err(), @"`values.tag_ids[0]` is not a command: `[7,1]`; write `[0, 0, {…}]` to create, `[1, id, {…}]` to change, `[2, id]` to delete, `[3, id]` to unlink, `[4, id]` to link, `[5]` to empty, `[6, 0, [ids]]` to set");
    insta::assert_snapshot!(coerce_change("tag_ids", json!([1, [4, 2]])).unwrap_err(), @"`values.tag_ids` mixes forms; it takes the ids or names of all records that it is to have, `[7, 8]`, or commands on records of `x.tag`: `[[4, 7]]` links one, `[[3, 7]]` unlinks one, `[[0, 0, {…}]]` creates one, `[[1, 7, {…}]]` changes one, `[[6, 0, [7, 8]]]` sets all; not `[1,[4,2]]`");
    insta::assert_snapshot!(coerce_change("tag_ids", json!([])).unwrap_err(), @"`values.tag_ids` is an empty list, which Odoo ignores; write `[[5]]` to empty it, or leave it out");
    insta::assert_snapshot!(coerce_change("line_ids", json!(["First"])).unwrap_err(), @r#"`values.line_ids[0]` names no record; write the id of one of `x.line`, not `"First"`"#);
}

#[test]
fn commands_on_existing_lines_of_new_record_are_rejected() {
    for command in [json!([2, 1]), json!([3, 1]), json!([1, 1, {"name": "x"}])] {
        let fitted = coerce_order(
            Operation::Create,
            json!({"name": "x", "tag_ids": [command]}),
        );
        assert_eq!(fitted.errors.len(), 1, "{command}");
    }
}

#[test]
fn replacing_a_list_notes_what_happens_to_other_records() {
    let message = |values: Value| {
        let fitted = coerce_order(Operation::Write, values);
        fitted.notes[0].to_string()
    };
    insta::assert_snapshot!(message(json!({"line_ids": [7]})), @"`values.line_ids` is set to only this one: of the others, those that cannot exist without this record are deleted, others lose their link to it");
    insta::assert_snapshot!(message(json!({"tag_ids": [[6, 0, [7]]]})), @"`values.tag_ids[0]` sets the list: of the others, none is deleted, they only lose their link");
    insta::assert_snapshot!(message(json!({"line_ids": null})), @"`values.line_ids` is emptied: those that cannot exist without this record are deleted, others lose their link to it");
    insta::assert_snapshot!(message(json!({"line_ids": [{"name": "x"}]})), @"`values.line_ids` gets 1 new record, beside those that it has");
    let created = coerce_order(
        Operation::Create,
        json!({"name": "x", "line_ids": [{"name": "x"}]}),
    );
    assert!(created.notes.is_empty(), "{:?}", created.notes);
}

#[test]
fn all_errors_of_a_record_and_its_lines_are_reported_at_once() {
    let fitted = coerce_order(
        Operation::Write,
        json!({"nam": 1, "active": "maybe", "state": "sale", "total": 7, "write_date": "2026-01-31", "id": 1,
               "partner_id.name": "x", "hologram": 1, "__last_update": false, "display_name": "x",
               "line_ids": [[0, 0, {"name": "a", "price": "dear"}], [1, 7, {"prise": 3}]]}),
    );
    insta::assert_snapshot!(format_errors(&fitted.errors), @r#"
    `values.nam` is not a field of `x.order` that you can see; did you mean `name`, `day`?
    `values.active` is a boolean and takes `true` or `false`, not `"maybe"`
    `values.state` is read-only: methods of the model set it, such as those behind buttons; leave it out, or call such a method if you may
    `values.total` is read-only: Odoo computes it from `line_ids`; change those
    `values.write_date` is set by Odoo itself, which ignores what is written; leave it out
    `values.id` identifies a record and is not one of its values; leave it out, and name records to change beside the values
    `values.partner_id.name` is a path, and values are fields of `x.order` itself; change the related record by itself
    `values.hologram` has a type that this version does not support
    `values.__last_update` was removed from Odoo; `write_date` says when a record was changed
    `values.display_name` is computed by Odoo from other fields; write `name`
    `values.line_ids[0].price` is float and takes a number with a point and no separators, units or currency signs, such as `1234.56`, not `"dear"`
    `values.line_ids[1].prise` is not a field of `x.line` that you can see; did you mean `price`?
    "#);
}

#[test]
fn hidden_field_is_not_named_in_errors() {
    // `total` depends on `hidden_id`, which the caller may not see.
    let message = coerce_change("total", json!(1)).unwrap_err();
    assert!(!message.contains("hidden_id"), "{message}");
}

#[test]
fn read_only_column_except_state_may_be_set_on_create() {
    let known = models(
        r#"{"account.move": {
            "move_type": {"type": "selection", "readonly": true, "required": true, "selection": [["entry", "Entry"]]},
            "state": {"type": "selection", "readonly": true, "selection": [["draft", "Draft"], ["posted", "Posted"]]},
            "amount": {"type": "float", "readonly": true, "depends": ["move_type"]},
            "company_id": {"type": "many2one", "relation": "res.company", "readonly": true, "related": "journal_id.company_id"},
            "credit": {"type": "float", "readonly": true, "store": false}}}"#,
    );
    let model = ModelName::try_from("account.move").unwrap();
    let values =
        json!({"move_type": "entry", "state": "posted", "amount": 1, "company_id": 1, "credit": 1});
    let ask = |effect| {
        let at = ArgumentPath::argument("values");
        coerce(&model, &known, effect, members(values.clone()), (&at, None)).unwrap()
    };
    let created = ask(Operation::Create);
    assert_eq!(Value::Object(created.values), json!({"move_type": "entry"}));
    insta::assert_snapshot!(format_errors(&created.errors), @"
    `values.state` is read-only: methods of the model set it, such as those behind buttons; leave it out, or call such a method if you may
    `values.amount` is read-only: Odoo computes it from `move_type`; change those
    `values.company_id` is read-only, because it shows `journal_id.company_id`; change it there
    `values.credit` is read-only: Odoo computes it; leave it out
    ");
    assert_eq!(ask(Operation::Write).errors.len(), 5);
}

#[test]
fn required_field_cannot_be_emptied() {
    assert_rejected("name", &[json!(null), json!(false), json!(""), json!("  ")]);
    insta::assert_snapshot!(coerce_change("name", json!(null)).unwrap_err(), @"`values.name` must have a value, and `null` would leave it empty");
}

#[test]
fn missing_required_fields_are_reported_for_record_and_lines() {
    let missing = |effect, values| {
        let fitted = coerce_order(effect, values);
        assert!(fitted.errors.is_empty(), "{:?}", fitted.errors);
        let missing: Vec<String> = fitted
            .missing
            .iter()
            .map(|missing| format!("{} {} {}", missing.path, missing.model, missing.label))
            .collect();
        missing
    };
    // Not `order_id`, because it is the inverse of the list.
    assert_eq!(
        missing(Operation::Create, json!({"line_ids": [{"price": 1}]})),
        [
            "values.name x.order Name",
            "values.line_ids[0].name x.line Description"
        ]
    );
    assert_eq!(missing(Operation::Create, json!({"name": "x"})), [""; 0]);
    assert_eq!(missing(Operation::Write, json!({"note": "x"})), [""; 0]);
    assert_eq!(
        missing(Operation::Write, json!({"line_ids": [[0, 0, {}]]})),
        ["values.line_ids[0].name x.line Description"]
    );
}

#[test]
fn required_field_that_odoo_may_fill_in_is_not_missing() {
    let known = models(
        r#"{"res.users": {
            "login": {"type": "char", "required": true},
            "name": {"type": "char", "required": true, "related": "partner_id.name", "store": false},
            "partner_id": {"type": "many2one", "relation": "res.partner", "required": true},
            "sort": {"type": "char", "required": true, "depends": ["name"]},
            "uuid": {"type": "char", "required": true, "readonly": true},
            "company_ids": {"type": "many2many", "relation": "res.company", "required": true}}}"#,
    );
    let model = ModelName::try_from("res.users").unwrap();
    let at = ArgumentPath::argument("values");
    let fitted = coerce(&model, &known, Operation::Create, Map::new(), (&at, None)).unwrap();
    let missing: Vec<&str> = fitted
        .missing
        .iter()
        .map(|one| one.field.as_str())
        .collect();
    assert_eq!(missing, ["login"]);
}

#[test]
fn inverse_field_of_new_line_is_left_to_odoo() {
    let fitted = coerce_order(
        Operation::Create,
        json!({"name": "x", "line_ids": [{"name": "a", "order_id": "wrong order"}]}),
    );
    assert_eq!(fitted.values["line_ids"], json!([[0, 0, {"name": "a"}]]));
    insta::assert_snapshot!(fitted.notes[0], @"`values.line_ids[0].order_id` is set by Odoo to the record around it");
    assert!(fitted.links.is_empty());
}

#[test]
fn unknown_model_schema_is_requested() {
    let mut known = models(FIELDS);
    known.remove(&ModelName::try_from("x.line").unwrap());
    let ask = |model: &str, values| {
        let model = ModelName::try_from(model).unwrap();
        let at = ArgumentPath::argument("values");
        coerce(
            &model,
            &known,
            Operation::Write,
            members(values),
            (&at, None),
        )
        .map(|_| ())
    };
    let needs = |model: &str| Err(MissingSchema(ModelName::try_from(model).unwrap()));
    assert_eq!(ask("res.users", json!({})), needs("res.users"));
    assert_eq!(
        ask("x.order", json!({"line_ids": [{"name": "x"}]})),
        needs("x.line")
    );
    assert_eq!(
        ask("x.order", json!({"line_ids": [[1, 7, {}]]})),
        needs("x.line")
    );
    // A link alone needs no fields.
    assert_eq!(ask("x.order", json!({"line_ids": [[4, 7]]})), Ok(()));
}

#[test]
fn binary_accepts_only_base64() {
    assert_coerced(
        "document",
        &[
            (json!("aGVsbG8="), json!("aGVsbG8=")),
            (json!("aGVs\nbG8=\n"), json!("aGVsbG8=")),
            (json!("data:image/png;base64,aGVsbG8="), json!("aGVsbG8=")),
            (json!(null), json!(false)),
        ],
    );
    assert_rejected(
        "image",
        &[
            json!("hello"),
            json!("aGVsbG8"),
            json!("1.43 Kb"),
            json!("aGV-"),
            json!(5),
        ],
    );
    let known =
        models(r#"{"ir.attachment": {"raw": {"type": "binary"}, "datas": {"type": "binary"}}}"#);
    let model = ModelName::try_from("ir.attachment").unwrap();
    let at = ArgumentPath::argument("values");
    let raw = members(json!({"raw": "aGVsbG8="}));
    let fitted = coerce(&model, &known, Operation::Write, raw, (&at, None)).unwrap();
    insta::assert_snapshot!(format_errors(&fitted.errors), @"`values.raw` takes raw bytes, which JSON cannot represent; write them as base64 to `datas`");
}

#[test]
fn properties_of_existing_record_are_written_as_a_whole() {
    let read_out = json!([{"name": "p_size", "type": "integer", "string": "Size", "value": 4},
                          {"name": "p_to", "type": "many2one", "comodel": "res.partner", "value": [7, "Azure"]},
                          {"name": "p_empty", "type": "char", "string": "Empty"}]);
    assert_coerced(
        "props",
        &[(read_out.clone(), read_out), (json!(null), json!(false))],
    );
    assert_rejected(
        "props",
        &[
            json!({"p_size": 1}),
            json!([{"name": "p_size", "type": "integer", "value": 1, "definition_changed": true}]),
            json!([{"name": "p_size", "type": "integer", "value": {"a": 1}}]),
            json!([{"name": "p_size", "type": "integer", "value": "4"}]),
            json!([{"value": 1}]),
            json!([1]),
            json!("{\"p_size\": 1}"),
        ],
    );
    let created = |value| {
        coerce_order(Operation::Create, json!({"name": "x", "props": value}))
            .errors
            .len()
    };
    assert_eq!(created(json!({"p_size": 1, "p_tags": ["a", "b"]})), 0);
    assert_eq!(created(json!({"p size": 1})), 1);
    assert_eq!(created(json!({"p_size": {"a": 1}})), 1);
    assert_coerced(
        "props_definition",
        &[(
            json!([{"name": "p", "type": "char", "string": "P"}]),
            json!([{"name": "p", "type": "char", "string": "P"}]),
        )],
    );
    assert_rejected(
        "props_definition",
        &[json!([{"name": "p"}]), json!({"p": 1}), json!([1])],
    );
}

#[test]
fn default_of_property_must_fit_its_type() {
    let with =
        |kind: &str, default: Value| json!([{"name": "p", "type": kind, "default": default}]);
    for (kind, good, bad) in [
        ("boolean", json!(true), json!(1)),
        ("char", json!("a"), json!(true)),
        ("date", json!("2026-01-31"), json!(5)),
        ("float", json!(1.5), json!("1.5")),
        ("integer", json!(-4), json!(1.5)),
        ("many2many", json!([[7, "Azure"]]), json!([true])),
        ("many2many", json!([7, 8]), json!(7)),
        ("many2one", json!(7), json!("2")),
        ("many2one", json!([7, "Azure"]), json!(true)),
        ("selection", json!("a"), json!(["a"])),
        ("tags", json!(["a"]), json!([1])),
    ] {
        for good in [with(kind, good), with(kind, json!(false))] {
            assert_coerced("props_definition", &[(good.clone(), good)]);
        }
        assert_rejected("props_definition", &[with(kind, bad)]);
    }
}

#[test]
fn oversized_and_deeply_nested_values_are_rejected() {
    let many: Map<String, Value> = (0..501).map(|at| (format!("f{at}"), json!(1))).collect();
    insta::assert_snapshot!(format_errors(&coerce_order(Operation::Write, Value::Object(many)).errors), @"`values` has 501 fields; a record may have 500");

    let mut deep = json!({"name": "x"});
    for _ in 0..10 {
        deep = json!({"name": "x", "part_ids": [deep]});
    }
    let fitted = coerce_order(Operation::Create, json!({"name": "x", "line_ids": [deep]}));
    insta::assert_snapshot!(format_errors(&fitted.errors), @"`values.line_ids[0].part_ids[0].part_ids[0].part_ids[0].part_ids[0].part_ids[0].part_ids[0]` is inside 6 other records; write the inner ones by themselves");

    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    assert_rejected("data", &[nested, json!({"a\0": 1})]);
    let long = "n".repeat(10_000);
    let message = coerce_change(&long, json!(1)).unwrap_err();
    assert!(message.len() < 300, "{message}");
}
