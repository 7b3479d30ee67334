//! The sample company: a small Odoo stand-in speaking JSON/2 over HTTP.
//!
//! It is what a newcomer sees behind `gatepost demo`, and the double that our
//! tests talk to, so it answers as a real Odoo 19 does, refusals included
//! (`tests/fixtures/odoo19` holds it to that). It reads; writing comes with
//! the tools that write.

mod access;
mod call;
mod data;
mod domain;
mod models;
mod refusal;
mod serve;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use refusal::Refusal;
use table::Table;

/// The only database.
pub const DATABASE: &str = "demo";
/// The API key of the administrator.
pub const ADMIN_KEY: &str = "ad00000000000000000000000000000000000001";
/// The API key of a salesperson, who sees their own documents.
pub const SALES_KEY: &str = "5a11000000000000000000000000000000000006";
/// The API key of somebody without rights to any application.
pub const INTERNAL_KEY: &str = "1000000000000000000000000000000000000007";

/// Requests that are remembered.
const REMEMBERED: usize = 10_000;

/// The whole company, in memory.
#[derive(Debug)]
pub struct Company {
    tables: BTreeMap<&'static str, Table>,
    calls: Mutex<Vec<RecordedCall>>,
}

/// A request that the company received.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// The path.
    pub path: String,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body, `null` when it was no JSON.
    pub body: Value,
}

impl Company {
    /// A company as it is on a day: the same on the same day.
    pub fn new(today: jiff::civil::Date) -> Self {
        Self {
            tables: data::tables(today),
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Answers a request as Odoo would.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.remember(request);
        call::answer(self, request).unwrap_or_else(|refusal: Refusal| refusal.response())
    }

    /// The requests it received, the oldest first, up to a bound.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn remember(&self, request: &Request<Bytes>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() < REMEMBERED {
            calls.push(RecordedCall {
                path: request.uri().path().to_owned(),
                headers: request.headers().clone(),
                body: serde_json::from_slice(request.body()).unwrap_or_default(),
            });
        }
    }
}
