//! The log line and the metrics of one request.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::StatusCode;
use tracing::{error, info};

use super::drain::{Drain, DrainGuard};
use crate::telemetry::{
    ErrorSource, HttpOutcome, InFlight, RequestLog, RequestOutcome, RpcErrorType, Telemetry,
    TokenLookupOutcome,
};
use gatepost_base::TraceId;

/// A request in flight. It is logged and counted when this is dropped, however it
/// ended.
#[derive(Debug)]
pub(super) struct RequestGuard {
    pub(super) log: RequestLog,
    /// The status that was written, if one was.
    pub(super) status: Option<StatusCode>,
    /// Bytes of the response body that were written.
    pub(super) size_bytes: usize,
    outcome: Option<RequestOutcome>,
    started: Instant,
    telemetry: Arc<Telemetry>,
    in_flight: InFlight,
    /// `None` for a message over stdin.
    drain_guard: Option<DrainGuard>,
}

impl RequestGuard {
    /// Starts a request over HTTP from this address, which a drain waits for.
    pub(super) fn for_http(
        telemetry: &Arc<Telemetry>,
        drain: &Drain,
        peer: Option<IpAddr>,
    ) -> Self {
        let mut guard = Self::new(telemetry, Some(drain.track_request()));
        guard.log.client_address = peer;
        guard
    }

    /// Starts a message over stdin.
    pub(super) fn for_stdio(telemetry: &Arc<Telemetry>) -> Self {
        Self::new(telemetry, None)
    }

    fn new(telemetry: &Arc<Telemetry>, drain_guard: Option<DrainGuard>) -> Self {
        // Without randomness TLS fails too; the id is only for the log.
        let request_id = TraceId::random().unwrap_or_else(|_| TraceId::new(0));
        let mut log = RequestLog::new(request_id);
        log.trace_sampling = telemetry.sampling_decision(request_id);
        Self {
            log,
            status: None,
            size_bytes: 0,
            outcome: None,
            started: Instant::now(),
            telemetry: Arc::clone(telemetry),
            in_flight: telemetry.metrics.start_request(),
            drain_guard,
        }
    }

    /// Counts the request for its instance, once that is known.
    pub(super) fn routed(&mut self) {
        if let Some(instance) = &self.log.instance {
            self.in_flight.set_instance(instance);
        }
    }

    /// The response was written.
    pub(super) fn responded(&mut self) {
        let refused = self.log.error_type.is_some()
            || self.log.error_source.is_some()
            || self.status.is_some_and(|status| status.as_u16() >= 400);
        self.outcome = Some(if refused {
            RequestOutcome::Refused
        } else if self.log.input_required {
            RequestOutcome::InputRequired
        } else {
            RequestOutcome::Answered
        });
    }

    /// The client cancelled the request.
    pub(super) fn cancelled(&mut self) {
        self.outcome = Some(RequestOutcome::Cancelled);
    }

    /// The client disconnected before the response.
    pub(super) fn client_disconnected(&mut self) {
        self.outcome = Some(RequestOutcome::ClientDisconnected);
    }

    /// The gateway panicked.
    pub(super) fn panicked(&mut self, message: &str) {
        self.log.error_source = Some(ErrorSource::Us);
        self.log.error_type = Some("bug");
        self.log.error_detail = Some(format!("panicked: {message}"));
        // The code of the JSON-RPC error in the response.
        self.log.set_error(RpcErrorType::JsonRpc(-32603));
        self.log.end_operation();
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.log.abandon_operation();
        let log = &self.log;
        let served = HttpOutcome {
            outcome: self.outcome.unwrap_or(RequestOutcome::Aborted),
            duration: self.started.elapsed(),
            size_bytes: self.size_bytes,
            is_stdio: self.drain_guard.is_none(),
        };
        self.telemetry.record(log, &served);
        // An error of the gateway needs action; all others go into the request line.
        let (ours, theirs) = match log.error_source {
            Some(ErrorSource::Us) => (log.error_detail.as_deref(), None),
            Some(
                ErrorSource::Client
                | ErrorSource::Identity
                | ErrorSource::Odoo
                | ErrorSource::Policy
                // Logged once, when it is lost, and not with each request.
                | ErrorSource::Storage,
            )
            | None => (None, log.error_detail.as_deref()),
        };
        // Requests that anyone can send must not fill the log.
        let is_refused = served.outcome == RequestOutcome::Refused && ours.is_none();
        if is_refused
            && log.caller.is_none()
            && !served.is_stdio
            && !self
                .telemetry
                .repetitions
                .count(log.client_address, log.error_type.unwrap_or("none"))
        {
            return;
        }
        if let Some(error) = ours {
            error!(request.id = %log.request_id, error, "Failed to serve a request");
        }
        info!(
            request.id = %log.request_id,
            // The name from OpenTelemetry's "Trace Context in non-OTLP Log Formats".
            trace_id = log.trace_id().map(display),
            instance.name = log.instance.as_ref().map(display),
            caller.subject = log.caller.as_ref().map(display),
            caller.name = log.caller_name.as_deref(),
            token.look_up = log.token_lookup.map(TokenLookupOutcome::as_str),
            mcp.revision = log.revision,
            mcp.method = log.method,
            tool.name = log.tool,
            outcome = served.outcome.as_str(),
            refusal.kind = log.error_type,
            refusal.blame = log.error_source.map(ErrorSource::as_str),
            http.status = self.status.map(|status| status.as_u16()),
            duration_ms = milliseconds(served.duration),
            size_bytes = served.size_bytes,
            odoo.calls = log.odoo_calls,
            odoo.duration_ms = milliseconds(log.odoo_time),
            person.duration_ms = log.elicitation_time.map(milliseconds),
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
        net::IpAddr,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use http::StatusCode;
    use serde_json::Value;

    use super::{Drain, RequestGuard};
    use crate::telemetry::{ErrorSource, Telemetry};
    use gatepost_base::{InstanceName, Subject};

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogBuffer {
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

    /// The lines that a dropped guard logs, without the fields that vary.
    fn logged(change: impl FnOnce(&mut RequestGuard)) -> String {
        let lines = logged_with(|| {
            let mut guard = RequestGuard::for_stdio(&Arc::new(Telemetry::new()));
            change(&mut guard);
        });
        lines.join("\n")
    }

    /// The lines that this logs.
    fn logged_with(work: impl FnOnce()) -> Vec<String> {
        let buffer = LogBuffer::default();
        let writer = buffer.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, work);
        let buffer = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let lines = buffer.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            let has_id = fields.shift_remove("request.id").is_some();
            assert_eq!(has_id, !fields.contains_key("requests"));
            fields.shift_remove("duration_ms");
            line.to_string()
        });
        lines.collect()
    }

    #[test]
    fn request_is_logged_as_one_line() {
        let line = logged(|guard| {
            let log = &mut guard.log;
            log.instance = Some(InstanceName::try_from("staging").unwrap());
            log.caller = Some(Subject::verified("key-7"));
            log.caller_name = Some("laptop of Ada".into());
            log.revision = Some("2025-11-25");
            log.method = Some("tools/call");
            log.tool = Some("count_records");
            log.odoo_calls = 2;
            log.odoo_time = Duration::from_millis(41);
            guard.status = Some(StatusCode::OK);
            guard.size_bytes = 120;
            guard.responded();
        });
        insta::assert_snapshot!(line, @r#"{"level":"INFO","message":"Served request","instance.name":"staging","caller.subject":"key-7","caller.name":"laptop of Ada","mcp.revision":"2025-11-25","mcp.method":"tools/call","tool.name":"count_records","outcome":"answered","http.status":200,"size_bytes":120,"odoo.calls":2,"odoo.duration_ms":41}"#);
    }

    #[test]
    fn dropped_guard_without_outcome_is_logged_as_cut() {
        insta::assert_snapshot!(logged(|_| {}), @r#"{"level":"INFO","message":"Served request","outcome":"cut","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0}"#);
    }

    #[test]
    fn gateway_error_is_logged_as_separate_error_line() {
        let ours = logged(|guard| {
            guard.panicked("no such thing");
            guard.responded();
        });
        insta::assert_snapshot!(ours, @r#"
        {"level":"ERROR","message":"Failed to serve a request","error":"panicked: no such thing"}
        {"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"bug","refusal.blame":"us","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0}
        "#);
    }

    #[test]
    fn storage_error_is_not_logged_as_gateway_error() {
        let line = logged(|guard| {
            guard.log.error_source = Some(ErrorSource::Storage);
            guard.log.error_type = Some("unremembered");
            guard.log.error_detail = Some("there is no connection".to_owned());
            guard.responded();
        });
        insta::assert_snapshot!(line, @r#"{"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"unremembered","refusal.blame":"storage","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0,"error":"there is no connection"}"#);
    }

    #[test]
    fn odoo_error_is_included_in_request_line() {
        let theirs = logged(|guard| {
            guard.log.error_source = Some(ErrorSource::Odoo);
            guard.log.error_type = Some("odoo_down");
            guard.log.error_detail = Some("connection refused".to_owned());
            guard.responded();
        });
        insta::assert_snapshot!(theirs, @r#"{"level":"INFO","message":"Served request","outcome":"refused","refusal.kind":"odoo_down","refusal.blame":"odoo","size_bytes":0,"odoo.calls":0,"odoo.duration_ms":0,"error":"connection refused"}"#);
    }

    #[test]
    fn flood_without_a_caller_is_summed_up_by_address() {
        let telemetry = Arc::new(Telemetry::new());
        let drain = Drain::new(Duration::ZERO);
        let lines = logged_with(|| {
            for (last, count) in [(1, 500), (2, 3)] {
                for _ in 0..count {
                    let peer = Some(IpAddr::from([192, 0, 2, last]));
                    let mut guard = RequestGuard::for_http(&telemetry, &drain, peer);
                    guard.log.error_source = Some(ErrorSource::Client);
                    guard.log.error_type = Some("unauthenticated");
                    guard.responded();
                }
            }
            telemetry.repetitions.report();
        });
        let (lines, last) = lines.split_at(13);
        assert!(lines.iter().all(|line| line.contains("Served request")));
        assert_eq!(
            last,
            [
                r#"{"level":"INFO","message":"Refused more requests without an authenticated caller","client.address":"192.0.2.1","refusal.kind":"unauthenticated","requests":490}"#
            ]
        );
    }
}
