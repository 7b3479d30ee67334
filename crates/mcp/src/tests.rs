use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::{Body, Inbound, McpHeaders, Params, ProtocolError, Transport, handshake};

const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn http(version: Option<&str>, method: Option<&str>, name: Option<&str>) -> Transport {
    Transport::Http(McpHeaders {
        version: version.map(str::to_owned),
        method: method.map(str::to_owned),
        name: name.map(str::to_owned),
        ..McpHeaders::default()
    })
}

/// The outcome for a body: its revision and method, `silent`, or the error code.
fn classify(body: &Value, transport: &Transport) -> String {
    classify_text(&body.to_string(), transport)
}

fn classify_text(body: &str, transport: &Transport) -> String {
    let understood = Body::parse(body.as_bytes()).and_then(|body| match body {
        Body::Single(envelope) => envelope.classify(transport).map(|inbound| match inbound {
            Inbound::Notification { .. } | Inbound::Response(_) => "silent".to_owned(),
            Inbound::Request(request) => {
                format!("{} {}", request.revision.as_str(), request.method.as_str())
            }
        }),
        Body::Batch(batch) => batch
            .messages(transport)
            .map(|messages| format!("batch of {}", messages.len())),
    });
    understood.unwrap_or_else(|error: ProtocolError| error.code().to_string())
}

fn stateless(method: &str, version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method,
           "params": {"_meta": {CLAIM: version, CAPABILITIES: {}}}})
}

fn handshake_request(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}})
}

// MCP 2026-07-28, Streamable HTTP, "Server Validation"; facts/mcp.md section 0, gate 11.
#[test]
fn body_decides_the_era_and_headers_must_match() {
    let modern = Some("2026-07-28");
    let list = http(modern, Some("tools/list"), None);
    assert_eq!(
        classify(&stateless("tools/list", "2026-07-28"), &list),
        "2026-07-28 tools/list"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "2026-07-28"),
            &http(None, None, None)
        ),
        "-32020"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "2026-07-28"),
            &http(Some("2025-11-25"), None, None)
        ),
        "-32020"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "2026-07-28"),
            &http(modern, None, None)
        ),
        "-32020"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "2026-07-28"),
            &http(modern, Some("Tools/List"), None)
        ),
        "-32020"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "1900-01-01"),
            &http(Some("1900-01-01"), None, None)
        ),
        "-32022"
    );
    assert_eq!(
        classify(
            &stateless("tools/list", "2025-11-25"),
            &http(Some("2025-11-25"), None, None)
        ),
        "-32022"
    );
    assert_eq!(
        classify(
            &handshake_request("tools/list"),
            &http(modern, Some("tools/list"), None)
        ),
        "-32602"
    );
    assert_eq!(
        classify(
            &handshake_request("tools/list"),
            &http(Some("2027-01-01"), None, None)
        ),
        "-32022"
    );
    assert_eq!(
        classify(
            &handshake_request("tools/list"),
            &http(Some("garbage"), None, None)
        ),
        "-32022"
    );
    assert_eq!(
        classify(
            &handshake_request("tools/list"),
            &http(Some("2025-06-18"), None, None)
        ),
        "2025-06-18 tools/list"
    );
    assert_eq!(
        classify(&handshake_request("tools/list"), &http(None, None, None)),
        "2025-03-26 tools/list"
    );
    assert_eq!(
        classify(
            &handshake_request("initialize"),
            &http(None, Some("initialize"), None)
        ),
        "2025-11-25 initialize"
    );
    // `initialize` names its revision in the body, whatever the header says.
    for version in ["2027-01-01", "2026-07-28", "2024-11-05", "garbage"] {
        assert_eq!(
            classify(
                &handshake_request("initialize"),
                &http(Some(version), None, None)
            ),
            "2025-11-25 initialize",
            "{version}"
        );
    }
}

#[test]
fn notification_of_an_unknown_revision_is_rejected_like_a_request() {
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for (version, outcome) in [
        (None, "silent"),
        (Some("2025-06-18"), "silent"),
        (Some("2026-07-28"), "silent"),
        (Some("2027-01-01"), "-32022"),
        (Some("garbage"), "-32022"),
    ] {
        assert_eq!(
            classify(&initialized, &http(version, None, None)),
            outcome,
            "{version:?}"
        );
    }
}

#[test]
fn outdated_revision_is_rejected_with_those_of_both_eras() {
    for outdated in ["2024-11-05", "", "2025-06-18, 2025-11-25"] {
        let body = handshake_request("tools/call").to_string();
        let Ok(Body::Single(envelope)) = Body::parse(body.as_bytes()) else {
            panic!("{body}");
        };
        let error = envelope.classify(&http(Some(outdated), None, None)).err();
        let Some(ProtocolError::UnsupportedVersion { supported, .. }) = error else {
            panic!("{outdated}: {error:?}");
        };
        let supported: Vec<&str> = supported.iter().map(|one| one.as_str()).collect();
        assert_eq!(
            supported,
            ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]
        );
    }
}

#[test]
fn methods_are_limited_to_their_era() {
    let modern = |method| {
        classify(
            &stateless(method, "2026-07-28"),
            &http(Some("2026-07-28"), Some(method), None),
        )
    };
    assert_eq!(modern("server/discover"), "2026-07-28 server/discover");
    for gone in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/list",
    ] {
        assert_eq!(modern(gone), "-32601", "{gone}");
    }
    assert_eq!(
        classify(
            &handshake_request("server/discover"),
            &http(None, None, None)
        ),
        "-32601"
    );
    assert_eq!(
        classify(&handshake_request("ping"), &http(None, None, None)),
        "2025-03-26 ping"
    );
}

#[test]
fn stateless_request_requires_all_metadata() {
    let header = http(Some("2026-07-28"), Some("tools/list"), None);
    let with = |meta: Value| {
        classify(
            &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}),
            &header,
        )
    };
    assert_eq!(
        with(json!({CLAIM: "2026-07-28", CAPABILITIES: {}})),
        "2026-07-28 tools/list"
    );
    assert_eq!(with(json!({CLAIM: "2026-07-28"})), "-32602");
    assert_eq!(
        with(json!({CLAIM: "2026-07-28", CAPABILITIES: []})),
        "-32602"
    );
    assert_eq!(with(json!({CLAIM: 7, CAPABILITIES: {}})), "-32602");
    assert_eq!(with(json!({CAPABILITIES: {}})), "-32602");
    assert_eq!(with(json!("x")), "-32602");
}

#[test]
fn name_header_is_decoded_before_comparison() {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params":
        {"name": "größe", "_meta": {CLAIM: "2026-07-28", CAPABILITIES: {}}}});
    let named = |name| classify(&call, &http(Some("2026-07-28"), Some("tools/call"), name));
    assert_eq!(
        named(Some("=?base64?Z3LDtsOfZQ==?=")),
        "2026-07-28 tools/call"
    );
    assert_eq!(named(Some("=?base64?Z3LDtsOfZQ?=")), "-32020");
    assert_eq!(named(Some("grosse")), "-32020");
    assert_eq!(named(None), "-32020");
}

#[test]
fn invalid_requests_and_invalid_json_have_different_codes() {
    let plain = http(None, None, None);
    for (body, code) in [
        ("", "-32700"),
        ("{", "-32700"),
        ("\u{feff}{}", "-32700"),
        ("[{]", "-32700"),
        ("7", "-32600"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":["2026-07-28",{}]}}"#,
            "-32602",
        ),
        ("\"x\"", "-32600"),
        ("[]", "-32600"),
        ("{}", "-32600"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "-32600"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#,
            "-32600",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            "-32602",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#, "-32601"),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            "silent",
        ),
        (r#"{"jsonrpc":"2.0","id":3,"result":{}}"#, "silent"),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#,
            "2025-03-26 ping",
        ),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#,
            "2025-03-26 ping",
        ),
    ] {
        assert_eq!(classify_text(body, &plain), code, "{body}");
    }
}

#[test]
fn batches_are_accepted_only_in_2025_03_26() {
    let two = json!([handshake_request("ping"), handshake_request("tools/list")]);
    assert_eq!(classify(&two, &http(None, None, None)), "batch of 2");
    assert_eq!(
        classify(&two, &http(Some("2025-03-26"), None, None)),
        "batch of 2"
    );
    assert_eq!(
        classify(&two, &http(Some("2025-06-18"), None, None)),
        "-32600"
    );
    assert_eq!(
        classify(&two, &http(Some("2026-07-28"), None, None)),
        "-32600"
    );
    assert_eq!(
        classify(
            &json!([handshake_request("initialize")]),
            &http(None, None, None)
        ),
        "-32600"
    );
    assert_eq!(
        classify(
            &json!([stateless("tools/list", "2026-07-28")]),
            &http(None, None, None)
        ),
        "-32600"
    );
    assert_eq!(
        classify(
            &json!(vec![handshake_request("ping"); 21]),
            &http(None, None, None)
        ),
        "-32600"
    );
}

/// Every text of a [`ProtocolError`], with its code.
#[test]
fn protocol_errors_say_what_is_wrong() {
    let plain = http(None, None, None);
    let in_batches = http(Some("2025-06-18"), None, None);
    let modern = |method, name| http(Some("2026-07-28"), method, name);
    let list = modern(Some("tools/list"), None);
    let ping = || handshake_request("ping");
    let with_meta = |meta: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params":
        {"name": "read_records", "_meta": {CLAIM: "2026-07-28", CAPABILITIES: {}}}});
    let bodies = [
        (json!([]), &plain),
        (json!(vec![ping(); 21]), &plain),
        (json!([ping()]), &in_batches),
        (json!([stateless("tools/list", "2026-07-28")]), &plain),
        (json!([handshake_request("initialize")]), &plain),
        (json!(7), &plain),
        (json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}), &plain),
        (json!({"jsonrpc": "2.0", "id": 1}), &plain),
        (json!({"jsonrpc": "2.0", "id": 1, "method": 7}), &plain),
        (
            json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}),
            &plain,
        ),
        (
            json!({"jsonrpc": "2.0", "id": {}, "method": "ping"}),
            &plain,
        ),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}),
            &plain,
        ),
        (handshake_request("nope"), &plain),
        (with_meta(json!("x")), &list),
        (with_meta(json!({CLAIM: 7})), &list),
        (with_meta(json!({CLAIM: "2026-07-28"})), &list),
        (handshake_request("tools/list"), &list),
        (stateless("tools/list", "2026-07-28"), &plain),
        (stateless("tools/list", "2026-07-28"), &in_batches),
        (stateless("tools/list", "2026-07-28"), &modern(None, None)),
        (
            call.clone(),
            &modern(Some("tools/call"), Some("count_records")),
        ),
        (call, &modern(Some("tools/call"), Some("=?base64?Z?="))),
        (
            stateless("tools/list", "1900-01-01"),
            &http(Some("1900-01-01"), None, None),
        ),
    ];
    let of_bodies = bodies.iter().map(|(body, transport)| {
        let text = body.to_string();
        let body = Body::parse(text.as_bytes());
        let error = body.and_then(|body| match body {
            Body::Single(envelope) => envelope.classify(transport).map(drop),
            Body::Batch(batch) => batch.messages(transport).map(drop),
        });
        error.unwrap_err()
    });

    let several = |name: &'static str, values: [&'static str; 2]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        McpHeaders::from_headers(&headers).unwrap_err()
    };
    let of_headers = [
        several("mcp-name", ["a", "b"]),
        several("mcp-name", ["é", "é"]),
        several("mcp-protocol-version", ["é", "é"]),
    ];

    let of_params = [
        r"{}",
        r#"{"name": "a", "name": "b"}"#,
        r#"{"cursor": 7}"#,
        r#"{"requestState": 7}"#,
        r#"{"requestState": "s", "inputResponses": 7}"#,
        r#"{"requestState": "s", "inputResponses": {"approval": 7}}"#,
    ]
    .map(|text| {
        let params = Params::parse(Some(serde_json::from_str(text).unwrap()));
        let error = params.and_then(|params| {
            params.cursor()?;
            params.input_response()?;
            params.tool_name().map(drop)
        });
        error.unwrap_err()
    });
    let of_initialize = handshake::initialize(&Params::default(), "", "").unwrap_err();

    let errors = of_bodies
        .chain(of_headers)
        .chain(of_params)
        .chain([of_initialize]);
    let lines: Vec<String> = errors
        .map(|error| format!("{} {error}", error.code()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}
