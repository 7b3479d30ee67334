//! The audit records of one request.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use jiff::Timestamp;

use super::{AuditOutcome, AuditUnavailable, Client, Journal, PendingRecord, Record};
use gatepost_base::{InstanceName, TraceId};
use gatepost_identity::Caller;
use gatepost_odoo::{Call, MethodName, ModelName, Operation, RecordId};

/// Writes the audit records of one request: one for each of its calls.
#[derive(Debug)]
pub struct RequestAudit {
    journal: Arc<Journal>,
    request: TraceId,
    client: Arc<Client>,
    tool: Option<&'static str>,
    calls: AtomicU32,
    lost_records: AtomicU32,
}

/// A call that was denied before it was sent, as far as it is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeniedAttempt {
    /// The model.
    pub model: Option<ModelName>,
    /// The method.
    pub method: Option<MethodName>,
    /// The operation.
    pub effect: Option<Operation>,
    /// The records.
    pub ids: Vec<RecordId>,
}

impl RequestAudit {
    /// The audit of a request that calls a tool.
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
            lost_records: AtomicU32::new(0),
        }
    }

    /// No audit, for the administrator (`gatepost check --live`).
    pub fn disabled() -> Self {
        Self {
            tool: None,
            ..Self::new(&Arc::default(), TraceId::new(0), Client::default(), "")
        }
    }

    /// Starts the record of a call that is about to be sent; for a write, with the hash
    /// of the values before it.
    ///
    /// # Errors
    /// [`AuditUnavailable`]; the call must not be sent.
    pub async fn start_call(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        call: &Call,
        inquiry: bool,
        before: Option<Box<str>>,
    ) -> Result<PendingRecord, AuditUnavailable> {
        if !self.journal.is_enabled() {
            return Ok(PendingRecord::disabled());
        }
        let outcome = if call.operation().is_read() {
            AuditOutcome::Cancelled
        } else {
            AuditOutcome::Begun
        };
        let mut record = self
            .new_record(caller, instance, outcome)
            .with_call(call, self.journal.includes_values());
        record.call = self.calls.fetch_add(1, Relaxed) + 1;
        record.inquiry = inquiry;
        record.before = before;
        let started = self.journal.pending(record).start().await;
        if started.as_ref().map_or(true, PendingRecord::may_be_lost) {
            self.lost_records.fetch_add(1, Relaxed);
        }
        started
    }

    /// Records that a call was denied before it was sent.
    pub fn record_denial(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        attempt: DeniedAttempt,
        reason: &'static str,
    ) {
        if self.journal.is_enabled() {
            let mut record = Record {
                model: attempt.model,
                method: attempt.method,
                effect: attempt.effect,
                ..self.new_record(caller, instance, AuditOutcome::Forbidden(reason))
            };
            record.set_ids(attempt.ids.iter().copied(), attempt.ids.len());
            self.journal.record(record);
        }
    }

    /// The number of calls whose record may be lost.
    pub fn lost_records(&self) -> u32 {
        self.lost_records.load(Relaxed)
    }

    fn new_record(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        outcome: AuditOutcome,
    ) -> Record {
        Record {
            tool: self.tool,
            ..Record::new(
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
