//! Previews and approvals.

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use odoo_sim::{ADMIN_KEY, FaultPoint};
use serde_json::{Value, json};

use super::{
    ALL, answered, assert_unchanged, confirm_id, created_ids, normalized, refused, refused_as,
    stage, with_confirm,
};
use crate::test_gateway::{TestGateway, TestResponse, tool_call};

fn confirming() -> TestGateway {
    stage("confirm", ALL, &[])
}

#[test]
fn update_is_previewed_and_applied_when_confirmed() {
    let stage = confirming();
    let update = json!({"model": "crm.lead", "ids": [1, 2], "values": {"expected_revenue": 5, "user_id": null}});
    let before = stage.fake_odoo.snapshot();
    let preview = answered(&stage, "update_records", &update);
    assert_unchanged(&stage, &before, "a preview");
    insta::assert_snapshot!(normalized(&preview));
    let confirmed = with_confirm(&update, &confirm_id(&preview));
    stage.call_succeeds("update_records", &confirmed, "applied");
    for id in [1, 2] {
        let now = stage.fake_odoo.snapshot();
        let lead = now.record("crm.lead", id).unwrap().clone();
        assert_eq!(
            (&lead["expected_revenue"], &lead["user_id"]),
            (&json!(5.0), &json!(false))
        );
    }
}

#[test]
fn confirmation_is_valid_once_for_the_call_that_was_previewed() {
    let stage = confirming();
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 5}});
    let id = confirm_id(&answered(&stage, "update_records", &update));
    let before = stage.fake_odoo.snapshot();
    for other in [
        json!({"model": "crm.lead", "ids": [2], "values": {"expected_revenue": 5}}),
        json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 6}}),
        json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 5, "name": "x"}}),
    ] {
        stage.call_succeeds("update_records", &with_confirm(&other, &id), "previewed");
    }
    let delete = with_confirm(&json!({"model": "crm.lead", "ids": [1]}), &id);
    let text = stage.call_succeeds("delete_records", &delete, "previewed");
    insta::assert_snapshot!(text.lines().next().unwrap());
    for forged in ["yes", "", "AAAA", &"A".repeat(64), &id.replace('A', "B")] {
        stage.call_succeeds(
            "update_records",
            &with_confirm(&update, forged),
            "previewed",
        );
    }
    assert_unchanged(&stage, &before, "foreign confirmations");
    answered(&stage, "update_records", &with_confirm(&update, &id));
    let again = with_confirm(&update, &id);
    insta::assert_snapshot!(refused_as(&stage, "update_records", &again, "unapproved"));
}

#[test]
fn change_that_writes_nothing_new_needs_no_confirmation() {
    let stage = confirming();
    let lead = |values: Value| json!({"model": "crm.lead", "ids": [1], "values": values});
    let update = lead(json!({"expected_revenue": 5, "user_id": null}));
    let first = answered(&stage, "update_records", &update);
    let first = with_confirm(&update, &confirm_id(&first));
    answered(&stage, "update_records", &first);
    let before = stage.fake_odoo.snapshot();
    let text = answered(&stage, "update_records", &update);
    insta::assert_snapshot!(text, @r"
    Nothing was changed, because the records have these values already:
    [1] Office furniture for Deco Addict: expected_revenue: 5 (as it is); user_id: (empty) (as it is)
    ");
    // What became of an approval is said as before.
    refused_as(&stage, "update_records", &first, "unapproved");
    assert_unchanged(&stage, &before, "the same values");
    for other in [
        lead(json!({"expected_revenue": 5.004, "user_id": null})),
        lead(json!({"expected_revenue": 5, "name": "x"})),
        json!({"model": "crm.lead", "ids": [1, 2], "values": {"expected_revenue": 5}}),
        // Commands may do more than can be seen.
        json!({"model": "res.partner", "ids": [14], "values": {"category_id": [[5]]}}),
    ] {
        let text = answered(&stage, "update_records", &other);
        assert!(text.contains("Nothing is changed yet"), "{other}: {text}");
    }
}

#[test]
fn preview_names_the_language_of_written_texts() {
    let stage = confirming();
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "Chaises"}, "context": {"lang": "en_US"}});
    let preview = answered(&stage, "update_records", &update);
    assert!(preview.contains("en_US"), "{preview}");
}

#[test]
fn changed_record_invalidates_confirmation_and_is_previewed_again() {
    let stage = confirming();
    let of = |revenue: i32| json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": revenue}});
    let first = confirm_id(&answered(&stage, "update_records", &of(5)));
    let second = confirm_id(&answered(&stage, "update_records", &of(6)));
    answered(&stage, "update_records", &with_confirm(&of(6), &second));
    let before = stage.fake_odoo.snapshot();
    let stale = with_confirm(&of(5), &first);
    let text = stage.call_succeeds("update_records", &stale, "previewed");
    insta::assert_snapshot!(normalized(&text));
    assert_unchanged(&stage, &before, "a stale confirmation");
}

#[test]
#[expect(
    clippy::needless_collect,
    reason = "all begin before one is waited for"
)]
fn concurrent_confirmations_are_used_once() {
    let stage = std::sync::Arc::new(confirming());
    let create = json!({"model": "crm.lead", "values": [{"name": "One"}]});
    let id = confirm_id(&answered(&stage, "create_records", &create));
    let before = stage.fake_odoo.snapshot();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (stage, create) = (std::sync::Arc::clone(&stage), with_confirm(&create, &id));
            let create = tool_call("create_records", &create);
            std::thread::spawn(move || stage.post(&create).recorded().tool_result())
        })
        .collect();
    let results: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    assert_eq!(stage.changes("applied"), 1, "{results:#?}");
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
}

#[test]
fn model_cannot_confirm_when_human_approval_is_required() {
    for writes in ["confirm", "direct"] {
        let stage = stage(
            writes,
            ALL,
            &[("GATEPOST_INSTANCES__DEMO__APPROVAL", "human")],
        );
        let update = json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 5}});
        let text = refused_as(&stage, "update_records", &update, "unapproved");
        insta::allow_duplicates!(insta::assert_snapshot!(text));
        // Nor with a token that would be sufficient elsewhere.
        let elsewhere = confirming();
        let id = confirm_id(&answered(&elsewhere, "update_records", &update));
        refused(&stage, "update_records", &with_confirm(&update, &id));
    }
}

/// A call of 2026-07-28 by a client that supports forms.
fn stateless(stage: &TestGateway, arguments: &Value, more: &Value) -> TestResponse {
    let mut params = json!({
        "name": "update_records",
        "arguments": arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        },
    });
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let headers = [
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: update_records",
    ];
    stage.request("POST", "/mcp", &headers, &message.to_string())
}

fn elicit_response(action: &str, approve: bool, state: &Value) -> Value {
    json!({
        "inputResponses": {"approval": {"action": action, "content": {"approve": approve}}},
        "requestState": state,
    })
}

#[test]
fn stateless_client_elicits_approval_by_input_required_result() {
    let stage = stage(
        "direct",
        ALL,
        &[("GATEPOST_INSTANCES__DEMO__APPROVAL", "human")],
    );
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 5}});
    let before = stage.fake_odoo.snapshot();
    let asked = stateless(&stage, &update, &json!({})).json();
    assert_eq!(
        asked["result"]["resultType"],
        json!("input_required"),
        "{asked}"
    );
    let question = &asked["result"]["inputRequests"]["approval"]["params"]["message"];
    insta::assert_snapshot!(question.as_str().unwrap());
    let state = &asked["result"]["requestState"];
    let refused_answer = |answer: &Value| {
        let response = stateless(&stage, &update, answer);
        assert_eq!(response.error_kind(), "unapproved");
        response.tool_result().0
    };
    let said_no = refused_answer(&elicit_response("decline", false, state));
    // A denial is final.
    let after_all = refused_answer(&elicit_response("accept", true, state));
    let ask = || stateless(&stage, &update, &json!({})).json()["result"]["requestState"].clone();
    let unticked = refused_answer(&elicit_response("accept", false, &ask()));
    insta::assert_snapshot!([said_no, after_all, unticked].join("\n"));
    let state = &ask();
    // A state for other arguments, or one that was modified, is rejected.
    let other = json!({"model": "crm.lead", "ids": [2], "values": {"expected_revenue": 5}});
    let foreign = stateless(&stage, &other, &elicit_response("accept", true, state)).json();
    assert_eq!(foreign["error"]["code"], json!(-32602), "{foreign}");
    let forged = json!(state.as_str().unwrap().replace('A', "B"));
    let tampered = stateless(&stage, &update, &elicit_response("accept", true, &forged)).json();
    assert_eq!(tampered["error"]["code"], json!(-32602), "{tampered}");
    // A model cannot use the state as a confirmation.
    refused(
        &stage,
        "update_records",
        &with_confirm(&update, state.as_str().unwrap()),
    );
    assert_unchanged(&stage, &before, "questions");
    let done = stateless(&stage, &update, &elicit_response("accept", true, state)).json();
    assert_eq!(done["result"]["resultType"], json!("complete"), "{done}");
    assert_eq!(
        stage.fake_odoo.snapshot().record("crm.lead", 1).unwrap()["expected_revenue"],
        json!(5.0)
    );
    let again = refused_answer(&elicit_response("accept", true, state));
    insta::assert_snapshot!(again);
}

/// The header of a new API key with this name.
pub(super) fn new_key_header(file: &std::path::Path, name: &str) -> String {
    let key = ApiKey::generate().unwrap();
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: name.to_owned(),
        roles: vec![RoleName::try_from("reader").unwrap()],
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    };
    update_keys_file(file, |keys| keys.add(stored)).unwrap();
    format!("Authorization: Bearer {}", key.reveal())
}

#[test]
fn confirmation_and_idempotency_key_belong_to_their_caller() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let (ada, bob) = (new_key_header(&file, "ada"), new_key_header(&file, "bob"));
    let rules = ALL;
    let stage = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_KEYS__FILE", file.to_str().unwrap()),
            ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
            ("GATEPOST_INSTANCES__DEMO__WRITES", "confirm"),
            ("GATEPOST_ROLES__READER__RULES", rules),
        ],
    );
    let call = |who: &str, arguments: &Value| {
        let message = tool_call("create_records", arguments).to_string();
        let headers = ["Content-Type: application/json", who];
        let response = stage.request("POST", "/demo/mcp", &headers, &message);
        let text = response.recorded().tool_result().0;
        let changes = ["previewed", "applied"].map(|outcome| stage.changes(outcome));
        (text, changes)
    };
    let create =
        json!({"model": "crm.lead", "values": [{"name": "Ada's"}], "idempotency_key": "k"});
    let (preview, changes) = call(&ada, &create);
    assert_eq!(changes, [1, 0], "{preview}");
    let id = confirm_id(&preview);
    let before = stage.fake_odoo.snapshot();
    let (text, changes) = call(&bob, &with_confirm(&create, &id));
    assert_eq!(changes, [2, 0], "{text}");
    assert_unchanged(&stage, &before, "another's confirmation");
    let (text, changes) = call(&ada, &with_confirm(&create, &id));
    assert_eq!(changes, [2, 1], "{text}");
    // The same idempotency key of another caller is independent.
    let (text, changes) = call(&bob, &create);
    assert_eq!(changes, [3, 1], "{text}");
}

#[test]
fn approval_stays_valid_when_nothing_was_changed() {
    let stage = confirming();
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 5}});
    let id = confirm_id(&answered(&stage, "update_records", &update));
    let confirmed = with_confirm(&update, &id);
    // Odoo rejected it, or rolled everything back: the person's approval remains
    // valid.
    stage.fake_odoo.inject_conflict("crm.lead/write");
    refused_as(&stage, "update_records", &confirmed, "odoo_conflict");
    stage
        .fake_odoo
        .inject_error("crm.lead/write", FaultPoint::BeforeCall);
    refused(&stage, "update_records", &confirmed);
    stage.call_succeeds("update_records", &confirmed, "applied");
    refused_as(&stage, "update_records", &confirmed, "unapproved");
    // The approval of a write that may have run is used up.
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"expected_revenue": 6}});
    let id = confirm_id(&answered(&stage, "update_records", &update));
    let confirmed = with_confirm(&update, &id);
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::BeforeCall);
    refused(&stage, "update_records", &confirmed);
    refused_as(&stage, "update_records", &confirmed, "unapproved");
}

#[test]
fn repeated_confirmed_call_with_key_returns_first_result() {
    let stage = std::sync::Arc::new(confirming());
    let create = json!({"model": "crm.lead", "values": [{"name": "Once"}], "idempotency_key": "k"});
    let id = confirm_id(&answered(&stage, "create_records", &create));
    let confirmed = with_confirm(&create, &id);
    let before = stage.fake_odoo.snapshot();
    let callers = [(); 20].map(|()| {
        let (stage, confirmed) = (std::sync::Arc::clone(&stage), confirmed.clone());
        let confirmed = tool_call("create_records", &confirmed);
        std::thread::spawn(move || stage.post(&confirmed).recorded().tool_result())
    });
    let results = callers.map(|caller| caller.join().unwrap());
    assert!(results.iter().all(|(_, failed)| !failed), "{results:#?}");
    let changes = ["applied", "repeated"].map(|outcome| stage.changes(outcome));
    assert_eq!(changes, [1, 19], "{results:#?}");
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
}
