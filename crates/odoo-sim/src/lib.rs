//! The sample company: a small Odoo stand-in speaking JSON/2 over HTTP.
//!
//! It is what a newcomer sees behind `gatepost demo`, and the double that our
//! tests talk to, so it answers as a real Odoo 19 does, refusals and silent
//! failures included (`tests/fixtures/odoo19` holds it to that). A transaction
//! works on a copy of the records: what fails leaves nothing behind, and who
//! reads waits for nobody.

mod access;
mod actions;
mod call;
mod cast;
mod commands;
mod computed;
mod constraints;
mod copying;
mod data;
mod database;
mod defaults;
mod describe;
mod documentation;
mod domain;
mod html;
mod load;
mod load_cell;
mod messages;
mod methods;
mod mishap;
mod models;
mod reading;
mod refusal;
mod serve;
mod session;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod unlink;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;

use database::Database;
use mishap::FaultInjection;
use refusal::FakeOdooError;

pub use mishap::{FaultPoint, HeldCall};
pub use snapshot::{RecordChange, Snapshot};

/// The only database.
pub const DATABASE: &str = "demo";
/// The API key of the administrator.
pub const ADMIN_KEY: &str = "ad00000000000000000000000000000000000001";
/// The API key of a salesperson, who sees their own documents.
pub const SALES_KEY: &str = "5a11000000000000000000000000000000000006";
/// The API key of somebody without rights to any application.
pub const INTERNAL_KEY: &str = "1000000000000000000000000000000000000007";

/// Requests that are remembered.
const MAX_RECORDED_CALLS: usize = 10_000;

/// The whole company, in memory.
#[derive(Debug)]
pub struct FakeOdoo {
    /// What was committed last.
    committed: RwLock<Arc<Database>>,
    /// Who has it, writes: one transaction at a time.
    write_lock: Mutex<()>,
    /// The time, when a test has stopped it.
    fixed_time: Mutex<Option<Timestamp>>,
    pending_faults: Mutex<Vec<FaultInjection>>,
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

impl FakeOdoo {
    /// A company as it is on a day: the same on the same day.
    pub fn new(today: jiff::civil::Date) -> Self {
        Self {
            committed: RwLock::new(Arc::new(data::sample_database(today))),
            write_lock: Mutex::new(()),
            fixed_time: Mutex::new(None),
            pending_faults: Mutex::new(Vec::new()),
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Answers a request as Odoo would.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.record_call(request);
        call::handle_request(self, request)
            .unwrap_or_else(|refusal: FakeOdooError| refusal.into_response())
    }

    /// The requests it received, the oldest first, up to a bound.
    pub fn calls(&self) -> Vec<RecordedCall> {
        lock(&self.calls).clone()
    }

    /// All records as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.database())
    }

    /// Stops the clock that writes read, or lets it run again. It tells only
    /// seconds, as Odoo's does.
    pub fn set_clock(&self, at: Option<Timestamp>) {
        *lock(&self.fixed_time) = at;
    }

    fn now(&self) -> Timestamp {
        lock(&self.fixed_time).unwrap_or_else(Timestamp::now)
    }

    fn database(&self) -> Arc<Database> {
        Arc::clone(
            &self
                .committed
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn commit(&self, database: Database) {
        let mut committed = self
            .committed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *committed = Arc::new(database);
    }

    fn record_call(&self, request: &Request<Bytes>) {
        let mut calls = lock(&self.calls);
        if calls.len() < MAX_RECORDED_CALLS {
            calls.push(RecordedCall {
                path: request.uri().path().to_owned(),
                headers: request.headers().clone(),
                body: serde_json::from_slice(request.body()).unwrap_or_default(),
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
