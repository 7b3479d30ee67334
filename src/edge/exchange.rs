//! One request and its answer.

use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc};

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

/// Notices that may wait for the client to read; more make the call wait.
const MAX_QUEUED_MESSAGES: usize = 16;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// Reads requests, has them answered by the gateway, and writes the answers.
pub(super) struct Exchange<H> {
    pub(super) gateway: Arc<ArcSwap<H>>,
    pub(super) bounds: Bounds,
    pub(super) drain: Arc<Drain>,
    pub(super) telemetry: Arc<Telemetry>,
    /// Whether the listener is bound to loopback.
    pub(super) local_listener: bool,
    pub(super) options: HttpServerOptions,
}

/// What becomes of the connection.
enum ConnectionReuse {
    /// It may carry the next request.
    KeepAlive,
    /// It ends, and the client has not sent all it wants to.
    LingeringClose,
    /// It is gone.
    Close,
}

#[async_trait]
impl<H: RequestHandler> HttpServerApp for Exchange<H> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        leaving: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrival = head::read_head(&mut session, &self.bounds, leaving).await;
        if matches!(arrival, HeadOutcome::Closed) {
            return None;
        }
        // Until the last byte is on its way: a drain waits for it.
        let mut account = RequestGuard::for_http(&self.telemetry, &self.drain);
        match self.respond(&mut session, &mut account, arrival).await {
            ConnectionReuse::KeepAlive => write::finish_and_reuse(session, &self.bounds).await,
            ConnectionReuse::LingeringClose => {
                drop(account);
                write::lingering_close(session).await;
                None
            }
            ConnectionReuse::Close => {
                // Its connection lives on. That of HTTP/1.1 ends here, and must not
                // be closed in order: a client that reads nothing would hold it open.
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
        account: &mut RequestGuard,
        arrival: HeadOutcome,
    ) -> ConnectionReuse {
        let head_only =
            matches!(arrival, HeadOutcome::Request) && session.req_header().method == Method::HEAD;
        let manner = ResponseOptions {
            request_id: account.log.request_id,
            bounds: &self.bounds,
            drain: &self.drain,
            head_only,
        };
        // What follows something that could not be read cannot be told from a
        // request: no byte of it may be taken for one (RFC 9112 section 11.2).
        let mut readable = true;
        let written = match arrival {
            HeadOutcome::Closed => return ConnectionReuse::Close,
            HeadOutcome::Request => {
                self.serve_request(session, account, manner, &mut readable)
                    .await
            }
            HeadOutcome::BadRequest(why) => {
                readable = false;
                session.set_keepalive(None);
                let reply = why.to_response(&mut account.log);
                write_response(session, account, reply, manner).await
            }
        };
        match written {
            Ok(()) => account.responded(),
            Err(ClientDisconnected) => {
                account.client_disconnected();
                return ConnectionReuse::Close;
            }
        }
        // Pingora panics when asked for the body of a head that was not read.
        if session.is_http2() || (readable && session.is_body_done()) {
            ConnectionReuse::KeepAlive
        } else {
            ConnectionReuse::LingeringClose
        }
    }

    /// Answers a request whose head was read.
    async fn serve_request(
        &self,
        session: &mut ServerSession,
        account: &mut RequestGuard,
        manner: ResponseOptions<'_>,
        readable: &mut bool,
    ) -> Result<(), ClientDisconnected> {
        let gateway = self.gateway.load_full();
        let head = head::to_gateway_head(session, self.local_listener);
        let welcome = catch_panic(gateway.accept_head(head, &mut account.log)).await;
        account.routed();
        let guest = match welcome {
            Ok(Ok(guest)) => guest,
            Ok(Err(reply)) => return write_response(session, account, reply, manner).await,
            Err(message) => {
                let reply = panic_response(account, &message);
                return write_response(session, account, reply, manner).await;
            }
        };
        let limit = H::terms(&guest).max_body_bytes;
        match body::read(session, limit, &self.bounds).await {
            Ok(body) => {
                self.run_call(session, account, manner, &*gateway, &guest, body)
                    .await
            }
            Err(BodyError::ClientDisconnected) => Err(ClientDisconnected),
            Err(BodyError::BadRequest(why)) => {
                *readable = false;
                session.set_keepalive(None);
                let reply = why.to_response(&mut account.log);
                write_response(session, account, reply, manner).await
            }
        }
    }

    /// Runs a call and answers it: as JSON when it is quick, as an event
    /// stream when it has something to say before its end or takes long.
    /// A client that hangs up cancels it.
    async fn run_call(
        &self,
        session: &mut ServerSession,
        account: &mut RequestGuard,
        manner: ResponseOptions<'_>,
        gateway: &H,
        guest: &H::Request,
        body: Bytes,
    ) -> Result<(), ClientDisconnected> {
        let terms = H::terms(guest);
        // HTTP/1.0 knows no chunks, and its proxies gather whole answers.
        let events = terms.accepts_event_stream && session.req_header().version != Version::HTTP_10;
        let (notices, mut noticed) = mpsc::channel::<Bytes>(MAX_QUEUED_MESSAGES);
        let mut stream = EventStream {
            started: false,
            options: manner,
            status: &mut account.status,
            size_bytes: &mut account.size_bytes,
        };
        let mut beat = pin!(sleep(self.bounds.event_stream_after));
        let done = {
            let story: &mut RequestLog = &mut account.log;
            let call = gateway.handle_body(guest, body, events.then_some(notices), story);
            let mut call = pin!(catch_panic(call));
            loop {
                tokio::select! {
                    biased;
                    done = &mut call => break done,
                    Some(notice) = noticed.recv(), if events => {
                        stream.write_chunk(session, events::event(&notice), false).await?;
                        beat.as_mut().reset(Instant::now() + self.bounds.heartbeat_interval);
                    }
                    // Whatever it says, the client is no longer there.
                    _ = session.read_body_or_idle(true) => return Err(ClientDisconnected),
                    () = &mut beat, if events => {
                        stream.write_chunk(session, events::HEARTBEAT, false).await?;
                        beat.as_mut().reset(Instant::now() + self.bounds.heartbeat_interval);
                    }
                }
            }
        };
        while let Ok(notice) = noticed.try_recv() {
            stream
                .write_chunk(session, events::event(&notice), false)
                .await?;
        }
        let begun = stream.started;
        let reply = match done {
            Ok(reply) => reply,
            Err(message) => panic_response(account, &message),
        };
        if begun {
            let last = if reply.body.is_empty() {
                Bytes::new()
            } else {
                events::event(&reply.body)
            };
            account.size_bytes = account.size_bytes.saturating_add(last.len());
            return write::chunk(session, last, true, &self.bounds).await;
        }
        let reply = if terms.requires_event_stream {
            events::into_event_stream(reply)
        } else {
            reply
        };
        write_response(session, account, reply, manner).await
    }
}

/// An event stream under way; it begins with its first piece.
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
        piece: Bytes,
        last: bool,
    ) -> Result<(), ClientDisconnected> {
        if !self.started {
            write::start_event_stream(session, self.options).await?;
            *self.status = Some(StatusCode::OK);
            self.started = true;
        }
        *self.size_bytes = self.size_bytes.saturating_add(piece.len());
        write::chunk(session, piece, last, self.options.bounds).await
    }
}

/// Writes a whole answer and notes it.
async fn write_response(
    session: &mut ServerSession,
    account: &mut RequestGuard,
    reply: HttpResponse,
    manner: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let status = reply.status;
    let size = reply.body.len();
    write::response(session, reply, manner).await?;
    account.status = Some(status);
    account.size_bytes = size;
    Ok(())
}

/// Runs to the end or to a panic, whose message it gives back.
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

/// What a client hears of a bug of ours: the number under which we find it.
pub(super) fn panic_response(account: &mut RequestGuard, message: &str) -> HttpResponse {
    account.panicked(message);
    let id = account.log.request_id;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"internal error, request {id}"}}}}"#
    );
    HttpResponse::json(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(text))
}
