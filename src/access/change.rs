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

use super::{Access, Denied, outcome_of};
use crate::audit::{Answered, Begun, Outcome};
use gatepost_base::TraceContext;
use gatepost_odoo::{Call, Effect, Loaded, Request};
use gatepost_odoo_client::{ApiKey, CallError, Link, Silence};
use gatepost_policy::{Forbidden, Permitted, Schemas, Touch, WriteMode};

/// How often somebody who listens hears that Odoo is still at work.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// A change that policy lets through, and how freely.
#[derive(Debug)]
pub struct Allowed {
    call: Permitted<Call>,
    mode: WriteMode,
    touched: Vec<Touch>,
}

/// A change that is written down and may be sent. It needs nobody to wait for it.
struct Ready {
    link: Arc<Link>,
    key: ApiKey,
    call: Permitted<Call>,
    trace: Option<TraceContext>,
    record: Begun,
    left: Arc<AtomicBool>,
}

/// Somebody who waits for a change; dropped before its end, they left.
struct Waiting {
    left: Option<Arc<AtomicBool>>,
}

impl Allowed {
    /// The call.
    pub fn call(&self) -> &Call {
        self.call.get()
    }

    /// The freest mode in which the caller may make it.
    pub fn mode(&self) -> WriteMode {
        self.mode
    }

    /// What it does, to which models and records.
    pub fn touched(&self) -> &[Touch] {
        &self.touched
    }
}

impl Access<'_> {
    /// Lets a change through in the freest mode in which the instance and the
    /// caller's roles allow it. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn permit_change(&self, call: Call) -> Result<Allowed, Denied> {
        let login = self.login()?;
        login.allow(call.effect())?;
        let (roles, instance) = (&self.caller.roles, self.name());
        let most = self.instance.writes();
        let mut refused = Denied::from(Forbidden::Operation {
            model: call.model().clone(),
            effect: call.effect(),
        });
        let mut known = Schemas::default();
        for mode in WriteMode::WRITING {
            if mode > most {
                continue;
            }
            let permit = self.decide_with(&mut known, call.model(), |schemas| {
                self.policy
                    .permit_change(roles, instance, mode, &call, schemas)
            });
            // Boxed: asking for fields is rare, and large.
            match Box::pin(permit).await {
                Ok((call, touched)) => {
                    return Ok(Allowed {
                        call,
                        mode,
                        touched,
                    });
                }
                Err(denied @ Denied::Forbidden(_)) => refused = denied,
                Err(denied) => return Err(denied),
            }
        }
        Err(refused)
    }

    /// Whether the caller may make any change of this effect on the model.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_change(
        &self,
        model: &gatepost_odoo::ModelName,
        effect: Effect,
    ) -> Result<(), Denied> {
        self.login()?.allow(effect)?;
        if self.instance.writes() == WriteMode::ReadOnly {
            let model = model.clone();
            return Err(Forbidden::Operation { model, effect }.into());
        }
        Ok(self
            .policy
            .allow(&self.caller.roles, self.name(), model, effect)?)
    }

    /// Writes down that the change begins, sends it, and does `then` with what
    /// came of it. Once it is sent both are done to the end, also when this is
    /// dropped because the client left: Odoo goes on too.
    ///
    /// `before` is the hash of what was there, for the record.
    ///
    /// # Errors
    /// [`Denied`] when it was not sent; what became of it otherwise is for `then`.
    pub async fn change<T, F>(
        &self,
        allowed: Allowed,
        before: Option<Box<str>>,
        then: impl FnOnce(Result<Bytes, Denied>) -> F + Send + 'static,
    ) -> Result<T, Denied>
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        let call = allowed.call;
        let (link, key) = self.login()?.way();
        let record = self.begin_change(call.get(), before).await?;
        self.tell(call.get());
        let asked = call.get().clone();
        let asking = self.tally.ask(&asked);
        let left = Arc::new(AtomicBool::new(false));
        let waiting = Waiting {
            left: Some(Arc::clone(&left)),
        };
        let ready = Ready {
            link,
            key,
            call,
            trace: asking.context().cloned(),
            record,
            left,
        };
        let sent = self.sent.begin();
        let task = tokio::spawn(async move {
            let (answer, failure) = ready.send().await;
            let done = then(answer).await;
            drop(sent);
            (done, failure)
        });
        let ended = beating(task, HEARTBEAT, |elapsed| {
            if let Some(listener) = &self.listener {
                listener.tell(&format!(
                    "Odoo is at work: {} on {}, {} s so far",
                    asked.method(),
                    asked.model(),
                    elapsed.as_secs()
                ));
            }
        })
        .await;
        waiting.stay();
        match ended {
            Ok((done, failure)) => {
                asking.end(failure);
                Ok(done)
            }
            // A bug of ours; nobody knows how far it came.
            Err(error) => {
                asking.end(Some("outcome_unknown"));
                Err(lost(error))
            }
        }
    }
}

impl Ready {
    /// Sends it. Also gives the word for how it failed.
    async fn send(mut self) -> (Result<Bytes, Denied>, Option<&'static str>) {
        let answer = self.link.send(&self.call, &self.key, self.trace.as_ref());
        let answer = answer.await;
        if self.left.load(Relaxed) {
            self.record.note_left();
        }
        match answer.and_then(|answer| self.taken(answer)) {
            Ok((answer, ids)) => {
                let kept = self.record.is_kept();
                let told = kept.then(|| match &ids {
                    Some(ids) => Answered::of(ids, Effect::Create),
                    None => Answered::of(&answer, self.call.get().effect()),
                });
                self.record.end(Outcome::Answered, told.as_ref());
                (Ok(answer), None)
            }
            Err(error) => {
                self.record.end(outcome_of(&error), None);
                let kind = error.kind();
                (Err(error.into()), Some(kind))
            }
        }
    }
}

impl Ready {
    /// The answer, and for a table the ids in it. Odoo says in an answer like any
    /// other that it did not take a table.
    fn taken(&self, answer: Bytes) -> Result<(Bytes, Option<Vec<u8>>), CallError> {
        let Request::Load(load) = self.call.get().request() else {
            return Ok((answer, None));
        };
        let unreadable =
            |error: serde_json::Error| CallError::OutcomeUnknown(Silence::Unreadable(error.into()));
        let loaded = Loaded::parse(&answer, load).map_err(unreadable)?;
        if let Some(fault) = loaded.refusal().filter(|_| !load.is_tried()) {
            return Err(fault.into());
        }
        let ids = serde_json::to_vec(&loaded.ids.unwrap_or_default()).map_err(unreadable)?;
        Ok((answer, Some(ids)))
    }
}

impl Waiting {
    /// Whoever is here at the end did not leave.
    fn stay(mut self) {
        self.left = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            left.store(true, Relaxed);
        }
    }
}

fn lost(error: JoinError) -> Denied {
    Denied::from(CallError::OutcomeUnknown(Silence::Inside(error.into())))
}

/// Waits for the end of something, and tells now and then how long it takes.
async fn beating<F: Future>(work: F, every: Duration, tell: impl Fn(Duration)) -> F::Output {
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

    use super::beating;

    #[tokio::test]
    async fn whoever_listens_hears_now_and_then_that_odoo_is_at_work() {
        let (heard, enough) = (Cell::new(0), Notify::new());
        let tell = |_| {
            heard.set(heard.get() + 1);
            if heard.get() == 2 {
                enough.notify_one();
            }
        };
        beating(enough.notified(), Duration::from_millis(1), tell).await;
        assert_eq!(heard.get(), 2);
        let ended = beating(async { 7 }, Duration::from_secs(3), tell).await;
        assert_eq!((ended, heard.get()), (7, 2));
    }
}
