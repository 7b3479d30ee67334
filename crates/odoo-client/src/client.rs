//! The way to one Odoo instance.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    Address, ApiKey, CallError, Dialect, InvalidAddress, Json2, WireRequest, WireResponse,
    concurrency::ConcurrencyLimit,
    connection_count::ConnectionCounter,
    exchange::{ExchangeError, OdooConnection},
    silence::UnknownOutcome,
};
use gatepost_base::TraceContext;
use gatepost_odoo::Call;
use gatepost_policy::Permitted;
use gatepost_tls::{self, TlsSetupError};

/// Idle connections that are kept, and for how long: only with a server that
/// showed that it keeps them, for an idle one holds a whole worker of a
/// prefork Odoo.
const MAX_IDLE: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the question whether Odoo is there may take.
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
    /// How long name look-up, TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long one call may take in all, without the wait for a place.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
    /// Calls under way at once.
    pub max_in_flight: usize,
    /// Calls that may wait for a place.
    pub max_waiting: usize,
    /// How long one waits for a place.
    pub max_wait: Duration,
}

/// Settings that no link can be made of.
#[derive(Debug, thiserror::Error)]
pub enum InvalidOdooClientSettings {
    /// The URL is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The certificates to trust cannot be used.
    #[error(transparent)]
    Untrusted(#[from] TlsSetupError),
}

/// The way to one Odoo instance: bounded, and as Odoo wants it.
#[derive(Debug)]
pub struct OdooClient {
    address: Address,
    dialect: Json2,
    settings: OdooClientSettings,
    tls: Option<TlsConnectorOf>,
    concurrency: ConcurrencyLimit,
    connections: ConnectionCounter,
    idle: Mutex<Vec<(Instant, OdooConnection)>>,
}

/// How busy the way to one Odoo is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientStats {
    /// Calls that have their place.
    pub in_flight: usize,
    /// Calls that wait for one.
    pub queued: usize,
    /// Connections that are open, idle ones too.
    pub open_connections: usize,
    /// Connections that were opened since the link was made.
    pub connections_opened: u64,
}

/// The connector has no `Debug`.
struct TlsConnectorOf(TlsConnector);

impl std::fmt::Debug for TlsConnectorOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl OdooClient {
    /// A link with these settings; nothing is connected yet.
    ///
    /// # Errors
    /// [`InvalidLink`] names the setting.
    pub fn new(settings: OdooClientSettings) -> Result<Self, InvalidOdooClientSettings> {
        let address = Address::parse(&settings.url)?;
        let tls = if address.tls {
            Some(TlsConnectorOf(TlsConnector::from(Arc::new(
                gatepost_tls::client_config(settings.ca_file.as_deref())?,
            ))))
        } else {
            None
        };
        Ok(Self {
            address,
            dialect: Json2 {
                database: settings.database.clone(),
            },
            concurrency: ConcurrencyLimit::new(
                settings.max_in_flight,
                settings.max_waiting,
                settings.max_wait,
            ),
            tls,
            connections: ConnectionCounter::default(),
            idle: Mutex::new(Vec::new()),
            settings,
        })
    }

    /// Sends the call and gives back the JSON text of what the method returned.
    ///
    /// Odoo is told as which step of which trace it is called, for the proxies
    /// and the instrumentation around it.
    ///
    /// Dropping the future gives up the place and closes the connection; Odoo
    /// does not notice, and finishes what it began.
    ///
    /// # Errors
    /// [`CallError`], which says whether the call may have run.
    pub async fn send(
        &self,
        call: &Permitted<Call>,
        key: &ApiKey,
        trace: Option<&TraceContext>,
    ) -> Result<Bytes, CallError> {
        let read = call.get().operation().is_read();
        let mut request = self.dialect.encode(call.get(), key)?;
        request
            .headers
            .extend(trace.into_iter().flat_map(trace_headers));
        let _place = self.concurrency.acquire().await?;
        let limit = self.settings.timeout;
        match timeout(limit, self.exchange_with_retry(&request, read)).await {
            Ok(Ok(response)) => self
                .dialect
                .decode(response)
                .map_err(|error| into_unknown_outcome(error, read)),
            Ok(Err(error)) => Err(into_unknown_outcome(error, read)),
            Err(_elapsed) => Err(into_unknown_outcome(CallError::TimedOut { limit }, read)),
        }
    }

    /// Asks whether an Odoo answers there at all, without a credential.
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
        let ask = async {
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
        timeout(PING_TIMEOUT, ask)
            .await
            .unwrap_or(Err(CallError::TimedOut {
                limit: PING_TIMEOUT,
            }))
    }

    /// How long a call may take until something is known of it: its wait for a
    /// turn, and for the answer.
    pub fn max_call_time(&self) -> Duration {
        self.settings.max_wait + self.settings.timeout
    }

    /// How busy it is now.
    pub fn stats(&self) -> ClientStats {
        ClientStats {
            in_flight: self.concurrency.in_flight(),
            queued: self.concurrency.queued(),
            open_connections: self.connections.open_count(),
            connections_opened: self.connections.total(),
        }
    }

    /// One exchange; a read once more when the connection died before a byte
    /// of an answer came. A change never: it may have run.
    async fn exchange_with_retry(
        &self,
        request: &WireRequest,
        read: bool,
    ) -> Result<WireResponse, CallError> {
        let mut again = read;
        loop {
            // The second time on a fresh one: those that were kept may have died together.
            let mut connection = match self.take_idle(read && again) {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let written = self.http_request(request)?;
            match connection
                .exchange(written, self.settings.max_answer_bytes)
                .await
            {
                Ok(response) => {
                    self.store_idle(connection);
                    return Ok(response);
                }
                Err(ExchangeError::AfterResponseBegan(error)) => return Err(error),
                Err(ExchangeError::BeforeResponse(_)) if again => {
                    again = false;
                    self.idle
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clear();
                }
                Err(ExchangeError::BeforeResponse(error)) if read => {
                    return Err(CallError::CutOff(error.into()));
                }
                Err(ExchangeError::BeforeResponse(error)) => {
                    return Err(CallError::OutcomeUnknown(UnknownOutcome::CutOff(
                        error.into(),
                    )));
                }
            }
        }
    }

    async fn connect(&self) -> Result<OdooConnection, CallError> {
        let limit = self.settings.connect_timeout;
        let tls = self.tls.as_ref().map(|tls| &tls.0);
        match timeout(
            limit,
            OdooConnection::open(&self.address, tls, &self.connections),
        )
        .await
        {
            Ok(opened) => opened,
            Err(elapsed) => Err(CallError::Unreachable(elapsed.into())),
        }
    }

    fn http_request(&self, request: &WireRequest) -> Result<Request<Full<Bytes>>, CallError> {
        let mut written = Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.address.prefix, request.path))
            .header(header::HOST, self.address.authority.as_str());
        if !request.body.is_empty() {
            // Always: Odoo reads a chunked body as no arguments, without a word.
            written = written.header(header::CONTENT_LENGTH, request.body.len());
        }
        for (name, value) in &request.headers {
            written = written.header(name, value);
        }
        written
            .body(Full::new(request.body.clone()))
            .map_err(|error| CallError::NotSent(error.into()))
    }

    /// A connection that the server kept. Not for a change: one that dies now
    /// would leave its outcome unknown for nothing.
    fn take_idle(&self, read: bool) -> Option<OdooConnection> {
        if !read {
            return None;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, connection)| {
            since.elapsed() < IDLE_TIMEOUT && connection.is_reusable()
        });
        idle.pop().map(|(_, connection)| connection)
    }

    fn store_idle(&self, connection: OdooConnection) {
        if connection.is_reusable() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(since, connection)| {
                since.elapsed() < IDLE_TIMEOUT && connection.is_reusable()
            });
            if idle.len() < MAX_IDLE {
                idle.push((Instant::now(), connection));
            }
        }
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

/// A change whose answer cannot be read may have run all the same: one that
/// came too late, a proxy that gave up waiting, half an answer, one that is too
/// large.
pub(super) fn into_unknown_outcome(error: CallError, read: bool) -> CallError {
    if read {
        return error;
    }
    let silence = match error {
        CallError::CutOff(error) => UnknownOutcome::CutOff(error),
        CallError::NotOdoo {
            status,
            excerpt: said,
        } if !(300..500).contains(&status) => UnknownOutcome::NotOdoo {
            status,
            excerpt: said,
        },
        CallError::TimedOut { limit } => UnknownOutcome::TimedOut { limit },
        CallError::TooLarge { limit } => UnknownOutcome::TooLarge { limit },
        CallError::Busy { .. }
        | CallError::Fault(_)
        | CallError::NotOdoo { .. }
        | CallError::NotSent(_)
        | CallError::OutcomeUnknown(_)
        | CallError::Unreachable(_) => return error,
    };
    CallError::OutcomeUnknown(silence)
}
