//! The client for one Odoo instance.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    Address, CallError, Dialect, InvalidAddress, Json2, OdooApiKey, WireRequest, WireResponse,
    connection_count::ConnectionCounter,
    exchange::{ExchangeError, OdooConnection},
    name_lookups::NameLookups,
    throttle::{Throttle, ThrottleLimits},
};
use gatepost_base::{TraceContext, sync::lock};
use gatepost_odoo::Call;
use gatepost_policy::Permitted;
use gatepost_tls::{self, TlsSetupError};

/// The maximum number of idle connections to a server that has not yet answered on a
/// reused one, because it may close them all.
const MAX_UNPROVED_IDLE: usize = 4;
/// How long an idle connection is retained. One that the server leaves open occupies a
/// whole worker of a prefork Odoo.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long [`OdooClient::ping`] may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach one Odoo instance.
#[derive(Clone, Debug)]
pub struct OdooClientSettings {
    /// `http://` or `https://`, host, port, and a path prefix if Odoo has one.
    pub url: String,
    /// The database, sent as `X-Odoo-Database`.
    pub database: Option<String>,
    /// PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long DNS, TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long one call may take, without its time in the queue.
    pub timeout: Duration,
    /// The largest response, in bytes.
    pub max_answer_bytes: usize,
    /// The most calls in flight.
    pub max_in_flight: usize,
    /// The most calls in the queue.
    pub max_waiting: usize,
    /// How long a call may wait in the queue, or for the end of a pause that the
    /// server asked for.
    pub max_wait: Duration,
    /// The most calls that start in a second; `None` means any number.
    pub max_calls_per_second: Option<u32>,
}

/// Invalid settings of a client.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOdooClientSettings {
    /// The URL is invalid.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The trusted certificates cannot be used.
    #[error("`ca_file`: {0}")]
    Untrusted(#[from] TlsSetupError),
}

/// The client for one Odoo instance. It limits concurrency and retries only reads.
#[derive(Debug)]
pub struct OdooClient {
    address: Address,
    dialect: Json2,
    settings: OdooClientSettings,
    tls: Option<Arc<ClientConfig>>,
    throttle: Arc<Throttle>,
    connections: ConnectionCounter,
    pub(super) lookups: NameLookups,
    idle: Mutex<Vec<(Instant, OdooConnection)>>,
    /// Whether the server last answered on a connection that was idle before.
    reuses_connections: AtomicBool,
    /// Whether no connection could be opened when one was last needed.
    is_lost: AtomicBool,
}

/// The load of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientStats {
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls in the queue.
    pub queued: usize,
    /// Open connections, including idle ones.
    pub open_connections: usize,
    /// Connections opened since the client was created.
    pub connections_opened: u64,
}

impl OdooClient {
    /// A client with these settings. Does not connect yet.
    ///
    /// # Errors
    /// [`InvalidOdooClientSettings`].
    pub fn new(settings: OdooClientSettings) -> Result<Self, InvalidOdooClientSettings> {
        let address = Address::parse(&settings.url)?;
        let tls = if address.tls {
            let config = gatepost_tls::client_config(settings.ca_file.as_deref())?;
            Some(Arc::new(config))
        } else {
            None
        };
        Ok(Self {
            address,
            dialect: Json2 {
                database: settings.database.clone(),
            },
            throttle: Arc::new(Throttle::new(ThrottleLimits {
                url: settings.url.clone(),
                max_in_flight: settings.max_in_flight,
                max_waiting: settings.max_waiting,
                max_wait: settings.max_wait,
                max_per_second: settings.max_calls_per_second,
            })),
            tls,
            connections: ConnectionCounter::default(),
            lookups: NameLookups::default(),
            idle: Mutex::new(Vec::new()),
            reuses_connections: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            settings,
        })
    }

    /// Continues with the throttle of the client that this one replaces, if URL and limits
    /// are the same: calls of both together stay within the limits. With the same URL,
    /// so do lookups of its name.
    pub fn continue_turns_of(&mut self, other: &Self) {
        if self.throttle.limits == other.throttle.limits {
            self.throttle = Arc::clone(&other.throttle);
        }
        if self.settings.url == other.settings.url {
            self.lookups = other.lookups.clone();
        }
    }

    /// Sends a call and returns the JSON of its result. A read that the server refuses
    /// with `Retry-After` is sent again after that time, if it may wait so long.
    ///
    /// The request carries the trace context for proxies and instrumentation. Without
    /// `max_bytes` the response may have as many as the settings allow.
    ///
    /// Dropping the future closes the connection; Odoo does not notice and finishes
    /// the call.
    ///
    /// # Errors
    /// [`CallError`], which says whether the call may have run.
    pub async fn send(
        &self,
        call: &Permitted<Call>,
        key: &OdooApiKey,
        trace: Option<&TraceContext>,
        max_bytes: Option<usize>,
    ) -> Result<Bytes, CallError> {
        let configured = self.settings.max_answer_bytes;
        let max_bytes = max_bytes.map_or(configured, |bytes| bytes.min(configured));
        let is_read = call.get().operation().is_read();
        let mut request = self.dialect.encode(call.get(), key)?;
        request
            .headers
            .extend(trace.into_iter().flat_map(trace_headers));
        let deadline = Instant::now() + self.settings.max_wait;
        let first = self.send_in_turn(&request, (is_read, max_bytes), deadline);
        let answer = first.await;
        let Err(CallError::NotOdoo(refusal)) = &answer else {
            return answer;
        };
        let ends = refusal.pause().map(|pause| Instant::now() + pause);
        if is_read && ends.is_some_and(|ends| ends <= deadline) {
            let again = self.send_in_turn(&request, (is_read, max_bytes), deadline);
            return again.await;
        }
        answer
    }

    async fn send_in_turn(
        &self,
        request: &WireRequest,
        (is_read, max_bytes): (bool, usize),
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let _turn = self.throttle.take(deadline.into()).await?;
        let limit = self.settings.timeout;
        let answer = timeout(limit, self.exchange_with_retry(request, is_read, max_bytes))
            .await
            .unwrap_or(Err(CallError::TimedOut { limit }))
            .and_then(|response| self.dialect.decode(response));
        self.record_reachability(answer.as_ref().err());
        if let Err(CallError::NotOdoo(refusal)) = &answer
            && let Some(pause) = refusal.pause()
        {
            self.throttle.pause(pause);
        }
        answer.map_err(|error| error.after_sending(is_read))
    }

    /// The largest response that the settings allow, in bytes.
    pub(super) fn max_answer_bytes(&self) -> usize {
        self.settings.max_answer_bytes
    }

    /// Checks that Odoo responds, without a credential.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ping(&self) -> Result<(), CallError> {
        let headers = self
            .settings
            .database
            .iter()
            .filter_map(|database| HeaderValue::from_str(database).ok())
            .map(|database| (HeaderName::from_static("x-odoo-database"), database))
            .collect();
        let request = WireRequest {
            method: Method::GET,
            path: "/web/version".to_owned(),
            headers,
            body: Bytes::new(),
        };
        let ping = async {
            let mut connection = self.connect().await?;
            let request = self.http_request(&request)?;
            match connection.exchange(request, 64 << 10).await {
                Ok(response) if response.status == 200 && response.media == "application/json" => {
                    Ok(())
                }
                Ok(response) => self.dialect.decode(response).map(drop),
                Err(ExchangeError::AfterResponseBegan(error)) => Err(error),
                Err(ExchangeError::BeforeResponse(error)) => Err(CallError::CutOff(error.into())),
            }
        };
        let answer = timeout(PING_TIMEOUT, ping)
            .await
            .unwrap_or(Err(CallError::TimedOut {
                limit: PING_TIMEOUT,
            }));
        self.record_reachability(answer.as_ref().err());
        answer
    }

    /// Logs that the server cannot be reached any more, and that it can be again.
    fn record_reachability(&self, error: Option<&CallError>) {
        let lost = match error {
            Some(error @ CallError::Unreachable(_)) => Some(error),
            None
            | Some(CallError::Fault(_) | CallError::NotOdoo(_) | CallError::TooLarge { .. }) => {
                None
            }
            // They do not show whether the server is there.
            Some(
                CallError::Busy { .. }
                | CallError::CutOff(_)
                | CallError::NotSent(_)
                | CallError::OutcomeUnknown(_)
                | CallError::Paused { .. }
                | CallError::TimedOut { .. },
            ) => return,
        };
        let url = &*self.settings.url;
        match (lost, self.is_lost.swap(lost.is_some(), Relaxed)) {
            (Some(error), false) => {
                let diagnosis = self.diagnose(error);
                warn!(
                    odoo.url = url,
                    error = diagnosis.cause,
                    help = diagnosis.remedy,
                    "Lost Odoo"
                );
            }
            (None, true) => info!(odoo.url = url, "Reconnected to Odoo"),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// The longest time until a call returns: its time in the queue and its timeout.
    pub fn max_call_time(&self) -> Duration {
        self.settings.max_wait + self.settings.timeout
    }

    /// The URL of the server.
    pub fn url(&self) -> &str {
        &self.settings.url
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn database(&self) -> Option<&str> {
        self.settings.database.as_deref()
    }

    /// The current load.
    pub fn stats(&self) -> ClientStats {
        ClientStats {
            in_flight: self.throttle.concurrency.in_flight(),
            queued: self.throttle.concurrency.queued(),
            open_connections: {
                // Closed ones count no longer.
                drop(self.open_idle_connections());
                self.connections.open_count()
            },
            connections_opened: self.connections.total(),
        }
    }

    /// Sends a request and reads the response. A read is retried once if the
    /// connection ended before a byte of the response; a write never, because it may
    /// have run.
    async fn exchange_with_retry(
        &self,
        request: &WireRequest,
        is_read: bool,
        max_bytes: usize,
    ) -> Result<WireResponse, CallError> {
        let mut may_retry = is_read;
        loop {
            // The retry uses a new connection: all idle ones may be closed.
            let idle = self.take_idle(may_retry);
            let was_idle = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let written = self.http_request(request)?;
            match connection.exchange(written, max_bytes).await {
                Ok(response) => {
                    if was_idle {
                        self.reuses_connections.store(true, Relaxed);
                    }
                    self.store_idle(connection);
                    return Ok(response);
                }
                Err(ExchangeError::AfterResponseBegan(error)) => return Err(error),
                Err(ExchangeError::BeforeResponse(_)) if may_retry => {
                    may_retry = false;
                    self.reuses_connections.store(false, Relaxed);
                    lock(&self.idle).clear();
                }
                Err(ExchangeError::BeforeResponse(error)) => {
                    return Err(CallError::CutOff(error.into()));
                }
            }
        }
    }

    async fn connect(&self) -> Result<OdooConnection, CallError> {
        let opened = OdooConnection::open(
            &self.address,
            &self.lookups,
            self.tls.as_ref(),
            &self.connections,
        );
        timeout(self.settings.connect_timeout, opened)
            .await
            .unwrap_or_else(|elapsed| Err(CallError::Unreachable(elapsed.into())))
    }

    fn http_request(&self, request: &WireRequest) -> Result<Request<Full<Bytes>>, CallError> {
        let mut written = Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.address.prefix, request.path))
            .header(header::HOST, self.address.authority.as_str());
        if !request.body.is_empty() {
            // Required: Odoo silently ignores a chunked body.
            written = written.header(header::CONTENT_LENGTH, request.body.len());
        }
        for (name, value) in &request.headers {
            written = written.header(name, value);
        }
        written
            .body(Full::new(request.body.clone()))
            .map_err(|error| CallError::NotSent(error.into()))
    }

    /// An idle connection. Not for writes: if it ends now, the outcome would be
    /// unknown without need.
    fn take_idle(&self, may_retry: bool) -> Option<OdooConnection> {
        if !may_retry {
            return None;
        }
        let (_, connection) = self.open_idle_connections().pop()?;
        Some(connection)
    }

    fn store_idle(&self, connection: OdooConnection) {
        let max_idle = if self.reuses_connections.load(Relaxed) {
            self.settings.max_in_flight
        } else {
            MAX_UNPROVED_IDLE
        };
        let mut idle = self.open_idle_connections();
        if idle.len() < max_idle && !connection.is_closed() {
            idle.push((Instant::now(), connection));
        }
    }

    /// The idle connections, without those that are closed or too old.
    fn open_idle_connections(&self) -> MutexGuard<'_, Vec<(Instant, OdooConnection)>> {
        let mut idle = lock(&self.idle);
        idle.retain(|(since, connection)| {
            since.elapsed() < IDLE_TIMEOUT && !connection.is_closed()
        });
        idle
    }
}

/// `traceparent` and `tracestate` (W3C Trace Context, section 3).
fn trace_headers(trace: &TraceContext) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let parent = HeaderValue::from_str(&trace.traceparent()).ok();
    let state = trace
        .tracestate()
        .and_then(|state| HeaderValue::from_str(state).ok());
    let headers = [
        (HeaderName::from_static("traceparent"), parent),
        (HeaderName::from_static("tracestate"), state),
    ];
    headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}
