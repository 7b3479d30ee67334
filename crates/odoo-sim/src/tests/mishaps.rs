//! Answers that are lost, late, or never come about.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{ADMIN_KEY, company};
use crate::{Company, Moment};

/// Sends a call over a socket and gives back all that came.
async fn sent(address: std::net::SocketAddr, path: &str, body: &Value) -> String {
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

async fn served() -> (Arc<Company>, std::net::SocketAddr) {
    let company = Arc::new(company());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&company).serve(listener));
    (company, address)
}

fn name(company: &Company) -> Value {
    company.snapshot().record("res.partner", 20).unwrap()["name"].clone()
}

const WRITE: &str = "res.partner/write";

#[tokio::test]
async fn an_answer_is_lost_after_the_write_was_kept_or_before_it_was_done() {
    let (company, address) = served().await;
    let body = json!({"ids": [20], "vals": {"name": "Kept"}});
    company.cut(WRITE, Moment::AfterCommit);
    assert_eq!(sent(address, WRITE, &body).await, "");
    assert_eq!(name(&company), "Kept");
    company.cut(WRITE, Moment::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Never"}});
    assert_eq!(sent(address, WRITE, &body).await, "");
    assert_eq!(name(&company), "Kept");
    // Each happens once, and to that method alone.
    company.cut("res.partner/unlink", Moment::BeforeCall);
    assert!(sent(address, WRITE, &body).await.ends_with("true"));
    assert_eq!(name(&company), "Never");
}

#[tokio::test]
async fn a_held_call_goes_on_though_the_client_has_left() {
    let (company, address) = served().await;
    let held = company.hold(WRITE, Moment::BeforeCall);
    let body = json!({"ids": [20], "vals": {"name": "Late"}});
    let call = tokio::spawn(async move { sent(address, WRITE, &body).await });
    held.reached().await;
    assert_ne!(name(&company), "Late");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    held.release();
    while name(&company) != "Late" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_held_answer_comes_after_the_write_can_be_seen() {
    let (company, address) = served().await;
    let held = company.hold(WRITE, Moment::AfterCommit);
    let body = json!({"ids": [20], "vals": {"name": "Early"}});
    let call = tokio::spawn(async move { sent(address, WRITE, &body).await });
    held.reached().await;
    assert_eq!(name(&company), "Early");
    held.release();
    assert!(call.await.unwrap().ends_with("true"));
}

#[tokio::test]
async fn a_conflict_is_told_as_the_recorded_odoo_told_it() {
    let (company, address) = served().await;
    let before = company.snapshot();
    company.conflict(WRITE);
    let body = json!({"ids": [20], "vals": {"name": "x"}});
    let answer = sent(address, WRITE, &body).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(
        answer.contains("psycopg2.errors.SerializationFailure"),
        "{answer}"
    );
    assert_eq!(company.snapshot(), before);
}
