//! Requests that are rejected, over the wire.

use std::{fs, process::Command};

use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::{
    credentials::Keys,
    test_gateway::{TestGateway, TestResponse, tool_call},
};

const JSON: &str = "Content-Type: application/json";

fn status_and_code(answer: &TestResponse) -> String {
    let code = serde_json::from_str::<Value>(&answer.body)
        .ok()
        .and_then(|body| body["error"]["code"].as_i64())
        .map_or(String::new(), |code| format!(" {code}"));
    format!("{}{code}", answer.status)
}

#[test]
fn only_canonical_paths_reach_an_instance() {
    let stage = TestGateway::anonymous();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for path in [
        "/mcp",
        "/mcp/",
        "/demo/mcp",
        "/demo/mcp/",
        "/DEMO/MCP",
        "/demo/mcp?x=1",
    ] {
        assert_eq!(
            stage.request("POST", path, &[JSON], &ping).status,
            200,
            "{path}"
        );
    }
    for path in [
        "/",
        "/nope/mcp",
        "/demo",
        "/demo/mcp/x",
        "/demo//mcp",
        "//mcp",
        "/./mcp",
        "/x/../mcp",
        "/demo%2fmcp",
        "/%6dcp",
        "/demo/mcp//",
        "/demo\\mcp",
    ] {
        let answer = stage.request("POST", path, &[JSON], &ping);
        assert!(
            matches!(answer.status, 404 | 400),
            "{path}: {}",
            answer.status
        );
        assert!(!answer.body.contains("demo"), "{path}");
    }
    assert!(stage.fake_odoo.calls().is_empty());
}

#[test]
fn public_url_routes_only_to_its_own_instance() {
    let company = std::sync::Arc::new(odoo_sim::FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    let keys = Keys::new();
    let bearer = keys.header_for_roles(&["reader"]);
    let stage = TestGateway::in_front_of(
        "http://127.0.0.1:9",
        company,
        ADMIN_KEY,
        &[
            ("GATEPOST_KEYS__FILE", &keys.file()),
            ("GATEPOST_INSTANCES__OTHER__URL", "http://127.0.0.1:9"),
            ("GATEPOST_INSTANCES__OTHER__API_KEY", ADMIN_KEY),
            (
                "GATEPOST_INSTANCES__OTHER__PUBLIC_URLS",
                "https://other.example.com/mcp,https://mcp.example.com/second/mcp",
            ),
        ],
    );
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}).to_string();
    let title = |path: &str, host: &str| {
        let headers = [JSON, &format!("Host: {host}"), &bearer];
        let answer = stage.request("POST", path, &headers, &hello);
        (
            answer.status,
            serde_json::from_str::<Value>(&answer.body).map_or(json!(null), |body| {
                body["result"]["serverInfo"]["title"].clone()
            }),
        )
    };
    assert_eq!(
        title("/mcp", "other.example.com"),
        (200, json!("Odoo (other)"))
    );
    assert_eq!(
        title("/MCP/", "OTHER.example.com:443"),
        (200, json!("Odoo (other)"))
    );
    assert_eq!(
        title("/second/mcp", "mcp.example.com"),
        (200, json!("Odoo (other)"))
    );
    assert_eq!(title("/demo/mcp", "localhost"), (200, json!("Odoo (demo)")));
    // With two instances, the bare path belongs to none, and the response says so
    // without their names.
    assert_eq!(title("/mcp", "localhost").0, 404);
    let answer = stage.request("POST", "/MCP/", &[JSON, "Host: localhost", &bearer], &hello);
    assert_eq!(answer.status, 404);
    insta::assert_snapshot!(answer.body, @r#"{"error":"not_found","error_description":"several Odoo instances are served here, each at `/NAME/mcp`; ask your administrator for your URL"}"#);
    assert_eq!(title("/mcp", "mcp.example.com").0, 404);
}

#[test]
fn bad_requests_have_the_documented_statuses() {
    let stage = TestGateway::anonymous();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let rows: Vec<(&str, &str, Vec<&str>, &str)> = vec![
        ("a valid request", "POST", vec![JSON], ping),
        ("GET", "GET", vec![], ""),
        ("DELETE", "DELETE", vec![], ""),
        (
            "a foreign page",
            "POST",
            vec![JSON, "Origin: https://evil.example"],
            ping,
        ),
        (
            "a page without a name",
            "POST",
            vec![JSON, "Origin: null"],
            ping,
        ),
        (
            "a page on this machine",
            "POST",
            vec![JSON, "Origin: http://localhost:6274"],
            ping,
        ),
        (
            "a foreign host",
            "POST",
            vec![JSON, "Host: evil.example"],
            ping,
        ),
        (
            "a preflight",
            "OPTIONS",
            vec![
                "Origin: http://localhost:6274",
                "Access-Control-Request-Method: POST",
            ],
            "",
        ),
        ("plain OPTIONS", "OPTIONS", vec![], ""),
        (
            "a revision of the future",
            "POST",
            vec![JSON, "MCP-Protocol-Version: 2027-01-01"],
            ping,
        ),
        ("no content type", "POST", vec![], ping),
        ("text", "POST", vec!["Content-Type: text/plain"], ping),
        (
            "wants a picture",
            "POST",
            vec![JSON, "Accept: image/png"],
            ping,
        ),
        ("wants anything", "POST", vec![JSON, "Accept: */*"], ping),
        (
            "a compressed body",
            "POST",
            vec![JSON, "Content-Encoding: gzip"],
            ping,
        ),
        ("no JSON", "POST", vec![JSON], "{"),
        ("no request", "POST", vec![JSON], "7"),
        (
            "an id of null",
            "POST",
            vec![JSON],
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        ),
        (
            "an unknown method",
            "POST",
            vec![JSON],
            r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#,
        ),
        (
            "an unknown revision",
            "POST",
            vec![JSON, "MCP-Protocol-Version: 1999-01-01"],
            ping,
        ),
        (
            "a notification",
            "POST",
            vec![JSON],
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        ),
        ("an empty batch", "POST", vec![JSON], "[]"),
        (
            "a batch of a later revision",
            "POST",
            vec![JSON, "MCP-Protocol-Version: 2025-06-18"],
            "[]",
        ),
        ("2026-07-28 without its headers", "POST", vec![JSON], modern),
        (
            "2026-07-28 with a false method",
            "POST",
            vec![JSON, "MCP-Protocol-Version: 2026-07-28", "Mcp-Method: ping"],
            modern,
        ),
        (
            "2026-07-28",
            "POST",
            vec![
                JSON,
                "MCP-Protocol-Version: 2026-07-28",
                "Mcp-Method: tools/list",
            ],
            modern,
        ),
        (
            "2026-07-28 without its metadata",
            "POST",
            vec![JSON, "MCP-Protocol-Version: 2026-07-28"],
            ping,
        ),
        (
            "a wrong token",
            "POST",
            vec![JSON, "Authorization: Bearer nonsense"],
            ping,
        ),
        (
            "two tokens",
            "POST",
            vec![JSON, "Authorization: Bearer a", "Authorization: Bearer b"],
            ping,
        ),
        (
            "a password",
            "POST",
            vec![JSON, "Authorization: Basic YTpi"],
            ping,
        ),
    ];
    let table: Vec<String> = rows
        .iter()
        .map(|(what, method, headers, body)| {
            format!(
                "{what}: {}",
                status_and_code(&stage.request(method, "/mcp", headers, body))
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    a valid request: 200
    GET: 405
    DELETE: 405
    a foreign page: 403 -32600
    a page without a name: 403 -32600
    a page on this machine: 200
    a foreign host: 421
    a preflight: 204
    plain OPTIONS: 204
    a revision of the future: 400 -32022
    no content type: 415
    text: 415
    wants a picture: 406
    wants anything: 200
    a compressed body: 415
    no JSON: 400 -32700
    no request: 400 -32600
    an id of null: 400 -32600
    an unknown method: 200 -32601
    an unknown revision: 400 -32022
    a notification: 202
    an empty batch: 400 -32600
    a batch of a later revision: 400 -32600
    2026-07-28 without its headers: 400 -32020
    2026-07-28 with a false method: 400 -32020
    2026-07-28: 200
    2026-07-28 without its metadata: 400 -32602
    a wrong token: 401
    two tokens: 400
    a password: 401
    ");
    assert!(
        stage.fake_odoo.calls().is_empty(),
        "a rejected request reached Odoo"
    );
}

#[test]
fn oversized_body_is_rejected_before_it_is_read() {
    let stage = TestGateway::anonymous();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\n{JSON}\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n",
        stage.address
    );
    assert_eq!(stage.send(head.as_bytes()).status, 413);
}

#[test]
fn every_request_is_unauthorized_without_configured_authentication() {
    let stage = TestGateway::with_key(ADMIN_KEY, &[]);
    for method in ["POST", "GET", "DELETE"] {
        let answer = stage.request(method, "/mcp", &[JSON], "");
        assert_eq!(answer.status, 401, "{method}");
        assert_eq!(
            answer.header("www-authenticate").unwrap(),
            "Bearer realm=\"gatepost\""
        );
    }
    assert!(stage.fake_odoo.calls().is_empty());
}

#[test]
fn api_key_authenticates_until_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let gatepost = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(["key"])
            .args(arguments)
            .args(["--file", file.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key = gatepost(&["new", "--role", "reader", "--name", "test"]);
    assert!(
        !fs::read_to_string(&file)
            .unwrap()
            .contains(key.rsplit('_').next().unwrap())
    );
    let stage = || {
        TestGateway::with_key(
            ADMIN_KEY,
            &[("GATEPOST_KEYS__FILE", file.to_str().unwrap())],
        )
    };
    let bearer = format!("Authorization: Bearer {key}");
    let counting = tool_call("count_records", &json!({"model": "res.partner"})).to_string();
    let ask = |stage: &TestGateway, bearer: &str| {
        stage.request("POST", "/mcp", &[JSON, bearer], &counting)
    };
    let before = stage();
    assert!(!ask(&before, &bearer).tool_result().1);
    let mut mistyped = bearer.clone();
    mistyped.pop();
    let rejected = ask(&before, &mistyped);
    assert_eq!(rejected.status, 401);
    assert!(
        rejected
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    assert!(!rejected.body.contains(&key));
    let id = key.split('_').nth(1).unwrap();
    gatepost(&["revoke", id]);
    assert_eq!(ask(&stage(), &bearer).status, 401);
}

#[test]
fn unknown_tool_is_answered_with_the_one_that_is_meant() {
    let open = TestGateway::anonymous();
    let message = |name: &str| {
        let answer = open.post(&tool_call(name, &json!({}))).json();
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        message("search_read"),
        "Unknown tool: search_read; did you mean `search_records`?"
    );
    // The anonymous role may not write, so no tool that writes exists for it.
    assert_eq!(
        message("unlink").replace("unlink", "delete_records"),
        message("delete_records")
    );
}

#[test]
fn hidden_tool_is_indistinguishable_from_unknown_tool() {
    let nothing = [
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        (
            "GATEPOST_ROLES__READER__RULES",
            r#"[{ models = ["sale.order"], operations = [] }]"#,
        ),
    ];
    let hidden = TestGateway::with_key(ADMIN_KEY, &nothing);
    let answer = hidden.post(&tool_call("count_records", &json!({"model": "sale.order"})));
    assert_eq!(
        (
            answer.status,
            answer.json()["error"]["message"].as_str().unwrap()
        ),
        (
            200,
            "Unknown tool: count_records; tools/list has those that you may call"
        )
    );
    let open = TestGateway::anonymous();
    let answer = open.post(&tool_call("no_such_tool", &json!({})));
    assert_eq!(
        (
            answer.status,
            answer.json()["error"]["message"].as_str().unwrap()
        ),
        (
            200,
            "Unknown tool: no_such_tool; tools/list has those that you may call"
        )
    );
    assert_eq!(answer.json()["error"]["code"], -32602);
}

#[test]
fn bytes_after_malformed_body_are_never_parsed_as_request() {
    let stage = TestGateway::anonymous();
    let ping = r#"{"jsonrpc":"2.0","id":77,"method":"ping"}"#;
    let smuggled = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{ping}",
        ping.len()
    );
    let head = format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n");
    for broken in [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    ] {
        // In one piece, and late: only bytes before the close are answered.
        for late in [false, true] {
            let answer = stage.send_in_two(
                format!("{head}{broken}").as_bytes(),
                smuggled.as_bytes(),
                late,
            );
            assert_eq!(answer.status, 400, "{broken:?}");
            assert_eq!(
                answer.header("connection").as_deref(),
                Some("close"),
                "{broken:?}"
            );
            assert!(!answer.body.contains("77"), "{broken:?}: {}", answer.body);
        }
    }
}
