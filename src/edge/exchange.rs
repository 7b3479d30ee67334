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
    account::Account,
    body::{self, NoBody},
    bounds::Bounds,
    drain::Drain,
    events,
    head::{self, Arrival},
    host::Host,
    write::{self, Gone, Manner},
};
use crate::{
    gateway::{Reply, Story},
    telemetry::Telemetry,
};

/// Notices that may wait for the client to read; more make the call wait.
const NOTICES: usize = 16;

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
enum After {
    /// It may carry the next request.
    Keep,
    /// It ends, and the client has not sent all it wants to.
    Linger,
    /// It is gone.
    Drop,
}

#[async_trait]
impl<H: Host> HttpServerApp for Exchange<H> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        leaving: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrival = head::arrive(&mut session, &self.bounds, leaving).await;
        if matches!(arrival, Arrival::Nothing) {
            return None;
        }
        // Until the last byte is on its way: a drain waits for it.
        let mut account = Account::open(&self.telemetry, &self.drain);
        match self.answer(&mut session, &mut account, arrival).await {
            After::Keep => write::keep(session, &self.bounds).await,
            After::Linger => {
                drop(account);
                write::linger(session).await;
                None
            }
            After::Drop => {
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
        let head_bytes = u32::try_from(self.bounds.head_bytes).unwrap_or(u32::MAX);
        options.max_header_list_size(head_bytes);
        options.max_concurrent_streams(MAX_STREAMS);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

impl<H: Host> Exchange<H> {
    async fn answer(
        &self,
        session: &mut ServerSession,
        account: &mut Account,
        arrival: Arrival,
    ) -> After {
        let head_only =
            matches!(arrival, Arrival::Request) && session.req_header().method == Method::HEAD;
        let manner = Manner {
            request_id: account.story.request_id,
            bounds: &self.bounds,
            drain: &self.drain,
            head_only,
        };
        // What follows something that could not be read cannot be told from a
        // request: no byte of it may be taken for one (RFC 9112 section 11.2).
        let mut readable = true;
        let written = match arrival {
            Arrival::Nothing => return After::Drop,
            Arrival::Request => self.serve(session, account, manner, &mut readable).await,
            Arrival::Unreadable(why) => {
                readable = false;
                session.set_keepalive(None);
                let reply = why.reply(&mut account.story);
                finish(session, account, reply, manner).await
            }
        };
        match written {
            Ok(()) => account.answered(),
            Err(Gone) => {
                account.hung_up();
                return After::Drop;
            }
        }
        // Pingora panics when asked for the body of a head that was not read.
        if session.is_http2() || (readable && session.is_body_done()) {
            After::Keep
        } else {
            After::Linger
        }
    }

    /// Answers a request whose head was read.
    async fn serve(
        &self,
        session: &mut ServerSession,
        account: &mut Account,
        manner: Manner<'_>,
        readable: &mut bool,
    ) -> Result<(), Gone> {
        let gateway = self.gateway.load_full();
        let head = head::head(session, self.local_listener);
        let welcome = caught(gateway.greet(head, &mut account.story)).await;
        account.placed();
        let guest = match welcome {
            Ok(Ok(guest)) => guest,
            Ok(Err(reply)) => return finish(session, account, reply, manner).await,
            Err(message) => {
                let reply = bug(account, &message);
                return finish(session, account, reply, manner).await;
            }
        };
        let limit = H::terms(&guest).max_body_bytes;
        match body::read(session, limit, &self.bounds).await {
            Ok(body) => {
                self.run(session, account, manner, &*gateway, &guest, body)
                    .await
            }
            Err(NoBody::Gone) => Err(Gone),
            Err(NoBody::Unreadable(why)) => {
                *readable = false;
                session.set_keepalive(None);
                let reply = why.reply(&mut account.story);
                finish(session, account, reply, manner).await
            }
        }
    }

    /// Runs a call and answers it: as JSON when it is quick, as an event
    /// stream when it has something to say before its end or takes long.
    /// A client that hangs up cancels it.
    async fn run(
        &self,
        session: &mut ServerSession,
        account: &mut Account,
        manner: Manner<'_>,
        gateway: &H,
        guest: &H::Guest,
        body: Bytes,
    ) -> Result<(), Gone> {
        let terms = H::terms(guest);
        // HTTP/1.0 knows no chunks, and its proxies gather whole answers.
        let events = terms.takes_events && session.req_header().version != Version::HTTP_10;
        let (notices, mut noticed) = mpsc::channel::<Bytes>(NOTICES);
        let mut stream = EventStream {
            begun: false,
            manner,
            status: &mut account.status,
            size_bytes: &mut account.size_bytes,
        };
        let mut beat = pin!(sleep(self.bounds.events_after));
        let done = {
            let story: &mut Story = &mut account.story;
            let call = gateway.attend(guest, body, events.then_some(notices), story);
            let mut call = pin!(caught(call));
            loop {
                tokio::select! {
                    biased;
                    done = &mut call => break done,
                    Some(notice) = noticed.recv(), if events => {
                        stream.write(session, events::event(&notice), false).await?;
                        beat.as_mut().reset(Instant::now() + self.bounds.heartbeat);
                    }
                    // Whatever it says, the client is no longer there.
                    _ = session.read_body_or_idle(true) => return Err(Gone),
                    () = &mut beat, if events => {
                        stream.write(session, events::HEARTBEAT, false).await?;
                        beat.as_mut().reset(Instant::now() + self.bounds.heartbeat);
                    }
                }
            }
        };
        while let Ok(notice) = noticed.try_recv() {
            stream.write(session, events::event(&notice), false).await?;
        }
        let begun = stream.begun;
        let reply = match done {
            Ok(reply) => reply,
            Err(message) => bug(account, &message),
        };
        if begun {
            let last = if reply.body.is_empty() {
                Bytes::new()
            } else {
                events::event(&reply.body)
            };
            account.size_bytes = account.size_bytes.saturating_add(last.len());
            return write::piece(session, last, true, &self.bounds).await;
        }
        let reply = if terms.only_events {
            events::only_events(reply)
        } else {
            reply
        };
        finish(session, account, reply, manner).await
    }
}

/// An event stream under way; it begins with its first piece.
struct EventStream<'a> {
    begun: bool,
    manner: Manner<'a>,
    status: &'a mut Option<StatusCode>,
    size_bytes: &'a mut usize,
}

impl EventStream<'_> {
    async fn write(
        &mut self,
        session: &mut ServerSession,
        piece: Bytes,
        last: bool,
    ) -> Result<(), Gone> {
        if !self.begun {
            write::begin_events(session, self.manner).await?;
            *self.status = Some(StatusCode::OK);
            self.begun = true;
        }
        *self.size_bytes = self.size_bytes.saturating_add(piece.len());
        write::piece(session, piece, last, self.manner.bounds).await
    }
}

/// Writes a whole answer and notes it.
async fn finish(
    session: &mut ServerSession,
    account: &mut Account,
    reply: Reply,
    manner: Manner<'_>,
) -> Result<(), Gone> {
    let status = reply.status;
    let size = reply.body.len();
    write::reply(session, reply, manner).await?;
    account.status = Some(status);
    account.size_bytes = size;
    Ok(())
}

/// Runs to the end or to a panic, whose message it gives back.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

/// What a client hears of a bug of ours: the number under which we find it.
pub(super) fn bug(account: &mut Account, message: &str) -> Reply {
    account.panicked(message);
    let id = account.story.request_id;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"internal error, request {id}"}}}}"#
    );
    Reply::json(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(text))
}
