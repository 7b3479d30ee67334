//! Answers that are lost, late, or never come about.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{ADMIN_KEY, fake_odoo};
use crate::{FakeOdoo, FaultPoint};

/// Sends a call over a socket and gives back all that came.
async fn send_call(address: std::net::SocketAddr, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /json/2/{path} HTTP/1.1\r\nHost: odoo\r\nAuthorization: bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A connection that is reset has brought nothing either.
    drop(stream.read_to_string(&mut answer).await);
    answer
}

async fn serve_fake_odoo() -> (Arc<FakeOdoo>, std::net::SocketAddr) {
    let company = Arc::new(fake_odoo());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&company).serve(listener));
    (company, address)
}

fn contact_name(company: &FakeOdoo) -> Value {
    company.snapshot().record("res.partner", 20).unwrap()["name"].clone()
}

const WRITE: &str = "res.partner/write";

#[tokio::test]
async fn injected_disconnect_loses_response_before_or_after_commit() {
    let (company, address) = serve_fake_odoo().await;
    let body = json!({"ids": [20], "vals": {"name": "Kept"}});
    company.inject_disconnect(WRITE, FaultPoint::AfterCommit);
    assert_eq!(send_call(address, WRITE, &body).await, "");
    assert_eq!(contact_name(&company), "Kept");
    company.inject_disconnect(WRITE, FaultPoint::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Never"}});
    assert_eq!(send_call(address, WRITE, &body).await, "");
    assert_eq!(contact_name(&company), "Kept");
    // Each happens once, and to that method alone.
    company.inject_disconnect("res.partner/unlink", FaultPoint::BeforeCall);
    assert!(send_call(address, WRITE, &body).await.ends_with("true"));
    assert_eq!(contact_name(&company), "Never");
}

#[tokio::test]
async fn held_call_completes_after_client_disconnects() {
    let (company, address) = serve_fake_odoo().await;
    let held = company.hold_call(WRITE, FaultPoint::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Late"}});
    let call = tokio::spawn(async move { send_call(address, WRITE, &body).await });
    held.wait_until_reached().await;
    assert_ne!(contact_name(&company), "Late");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    held.release();
    while contact_name(&company) != "Late" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn write_is_visible_while_its_response_is_held() {
    let (company, address) = serve_fake_odoo().await;
    let held = company.hold_call(WRITE, FaultPoint::AfterCommit);
    let body = json!({"ids": [20], "vals": {"name": "Early"}});
    let call = tokio::spawn(async move { send_call(address, WRITE, &body).await });
    held.wait_until_reached().await;
    assert_eq!(contact_name(&company), "Early");
    held.release();
    assert!(call.await.unwrap().ends_with("true"));
}

#[tokio::test]
async fn injected_conflict_returns_serialization_failure_and_writes_nothing() {
    let (company, address) = serve_fake_odoo().await;
    let before = company.snapshot();
    company.inject_conflict(WRITE);
    let body = json!({"ids": [20], "vals": {"name": "x"}});
    let answer = send_call(address, WRITE, &body).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(
        answer.contains("psycopg2.errors.SerializationFailure"),
        "{answer}"
    );
    assert_eq!(company.snapshot(), before);
}
