//! Elicitation: the whole gateway on real sockets, with a tool that asks the user
//! (`ask_person`).

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::mpsc,
};

use super::{post_and_close, read_to_end, read_until, stdio::ScriptedTerminations, within_timeout};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::{
        Edge, ShutdownHandle,
        stdio::{StdioError, serve},
    },
    gateway::Gateway,
    telemetry::Telemetry,
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use gatepost_state::limits::Limiter;

const EVENTS: &str = "Accept: application/json, text/event-stream";

/// The head of a client of 2026-07-28.
const STATELESS_HEADERS: &str =
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: ask_person";

/// A gateway with the instances `one` and `two`, and two callers.
struct ElicitationGateway {
    address: SocketAddr,
    gateway: Arc<ArcSwap<Gateway>>,
    telemetry: Arc<Telemetry>,
    ada: String,
    bob: String,
    checked: ValidConfig,
    shutdown: ShutdownHandle,
    runner: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl ElicitationGateway {
    fn open() -> Self {
        Self::with_gateway(|_| {})
    }

    fn with_gateway(change: impl Fn(&mut Gateway)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.toml");
        let key = || {
            let key = ApiKey::generate().unwrap();
            let stored = StoredKey {
                id: key.id().clone(),
                hash: key.hash(),
                name: "test".to_owned(),
                roles: vec![RoleName::try_from("writer").unwrap()],
                created: jiff::Timestamp::UNIX_EPOCH,
                expires: None,
                revoked: None,
            };
            update_keys_file(&file, |keys| keys.add(stored)).unwrap();
            format!("Authorization: Bearer {}", key.reveal())
        };
        let (ada, bob) = (key(), key());
        let checked = configuration(&[("GATEPOST_KEYS__FILE", file.to_str().unwrap())]);
        let mut gateway = checked.build().unwrap();
        change(&mut gateway);
        let gateway = Arc::new(ArcSwap::from_pointee(gateway));
        let telemetry = Arc::new(Telemetry::new());
        let (server, admin) = (&checked.config.server, &checked.config.admin);
        let edge = Edge::open(server, admin, &gateway, &telemetry).unwrap();
        Self {
            address: edge.addresses()[0],
            gateway,
            telemetry,
            ada,
            bob,
            checked,
            shutdown: edge.shutdown_handle(),
            runner: Some(thread::spawn(move || edge.run(None))),
            _folder: folder,
        }
    }

    /// Sends a message and reads the whole response.
    async fn post(&self, path: &str, who: &str, more: &str, message: &Value) -> String {
        let mut stream = self.start_post(path, who, more, message).await;
        read_to_end(&mut stream).await
    }

    /// Sends a message without reading its response.
    async fn start_post(&self, path: &str, who: &str, more: &str, message: &Value) -> TcpStream {
        let more = format!("Content-Type: application/json\r\n{EVENTS}\r\n{who}\r\n{more}");
        let more = format!("{}\r\n", more.trim_end());
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = post_and_close(path, &message.to_string(), &more);
        // The response may arrive before everything is sent.
        drop(stream.write_all(request.as_bytes()).await);
        stream
    }

    /// The header of the session of a client that shows forms.
    async fn open_session(&self) -> String {
        let answer = self
            .post("/one/mcp", &self.ada, "", &initialize("2025-11-25"))
            .await;
        let id = session_id(&answer).unwrap_or_else(|| panic!("{answer}"));
        format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25")
    }

    /// A call of Ada in the first instance that waits for an answer, and the id of the
    /// question.
    async fn start_elicitation(&self) -> (TcpStream, String) {
        let session = self.open_session().await;
        let mut stream = self
            .start_post("/one/mcp", &self.ada, &session, &ASK_PERSON_CALL())
            .await;
        let id = read_elicitation_id(&mut stream).await;
        (stream, id)
    }

    /// Answers a question; every answer is accepted, with or without effect.
    async fn answer_elicitation(&self, path: &str, who: &str, id: &str, outcome: Value) {
        let answer = self.post(path, who, "", &response(id, outcome)).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    fn pending_count(&self) -> usize {
        self.gateway.load().pending_elicitations.pending_count()
    }

    /// Waits until this number of questions is pending.
    async fn wait_for_pending_count(&self, many: usize) {
        within_timeout(async {
            while self.pending_count() != many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Drop for ElicitationGateway {
    fn drop(&mut self) {
        self.shutdown.shut_down();
        if let Some(runner) = self.runner.take() {
            drop(runner.join());
        }
    }
}

fn configuration(more: &[(&str, &str)]) -> ValidConfig {
    let mut settings = vec![
        ("GATEPOST_SERVER__LISTEN", "127.0.0.1:0"),
        ("GATEPOST_SERVER__MAX_BODY_BYTES", "65536"),
        ("GATEPOST_SERVER__HEARTBEAT_MS", "100"),
        ("GATEPOST_SERVER__ALLOWED_HOSTS", r#"["a"]"#),
        ("GATEPOST_ADMIN__LISTEN", ""),
        (
            "GATEPOST_ROLES__WRITER__RULES",
            r#"[{ models = ["*"], operations = ["read", "write"] }]"#,
        ),
    ];
    for name in ["ONE", "TWO"] {
        for (setting, value) in [
            ("URL", "http://127.0.0.1:9"),
            ("DATABASE", "none"),
            ("API_KEY", "none"),
            ("WRITES", "direct"),
            ("SERVICE_KEY_WRITES", "true"),
        ] {
            let setting = format!("GATEPOST_INSTANCES__{name}__{setting}");
            settings.push((Box::leak(setting.into_boxed_str()), value));
        }
    }
    settings.extend_from_slice(more);
    load(&Sources::with_environment(None, settings)).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn initialize(revision: &str) -> Value {
    initialize_with(revision, &json!({ "elicitation": {} }))
}

fn initialize_with(revision: &str, capabilities: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": revision, "capabilities": capabilities,
        "clientInfo": {"name": "test", "version": "1"},
    }})
}

const ASK_PERSON_CALL: fn() -> Value = || call(&json!({}));

fn call(more: &Value) -> Value {
    let mut params = json!({ "name": "ask_person", "arguments": {} });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})
}

fn stateless(capabilities: &Value, more: &Value) -> Value {
    let mut call = call(more);
    call["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    call
}

fn response(id: &str, outcome: Value) -> Value {
    let mut response = json!({"jsonrpc": "2.0", "id": id});
    let kind = if outcome.get("code").is_some() {
        "error"
    } else {
        "result"
    };
    response[kind] = outcome;
    response
}

fn accept_result() -> Value {
    json!({ "action": "accept", "content": { "approve": true } })
}

fn session_id(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("mcp-session-id").then_some(value)
    })
}

/// Reads until a question arrives, and returns its id.
async fn read_elicitation_id(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let said = read_until(stream, "\"required\":[\"approve\"]}}}").await;
    elicitation_id(&said)
}

fn elicitation_id(said: &str) -> String {
    let rest = said.split("\"id\":\"gp-").nth(1);
    let id = rest.and_then(|rest| rest.split('"').next());
    format!("gp-{}", id.unwrap_or_else(|| panic!("{said}")))
}

/// The JSON of a response that is not a stream.
fn json_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The text of a tool result at the end of a stream.
fn tool_text(said: &str) -> String {
    let last = said
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .next_back();
    let last = last.unwrap_or_else(|| panic!("{said}"));
    let answer: Value = serde_json::from_str(last).unwrap();
    assert_eq!(answer["id"], json!(7), "{answer}");
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[tokio::test]
async fn session_id_is_issued_only_to_client_with_form_elicitation() {
    let gateway = ElicitationGateway::open();
    let given = async |message: Value| {
        let answer = gateway.post("/one/mcp", &gateway.ada, "", &message).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        session_id(&answer).map(str::len)
    };
    assert_eq!(given(initialize("2025-06-18")).await, Some(38));
    assert_eq!(given(initialize("2025-11-25")).await, Some(38));
    // That revision has no elicitation, whatever is declared in it.
    assert_eq!(given(initialize("2025-03-26")).await, None);
    let without = |capabilities: Value| initialize_with("2025-11-25", &capabilities);
    assert_eq!(given(without(json!({}))).await, None);
    let only_links = json!({ "elicitation": { "url": {} } });
    assert_eq!(given(without(only_links)).await, None);
    assert_ne!(gateway.open_session().await, gateway.open_session().await);
}

#[tokio::test]
async fn call_elicits_on_its_stream_and_continues_with_the_response() {
    let gateway = ElicitationGateway::open();
    for (outcome, expected) in [
        (accept_result(), r#"{"consent":"accepted"}"#),
        (json!({"action": "decline"}), r#"{"consent":"declined"}"#),
        (json!({"action": "cancel"}), r#"{"consent":"cancelled"}"#),
        (
            json!({"action": "accept", "content": {"approve": "true"}}),
            r#"{"consent":"declined"}"#,
        ),
        (
            json!({"code": -32601, "message": "Method not found"}),
            "not done: this change needs the user's approval, and the client did not show the approval request \
             although it declared support for elicitation. Retrying will not help. \
             Ask the user to make the change in Odoo or to use another client",
        ),
    ] {
        let (mut stream, id) = gateway.start_elicitation().await;
        gateway
            .answer_elicitation("/one/mcp", &gateway.ada, &id, outcome)
            .await;
        let said = read_to_end(&mut stream).await;
        assert_eq!(tool_text(&said), expected);
        assert!(!said.contains("notifications/cancelled"), "{said}");
        assert_eq!(gateway.pending_count(), 0);
    }
}

#[tokio::test]
async fn stream_has_heartbeats_during_elicitation() {
    let gateway = ElicitationGateway::open();
    let (mut stream, id) = gateway.start_elicitation().await;
    read_until(&mut stream, ": still working\n\n").await;
    read_until(&mut stream, ": still working\n\n").await;
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
        .await;
    assert_eq!(
        tool_text(&read_to_end(&mut stream).await),
        r#"{"consent":"accepted"}"#
    );
}

#[tokio::test]
async fn client_without_elicitation_is_not_elicited() {
    let gateway = ElicitationGateway::open();
    let session = gateway.open_session().await;
    let foreign = "Mcp-Session-Id: 1868a90c-7c5e-4f1b-9f43-0d4b9a3b7f52";
    let twice = format!("{session}\r\n{}", session.split("\r\n").next().unwrap());
    for more in ["", foreign, "Mcp-Session-Id:", &twice] {
        let answer = gateway
            .post("/one/mcp", &gateway.ada, more, &ASK_PERSON_CALL())
            .await;
        let text = json_of(&answer)["result"]["content"][0]["text"].clone();
        assert_eq!(text, json!("by id"), "{more}");
    }
    // It can be asked, but takes no stream.
    let head = format!(
        "Content-Type: application/json\r\nAccept: application/json\r\n{}\r\n{session}\r\n",
        gateway.ada
    );
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = post_and_close("/one/mcp", &ASK_PERSON_CALL().to_string(), &head);
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = json_of(&read_to_end(&mut stream).await);
    assert_eq!(answer["result"]["content"][0]["text"], json!("by id"));
    // Batches are of a revision without elicitation.
    let session = session.replace("2025-11-25", "2025-03-26");
    let batch = json!([ASK_PERSON_CALL()]);
    let answer = json_of(
        &gateway
            .post("/one/mcp", &gateway.ada, &session, &batch)
            .await,
    );
    assert_eq!(answer[0]["result"]["content"][0]["text"], json!("by id"));
}

#[tokio::test]
async fn client_omitting_protocol_version_header_is_elicited() {
    let gateway = ElicitationGateway::open();
    let session = gateway.open_session().await;
    let session = session.split("\r\n").next().unwrap();
    let mut stream = gateway
        .start_post("/one/mcp", &gateway.ada, session, &ASK_PERSON_CALL())
        .await;
    let id = read_elicitation_id(&mut stream).await;
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
        .await;
    assert_eq!(
        tool_text(&read_to_end(&mut stream).await),
        r#"{"consent":"accepted"}"#
    );
}

#[tokio::test]
async fn only_first_answer_of_elicited_caller_counts() {
    let gateway = ElicitationGateway::open();
    let (mut stream, id) = gateway.start_elicitation().await;
    gateway
        .answer_elicitation("/one/mcp", &gateway.bob, &id, accept_result())
        .await;
    gateway
        .answer_elicitation("/two/mcp", &gateway.ada, &id, accept_result())
        .await;
    let unknown = gateway
        .post(
            "/one/mcp",
            "Authorization: Bearer gp_x",
            "",
            &response(&id, accept_result()),
        )
        .await;
    assert!(unknown.starts_with("HTTP/1.1 401 "), "{unknown}");
    assert_eq!(gateway.pending_count(), 1);
    let no = json!({ "action": "decline" });
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, no)
        .await;
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
        .await;
    assert_eq!(
        tool_text(&read_to_end(&mut stream).await),
        r#"{"consent":"declined"}"#
    );
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
        .await;
}

#[tokio::test]
async fn unknown_elicitation_responses_are_accepted_without_effect() {
    let gateway = ElicitationGateway::open();
    let (mut stream, id) = gateway.start_elicitation().await;
    for n in 0..50_u128 {
        let id = format!("gp-{n:032x}");
        gateway
            .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
            .await;
    }
    for id in [json!(7), json!(null), json!("x"), json!([]), json!(1.5)] {
        let odd = json!({"jsonrpc": "2.0", "id": id, "result": accept_result()});
        let answer = gateway.post("/one/mcp", &gateway.ada, "", &odd).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
    assert_eq!(gateway.pending_count(), 1);
    // Too large to be read: refused, and the question stays open.
    let large =
        |bytes| json!({"action": "accept", "content": {"approve": true, "why": "x".repeat(bytes)}});
    let answer = gateway
        .post("/one/mcp", &gateway.ada, "", &response(&id, large(70_000)))
        .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(gateway.pending_count(), 1);
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, large(60_000))
        .await;
    assert_eq!(
        tool_text(&read_to_end(&mut stream).await),
        r#"{"consent":"accepted"}"#
    );
}

#[tokio::test]
async fn disconnect_during_elicitation_removes_pending_elicitation() {
    let gateway = ElicitationGateway::open();
    let (stream, id) = gateway.start_elicitation().await;
    assert_eq!(gateway.pending_count(), 1);
    drop(stream);
    gateway.wait_for_pending_count(0).await;
    gateway
        .answer_elicitation("/one/mcp", &gateway.ada, &id, accept_result())
        .await;
    let line =
        "instance=\"one\",outcome=\"hung_up\",revision=\"2025-11-25\",tool=\"ask_person\"} 1";
    within_timeout(async {
        while !gateway
            .telemetry
            .metrics
            .encode(|_| {})
            .unwrap()
            .contains(line)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn elicitation_timeout_cancels_the_elicitation() {
    let gateway = ElicitationGateway::with_gateway(|gateway| {
        gateway.elicitation_timeout = Duration::from_millis(50);
    });
    let (mut stream, id) = gateway.start_elicitation().await;
    let said = read_to_end(&mut stream).await;
    assert!(
        said.contains("\"method\":\"notifications/cancelled\""),
        "{said}"
    );
    assert!(said.contains(&id), "{said}");
    insta::assert_snapshot!(tool_text(&said), @"not done: this change needs the user's approval, and they did not answer within 0 seconds. Tell them what you want to do, and call again when they are available");
    assert_eq!(gateway.pending_count(), 0);
}

#[tokio::test]
async fn client_can_cancel_call_waiting_for_elicitation() {
    let gateway = ElicitationGateway::open();
    let session = gateway.open_session().await;
    let mut stream = gateway
        .start_post("/one/mcp", &gateway.ada, &session, &ASK_PERSON_CALL())
        .await;
    read_elicitation_id(&mut stream).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 7, "reason": "timed out"}});
    // Of another client of the same caller, which counts its calls as well.
    let other = gateway.open_session().await;
    gateway
        .post("/one/mcp", &gateway.ada, &other, &cancel)
        .await;
    assert_eq!(gateway.pending_count(), 1);
    let answer = gateway
        .post("/one/mcp", &gateway.ada, &session, &cancel)
        .await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let said = read_to_end(&mut stream).await;
    assert_eq!(
        tool_text(&said),
        "not done: the client cancelled the call while the user was asked"
    );
}

#[tokio::test]
async fn pending_elicitations_per_caller_are_limited() {
    let gateway = ElicitationGateway::open();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(gateway.start_elicitation().await);
    }
    let session = gateway.open_session().await;
    let answer = gateway
        .post("/one/mcp", &gateway.ada, &session, &ASK_PERSON_CALL())
        .await;
    let answer = json_of(&answer);
    assert_eq!(answer["result"]["isError"], json!(true));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    insta::assert_snapshot!(text, @"not done: this change needs the user's approval, and they have too many open approval requests. Call again when some are answered");
    let mut other = gateway
        .start_post("/one/mcp", &gateway.bob, &session, &ASK_PERSON_CALL())
        .await;
    read_elicitation_id(&mut other).await;
    drop(open);
    drop(other);
    gateway.wait_for_pending_count(0).await;
}

#[tokio::test]
async fn shutdown_ends_calls_waiting_for_elicitation() {
    let gateway = ElicitationGateway::open();
    let (mut stream, _) = gateway.start_elicitation().await;
    gateway.shutdown.shut_down();
    let said = read_to_end(&mut stream).await;
    insta::assert_snapshot!(tool_text(&said), @"not done: this change needs the user's approval, and the gateway is restarting. Call again in a minute to ask them again");
}

#[tokio::test]
async fn after_reload_decline_counts_and_accept_must_be_repeated() {
    let gateway = ElicitationGateway::open();
    for (outcome, expected) in [
        (json!({"action": "decline"}), r#"{"consent":"declined"}"#),
        (accept_result(), "not done: the user's permissions changed"),
    ] {
        let (mut stream, id) = gateway.start_elicitation().await;
        let old = gateway.gateway.load_full();
        let new = gateway.checked.rebuild(&old).unwrap();
        gateway.gateway.store(Arc::new(new));
        gateway
            .answer_elicitation("/one/mcp", &gateway.ada, &id, outcome)
            .await;
        let text = tool_text(&read_to_end(&mut stream).await);
        assert!(text.starts_with(expected), "{text}");
    }
}

// MCP 2026-07-28, "Multi Round-Trip Requests".
#[tokio::test]
async fn stateless_client_gets_input_required_and_retries() {
    let gateway = ElicitationGateway::open();
    let forms = json!({ "elicitation": {} });
    let ask = async |more: &Value| {
        let message = stateless(&forms, more);
        json_of(
            &gateway
                .post("/one/mcp", &gateway.ada, STATELESS_HEADERS, &message)
                .await,
        )
    };
    let mut asked = ask(&json!({})).await;
    asked["result"]["_meta"] = json!(null);
    insta::assert_snapshot!(asked, @r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"approval":{"method":"elicitation/create","params":{"message":"May I?","requestedSchema":{"type":"object","properties":{"approve":{"type":"boolean","title":"Approve","description":"Whether this may be done as it is described."}},"required":["approve"]}}}},"requestState":"as it was","_meta":null}}"#);
    let with = |response: Value, state: &str| json!({"inputResponses": {"approval": response, "more": 7}, "requestState": state});
    let text = |answer: &Value| answer["result"]["content"][0]["text"].clone();
    let done = ask(&with(accept_result(), "as it was")).await;
    assert_eq!(done["result"]["resultType"], json!("complete"));
    assert_eq!(text(&done), json!(r#"{"consent":"accepted"}"#));
    let done = ask(&with(json!({"action": "decline"}), "as it was")).await;
    assert_eq!(text(&done), json!(r#"{"consent":"declined"}"#));
    for again in [
        with(accept_result(), "another"),
        json!({"inputResponses": {"approval": accept_result()}}),
        json!({"inputResponses": {}, "requestState": "as it was"}),
        json!({"requestState": "as it was"}),
    ] {
        let answer = ask(&again).await;
        assert_eq!(
            answer["result"]["resultType"],
            json!("input_required"),
            "{again}"
        );
    }
    for wrong in [
        json!({"inputResponses": null, "requestState": "as it was"}),
        json!({"inputResponses": {"approval": "yes"}, "requestState": "as it was"}),
        json!({"inputResponses": {"approval": accept_result()}, "requestState": 7}),
    ] {
        let answer = ask(&wrong).await;
        assert_eq!(answer["error"]["code"], json!(-32602), "{wrong}");
    }
    let metrics = gateway.telemetry.metrics.encode(|_| {}).unwrap();
    let asked = "gatepost_requests_total{blame=\"none\",instance=\"one\",outcome=\"asked\",revision=\"2026-07-28\",tool=\"ask_person\"} 5";
    assert!(metrics.contains(asked), "{metrics}");
    assert_eq!(gateway.pending_count(), 0);
}

// MCP 2026-07-28, "Server Requirements", 7.
#[tokio::test]
async fn stateless_client_without_form_elicitation_is_never_elicited() {
    let gateway = ElicitationGateway::open();
    let session = gateway.open_session().await;
    let session = session.split("\r\n").next().unwrap();
    for capabilities in [
        json!({}),
        json!({"elicitation": {"url": {}}}),
        json!({"sampling": {}}),
    ] {
        let brings =
            json!({"inputResponses": {"approval": accept_result()}, "requestState": "as it was"});
        let message = stateless(&capabilities, &brings);
        // A session is of the other era.
        let head = format!("{STATELESS_HEADERS}\r\n{session}");
        let answer = json_of(
            &gateway
                .post("/one/mcp", &gateway.ada, &head, &message)
                .await,
        );
        assert_eq!(answer["result"]["content"][0]["text"], json!("by id"));
    }
}

/// A client of a gateway over stdin and stdout.
struct LocalClient {
    input: DuplexStream,
    output: DuplexStream,
    served: tokio::task::JoinHandle<Result<(), StdioError>>,
}

impl LocalClient {
    fn open() -> Self {
        let gateway = Gateway {
            limits: Limiter::default(),
            ..configuration(&[]).build().unwrap()
        };
        let gateway = Arc::new(ArcSwap::from_pointee(gateway));
        let (input, stdin) = duplex(1 << 16);
        let (stdout, output) = duplex(1 << 16);
        let one = InstanceName::try_from("one").unwrap();
        let served = tokio::spawn(async move {
            let telemetry = Arc::new(Telemetry::new());
            let patience = Duration::from_secs(20);
            let signals = ScriptedTerminations(mpsc::unbounded_channel().1);
            serve(&gateway, &one, &telemetry, patience, signals, stdin, stdout).await
        });
        Self {
            input,
            output,
            served,
        }
    }

    /// The same, after a handshake with these capabilities.
    async fn initialized(capabilities: &Value) -> Self {
        let mut local = Self::open();
        local
            .send(&initialize_with("2025-06-18", capabilities))
            .await;
        read_until(&mut local.output, "\n").await;
        local
    }

    async fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        within_timeout(self.input.write_all(line.as_bytes()))
            .await
            .unwrap();
    }

    /// Calls under this id.
    async fn call(&mut self, id: usize) {
        let mut call = ASK_PERSON_CALL();
        call["id"] = json!(id);
        self.send(&call).await;
    }

    /// Ends the input, and returns the output from then on.
    async fn close(mut self) -> String {
        drop(self.input);
        let said = read_to_end(&mut self.output).await;
        within_timeout(self.served).await.unwrap().unwrap();
        said
    }
}

#[tokio::test]
async fn stdio_call_elicits_and_uses_the_response() {
    let mut local = LocalClient::initialized(&json!({"elicitation": {}})).await;
    local.call(7).await;
    let id = read_elicitation_id(&mut local.output).await;
    local.send(&response(&id, accept_result())).await;
    // Although the input ends at once.
    let said = local.close().await;
    assert!(said.contains(r#"{\"consent\":\"accepted\"}"#), "{said}");
}

#[tokio::test]
async fn last_stdio_initialize_decides_elicitation_support() {
    let mut local = LocalClient::open();
    local.call(1).await;
    let said = read_until(&mut local.output, "\n").await;
    assert!(said.contains("by id"), "{said}");
    for (capabilities, asks) in [(json!({"elicitation": {}}), true), (json!({}), false)] {
        local
            .send(&initialize_with("2025-11-25", &capabilities))
            .await;
        read_until(&mut local.output, "\n").await;
        local.call(2).await;
        let said = read_until(&mut local.output, "\n").await;
        assert_eq!(said.contains("elicitation/create"), asks, "{said}");
        assert_eq!(said.contains("by id"), !asks, "{said}");
    }
    local.close().await;
}

#[tokio::test]
async fn calls_waiting_for_elicitation_do_not_block_responses() {
    let mut local = LocalClient::initialized(&json!({"elicitation": {}})).await;
    // More than run at once, and more than are read ahead.
    for id in 0..100 {
        local.call(id).await;
    }
    let mut said = String::new();
    while said.lines().count() < 100 {
        said.push_str(&read_until(&mut local.output, "\n").await);
    }
    let asked: Vec<&str> = said.lines().filter(|line| line.contains("gp-")).collect();
    assert_eq!(asked.len(), 8);
    for question in asked {
        local
            .send(&response(&elicitation_id(question), accept_result()))
            .await;
    }
    let said = local.close().await;
    assert_eq!(said.matches("accepted").count(), 8, "{said}");
}

#[tokio::test]
async fn cancelled_stdio_call_cancels_its_elicitation() {
    let mut local = LocalClient::initialized(&json!({"elicitation": {}})).await;
    local.call(7).await;
    let id = read_elicitation_id(&mut local.output).await;
    local
        .send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}))
        .await;
    let said = read_until(&mut local.output, "\"reason\"").await;
    assert!(said.contains(&id), "{said}");
    // Too late.
    local.send(&response(&id, accept_result())).await;
    let said = local.close().await;
    assert!(!said.contains("consent"), "{said}");
}
