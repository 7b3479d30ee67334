//! The one account of one request: a log line and its metrics.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use tracing::{error, info};

use super::drain::{Drain, UnderWay};
use crate::{
    gateway::{Blame, Story},
    names::TraceId,
    telemetry::{InFlight, Metrics, Outcome, Served},
};

/// A request under way. It is written down when this is dropped, whatever
/// happened.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) story: Story,
    /// The status that was written, once it was.
    pub(super) status: Option<StatusCode>,
    /// Bytes of the answer's body that were written.
    pub(super) size_bytes: usize,
    end: Option<Outcome>,
    begun: Instant,
    metrics: Arc<Metrics>,
    _in_flight: InFlight,
    _under_way: Option<UnderWay>,
}

impl Account {
    /// Opens the account of a request over HTTP, which a drain waits for.
    pub(super) fn open(metrics: &Arc<Metrics>, drain: &Drain) -> Self {
        Self::new(metrics, Some(drain.request()))
    }

    /// Opens the account of a message over stdin.
    pub(super) fn local(metrics: &Arc<Metrics>) -> Self {
        Self::new(metrics, None)
    }

    fn new(metrics: &Arc<Metrics>, under_way: Option<UnderWay>) -> Self {
        // Without randomness there is no TLS either; the number is for the log.
        let request_id = TraceId::fresh().unwrap_or_else(|_| TraceId::new(0));
        Self {
            story: Story::new(request_id),
            status: None,
            size_bytes: 0,
            end: None,
            begun: Instant::now(),
            metrics: Arc::clone(metrics),
            _in_flight: metrics.begin(),
            _under_way: under_way,
        }
    }

    /// The answer was written.
    pub(super) fn answered(&mut self) {
        let refused = self.story.refusal.is_some()
            || self.story.blame.is_some()
            || self.status.is_some_and(|status| status.as_u16() >= 400);
        self.end = Some(if refused {
            Outcome::Refused
        } else {
            Outcome::Answered
        });
    }

    /// The client took its call back.
    pub(super) fn cancelled(&mut self) {
        self.end = Some(Outcome::Cancelled);
    }

    /// The client left before its answer.
    pub(super) fn hung_up(&mut self) {
        self.end = Some(Outcome::HungUp);
    }

    /// The gateway panicked.
    pub(super) fn panicked(&mut self, message: &str) {
        self.story.blame = Some(Blame::Us);
        self.story.refusal = Some("bug");
        self.story.error = Some(format!("panicked: {message}"));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let story = &self.story;
        let served = Served {
            outcome: self.end.unwrap_or(Outcome::Cut),
            duration: self.begun.elapsed(),
            size_bytes: self.size_bytes,
        };
        self.metrics.count(story, &served);
        // A failure of ours calls for somebody; everything else is an account.
        let (ours, theirs) = match story.blame {
            Some(Blame::Us) => (story.error.as_deref(), None),
            Some(Blame::Client | Blame::Odoo | Blame::Policy) | None => {
                (None, story.error.as_deref())
            }
        };
        if let Some(error) = ours {
            error!(request.id = %story.request_id, error, "Failed to serve a request");
        }
        info!(
            request.id = %story.request_id,
            instance.name = story.instance.as_ref().map(display),
            caller.subject = story.caller.as_ref().map(display),
            mcp.revision = story.revision,
            mcp.method = story.method,
            tool.name = story.tool,
            outcome = served.outcome.as_str(),
            refusal.kind = story.refusal,
            refusal.blame = story.blame.map(Blame::as_str),
            http.status = self.status.map(|status| status.as_u16()),
            duration_ms = milliseconds(served.duration),
            size_bytes = served.size_bytes,
            odoo.calls = story.odoo_calls,
            odoo.duration_ms = milliseconds(story.odoo_time),
            error = theirs,
            "Served request"
        );
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
