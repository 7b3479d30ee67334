//! The one account of one request: a log line and its metrics.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use tracing::{error, info};

use super::drain::{Drain, UnderWay};
use crate::{
    gateway::{Blame, Failure, LookUp, Story},
    telemetry::{InFlight, Outcome, Served, Telemetry},
};
use gatepost_base::TraceId;

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
    telemetry: Arc<Telemetry>,
    in_flight: InFlight,
    /// None for a message over stdin.
    under_way: Option<UnderWay>,
}

impl Account {
    /// Opens the account of a request over HTTP, which a drain waits for.
    pub(super) fn open(telemetry: &Arc<Telemetry>, drain: &Drain) -> Self {
        Self::new(telemetry, Some(drain.request()))
    }

    /// Opens the account of a message over stdin.
    pub(super) fn local(telemetry: &Arc<Telemetry>) -> Self {
        Self::new(telemetry, None)
    }

    fn new(telemetry: &Arc<Telemetry>, under_way: Option<UnderWay>) -> Self {
        // Without randomness there is no TLS either; the number is for the log.
        let request_id = TraceId::fresh().unwrap_or_else(|_| TraceId::new(0));
        let mut story = Story::new(request_id);
        story.keeping = telemetry.keeping(request_id);
        Self {
            story,
            status: None,
            size_bytes: 0,
            end: None,
            begun: Instant::now(),
            telemetry: Arc::clone(telemetry),
            in_flight: telemetry.metrics.begin(),
            under_way,
        }
    }

    /// It is known by now which instance it is for, if it is for one.
    pub(super) fn placed(&mut self) {
        if let Some(instance) = &self.story.instance {
            self.in_flight.is_for(instance);
        }
    }

    /// The answer was written.
    pub(super) fn answered(&mut self) {
        let refused = self.story.refusal.is_some()
            || self.story.blame.is_some()
            || self.status.is_some_and(|status| status.as_u16() >= 400);
        self.end = Some(if refused {
            Outcome::Refused
        } else if self.story.asked {
            Outcome::Asked
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
        // As the JSON-RPC error says that tells of it.
        self.story.fail(Failure::Code(-32603));
        self.story.end();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.story.give_up();
        let story = &self.story;
        let served = Served {
            outcome: self.end.unwrap_or(Outcome::Cut),
            duration: self.begun.elapsed(),
            size_bytes: self.size_bytes,
            local: self.under_way.is_none(),
        };
        self.telemetry.tell(story, &served);
        // A failure of ours calls for somebody; everything else is an account.
        let (ours, theirs) = match story.blame {
            Some(Blame::Us) => (story.error.as_deref(), None),
            Some(
                Blame::Client
                | Blame::Identity
                | Blame::Odoo
                | Blame::Policy
                // Told once, when it is lost, and not again with each request.
                | Blame::Storage,
            )
            | None => (None, story.error.as_deref()),
        };
        if let Some(error) = ours {
            error!(request.id = %story.request_id, error, "Failed to serve a request");
        }
        info!(
            request.id = %story.request_id,
            // Called as OpenTelemetry's "Trace Context in non-OTLP Log Formats" says.
            trace_id = story.trace().map(display),
            instance.name = story.instance.as_ref().map(display),
            caller.subject = story.caller.as_ref().map(display),
            token.look_up = story.look_up.map(LookUp::as_str),
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
            person.duration_ms = story.person_time.map(milliseconds),
            error = theirs,
            "Served request"
        );
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use http::StatusCode;
    use serde_json::Value;

    use super::Account;
    use crate::{gateway::Blame, telemetry::Telemetry};
    use gatepost_base::{InstanceName, Subject};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .map_err(|e| io::Error::other(e.to_string()))?
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written down when this account is dropped, without what differs.
    fn written(tell: impl FnOnce(&mut Account)) -> String {
        let page = Page::default();
        let writer = page.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            let mut account = Account::local(&Arc::new(Telemetry::new()));
            tell(&mut account);
        });
        let page = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = page
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line).unwrap();
                let fields = line.as_object_mut().unwrap();
                assert!(fields.shift_remove("request.id").is_some());
                fields.shift_remove("duration_ms");
                line.to_string()
            })
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_request_is_one_line() {
        let line = written(|account| {
            let story = &mut account.story;
            story.instance = Some(InstanceName::try_from("staging").unwrap());
            story.caller = Some(Subject::proved("key-7"));
            story.revision = Some("2025-11-25");
            story.method = Some("tools/call");
            story.tool = Some("count_records");
            story.odoo_calls = 2;
            story.odoo_time = Duration::from_millis(41);
            account.status = Some(StatusCode::OK);
            account.size_bytes = 120;
            account.answered();
        });
        insta::assert_snapshot!(line, @r#"{"level":"INFO","message":"Served request","instance.name":"staging","caller.subject":"key-7","mcp.revision":"2025-11-25","mcp.method":"tools/call","tool.name":"count_records","outcome":"answered","http.status":200,"size_bytes":120,"odoo.calls":2,"odoo.duration_ms":41}"#);
    }

    #[test]
    fn an_account_that_nobody_closed_was_cut() {
        insta::assert_snapshot!(written(|_| {}), @r#"{"level":"INFO","message":"Served request","outcome":"cut","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0}"#);
    }

    #[test]
    fn a_failure_of_ours_is_a_line_for_whoever_must_act() {
        let ours = written(|account| {
            account.panicked("no such thing");
            account.answered();
        });
        insta::assert_snapshot!(ours, @r#"
        {"level":"ERROR","message":"Failed to serve a request","error":"panicked: no such thing"}
        {"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"bug","refusal.blame":"us","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0}
        "#);
    }

    #[test]
    fn a_change_that_could_not_be_remembered_is_no_failure_of_ours() {
        let line = written(|account| {
            account.story.blame = Some(Blame::Storage);
            account.story.refusal = Some("unremembered");
            account.story.error = Some("there is no connection".to_owned());
            account.answered();
        });
        insta::assert_snapshot!(line, @r#"{"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"unremembered","refusal.blame":"storage","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0,"error":"there is no connection"}"#);
    }

    #[test]
    fn a_failure_of_others_stands_in_the_one_line() {
        let theirs = written(|account| {
            account.story.blame = Some(Blame::Odoo);
            account.story.refusal = Some("odoo_down");
            account.story.error = Some("connection refused".to_owned());
            account.answered();
        });
        insta::assert_snapshot!(theirs, @r#"{"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"odoo_down","refusal.blame":"odoo","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0,"error":"connection refused"}"#);
    }
}
