//! Two gateways that share a Redis also share confirmations and idempotency keys.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use super::{ALL, confirm_id};
use crate::{
    redis_server::RedisServer,
    test_gateway::{TestGateway, tool_call},
};

const EVENTS: &str = "Accept: application/json, text/event-stream";

fn configuration(odoo: &str, server: &RedisServer, approval: &str) -> String {
    format!(
        r#"
        [server]
        anonymous_role = "all"
        [redis]
        url = "redis://127.0.0.1:{}"
        timeout_ms = 2000
        [instances.demo]
        url = "{odoo}"
        database = "demo"
        api_key = "{ADMIN_KEY}"
        service_key_writes = true
        writes = "confirm"
        approval = "{approval}"
        [roles.all]
        rules = {ALL}
        "#,
        server.port
    )
}

/// Two gateways in front of one company.
fn two_replicas(server: &RedisServer, approval: &str) -> (TestGateway, TestGateway) {
    let one = TestGateway::from_config(&configuration("ODOO", server, approval));
    let other = TestGateway::from_config(&configuration(one.odoo_url(), server, approval));
    (one, other)
}

#[test]
fn preview_of_one_replica_is_confirmed_once_at_another() {
    let server = RedisServer::start();
    let (one, other) = two_replicas(&server, "client");
    let before = one.fake_odoo.snapshot();
    let mut create =
        json!({"model": "crm.lead", "values": [{"name": "Shared"}], "idempotency_key": "k"});
    let (preview, _) = one.call("create_records", &create);
    create["confirm"] = json!(confirm_id(&preview));
    other.call_succeeds("create_records", &create, "applied");
    one.call_succeeds("create_records", &create, "repeated");
    // Without the key, the confirmation is used up as well.
    create.as_object_mut().unwrap().remove("idempotency_key");
    one.call_fails("create_records", &create, "unapproved");
    assert_eq!(super::created_ids(&one, &before, "crm.lead").len(), 1);
}

#[test]
fn writes_are_refused_and_reads_continue_without_redis() {
    let mut server = RedisServer::start();
    let (one, _other) = two_replicas(&server, "client");
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "x"}});
    let (preview, failed) = one.call("update_records", &update);
    assert!(!failed, "{preview}");
    server.kill();
    let before = one.fake_odoo.snapshot();
    one.call_fails("update_records", &update, "unremembered");
    super::assert_unchanged(&one, &before, "no Redis");
    let (text, failed) = one.call("count_records", &json!({"model": "crm.lead"}));
    assert!(!failed, "{text}");
}

/// Reads a stream until this text arrives.
fn read_until(stream: &mut TcpStream, heard: &mut String, words: &str) {
    let mut part = [0; 4096];
    while !heard.contains(words) {
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "it ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(part.get(..read).unwrap()));
    }
}

#[test]
fn elicitation_sent_by_one_replica_is_answered_at_another() {
    let server = RedisServer::start();
    let (one, other) = two_replicas(&server, "human");
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "test", "version": "1"}}});
    let json_type = "Content-Type: application/json";
    let welcome = one.request("POST", "/mcp", &[json_type, EVENTS], &hello.to_string());
    let session = format!(
        "Mcp-Session-Id: {}",
        welcome.header("mcp-session-id").unwrap()
    );
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "Asked"}});
    let body = tool_call("update_records", &update).to_string();
    let mut stream = TcpStream::connect(one.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{json_type}\r\n{EVENTS}\r\n{session}\r\n\
         MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{body}",
        one.address,
        body.len()
    )
    .unwrap();
    let mut heard = String::new();
    read_until(&mut stream, &mut heard, "elicitation/create");
    read_until(&mut stream, &mut heard, "\n\n");
    let line = heard
        .lines()
        .find(|line| line.contains("elicitation/create"))
        .unwrap();
    let (_, asked) = line.split_once("data:").unwrap();
    let asked: Value = serde_json::from_str(asked.trim()).unwrap();
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"approve": true}}});
    let headers = [
        json_type,
        EVENTS,
        session.as_str(),
        "MCP-Protocol-Version: 2025-11-25",
    ];
    let response = other.request("POST", "/mcp", &headers, &answer.to_string());
    assert_eq!(response.status, 202, "{}", response.body);
    read_until(&mut stream, &mut heard, "\"result\":");
    let lead = one
        .fake_odoo
        .snapshot()
        .record("crm.lead", 1)
        .unwrap()
        .clone();
    assert_eq!(lead["name"], json!("Asked"));
}
