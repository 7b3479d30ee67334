//! One request and its response.

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, StatusCode, Version};
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    bad_request::BadRequest,
    body::{self, BodyError},
    bounds::Bounds,
    drain::Drain,
    events,
    head::{self, HeadOutcome},
    request_guard::RequestGuard,
    request_handler::RequestHandler,
    write::{self, ClientDisconnected, ResponseOptions},
};
use crate::{
    gateway::HttpResponse,
    telemetry::{RequestLog, Telemetry},
};

/// The maximum number of messages that wait for the client to read; with more, the
/// call waits.
const MAX_QUEUED_MESSAGES: usize = 16;

/// The longest time between two heartbeats of an event stream whose client stopped
/// sending.
const HALF_CLOSED_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// Reads requests, passes them to the gateway, and writes the responses.
pub(super) struct Exchange<H> {
    pub(super) gateway: Arc<ArcSwap<H>>,
    pub(super) bounds: Bounds,
    pub(super) drain: Arc<Drain>,
    pub(super) telemetry: Arc<Telemetry>,
    /// Whether the listener is bound to loopback.
    pub(super) local_listener: bool,
    pub(super) options: HttpServerOptions,
}

/// What happens to the connection after a response.
enum ConnectionReuse {
    /// It can be used for the next request.
    KeepAlive,
    /// It is closed although the client may still be sending.
    LingeringClose,
    /// It is closed already.
    Close,
}

#[async_trait]
impl<H: RequestHandler> HttpServerApp for Exchange<H> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let closed = self.drain.watch_closed();
        let mut outcome = head::read_head(&mut session, &self.bounds, shutdown, &closed).await;
        if matches!(outcome, HeadOutcome::Closed) {
            return None;
        }
        if self.drain.is_closed() {
            outcome = HeadOutcome::BadRequest(BadRequest::Stopping);
        }
        // Until the last byte is written, because a drain waits for it.
        let mut guard = RequestGuard::for_http(&self.telemetry, &self.drain, head::peer(&session));
        match self.respond(&mut session, &mut guard, outcome).await {
            ConnectionReuse::KeepAlive => write::finish_and_reuse(session, &self.bounds).await,
            ConnectionReuse::LingeringClose => {
                drop(guard);
                write::lingering_close(session).await;
                None
            }
            ConnectionReuse::Close => {
                // An HTTP/2 connection stays open. That of HTTP/1.1 is dropped without
                // a shutdown, which a client that reads nothing would hold open.
                if session.is_http2() {
                    session.shutdown().await;
                }
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        let head_bytes = u32::try_from(self.bounds.max_head_bytes).unwrap_or(u32::MAX);
        options.max_header_list_size(head_bytes);
        options.max_concurrent_streams(MAX_STREAMS);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl<H: RequestHandler> Exchange<H> {
    async fn respond(
        &self,
        session: &mut ServerSession,
        guard: &mut RequestGuard,
        outcome: HeadOutcome,
    ) -> ConnectionReuse {
        let head_only =
            matches!(outcome, HeadOutcome::Request) && session.req_header().method == Method::HEAD;
        let options = ResponseOptions {
            request_id: guard.log.request_id,
            bounds: &self.bounds,
            drain: &self.drain,
            head_only,
        };
        // What follows an unreadable request must not be parsed as another one
        // (RFC 9112 section 11.2).
        let mut readable = true;
        let written = match outcome {
            HeadOutcome::Closed => return ConnectionReuse::Close,
            HeadOutcome::Request => {
                self.serve_request(session, guard, options, &mut readable)
                    .await
            }
            HeadOutcome::BadRequest(why) => {
                readable = false;
                session.set_keepalive(None);
                let response = why.to_response(&mut guard.log);
                write_response(session, guard, response, options).await
            }
        };
        match written {
            Ok(()) => guard.responded(),
            Err(ClientDisconnected) => {
                guard.client_disconnected();
                return ConnectionReuse::Close;
            }
        }
        // `is_body_done` of Pingora panics if the head was not read.
        if session.is_http2() || (readable && session.is_body_done()) {
            ConnectionReuse::KeepAlive
        } else {
            ConnectionReuse::LingeringClose
        }
    }

    /// Responds to a request whose head was read.
    async fn serve_request(
        &self,
        session: &mut ServerSession,
        guard: &mut RequestGuard,
        options: ResponseOptions<'_>,
        readable: &mut bool,
    ) -> Result<(), ClientDisconnected> {
        let gateway = self.gateway.load_full();
        let head = head::to_gateway_head(session, self.local_listener);
        let accepted = catch_panic(gateway.accept_head(head, &mut guard.log)).await;
        guard.routed();
        let request = match accepted {
            Ok(Ok(request)) => request,
            Ok(Err(response)) => return write_response(session, guard, response, options).await,
            Err(message) => {
                let response = panic_response(guard, &message);
                return write_response(session, guard, response, options).await;
            }
        };
        let limit = H::terms(&request).max_body_bytes;
        let reserve = |bytes| H::reserve_body(&request, bytes);
        match body::read(session, limit, &self.bounds, reserve).await {
            Ok(body) => {
                self.run_call(session, guard, options, &*gateway, &request, body)
                    .await
            }
            Err(BodyError::ClientDisconnected) => Err(ClientDisconnected),
            Err(BodyError::BadRequest(why)) => {
                *readable = false;
                session.set_keepalive(None);
                let response = why.to_response(&mut guard.log);
                write_response(session, guard, response, options).await
            }
        }
    }

    /// Runs a call and responds: as JSON if it is quick, as an event stream if it
    /// sends messages before its end or takes long. A client that disconnects
    /// cancels it. One that only stops sending (half-close, RFC 9112 section 9.6)
    /// does not; on an event stream, whose end is how clients cancel, writing finds
    /// out which of the two it did.
    async fn run_call(
        &self,
        session: &mut ServerSession,
        guard: &mut RequestGuard,
        options: ResponseOptions<'_>,
        gateway: &H,
        request: &H::Request,
        body: Bytes,
    ) -> Result<(), ClientDisconnected> {
        let terms = H::terms(request);
        // HTTP/1.0 has no chunks, and its proxies buffer whole responses.
        let events = terms.accepts_event_stream && session.req_header().version != Version::HTTP_10;
        let (messages, mut queued) = mpsc::channel::<Bytes>(MAX_QUEUED_MESSAGES);
        let mut stream = EventStream {
            started: false,
            options,
            status: &mut guard.status,
            size_bytes: &mut guard.size_bytes,
        };
        let mut heartbeat = pin!(sleep(self.bounds.event_stream_after));
        let mut heartbeat_interval = self.bounds.heartbeat_interval;
        // Until a stream has started, nothing can be written to find out.
        session.set_abort_on_close(false);
        let mut watches_end = false;
        let done = {
            let log: &mut RequestLog = &mut guard.log;
            let call = gateway.handle_body(request, body, events.then_some(messages), log);
            let mut call = pin!(catch_panic(call));
            loop {
                tokio::select! {
                    biased;
                    done = &mut call => break done,
                    Some(message) = queued.recv(), if events => {
                        stream.write_chunk(session, events::event(&message), false).await?;
                        heartbeat.as_mut().reset(Instant::now() + heartbeat_interval);
                    }
                    _ = session.read_body_or_idle(true) => {
                        if !is_half_closed(session) {
                            return Err(ClientDisconnected);
                        }
                        // If it closed the connection, it answers what is written with
                        // a reset, and the write after that fails.
                        session.set_abort_on_close(false);
                        heartbeat_interval = heartbeat_interval.min(HALF_CLOSED_INTERVAL);
                        stream.write_chunk(session, events::HEARTBEAT, false).await?;
                        heartbeat.as_mut().reset(Instant::now() + heartbeat_interval);
                        continue;
                    }
                    () = &mut heartbeat, if events => {
                        stream.write_chunk(session, events::HEARTBEAT, false).await?;
                        heartbeat.as_mut().reset(Instant::now() + heartbeat_interval);
                    }
                }
                // From now on its end is noticed, also if it came before.
                if stream.started && !watches_end {
                    session.set_abort_on_close(true);
                    watches_end = true;
                }
            }
        };
        while let Ok(message) = queued.try_recv() {
            stream
                .write_chunk(session, events::event(&message), false)
                .await?;
        }
        let started = stream.started;
        let response = match done {
            Ok(response) => response,
            Err(message) => panic_response(guard, &message),
        };
        if started {
            let last = if response.body.is_empty() {
                Bytes::new()
            } else {
                events::event(&response.body)
            };
            guard.size_bytes = guard.size_bytes.saturating_add(last.len());
            return write::chunk(session, last, true, &self.bounds).await;
        }
        let response = if terms.requires_event_stream {
            events::into_event_stream(response)
        } else {
            response
        };
        write_response(session, guard, response, options).await
    }
}

/// An event stream; its head is written with the first chunk.
struct EventStream<'a> {
    started: bool,
    options: ResponseOptions<'a>,
    status: &'a mut Option<StatusCode>,
    size_bytes: &'a mut usize,
}

impl EventStream<'_> {
    async fn write_chunk(
        &mut self,
        session: &mut ServerSession,
        chunk: Bytes,
        last: bool,
    ) -> Result<(), ClientDisconnected> {
        if !self.started {
            write::start_event_stream(session, self.options).await?;
            *self.status = Some(StatusCode::OK);
            self.started = true;
        }
        *self.size_bytes = self.size_bytes.saturating_add(chunk.len());
        write::chunk(session, chunk, last, self.options.bounds).await
    }
}

/// Whether the client of an HTTP/1.1 connection stopped sending in order. A stream
/// of HTTP/2 that ends while it is served was reset.
fn is_half_closed(session: &ServerSession) -> bool {
    session
        .as_http1()
        .is_some_and(pingora::protocols::http::v1::server::HttpSession::is_half_closed)
}

/// Writes a whole response and records it.
async fn write_response(
    session: &mut ServerSession,
    guard: &mut RequestGuard,
    response: HttpResponse,
    options: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let status = response.status;
    let size = response.body.len();
    if let Some(requests) = head::framing(session) {
        requests.start_response();
    }
    write::response(session, response, options).await?;
    guard.status = Some(status);
    guard.size_bytes = size;
    Ok(())
}

/// Runs the future; an error is the message of its panic.
pub(super) async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| panic_message(&*panic))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

/// The response to a bug: the request id, under which the log has the panic.
pub(super) fn panic_response(guard: &mut RequestGuard, message: &str) -> HttpResponse {
    guard.panicked(message);
    let id = guard.log.request_id;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"internal error, request {id}"}}}}"#
    );
    HttpResponse::json(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(text))
}
