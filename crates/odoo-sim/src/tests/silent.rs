//! What Odoo takes without a word, though it is wrong.
//!
//! Each of these was seen on a real Odoo 19.

use serde_json::{Value, json};

use super::{ADMIN_KEY, asked, company, done, refused, shown};

/// What a field of contact 20 is after a value was written to it.
fn kept(field: &str, value: &Value) -> Value {
    let company = company();
    let body = json!({"ids": [20], "vals": {field: value}});
    assert_eq!(done(&company, "res.partner/write", &body), true);
    shown(&company, "res.partner", &json!(20), field)
}

/// The name and the message of the refusal of a value.
fn refusal(model: &str, id: u32, field: &str, value: &Value) -> (String, String) {
    let path = format!("{model}/write");
    let body = json!({"ids": [id], "vals": {field: value}});
    let (_, name, message) = refused(&company(), ADMIN_KEY, &path, &body);
    (name, message)
}

#[test]
fn a_many2one_that_is_no_id_is_emptied() {
    for value in [
        json!("Belgium"),
        json!("20"),
        json!([20, "Belgium"]),
        json!({"id": 20}),
        json!(20.0),
        json!(true),
        json!(0),
        json!(null),
    ] {
        assert_eq!(kept("country_id", &value), false, "{value}");
    }
    assert_eq!(kept("country_id", &json!(20)), json!([20, "Belgium"]));
}

#[test]
fn a_new_record_with_a_many2one_that_is_no_id_is_refused_by_the_database() {
    for (value, error) in [
        (
            json!("Belgium"),
            "psycopg2.errors.InvalidTextRepresentation",
        ),
        (
            json!([20, "Belgium"]),
            "psycopg2.errors.InvalidTextRepresentation",
        ),
        (json!(true), "psycopg2.errors.DatatypeMismatch"),
        (json!({"id": 20}), "psycopg2.ProgrammingError"),
    ] {
        let body = json!({"vals_list": [{"name": "New", "country_id": value}]});
        let (status, name, _) = refused(&company(), ADMIN_KEY, "res.partner/create", &body);
        assert_eq!((status, name.as_str()), (500, error));
    }
}

#[test]
fn any_text_sets_a_boolean() {
    for value in [
        json!("false"),
        json!("0"),
        json!("no"),
        json!(1),
        json!([0]),
    ] {
        assert_eq!(kept("is_company", &value), true, "{value}");
    }
    for value in [json!(""), json!(0), json!(null), json!([])] {
        assert_eq!(kept("is_company", &value), false, "{value}");
    }
}

#[test]
fn numbers_are_made_of_what_python_can_make_them_of() {
    for (value, number) in [
        (json!("7"), json!(7)),
        (json!(1.7), json!(1)),
        (json!(true), json!(1)),
        (json!(""), json!(0)),
        (json!(null), json!(0)),
    ] {
        assert_eq!(kept("color", &value), number, "{value}");
    }
    assert_eq!(
        refusal("res.partner", 20, "color", &json!("1.5")),
        (
            "builtins.ValueError".to_owned(),
            "invalid literal for int() with base 10: '1.5'".to_owned()
        )
    );
    assert_eq!(
        refusal("res.partner", 20, "credit_limit", &json!("abc")).1,
        "could not convert string to float: 'abc'"
    );
}

#[test]
fn texts_are_made_of_anything() {
    assert_eq!(kept("street", &json!(5)), "5");
    assert_eq!(kept("street", &json!(["x"])), "['x']");
    assert_eq!(kept("street", &json!(false)), false);
    assert_eq!(kept("street", &json!(null)), false);
    assert_eq!(kept("street", &json!("")), "");
}

#[test]
fn a_date_loses_its_time_and_a_time_takes_only_one_form() {
    let company = company();
    let write = |model: &str, field: &str, value: &str| {
        let body = json!({"ids": [6], "vals": {field: value}});
        asked(&company, ADMIN_KEY, &format!("{model}/write"), &body)
    };
    let seen = |model: &str, field: &str| shown(&company, model, &json!(6), field);
    assert_eq!(
        write("crm.lead", "date_deadline", "2026-12-24T10:00:00Z").0,
        200
    );
    assert_eq!(seen("crm.lead", "date_deadline"), "2026-12-24");
    assert_eq!(write("sale.order", "date_order", "2026-12-24").0, 200);
    assert_eq!(seen("sale.order", "date_order"), "2026-12-24 00:00:00");
    for (text, message) in [
        (
            "2026-12-24T10:00:00Z",
            "time data '2026-12-24T10:00:00Z' does not match format '%Y-%m-%d %H:%M:%S'",
        ),
        ("2026-12-24 10:00:00.123", "unconverted data remains: .123"),
        ("2026-02-30", "day is out of range for month"),
    ] {
        let (status, error) = write("sale.order", "date_order", text);
        assert_eq!((status, error["message"].as_str().unwrap()), (500, message));
    }
    let (status, error) = write("crm.lead", "date_deadline", "24/12/2026");
    assert_eq!(status, 500);
    assert_eq!(
        error["message"],
        "time data '24/12/2026' does not match format '%Y-%m-%d'"
    );
    assert_eq!(
        refusal("crm.lead", 6, "date_deadline", &json!(5)).1,
        "'int' object is not subscriptable"
    );
}

#[test]
fn a_selection_takes_its_keys_alone() {
    assert_eq!(kept("type", &json!("")), false);
    assert_eq!(
        refusal("res.partner", 20, "type", &json!(5)),
        (
            "builtins.ValueError".to_owned(),
            "Wrong value for res.partner.type: 5".to_owned()
        )
    );
    assert_eq!(
        refusal("crm.lead", 6, "type", &json!(false)).1,
        "The operation cannot be completed: Missing required value for the field 'Type' (type).\nModel: 'Lead' (crm.lead)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n"
    );
}

#[test]
fn html_is_cleaned() {
    let html = json!("<p onclick=\"x()\">a</p><script>1</script>");
    assert_eq!(kept("comment", &html), "<p>a</p>");
    assert_eq!(kept("comment", &json!("bare")), "<p>bare</p>");
}

#[test]
fn what_odoo_computes_itself_cannot_be_written_and_nobody_says_so() {
    for (field, value) in [
        ("id", json!(5)),
        ("display_name", json!("x")),
        ("create_uid", json!(5)),
        ("create_date", json!("2001-01-01 00:00:00")),
        ("message_is_follower", json!(true)),
    ] {
        let company = company();
        let before = shown(&company, "res.partner", &json!(20), field);
        let body = json!({"ids": [20], "vals": {field: value}});
        assert_eq!(done(&company, "res.partner/write", &body), true);
        assert_eq!(shown(&company, "res.partner", &json!(20), field), before);
    }
}

#[test]
fn a_stored_value_that_follows_from_others_can_be_overwritten() {
    let company = company();
    let body = json!({"ids": [20], "vals": {"complete_name": "Wrong"}});
    assert_eq!(done(&company, "res.partner/write", &body), true);
    assert_eq!(
        shown(&company, "res.partner", &json!(20), "complete_name"),
        "Wrong"
    );
    // Until what it follows from is written.
    let body = json!({"ids": [20], "vals": {"name": "Right"}});
    done(&company, "res.partner/write", &body);
    assert_eq!(
        shown(&company, "res.partner", &json!(20), "complete_name"),
        "Right"
    );
}

#[test]
fn without_ids_nothing_is_written_and_odoo_is_content() {
    let company = company();
    let before = company.snapshot();
    for path in ["res.partner/write", "sale.order/write"] {
        for ids in [json!([]), json!(null), json!(false)] {
            let body = json!({"ids": ids, "vals": {"name": "x", "nope": 1}});
            assert_eq!(done(&company, path, &body), true);
        }
        assert_eq!(done(&company, path, &json!({"vals": {"name": "x"}})), true);
    }
    assert_eq!(done(&company, "res.partner/unlink", &json!({})), true);
    assert_eq!(company.snapshot(), before);
}

#[test]
fn a_plain_model_does_not_miss_records_and_a_thread_does() {
    let company = company();
    let before = company.snapshot();
    let body = json!({"ids": [999], "vals": {"name": "x"}});
    assert_eq!(done(&company, "res.partner.category/write", &body), true);
    let gone = json!({"ids": [999]});
    assert_eq!(done(&company, "res.partner.category/unlink", &gone), true);
    assert_eq!(company.snapshot(), before);
    for (path, body) in [
        ("crm.lead/write", &body),
        ("crm.lead/unlink", &gone),
        ("crm.lead/action_set_won", &gone),
    ] {
        assert_eq!(
            refused(&company, ADMIN_KEY, path, body),
            (
                404,
                "odoo.exceptions.MissingError".to_owned(),
                "Record does not exist or has been deleted.\n(Record: crm.lead(999,), User: 2)"
                    .to_owned()
            )
        );
    }
}

#[test]
fn ids_that_are_texts_trip_the_database() {
    let body = json!({"ids": ["20"], "vals": {"name": "x"}});
    let (status, name, _) = refused(&company(), ADMIN_KEY, "res.partner/write", &body);
    assert_eq!(
        (status, name.as_str()),
        (500, "psycopg2.errors.UndefinedFunction")
    );
}
