//! Rules that name models and fields that Odoo does not have.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use odoo_sim::ADMIN_KEY;
use serde_json::json;

use crate::test_gateway::{TestGateway, start_fake_odoo};

/// The output and the exit code of `check --live` for these rules.
fn check_live(odoo: &str, rules: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[instances.demo]\nurl = \"{odoo}\"\ndatabase = \"demo\"\napi_key = \"{ADMIN_KEY}\"\n{rules}"
    );
    let file = folder.path().join("gatepost.toml");
    fs::write(&file, text).unwrap();
    // Otherwise there is a warning about the key in it.
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "")
        .current_dir(folder.path())
        .args(["check", "--live", "--config", "gatepost.toml"])
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn check_live_says_that_methods_are_unverified() {
    let (_company, url) = start_fake_odoo();
    let (code, message) = check_live(
        &url,
        "[[roles.sales.rules]]\nmodels = [\"sale.*\"]\noperations = [\"read\"]\nmethods = [\"action_confrm\"]\n",
    );
    assert_eq!(code, Some(0), "{message}");
    assert!(
        message.contains("unverified whether these methods exist"),
        "{message}"
    );
}

#[test]
fn check_live_reports_unknown_names_in_rules_with_line_and_hint() {
    let (_company, url) = start_fake_odoo();
    let (code, message) = check_live(
        &url,
        r#"[[roles.sales.rules]]
models = ["sale.order", "res.partnr"]
operations = ["read", "write"]
methods = ["action_confrm", "action_cancel", "message_subscribe"]
arguments.message_subscribe.partner_ids = { ids_of = "res.partnerr" }
hidden_fields = ["amont_total", "note", "credit*"]
write_fields = ["client_order_reff", "note"]
domain = ["|", ["partner_id.contry_id", "=", 1], ["date_order.year_number", "=", 2026]]

[[roles.sales.rules]]
models = ["crm.lead"]
domain = [["customer_rank", ">", 0]]

[[roles.sales.rules]]
models = ["crm.*"]
hidden_fields = ["nothing_like_it"]
"#,
    );
    assert_eq!(code, Some(4), "{message}");
    insta::assert_snapshot!(message);
}

#[test]
fn check_live_accepts_rules_with_existing_names() {
    let (_company, url) = start_fake_odoo();
    let (code, message) = check_live(
        &url,
        r#"[[roles.sales.rules]]
models = ["sale.order", "res.partner"]
methods = ["action_confirm"]
operations = ["read", "write"]
hidden_fields = ["amount_total", "email", "nothing*"]
fields = ["*", "access_token"]
write_fields = ["client_order_ref"]

[[roles.sales.rules]]
models = ["sale.order.line"]
domain = ["&", ["order_id.company_id", "=", 1], ["order_id", "any", [["partner_id.country_id", "!=", 1]]]]
"#,
    );
    assert_eq!(code, Some(0), "{message}");
    assert!(!message.contains("error"), "{message}");
}

#[test]
fn check_live_skips_rules_when_odoo_is_unreachable() {
    let (code, message) = check_live(
        "http://127.0.0.1:1",
        "[[roles.sales.rules]]\nmodels = [\"res.partnr\"]\nhidden_fields = [\"x\"]\n",
    );
    assert_eq!(code, Some(4), "{message}");
    assert!(!message.contains("res.partnr"), "{message}");
}

#[test]
fn model_with_an_unresolvable_rule_is_closed_and_not_listed() {
    let stage = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            (
                "GATEPOST_ROLES__READER__RULES",
                r#"[{ models = ["res.partner"], domain = [["customer_rnk", ">", 0]] }, { models = ["crm.lead"] }]"#,
            ),
        ],
    );
    for _ in 0..2 {
        let (text, failed) = stage.call("count_records", &json!({"model": "res.partner"}));
        assert!(failed, "{text}");
    }
    let (listed, _) = stage.call("list_models", &json!({}));
    assert!(
        listed.contains("crm.lead") && !listed.contains("res.partner"),
        "{listed}"
    );
    let lines = crate::log::lines_with("Denied access to a model because its rules name fields");
    let ours = lines.iter().filter(|line| line.contains("`customer_rnk`"));
    assert_eq!(ours.count(), 1, "{lines:?}");
}
