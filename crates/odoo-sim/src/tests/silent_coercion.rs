//! Wrong values that Odoo accepts silently.
//!
//! Each of these was seen on a real Odoo 19.

use serde_json::{Value, json};

use super::{ADMIN_KEY, call_as, call_ok, call_rejected, fake_odoo, read_field};

/// What a field of contact 20 is after a value was written to it.
fn stored_value(field: &str, value: &Value) -> Value {
    let odoo = fake_odoo();
    let body = json!({"ids": [20], "vals": {field: value}});
    assert_eq!(call_ok(&odoo, "res.partner/write", &body), true);
    read_field(&odoo, "res.partner", &json!(20), field)
}

/// The name and the message of the error for a value.
fn write_error(model: &str, id: u32, field: &str, value: &Value) -> (String, String) {
    let path = format!("{model}/write");
    let body = json!({"ids": [id], "vals": {field: value}});
    let (_, name, message) = call_rejected(&fake_odoo(), ADMIN_KEY, &path, &body);
    (name, message)
}

#[test]
fn update_clears_many2one_that_is_not_an_id() {
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
        assert_eq!(stored_value("country_id", &value), false, "{value}");
    }
    assert_eq!(
        stored_value("country_id", &json!(20)),
        json!([20, "Belgium"])
    );
}

#[test]
fn create_with_non_id_many2one_is_rejected_by_database() {
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
        let (status, name, _) = call_rejected(&fake_odoo(), ADMIN_KEY, "res.partner/create", &body);
        assert_eq!((status, name.as_str()), (500, error));
    }
}

#[test]
fn boolean_follows_python_truthiness() {
    for value in [
        json!("false"),
        json!("0"),
        json!("no"),
        json!(1),
        json!([0]),
    ] {
        assert_eq!(stored_value("is_company", &value), true, "{value}");
    }
    for value in [json!(""), json!(0), json!(null), json!([])] {
        assert_eq!(stored_value("is_company", &value), false, "{value}");
    }
}

#[test]
fn numbers_are_coerced_as_python_does() {
    for (value, number) in [
        (json!("7"), json!(7)),
        (json!(1.7), json!(1)),
        (json!(true), json!(1)),
        (json!(""), json!(0)),
        (json!(null), json!(0)),
    ] {
        assert_eq!(stored_value("color", &value), number, "{value}");
    }
    assert_eq!(
        write_error("res.partner", 20, "color", &json!("1.5")),
        (
            "builtins.ValueError".to_owned(),
            "invalid literal for int() with base 10: '1.5'".to_owned()
        )
    );
    assert_eq!(
        write_error("res.partner", 20, "credit_limit", &json!("abc")).1,
        "could not convert string to float: 'abc'"
    );
}

#[test]
fn any_value_is_coerced_to_text() {
    assert_eq!(stored_value("street", &json!(5)), "5");
    assert_eq!(stored_value("street", &json!(["x"])), "['x']");
    assert_eq!(stored_value("street", &json!(false)), false);
    assert_eq!(stored_value("street", &json!(null)), false);
    assert_eq!(stored_value("street", &json!("")), "");
}

#[test]
fn date_drops_time_and_datetime_accepts_one_format() {
    let odoo = fake_odoo();
    let write = |model: &str, field: &str, value: &str| {
        let body = json!({"ids": [6], "vals": {field: value}});
        call_as(&odoo, ADMIN_KEY, &format!("{model}/write"), &body)
    };
    let seen = |model: &str, field: &str| read_field(&odoo, model, &json!(6), field);
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
        write_error("crm.lead", 6, "date_deadline", &json!(5)).1,
        "'int' object is not subscriptable"
    );
}

#[test]
fn selection_accepts_only_its_keys() {
    assert_eq!(stored_value("type", &json!("")), false);
    assert_eq!(
        write_error("res.partner", 20, "type", &json!(5)),
        (
            "builtins.ValueError".to_owned(),
            "Wrong value for res.partner.type: 5".to_owned()
        )
    );
    assert_eq!(
        write_error("crm.lead", 6, "type", &json!(false)).1,
        "The operation cannot be completed: Missing required value for the field 'Type' (type).\nModel: 'Lead' (crm.lead)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n"
    );
}

#[test]
fn html_is_sanitized() {
    let html = json!("<p onclick=\"x()\">a</p><script>1</script>");
    assert_eq!(stored_value("comment", &html), "<p>a</p>");
    assert_eq!(stored_value("comment", &json!("bare")), "<p>bare</p>");
}

#[test]
fn writes_to_automatic_and_unstored_fields_are_ignored() {
    for (field, value) in [
        ("id", json!(5)),
        ("display_name", json!("x")),
        ("create_uid", json!(5)),
        ("create_date", json!("2001-01-01 00:00:00")),
        ("message_is_follower", json!(true)),
    ] {
        let odoo = fake_odoo();
        let before = read_field(&odoo, "res.partner", &json!(20), field);
        let body = json!({"ids": [20], "vals": {field: value}});
        assert_eq!(call_ok(&odoo, "res.partner/write", &body), true);
        assert_eq!(read_field(&odoo, "res.partner", &json!(20), field), before);
    }
}

#[test]
fn stored_computed_field_can_be_overwritten_until_recomputed() {
    let odoo = fake_odoo();
    let body = json!({"ids": [20], "vals": {"complete_name": "Wrong"}});
    assert_eq!(call_ok(&odoo, "res.partner/write", &body), true);
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(20), "complete_name"),
        "Wrong"
    );
    // Until the field it is computed from is written.
    let body = json!({"ids": [20], "vals": {"name": "Right"}});
    call_ok(&odoo, "res.partner/write", &body);
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(20), "complete_name"),
        "Right"
    );
}

#[test]
fn write_and_unlink_without_ids_succeed_and_change_nothing() {
    let odoo = fake_odoo();
    let before = odoo.snapshot();
    for path in ["res.partner/write", "sale.order/write"] {
        for ids in [json!([]), json!(null), json!(false)] {
            let body = json!({"ids": ids, "vals": {"name": "x", "nope": 1}});
            assert_eq!(call_ok(&odoo, path, &body), true);
        }
        assert_eq!(call_ok(&odoo, path, &json!({"vals": {"name": "x"}})), true);
    }
    assert_eq!(call_ok(&odoo, "res.partner/unlink", &json!({})), true);
    assert_eq!(odoo.snapshot(), before);
}

#[test]
fn missing_ids_are_ignored_by_plain_models_and_rejected_by_threads() {
    let odoo = fake_odoo();
    let before = odoo.snapshot();
    let body = json!({"ids": [999], "vals": {"name": "x"}});
    assert_eq!(call_ok(&odoo, "res.partner.category/write", &body), true);
    let gone = json!({"ids": [999]});
    assert_eq!(call_ok(&odoo, "res.partner.category/unlink", &gone), true);
    assert_eq!(odoo.snapshot(), before);
    for (path, body) in [
        ("crm.lead/write", &body),
        ("crm.lead/unlink", &gone),
        ("crm.lead/action_set_won", &gone),
    ] {
        assert_eq!(
            call_rejected(&odoo, ADMIN_KEY, path, body),
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
fn text_ids_are_rejected_by_database() {
    let body = json!({"ids": ["20"], "vals": {"name": "x"}});
    let (status, name, _) = call_rejected(&fake_odoo(), ADMIN_KEY, "res.partner/write", &body);
    assert_eq!(
        (status, name.as_str()),
        (500, "psycopg2.errors.UndefinedFunction")
    );
}
