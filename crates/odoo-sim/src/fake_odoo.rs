//! The simulated server: its records, its clock, and what it has received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    api_keys::{self, ApiKey},
    data,
    database::Database,
    fault_injection::{FaultPoint, HeldCall, InjectedFault, PendingFaults},
    snapshot::Snapshot,
};

/// The most requests that are recorded.
const MAX_RECORDED_CALLS: usize = 10_000;

/// A simulated Odoo with the records of a sample company, in memory.
#[derive(Debug)]
pub struct FakeOdoo {
    /// The last committed state.
    committed: RwLock<Arc<Database>>,
    /// Held while writing: one transaction at a time.
    pub(super) write_lock: Mutex<()>,
    /// The time, while a test has stopped the clock.
    fixed_time: Mutex<Option<Timestamp>>,
    pub(super) pending_faults: PendingFaults,
    api_keys: Mutex<Vec<ApiKey>>,
    calls: Mutex<Vec<RecordedCall>>,
}

/// A request that the simulated Odoo received.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// The path.
    pub path: String,
    /// The header fields.
    pub headers: http::HeaderMap,
    /// The body; `null` if it was not JSON.
    pub body: Value,
    /// The HTTP status of the response.
    pub status: u16,
}

impl FakeOdoo {
    /// The sample company on a day. The same day gives the same records.
    pub fn new(today: jiff::civil::Date) -> Self {
        Self {
            committed: RwLock::new(Arc::new(data::sample_database(today))),
            write_lock: Mutex::new(()),
            fixed_time: Mutex::new(None),
            pending_faults: PendingFaults::default(),
            api_keys: Mutex::new(api_keys::sample_keys()),
            calls: Mutex::new(Vec::new()),
        }
    }

    /// Another server with the same records, which is changed by itself.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            committed: RwLock::new(self.database()),
            write_lock: Mutex::new(()),
            fixed_time: Mutex::new(*lock(&self.fixed_time)),
            pending_faults: PendingFaults::default(),
            api_keys: Mutex::new(self.api_keys()),
            calls: Mutex::new(Vec::new()),
        }
    }

    /// The requests received, oldest first, at most 10,000.
    pub fn calls(&self) -> Vec<RecordedCall> {
        lock(&self.calls).clone()
    }

    /// All records as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.database())
    }

    /// Stops the clock that writes read, or lets it run again. Like Odoo's it
    /// has a resolution of one second.
    pub fn set_clock(&self, at: Option<Timestamp>) {
        *lock(&self.fixed_time) = at;
    }

    /// Lets an API key expire at this time.
    pub fn set_key_expiry(&self, key: &str, expires: Timestamp) {
        api_keys::set_expiry(&mut lock(&self.api_keys), key, expires);
    }

    /// Gives the user of an API key another one, which expires at this time.
    pub fn add_other_key(&self, key: &str, expires: Timestamp) {
        api_keys::add_other_key(&mut lock(&self.api_keys), key, expires);
    }

    /// Closes the connection of the next call of `model/method` over a socket
    /// without a byte of a response.
    pub fn inject_disconnect(&self, call: &str, point: FaultPoint) {
        let fault = InjectedFault::CloseConnection;
        self.pending_faults.add(call, point, fault);
    }

    /// Holds the next call of `model/method` over a socket.
    pub fn hold_call(&self, call: &str, point: FaultPoint) -> HeldCall {
        let (held, fault) = HeldCall::new();
        self.pending_faults.add(call, point, fault);
        held
    }

    /// Answers the next call of `model/method` over a socket with a serialization
    /// failure: others kept writing to the same record, and nothing was done.
    pub fn inject_conflict(&self, call: &str) {
        let fault = InjectedFault::SerializationFailure;
        self.pending_faults.add(call, FaultPoint::BeforeCall, fault);
    }

    /// Answers the next call of `model/method` over a socket with an internal
    /// error, as a bug in a module causes it. After the commit it stands for a
    /// failure in a post-commit hook (`Cursor.postcommit`).
    pub fn inject_error(&self, call: &str, point: FaultPoint) {
        let fault = InjectedFault::InternalError;
        self.pending_faults.add(call, point, fault);
    }

    /// Answers the next call of `model/method` over a socket with a page of a proxy,
    /// as nginx does while Odoo is deployed (502, 503) or slow (504).
    pub fn inject_proxy_page(&self, call: &str, point: FaultPoint, status: StatusCode) {
        let fault = InjectedFault::ProxyPage(status);
        self.pending_faults.add(call, point, fault);
    }

    pub(super) fn api_keys(&self) -> Vec<ApiKey> {
        lock(&self.api_keys).clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        lock(&self.fixed_time).unwrap_or_else(Timestamp::now)
    }

    pub(super) fn database(&self) -> Arc<Database> {
        let committed = self.committed.read();
        Arc::clone(&committed.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn commit(&self, database: Database) {
        let committed = self.committed.write();
        *committed.unwrap_or_else(PoisonError::into_inner) = Arc::new(database);
    }

    pub(super) fn record_call(&self, request: &Request<Bytes>, status: u16) {
        let mut calls = lock(&self.calls);
        if calls.len() < MAX_RECORDED_CALLS {
            calls.push(RecordedCall {
                path: request.uri().path().to_owned(),
                headers: request.headers().clone(),
                body: serde_json::from_slice(request.body()).unwrap_or_default(),
                status,
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
