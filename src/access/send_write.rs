//! Writes: authorized, audited, and completed even if the client disconnects.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::JoinError,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    OdooSession, OperationError, audit_records::audit_outcome, authorization::CollectedFacts,
};
use crate::audit::{AuditOutcome, PendingRecord, ResponseSummary};
use gatepost_base::TraceContext;
use gatepost_odoo::{Call, LoadResult, OdooError, Operation, Request};
use gatepost_odoo_client::{CallError, OdooApiKey, OdooClient, UnknownOutcome};
use gatepost_policy::{Forbidden, Permitted, RecordAccess, WriteMode};

/// How often a client is notified that Odoo is still working.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// A write that the policy permits, with the mode that applies.
#[derive(Debug)]
pub struct AuthorizedWrite {
    call: Permitted<Call>,
    mode: WriteMode,
    record_accesses: Vec<RecordAccess>,
}

/// A write whose audit record is started and that may be sent. It owns all it
/// needs, so that it completes in a task of its own.
struct AuditedWrite {
    client: Arc<OdooClient>,
    key: OdooApiKey,
    call: Permitted<Call>,
    trace_context: Option<TraceContext>,
    audit_record: PendingRecord,
    client_gone: Arc<AtomicBool>,
}

/// Records that the client disconnected if it is dropped before the write ends.
struct DisconnectGuard {
    client_gone: Option<Arc<AtomicBool>>,
}

impl AuthorizedWrite {
    /// The call.
    pub fn call(&self) -> &Call {
        self.call.get()
    }

    /// The least restrictive mode in which the caller may make it.
    pub fn mode(&self) -> WriteMode {
        self.mode
    }

    /// The operations that it does, on which models and records.
    pub fn record_accesses(&self) -> &[RecordAccess] {
        &self.record_accesses
    }
}

impl OdooSession<'_> {
    /// Authorizes a write in the least restrictive mode that the instance and
    /// the caller's roles allow. Nothing is sent yet.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn permit_write(&self, call: Call) -> Result<AuthorizedWrite, OperationError> {
        self.account()?.allow(call.operation())?;
        let (roles, instance) = self.scope();
        let most = self.instance.write_mode();
        let mut refusal = OperationError::from(Forbidden::Operation {
            model: call.model().clone(),
            operation: call.operation(),
        });
        let mut facts = CollectedFacts::default();
        for mode in WriteMode::WRITING {
            if mode > most {
                continue;
            }
            let permit = self.decide(&mut facts, call.model(), |facts| {
                self.policy
                    .permit_write(roles, instance, mode, &call, facts)
            });
            // Boxed: it is large, because it may look up schemas.
            match Box::pin(permit).await {
                Ok((call, record_accesses)) => {
                    return Ok(AuthorizedWrite {
                        call,
                        mode,
                        record_accesses,
                    });
                }
                Err(error @ OperationError::Forbidden(_)) => refusal = error,
                Err(error) => return Err(error),
            }
        }
        Err(refusal)
    }

    /// Starts the audit record, sends the write, and runs `then` with the result.
    /// Once sent, both complete even if this future is dropped because the client
    /// disconnected: Odoo continues, too.
    ///
    /// `before` is the hash of the records before the write, for the audit.
    ///
    /// # Errors
    /// [`OperationError`] if it was not sent; otherwise `then` gets the error.
    pub async fn send_write<T, F>(
        &self,
        authorized: AuthorizedWrite,
        before: Option<Box<str>>,
        then: impl FnOnce(Result<Bytes, OperationError>) -> F + Send + 'static,
    ) -> Result<T, OperationError>
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        let call = authorized.call;
        let (client, key) = self.account()?.client_and_key();
        // Now, because a person may have been asked since the call began.
        self.active_keys.allow(self.caller)?;
        let audit_record = self.start_audit(call.get(), false, before).await?;
        let target = format!("{} on {}", call.get().method(), call.get().model());
        self.report_progress(|| format!("Asking Odoo: {target}"));
        let sent = call.get().clone();
        let timer = self.call_stats.start_call(&sent);
        let client_gone = Arc::new(AtomicBool::new(false));
        let guard = DisconnectGuard {
            client_gone: Some(Arc::clone(&client_gone)),
        };
        let write = AuditedWrite {
            client,
            key,
            call,
            trace_context: timer.trace_context().cloned(),
            audit_record,
            client_gone,
        };
        let in_flight = self.in_flight_writes.begin();
        let task = tokio::spawn(async move {
            let (answer, failure) = write.send().await;
            let done = then(answer).await;
            drop(in_flight);
            (done, failure)
        });
        let ended = with_heartbeat(task, HEARTBEAT_INTERVAL, |elapsed| {
            let seconds = elapsed.as_secs();
            self.report_progress(|| format!("Odoo is working: {target}, {seconds} s so far"));
        })
        .await;
        guard.disarm();
        match ended {
            Ok((done, failure)) => {
                timer.end(failure);
                if failure == Some(OdooError::KeyRejected.kind()) {
                    self.record_rejection(&CallError::Fault(OdooError::KeyRejected));
                }
                Ok(done)
            }
            // The task panicked, so it is unknown how far the write got.
            Err(error) => {
                timer.end(Some("outcome_unknown"));
                Err(outcome_unknown(error))
            }
        }
    }
}

impl AuditedWrite {
    /// Sends the write and finishes its audit record. Also returns the kind of failure.
    async fn send(mut self) -> (Result<Bytes, OperationError>, Option<&'static str>) {
        let answer = self
            .client
            .send(&self.call, &self.key, self.trace_context.as_ref(), None);
        let answer = answer.await;
        if self.client_gone.load(Relaxed) {
            self.audit_record.mark_client_left();
        }
        match answer.and_then(|answer| self.check_load_result(answer)) {
            Ok((answer, ids)) => {
                let is_recorded = self.audit_record.is_recorded();
                let summary = is_recorded.then(|| match &ids {
                    Some(ids) => ResponseSummary::of(ids, Operation::Create),
                    None => ResponseSummary::of(&answer, self.call.get().operation()),
                });
                self.audit_record
                    .finish(AuditOutcome::Answered, summary.as_ref());
                (Ok(answer), None)
            }
            Err(error) => {
                self.audit_record.finish(audit_outcome(&error), None);
                let kind = error.kind();
                (Err(error.into()), Some(kind))
            }
        }
    }

    /// Returns the response, and for an import the ids in it. Odoo reports a
    /// failed import in a successful response.
    fn check_load_result(&self, answer: Bytes) -> Result<(Bytes, Option<Vec<u8>>), CallError> {
        let Request::Load(load) = self.call.get().request() else {
            return Ok((answer, None));
        };
        let unreadable = |error: serde_json::Error| {
            CallError::OutcomeUnknown(UnknownOutcome::Unreadable(error.into()))
        };
        let loaded = LoadResult::parse(&answer, load).map_err(unreadable)?;
        if let Some(fault) = loaded.failure().filter(|_| !load.is_dry_run()) {
            return Err(fault.into());
        }
        let ids = serde_json::to_vec(&loaded.ids.unwrap_or_default()).map_err(unreadable)?;
        Ok((answer, Some(ids)))
    }
}

impl DisconnectGuard {
    /// The write ended while the client was connected.
    fn disarm(mut self) {
        self.client_gone = None;
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        if let Some(client_gone) = &self.client_gone {
            client_gone.store(true, Relaxed);
        }
    }
}

fn outcome_unknown(error: JoinError) -> OperationError {
    OperationError::from(CallError::OutcomeUnknown(UnknownOutcome::Internal(
        error.into(),
    )))
}

/// Waits for `work`, and reports at intervals how long it has taken.
async fn with_heartbeat<F: Future>(
    work: F,
    every: Duration,
    report: impl Fn(Duration),
) -> F::Output {
    tokio::pin!(work);
    let begun = Instant::now();
    let mut beat = interval_at(begun + every, every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ended = &mut work => return ended,
            _ = beat.tick() => report(begun.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::sync::Notify;

    use super::with_heartbeat;

    #[tokio::test]
    async fn heartbeat_is_reported_until_the_work_ends() {
        let (reports, enough) = (Cell::new(0), Notify::new());
        let report = |_| {
            reports.set(reports.get() + 1);
            if reports.get() == 2 {
                enough.notify_one();
            }
        };
        with_heartbeat(enough.notified(), Duration::from_millis(1), report).await;
        assert_eq!(reports.get(), 2);
        let ended = with_heartbeat(async { 7 }, Duration::from_secs(3), report).await;
        assert_eq!((ended, reports.get()), (7, 2));
    }
}
