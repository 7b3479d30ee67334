//! One client over stdin and stdout.
//!
//! Messages are lines of JSON without line ends in them (MCP, stdio
//! transport). Everything said to the client goes through one channel, so
//! lines never mix; nothing else may write to stdout.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{exchange::catch_panic, request_guard::RequestGuard, service::Host};
use crate::{
    gateway::{Gateway, HttpResponse},
    telemetry::Telemetry,
};
use gatepost_base::InstanceName;
use gatepost_mcp::Session;

/// Calls at once.
const MAX_CONCURRENT_CALLS: usize = 16;

/// Calls that were read and wait; a client that sends more waits itself.
/// They are read so that a waiting call can still be taken back.
const MAX_QUEUED_CALLS: usize = 64;

/// Why a client over stdin and stdout was not served to its end.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// Stdin cannot be read.
    #[error("cannot read from stdin: {0}")]
    CannotRead(#[source] io::Error),
    /// Stdout cannot be written; mostly because the client is gone.
    #[error("cannot write to stdout: {0}")]
    CannotWrite(#[source] io::Error),
    /// There is no such instance.
    #[error("there is no instance `{0}`")]
    UnknownInstance(InstanceName),
}

/// Serves one client until its input ends; calls that still run then have
/// `patience` to finish.
///
/// # Errors
/// [`StdioError`].
pub async fn serve(
    gateway: &Arc<ArcSwap<Gateway>>,
    instance: &InstanceName,
    telemetry: &Arc<Telemetry>,
    patience: Duration,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), StdioError> {
    serve_with(gateway, instance, telemetry, patience, input, output).await
}

pub(super) async fn serve_with<H: Host>(
    gateway: &Arc<ArcSwap<H>>,
    instance: &InstanceName,
    telemetry: &Arc<Telemetry>,
    patience: Duration,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), StdioError> {
    let guest = gateway.load().stdio_request(instance, None);
    let Some(guest) = guest else {
        return Err(StdioError::UnknownInstance(instance.clone()));
    };
    let limit = H::terms(&guest).max_body_bytes;
    let (lines, said) = mpsc::channel(MAX_QUEUED_CALLS);
    let mut writer = tokio::spawn(write_lines(said, output));
    let client = StdioConnection {
        gateway: Arc::clone(gateway),
        instance: instance.clone(),
        telemetry: Arc::clone(telemetry),
        call_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
        session: Arc::default(),
        output: lines,
    };
    let read = tokio::select! {
        read = client.read_messages(BufReader::new(input), limit, patience) => read,
        // It ends before its senders only when it failed.
        wrote = &mut writer => return writer_result(wrote),
    };
    // All senders are gone: what was said is written, then it ends.
    let wrote = writer_result(writer.await);
    read.map_err(StdioError::CannotRead)?;
    wrote
}

/// The one client, and how to say something to it.
struct StdioConnection<H> {
    gateway: Arc<ArcSwap<H>>,
    instance: InstanceName,
    telemetry: Arc<Telemetry>,
    call_permits: Arc<Semaphore>,
    /// The id that the last `initialize` was answered with: where clients over
    /// HTTP bring it, we bring it for them.
    session: Arc<Mutex<Option<Box<str>>>>,
    output: mpsc::Sender<Bytes>,
}

// By hand: a derived one would ask for `H: Clone`.
impl<H> Clone for StdioConnection<H> {
    fn clone(&self) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            instance: self.instance.clone(),
            telemetry: Arc::clone(&self.telemetry),
            call_permits: Arc::clone(&self.call_permits),
            session: Arc::clone(&self.session),
            output: self.output.clone(),
        }
    }
}

impl<H: Host> StdioConnection<H> {
    /// Reads to the end of the input, and waits for what was asked.
    async fn read_messages(
        self,
        mut input: impl AsyncBufReadExt + Unpin,
        limit: usize,
        patience: Duration,
    ) -> io::Result<()> {
        let mut calls = JoinSet::new();
        let mut running = HashMap::new();
        loop {
            // Calls that are over make place, in the table too.
            while calls.try_join_next().is_some() {}
            running.retain(|_, cancel: &mut oneshot::Sender<()>| !cancel.is_closed());
            if calls.len() >= MAX_CONCURRENT_CALLS.saturating_add(MAX_QUEUED_CALLS) {
                calls.join_next().await;
            }
            let message = match next_line(&mut input, limit).await? {
                InputLine::Eof => break,
                InputLine::TooLong => {
                    let text = format!("a message must be at most {limit} bytes");
                    self.send(error_line(&Value::Null, -32600, &text)).await;
                    continue;
                }
                InputLine::Text(text) if text.trim_ascii().is_empty() => continue,
                InputLine::Text(text) => text,
            };
            // What is no such object is for the gateway to refuse.
            let glance: MessagePeek = serde_json::from_slice(&message).unwrap_or_default();
            if let Some(cancelled) = glance.cancelled_request() {
                // Taken back, or over already: the client may be late.
                if let Some(cancel) = running.remove(&cancelled.to_string()) {
                    cancel.send(()).ok();
                }
                continue;
            }
            let (cancel, cancelled) = oneshot::channel();
            // The id of a response is ours: it names no call of the client's.
            let kind = glance.kind();
            let id = glance.id.unwrap_or_default();
            if kind == StdioMessageKind::Response {
                // At once: a call waits for it, and the input may end with it.
                let client = self.clone();
                client
                    .handle_message(Bytes::from(message), kind, id, cancelled)
                    .await;
                continue;
            }
            if !id.is_null() {
                running.insert(id.to_string(), cancel);
            }
            calls.spawn(
                self.clone()
                    .handle_message(Bytes::from(message), kind, id, cancelled),
            );
        }
        // Nobody can answer any more.
        self.gateway.load().close_elicitations();
        // Those that run too long are dropped with the set.
        let rest = async { while calls.join_next().await.is_some() {} };
        drop(timeout(patience, rest).await);
        Ok(())
    }

    async fn handle_message(
        self,
        message: Bytes,
        kind: StdioMessageKind,
        id: Value,
        mut cancelled: oneshot::Receiver<()>,
    ) {
        let mut account = RequestGuard::for_stdio(&self.telemetry);
        account.log.instance = Some(self.instance.clone());
        account.routed();
        let request_id = account.log.request_id;
        // The sender of a call without id is dropped at once; that is no cancel.
        let cancel = async {
            if (&mut cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let work = async {
            // A response waits for none: calls that wait for it hold theirs.
            let _place = match kind {
                StdioMessageKind::Initialize | StdioMessageKind::Other => {
                    Some(self.call_permits.acquire().await)
                }
                StdioMessageKind::Response => None,
            };
            let gateway = self.gateway.load_full();
            // Anew for each message: a reload may have changed what it may.
            let session = self.lock_session().clone();
            let guest = gateway.stdio_request(&self.instance, session.as_deref())?;
            let notices = Some(self.output.clone());
            let story = &mut account.log;
            Some(catch_panic(gateway.handle_request(&guest, message, notices, story)).await)
        };
        let done = tokio::select! {
            biased;
            () = cancel => {
                account.cancelled();
                return;
            }
            done = work => done,
        };
        let body = match done {
            Some(Ok(reply)) => {
                // Before the client reads it, and calls.
                if kind == StdioMessageKind::Initialize {
                    *self.lock_session() = session_id(&reply);
                }
                response_line(&reply, &id)
            }
            Some(Err(message)) => {
                account.panicked(&message);
                let text = format!("internal error, request {request_id}");
                Some(error_line(&id, -32603, &text))
            }
            None => {
                let text = format!("there is no instance `{}` any more", self.instance);
                Some(error_line(&id, -32603, &text))
            }
        };
        if let Some(body) = body {
            account.size_bytes = body.len();
            self.send(body).await;
        }
        account.responded();
    }

    fn lock_session(&self) -> MutexGuard<'_, Option<Box<str>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, line: Bytes) {
        // It fails when stdout is closed, and then everything ends anyway.
        drop(self.output.send(line).await);
    }
}

/// What must be known of a message to run it, and nothing more.
#[derive(Default, Deserialize)]
struct MessagePeek {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// What a message is, as far as it must be known to run it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StdioMessageKind {
    /// It says what the client can do.
    Initialize,
    /// It answers a request of ours.
    Response,
    /// Any other, or none at all.
    Other,
}

impl MessagePeek {
    fn kind(&self) -> StdioMessageKind {
        match self.method.as_deref() {
            Some("initialize") => StdioMessageKind::Initialize,
            None if self.result.is_some() || self.error.is_some() => StdioMessageKind::Response,
            Some(_) | None => StdioMessageKind::Other,
        }
    }

    /// The request that is taken back, if this does that.
    fn cancelled_request(&self) -> Option<&Value> {
        let takes_back = self.method.as_deref() == Some("notifications/cancelled");
        self.params
            .as_ref()
            .filter(|_| takes_back && self.id.is_none())?
            .get("requestId")
    }
}

/// The id that a reply to `initialize` gives.
fn session_id(reply: &HttpResponse) -> Option<Box<str>> {
    let mut fields = reply.headers.iter();
    let (_, id) = fields.find(|(name, _)| *name == Session::HEADER)?;
    id.to_str().ok().map(Box::from)
}

/// What to say for a reply: its body, or, where HTTP would have said it all
/// with a status, an error for whoever waits for an answer.
fn response_line(reply: &HttpResponse, id: &Value) -> Option<Bytes> {
    if !reply.body.is_empty() {
        return Some(reply.body.clone());
    }
    let waits = !id.is_null() && !reply.status.is_success();
    waits.then(|| error_line(id, -32603, &format!("not served: {}", reply.status)))
}

fn error_line(id: &Value, code: i32, message: &str) -> Bytes {
    let error = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": code, "message": message },
    });
    Bytes::from(error.to_string())
}

enum InputLine {
    Eof,
    Text(Vec<u8>),
    TooLong,
}

/// The next line without its end. Of a line that is too long nothing is kept.
async fn next_line(
    input: &mut (impl AsyncBufReadExt + Unpin),
    limit: usize,
) -> io::Result<InputLine> {
    let mut line = Vec::new();
    let mut too_long = false;
    let mut any = false;
    loop {
        let some = input.fill_buf().await?;
        let (part, used, ended) = match some.iter().position(|byte| *byte == b'\n') {
            Some(end) => (some.get(..end).unwrap_or_default(), end + 1, true),
            None => (some, some.len(), some.is_empty()),
        };
        any |= used > 0;
        too_long |= line.len().saturating_add(part.len()) > limit;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        input.consume(used);
        if ended {
            return Ok(match (any, too_long) {
                (false, _) => InputLine::Eof,
                (true, true) => InputLine::TooLong,
                (true, false) => InputLine::Text(line),
            });
        }
    }
}

/// Writes each message as a line of its own.
async fn write_lines(
    mut said: mpsc::Receiver<Bytes>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(message) = said.recv().await {
        let mut line = Vec::with_capacity(message.len().saturating_add(1));
        // Between the tokens of JSON a space is as good as a line end, and
        // within them there is none.
        line.extend(message.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        }));
        line.push(b'\n');
        output.write_all(&line).await?;
        output.flush().await?;
    }
    Ok(())
}

fn writer_result(wrote: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), StdioError> {
    wrote
        .map_err(io::Error::other)
        .flatten()
        .map_err(StdioError::CannotWrite)
}
