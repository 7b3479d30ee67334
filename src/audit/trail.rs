//! What one request leaves in the journal.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use jiff::Timestamp;

use super::{Begun, Client, Journal, Outcome, Record, Unaudited};
use gatepost_base::{InstanceName, TraceId};
use gatepost_identity::Caller;
use gatepost_odoo::{Call, Effect, MethodName, ModelName, RecordId};

/// What one request leaves in the journal: a record for each of its calls.
#[derive(Debug)]
pub struct Trail {
    journal: Arc<Journal>,
    request: TraceId,
    client: Arc<Client>,
    tool: Option<&'static str>,
    calls: AtomicU32,
    failures: AtomicU32,
}

/// What was refused before any call was made, as far as that is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// The model.
    pub model: Option<ModelName>,
    /// The method.
    pub method: Option<MethodName>,
    /// What it would have done to the data.
    pub effect: Option<Effect>,
    /// The records.
    pub ids: Vec<RecordId>,
}

impl Trail {
    /// The trail of a request that calls a tool.
    pub fn new(
        journal: &Arc<Journal>,
        request: TraceId,
        client: Client,
        tool: &'static str,
    ) -> Self {
        Self {
            journal: Arc::clone(journal),
            request,
            client: Arc::new(client),
            tool: Some(tool),
            calls: AtomicU32::new(0),
            failures: AtomicU32::new(0),
        }
    }

    /// No trail: the administrator looks around (`gatepost check --live`).
    pub fn none() -> Self {
        Self {
            journal: Arc::new(Journal::off()),
            request: TraceId::new(0),
            client: Arc::default(),
            tool: None,
            calls: AtomicU32::new(0),
            failures: AtomicU32::new(0),
        }
    }

    /// Begins the record of a call that is about to be sent; of a change, with
    /// the hash of what was there before.
    ///
    /// # Errors
    /// [`Unaudited`]; then it must not be sent.
    pub async fn begin(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        call: &Call,
        inquiry: bool,
        before: Option<Box<str>>,
    ) -> Result<Begun, Unaudited> {
        if !self.journal.is_on() {
            return Ok(Begun::unkept());
        }
        let prepared = self.prepare(caller, instance, call, inquiry, before);
        let begun = prepared.make().await;
        if begun.as_ref().map_or(true, Begun::is_crowded) {
            self.failures.fetch_add(1, Relaxed);
        }
        begun
    }

    fn prepare(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        call: &Call,
        inquiry: bool,
        before: Option<Box<str>>,
    ) -> Begun {
        let outcome = if call.effect().is_read() {
            Outcome::Cancelled
        } else {
            Outcome::Begun
        };
        let mut record = self
            .record(caller, instance, outcome)
            .calling(call, self.journal.keeps_values());
        record.call = self.calls.fetch_add(1, Relaxed) + 1;
        record.inquiry = inquiry;
        record.before = before;
        self.journal.prepare(record)
    }

    /// Writes that something was refused before any call was made.
    pub fn refuse(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        attempt: Attempt,
        reason: &'static str,
    ) {
        if self.journal.is_on() {
            let mut record = Record {
                model: attempt.model,
                method: attempt.method,
                effect: attempt.effect,
                ..self.record(caller, instance, Outcome::Forbidden(reason))
            };
            record.set_ids(attempt.ids.iter().copied(), attempt.ids.len());
            self.journal.note(record);
        }
    }

    /// Calls for whose record there was no room.
    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    fn record(&self, caller: &Caller, instance: &InstanceName, outcome: Outcome) -> Record {
        Record {
            tool: self.tool,
            ..Record::begin(
                Timestamp::now(),
                self.request,
                caller,
                &self.client,
                instance,
                outcome,
            )
        }
    }
}
