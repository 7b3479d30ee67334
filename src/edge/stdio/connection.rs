//! Reads the client's messages, runs them concurrently and sends the responses.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader},
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tracing::warn;

use super::{
    lines::{InputLine, next_line, write_lines},
    message::{MessagePeek, StdioMessageKind, error_line, response_line, session_id},
    termination::Terminations,
};
use crate::{
    edge::{exchange::catch_panic, request_guard::RequestGuard, request_handler::RequestHandler},
    telemetry::Telemetry,
};
use gatepost_base::{InstanceName, sync::lock};

/// The maximum number of concurrent calls.
const MAX_CONCURRENT_CALLS: usize = 16;

/// The maximum number of calls that were read and wait. They are read so that the
/// client can still cancel them; with more, the input is not read.
const MAX_QUEUED_CALLS: usize = 64;

/// Why the client was not served until its input ended.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// Stdin cannot be read.
    #[error("cannot read from stdin: {0}")]
    CannotRead(#[source] io::Error),
    /// The signal handlers cannot be installed.
    #[error("cannot install the signal handlers: {0}")]
    NoSignals(#[source] io::Error),
    /// Stdout cannot be written, usually because the client has exited.
    #[error("cannot write to stdout: {0}")]
    CannotWrite(#[source] io::Error),
    /// The instance is not configured.
    #[error("the configuration has no instance `{0}`")]
    UnknownInstance(InstanceName),
}

/// Serves one client until its input ends or the process is to end; calls that still
/// run then have `drain_timeout` to finish, or until the next request to end.
///
/// # Errors
/// [`StdioError`].
pub async fn serve<H: RequestHandler>(
    gateway: &Arc<ArcSwap<H>>,
    instance: &InstanceName,
    telemetry: &Arc<Telemetry>,
    drain_timeout: Duration,
    mut terminations: impl Terminations,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), StdioError> {
    let Some(request) = gateway.load().accept_stdio(instance, None) else {
        return Err(StdioError::UnknownInstance(instance.clone()));
    };
    let limit = H::terms(&request).max_body_bytes;
    let (sender, messages) = mpsc::channel(MAX_QUEUED_CALLS);
    let mut writer = tokio::spawn(write_lines(messages, output));
    let connection = Arc::new(StdioConnection {
        gateway: Arc::clone(gateway),
        instance: instance.clone(),
        telemetry: Arc::clone(telemetry),
        call_permits: Semaphore::new(MAX_CONCURRENT_CALLS),
        session: Mutex::default(),
        output: sender,
    });
    let read = tokio::select! {
        read = connection.read_messages(
            BufReader::new(input),
            limit,
            drain_timeout,
            &mut terminations,
        ) => read,
        // It ends before its senders only if it failed.
        written = &mut writer => return writer_result(written),
    };
    // Whose client has disconnected or cancelled them.
    let writes = gateway.load().in_flight_writes();
    tokio::select! {
        drained = timeout(drain_timeout, writes.wait_until_none()) => if drained.is_err() {
            let cut = writes.count();
            warn!(cut, "Stopped with writes in flight; Odoo may have made them");
        },
        () = terminations.next() => {}
    }
    // All senders are dropped: the writer writes what is queued, then ends.
    let written = writer_result(writer.await);
    read.map_err(StdioError::CannotRead)?;
    written
}

/// The one client.
struct StdioConnection<H> {
    gateway: Arc<ArcSwap<H>>,
    instance: InstanceName,
    telemetry: Arc<Telemetry>,
    call_permits: Semaphore,
    /// The id from the last `initialize`: clients over HTTP send it with each
    /// request, and here the transport adds it.
    session: Mutex<Option<Box<str>>>,
    output: mpsc::Sender<Bytes>,
}

impl<H: RequestHandler> StdioConnection<H> {
    /// Reads until the input ends, then waits for the calls that still run.
    async fn read_messages(
        self: Arc<Self>,
        mut input: impl AsyncBufReadExt + Unpin,
        limit: usize,
        drain_timeout: Duration,
        terminations: &mut impl Terminations,
    ) -> io::Result<()> {
        let mut calls = JoinSet::new();
        let mut cancellable = HashMap::new();
        loop {
            // Finished calls make room, in the table too.
            while calls.try_join_next().is_some() {}
            cancellable.retain(|_, cancel: &mut oneshot::Sender<()>| !cancel.is_closed());
            if calls.len() >= MAX_CONCURRENT_CALLS.saturating_add(MAX_QUEUED_CALLS) {
                tokio::select! {
                    () = terminations.next() => break,
                    _ = calls.join_next() => {}
                }
            }
            let line = tokio::select! {
                biased;
                () = terminations.next() => break,
                line = next_line(&mut input, limit) => line?,
            };
            let message = match line {
                InputLine::Eof => break,
                InputLine::TooLong => {
                    let text = format!("a message must be at most {limit} bytes");
                    self.send(error_line(&Value::Null, -32600, &text)).await;
                    continue;
                }
                InputLine::Text(text) if text.trim_ascii().is_empty() => continue,
                InputLine::Text(text) => Bytes::from(text),
            };
            // The gateway rejects what is not such an object.
            let peek: MessagePeek = serde_json::from_slice(&message).unwrap_or_default();
            if let Some(cancelled) = peek.cancelled_request() {
                // The call may have finished already.
                if let Some(cancel) = cancellable.remove(&cancelled.to_string()) {
                    cancel.send(()).ok();
                }
                continue;
            }
            let (cancel, cancelled) = oneshot::channel();
            let kind = peek.kind();
            let id = peek.id.unwrap_or_default();
            // The id of a response is the gateway's, so it names no call of the client.
            if kind != StdioMessageKind::Response && !id.is_null() {
                cancellable.insert(id.to_string(), cancel);
            }
            let call = Arc::clone(&self).handle_message(message, kind, id, cancelled);
            if kind == StdioMessageKind::Response {
                // At once: a call waits for it, and the input may end with it.
                call.await;
            } else {
                calls.spawn(call);
            }
        }
        // The client cannot answer any more.
        self.gateway.load().cancel_pending();
        // Calls that exceed the timeout are dropped with the set.
        let rest = async { while calls.join_next().await.is_some() {} };
        tokio::select! {
            _ = timeout(drain_timeout, rest) => {}
            () = terminations.next() => {}
        }
        Ok(())
    }

    async fn handle_message(
        self: Arc<Self>,
        message: Bytes,
        kind: StdioMessageKind,
        id: Value,
        mut cancelled: oneshot::Receiver<()>,
    ) {
        let mut guard = RequestGuard::for_stdio(&self.telemetry);
        guard.log.instance = Some(self.instance.clone());
        guard.routed();
        let request_id = guard.log.request_id;
        // The sender of a call without an id is dropped at once; that does not cancel it.
        let cancel = async {
            if (&mut cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let work = async {
            // A response needs no permit, because the call that waits for it holds one.
            let _permit = match kind {
                StdioMessageKind::Initialize | StdioMessageKind::Other => {
                    Some(self.call_permits.acquire().await)
                }
                StdioMessageKind::Response => None,
            };
            let gateway = self.gateway.load_full();
            // For each message, because a reload may have changed the permissions.
            let session = lock(&self.session).clone();
            let request = gateway.accept_stdio(&self.instance, session.as_deref())?;
            let messages = Some(self.output.clone());
            let call = gateway.handle_body(&request, message, messages, &mut guard.log);
            Some(catch_panic(call).await)
        };
        let done = tokio::select! {
            biased;
            () = cancel => {
                guard.cancelled();
                return;
            }
            done = work => done,
        };
        let line = match done {
            Some(Ok(response)) => {
                // Before the client reads it and sends its next call.
                if kind == StdioMessageKind::Initialize {
                    *lock(&self.session) = session_id(&response);
                }
                response_line(&response, &id)
            }
            Some(Err(message)) => {
                guard.panicked(&message);
                let text = format!("internal error, request {request_id}");
                Some(error_line(&id, -32603, &text))
            }
            None => {
                let text = format!("there is no instance `{}` any more", self.instance);
                Some(error_line(&id, -32603, &text))
            }
        };
        if let Some(line) = line {
            guard.size_bytes = line.len();
            self.send(line).await;
        }
        guard.responded();
    }

    async fn send(&self, line: Bytes) {
        // It fails if stdout is closed, and then `serve` returns.
        drop(self.output.send(line).await);
    }
}

fn writer_result(written: Result<io::Result<()>, JoinError>) -> Result<(), StdioError> {
    written
        .map_err(io::Error::other)
        .flatten()
        .map_err(StdioError::CannotWrite)
}
