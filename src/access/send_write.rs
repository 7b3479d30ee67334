//! Changing records: allowed, written down, and carried to its end.

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

use super::{OdooSession, OperationError, audit_outcome};
use crate::audit::{AuditOutcome, PendingRecord, ResponseSummary};
use gatepost_base::TraceContext;
use gatepost_odoo::{Call, LoadResult, Operation, Request};
use gatepost_odoo_client::{ApiKey, CallError, OdooClient, UnknownOutcome};
use gatepost_policy::{Forbidden, Permitted, PolicyFacts, RecordAccess, WriteMode};

/// How often somebody who listens hears that Odoo is still at work.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// A change that policy lets through, and how freely.
#[derive(Debug)]
pub struct AuthorizedWrite {
    call: Permitted<Call>,
    mode: WriteMode,
    record_accesses: Vec<RecordAccess>,
}

/// A change that is written down and may be sent. It needs nobody to wait for it.
struct AuditedWrite {
    client: Arc<OdooClient>,
    key: ApiKey,
    call: Permitted<Call>,
    trace_context: Option<TraceContext>,
    audit_record: PendingRecord,
    client_gone: Arc<AtomicBool>,
}

/// Somebody who waits for a change; dropped before its end, they left.
struct DisconnectGuard {
    client_gone: Option<Arc<AtomicBool>>,
}

impl AuthorizedWrite {
    /// The call.
    pub fn call(&self) -> &Call {
        self.call.get()
    }

    /// The freest mode in which the caller may make it.
    pub fn mode(&self) -> WriteMode {
        self.mode
    }

    /// What it does, to which models and records.
    pub fn record_accesses(&self) -> &[RecordAccess] {
        &self.record_accesses
    }
}

impl OdooSession<'_> {
    /// Lets a change through in the freest mode in which the instance and the
    /// caller's roles allow it. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn permit_write(&self, call: Call) -> Result<AuthorizedWrite, OperationError> {
        let login = self.account()?;
        login.allow(call.operation())?;
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        let most = self.instance.write_mode();
        let mut refused = OperationError::from(Forbidden::Operation {
            model: call.model().clone(),
            operation: call.operation(),
        });
        let mut known = PolicyFacts::default();
        for mode in WriteMode::WRITING {
            if mode > most {
                continue;
            }
            let permit = self.decide_with(&mut known, call.model(), |schemas| {
                self.policy
                    .permit_write(roles, instance, mode, &call, schemas)
            });
            // Boxed: asking for fields is rare, and large.
            match Box::pin(permit).await {
                Ok((call, touched)) => {
                    return Ok(AuthorizedWrite {
                        call,
                        mode,
                        record_accesses: touched,
                    });
                }
                Err(denied @ OperationError::Forbidden(_)) => refused = denied,
                Err(denied) => return Err(denied),
            }
        }
        Err(refused)
    }

    /// Whether the caller may make any change of this effect on the model.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_write(
        &self,
        model: &gatepost_odoo::ModelName,
        effect: Operation,
    ) -> Result<(), OperationError> {
        self.account()?.allow(effect)?;
        if self.instance.write_mode() == WriteMode::ReadOnly {
            let model = model.clone();
            return Err(Forbidden::Operation {
                model,
                operation: effect,
            }
            .into());
        }
        Ok(self
            .policy
            .allow(&self.caller.roles, self.instance_name(), model, effect)?)
    }

    /// Writes down that the change begins, sends it, and does `then` with what
    /// came of it. Once it is sent both are done to the end, also when this is
    /// dropped because the client left: Odoo goes on too.
    ///
    /// `before` is the hash of what was there, for the record.
    ///
    /// # Errors
    /// [`Denied`] when it was not sent; what became of it otherwise is for `then`.
    pub async fn send_write<T, F>(
        &self,
        allowed: AuthorizedWrite,
        before: Option<Box<str>>,
        then: impl FnOnce(Result<Bytes, OperationError>) -> F + Send + 'static,
    ) -> Result<T, OperationError>
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        let call = allowed.call;
        let (link, key) = self.account()?.client_and_key();
        let record = self.begin_write_audit(call.get(), before).await?;
        self.report_progress(call.get());
        let asked = call.get().clone();
        let asking = self.call_stats.start_call(&asked);
        let left = Arc::new(AtomicBool::new(false));
        let waiting = DisconnectGuard {
            client_gone: Some(Arc::clone(&left)),
        };
        let ready = AuditedWrite {
            client: link,
            key,
            call,
            trace_context: asking.trace_context().cloned(),
            audit_record: record,
            client_gone: left,
        };
        let sent = self.in_flight_writes.begin();
        let task = tokio::spawn(async move {
            let (answer, failure) = ready.send().await;
            let done = then(answer).await;
            drop(sent);
            (done, failure)
        });
        let ended = with_heartbeat(task, HEARTBEAT_INTERVAL, |elapsed| {
            if let Some(listener) = &self.progress {
                listener.report(&format!(
                    "Odoo is at work: {} on {}, {} s so far",
                    asked.method(),
                    asked.model(),
                    elapsed.as_secs()
                ));
            }
        })
        .await;
        waiting.disarm();
        match ended {
            Ok((done, failure)) => {
                asking.end(failure);
                Ok(done)
            }
            // A bug of ours; nobody knows how far it came.
            Err(error) => {
                asking.end(Some("outcome_unknown"));
                Err(outcome_unknown(error))
            }
        }
    }
}

impl AuditedWrite {
    /// Sends it. Also gives the word for how it failed.
    async fn send(mut self) -> (Result<Bytes, OperationError>, Option<&'static str>) {
        let answer = self
            .client
            .send(&self.call, &self.key, self.trace_context.as_ref());
        let answer = answer.await;
        if self.client_gone.load(Relaxed) {
            self.audit_record.mark_client_left();
        }
        match answer.and_then(|answer| self.check_load_result(answer)) {
            Ok((answer, ids)) => {
                let kept = self.audit_record.is_recorded();
                let told = kept.then(|| match &ids {
                    Some(ids) => ResponseSummary::of(ids, Operation::Create),
                    None => ResponseSummary::of(&answer, self.call.get().operation()),
                });
                self.audit_record
                    .finish(AuditOutcome::Answered, told.as_ref());
                (Ok(answer), None)
            }
            Err(error) => {
                self.audit_record.finish(audit_outcome(&error), None);
                let kind = error.kind();
                (Err(error.into()), Some(kind))
            }
        }
    }
}

impl AuditedWrite {
    /// The answer, and for a table the ids in it. Odoo says in an answer like any
    /// other that it did not take a table.
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
    /// Whoever is here at the end did not leave.
    fn disarm(mut self) {
        self.client_gone = None;
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        if let Some(left) = &self.client_gone {
            left.store(true, Relaxed);
        }
    }
}

fn outcome_unknown(error: JoinError) -> OperationError {
    OperationError::from(CallError::OutcomeUnknown(UnknownOutcome::Internal(
        error.into(),
    )))
}

/// Waits for the end of something, and tells now and then how long it takes.
async fn with_heartbeat<F: Future>(work: F, every: Duration, tell: impl Fn(Duration)) -> F::Output {
    tokio::pin!(work);
    let begun = Instant::now();
    let mut beat = interval_at(begun + every, every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ended = &mut work => return ended,
            _ = beat.tick() => tell(begun.elapsed()),
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
        let (heard, enough) = (Cell::new(0), Notify::new());
        let tell = |_| {
            heard.set(heard.get() + 1);
            if heard.get() == 2 {
                enough.notify_one();
            }
        };
        with_heartbeat(enough.notified(), Duration::from_millis(1), tell).await;
        assert_eq!(heard.get(), 2);
        let ended = with_heartbeat(async { 7 }, Duration::from_secs(3), tell).await;
        assert_eq!((ended, heard.get()), (7, 2));
    }
}
