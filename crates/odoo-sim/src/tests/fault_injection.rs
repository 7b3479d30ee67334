//! Responses that are lost, late or errors.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{ADMIN_KEY, fake_odoo};
use crate::{FakeOdoo, FaultPoint};

/// Sends a call over a socket and returns all bytes received.
async fn send_call(address: std::net::SocketAddr, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /json/2/{path} HTTP/1.1\r\nHost: odoo\r\nAuthorization: bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A reset connection has returned nothing either.
    drop(stream.read_to_string(&mut answer).await);
    answer
}

async fn serve_fake_odoo() -> (Arc<FakeOdoo>, std::net::SocketAddr) {
    let odoo = Arc::new(fake_odoo());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&odoo).serve(listener));
    (odoo, address)
}

fn contact_name(odoo: &FakeOdoo) -> Value {
    odoo.snapshot().record("res.partner", 20).unwrap()["name"].clone()
}

const WRITE: &str = "res.partner/write";

#[tokio::test]
async fn injected_disconnect_loses_response_before_or_after_commit() {
    let (odoo, address) = serve_fake_odoo().await;
    let body = json!({"ids": [20], "vals": {"name": "Kept"}});
    odoo.inject_disconnect(WRITE, FaultPoint::AfterCommit);
    assert_eq!(send_call(address, WRITE, &body).await, "");
    assert_eq!(contact_name(&odoo), "Kept");
    odoo.inject_disconnect(WRITE, FaultPoint::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Never"}});
    assert_eq!(send_call(address, WRITE, &body).await, "");
    assert_eq!(contact_name(&odoo), "Kept");
    // Each fault strikes once, and only that method.
    odoo.inject_disconnect("res.partner/unlink", FaultPoint::BeforeCall);
    assert!(send_call(address, WRITE, &body).await.ends_with("true"));
    assert_eq!(contact_name(&odoo), "Never");
}

#[tokio::test]
async fn held_call_completes_after_client_disconnects() {
    let (odoo, address) = serve_fake_odoo().await;
    let held = odoo.hold_call(WRITE, FaultPoint::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Late"}});
    let call = tokio::spawn(async move { send_call(address, WRITE, &body).await });
    held.wait_until_reached().await;
    assert_ne!(contact_name(&odoo), "Late");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    held.release();
    while contact_name(&odoo) != "Late" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn write_is_visible_while_its_response_is_held() {
    let (odoo, address) = serve_fake_odoo().await;
    let held = odoo.hold_call(WRITE, FaultPoint::AfterCommit);
    let body = json!({"ids": [20], "vals": {"name": "Early"}});
    let call = tokio::spawn(async move { send_call(address, WRITE, &body).await });
    held.wait_until_reached().await;
    assert_eq!(contact_name(&odoo), "Early");
    held.release();
    assert!(call.await.unwrap().ends_with("true"));
}

#[tokio::test]
async fn injected_conflict_returns_serialization_failure_and_writes_nothing() {
    let (odoo, address) = serve_fake_odoo().await;
    let before = odoo.snapshot();
    odoo.inject_conflict(WRITE);
    let body = json!({"ids": [20], "vals": {"name": "x"}});
    let answer = send_call(address, WRITE, &body).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(
        answer.contains("psycopg2.errors.SerializationFailure"),
        "{answer}"
    );
    assert_eq!(odoo.snapshot(), before);
}
