//! A connection to Redis that reconnects in the background.
//!
//! Running a script never takes longer than its timeout: a late or lost reply is
//! [`RedisUnavailable`], and a background task reconnects until it succeeds.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use gatepost_tls::{HandshakeFailure, PeerProtocol};
use redis::{
    AsyncConnectionConfig, RedisConnectionInfo, Script, ScriptInvocation, Value,
    aio::MultiplexedConnection,
};
use rustls::ClientConfig;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{info, warn};

use super::{
    redis_url::{RedisPassword, RedisUrl},
    stream,
    unavailable::RedisUnavailable,
};

/// How long connecting may take. Only the background task waits that long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait between attempts to connect.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// After this many late replies in a row Redis counts as unavailable. A single one
/// is tolerated, although each costs a caller the whole timeout.
const MAX_LATE_REPLIES: u32 = 3;

/// How to reach a Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Its address.
    pub url: RedisUrl,
    /// Its password.
    pub password: Option<RedisPassword>,
    /// The TLS configuration, used for `rediss://`.
    pub tls: Arc<ClientConfig>,
    /// The file of certificates behind [`tls`](Self::tls), if any.
    pub ca_file: Option<PathBuf>,
    /// How long one run of a script may take.
    pub timeout: Duration,
    /// The prefix of its keys.
    pub prefix: String,
}

/// A script that is tried on each new connection before it is used. So a
/// read-only replica or a full Redis counts as unavailable.
#[derive(Debug)]
pub struct RedisProbe {
    /// What the connection is used for, in one word, for the log.
    pub used_for: &'static str,
    /// The script.
    pub script: Script,
    /// Its keys, without the prefix.
    pub keys: Vec<String>,
    /// Its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Whether a reply is valid.
    pub is_valid_reply: fn(&Value) -> bool,
}

/// Whether a script may run a second time after the connection ended and it is
/// unknown whether it ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetrySafety {
    /// A second run changes nothing that matters.
    Safe,
    /// It must not run twice.
    Unsafe,
}

/// A Redis server and the state of its connection.
pub struct Redis {
    settings: RedisSettings,
    probe: RedisProbe,
    state: watch::Sender<RedisState>,
    /// Late replies in a row.
    late_replies: AtomicU32,
    /// Whether the background task is running.
    reconnecting: AtomicBool,
}

#[derive(Clone)]
enum RedisState {
    Unavailable,
    Connected(Arc<RedisConnection>),
    /// Not used yet, or about to reconnect.
    Untried,
}

/// A connection; dropping it closes it, even with replies outstanding.
struct RedisConnection {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

/// Marks the background task as running until dropped.
struct Reconnector(Weak<Redis>);

impl Redis {
    /// A client that is not connected yet.
    pub fn new(settings: RedisSettings, probe: RedisProbe) -> Arc<Self> {
        Arc::new(Self {
            settings,
            probe,
            state: watch::Sender::new(RedisState::Untried),
            late_replies: AtomicU32::new(0),
            reconnecting: AtomicBool::new(false),
        })
    }

    /// Runs a script. `read` parses its reply; `None` means an invalid reply.
    ///
    /// # Errors
    /// [`RedisUnavailable`]; the script may have run or not.
    pub async fn run<T>(
        self: &Arc<Self>,
        call: &ScriptInvocation<'_>,
        retry_safety: RetrySafety,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<T, RedisUnavailable> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut connection = self.connection(deadline).await?;
        if connection.driver.is_finished() {
            // Closed while idle; nothing was sent yet.
            self.discard(&connection);
            connection = self.connection(deadline).await?;
        }
        let mut result = timeout_at(deadline, connection.run(call)).await;
        // Probably closed while idle as well: retry once on a new connection.
        if retry_safety == RetrySafety::Safe
            && matches!(result, Ok(Err(RedisUnavailable::Disconnected(_))))
        {
            self.discard(&connection);
            connection = self.connection(deadline).await?;
            result = timeout_at(deadline, connection.run(call)).await;
        }
        let result = result
            .map(|reply| reply.and_then(|value| read(value).ok_or(RedisUnavailable::InvalidReply)));
        match result {
            Ok(Ok(reply)) => {
                self.late_replies.store(0, SeqCst);
                Ok(reply)
            }
            Ok(Err(error)) => {
                self.mark_unavailable(&connection, &error);
                Err(error)
            }
            Err(_elapsed) => {
                let error = RedisUnavailable::TimedOut(self.settings.timeout);
                if self.late_replies.fetch_add(1, SeqCst) + 1 >= MAX_LATE_REPLIES {
                    self.mark_unavailable(&connection, &error);
                }
                Err(error)
            }
        }
    }

    /// Whether it was available when last used; `None` before that.
    pub fn is_connected(&self) -> Option<bool> {
        match &*self.state.borrow() {
            RedisState::Unavailable => Some(false),
            RedisState::Connected(_) => Some(true),
            RedisState::Untried => None,
        }
    }

    /// Probes the current connection.
    ///
    /// # Errors
    /// [`RedisUnavailable`].
    pub async fn probe_current(self: &Arc<Self>) -> Result<(), RedisUnavailable> {
        let is_valid = self.probe.is_valid_reply;
        let read = |value: Value| is_valid(&value).then_some(());
        self.run(&self.probe_invocation(), RetrySafety::Safe, read)
            .await
    }

    /// Probes a new connection, which is closed again.
    ///
    /// # Errors
    /// [`RedisUnavailable`].
    pub async fn probe_new_connection(&self) -> Result<(), RedisUnavailable> {
        self.connect().await.map(drop)
    }

    /// A section of `INFO`, such as `memory`.
    ///
    /// # Errors
    /// [`RedisUnavailable`], also if the user may not run `INFO`.
    pub async fn info(&self, section: &str) -> Result<String, RedisUnavailable> {
        let connection = self.connect().await?;
        let mut connection = connection.connection.clone();
        let mut info = redis::cmd("INFO");
        let reply = info.arg(section).query_async(&mut connection);
        Ok(timeout(self.settings.timeout, reply)
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(self.settings.timeout))??)
    }

    /// Waits until it is connected, or is not.
    #[cfg(test)]
    pub(crate) async fn wait_until_connected(&self, is_connected: bool) {
        let mut changes = self.state.subscribe();
        let wanted = |state: &RedisState| matches!(state, RedisState::Connected(_)) == is_connected;
        drop(changes.wait_for(wanted).await.unwrap());
    }

    /// Its settings.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Whether the settings are the same. Certificates from a file never are.
    pub fn has_same_settings(&self, settings: &RedisSettings) -> bool {
        let ours = &self.settings;
        // The content of a file may have changed.
        ours.ca_file.is_none()
            && settings.ca_file.is_none()
            && ours.url == settings.url
            && ours.password == settings.password
            && ours.timeout == settings.timeout
            && ours.prefix == settings.prefix
    }

    /// The current connection. Waits for the first attempt to connect.
    async fn connection(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<RedisConnection>, RedisUnavailable> {
        let known = self.state.borrow().clone();
        let state = match known {
            RedisState::Untried => {
                self.start_reconnecting();
                let mut changes = self.state.subscribe();
                let tried = changes.wait_for(|state| !matches!(state, RedisState::Untried));
                match timeout_at(deadline, tried).await {
                    Ok(Ok(state)) => state.clone(),
                    Ok(Err(_)) | Err(_) => RedisState::Untried,
                }
            }
            known @ (RedisState::Unavailable | RedisState::Connected(_)) => known,
        };
        match state {
            RedisState::Connected(connection) => Ok(connection),
            RedisState::Unavailable => {
                self.start_reconnecting();
                Err(RedisUnavailable::Disconnected("not connected".to_owned()))
            }
            RedisState::Untried => Err(RedisUnavailable::TimedOut(self.settings.timeout)),
        }
    }

    /// Starts the background task that reconnects, unless it is running. It runs on
    /// the runtime of the request and ends with this value.
    fn start_reconnecting(self: &Arc<Self>) {
        if self.reconnecting.swap(true, SeqCst) {
            return;
        }
        let guard = Reconnector(Arc::downgrade(self));
        drop(tokio::spawn(async move {
            loop {
                let Some(redis) = guard.0.upgrade() else {
                    return;
                };
                match redis.connect().await {
                    Ok(connection) => {
                        redis.late_replies.store(0, SeqCst);
                        let before = redis
                            .state
                            .send_replace(RedisState::Connected(Arc::new(connection)));
                        let used_for = redis.probe.used_for;
                        match before {
                            RedisState::Unavailable => {
                                info!(redis.used_for = used_for, "Reconnected to Redis");
                            }
                            RedisState::Connected(_) | RedisState::Untried => {
                                info!(redis.used_for = used_for, "Connected to Redis");
                            }
                        }
                        return;
                    }
                    Err(error) => {
                        let before = redis.state.send_replace(RedisState::Unavailable);
                        if !matches!(before, RedisState::Unavailable) {
                            redis.log_lost(&error);
                        }
                    }
                }
                drop(redis);
                sleep(RECONNECT_DELAY).await;
            }
        }));
    }

    /// Replaces a connection by a new one, unless it was replaced already.
    fn discard(&self, connection: &Arc<RedisConnection>) {
        self.replace_state(connection, RedisState::Untried);
    }

    /// Marks Redis as unavailable, unless the connection was replaced already.
    fn mark_unavailable(
        self: &Arc<Self>,
        connection: &Arc<RedisConnection>,
        error: &RedisUnavailable,
    ) {
        if self.replace_state(connection, RedisState::Unavailable) {
            self.log_lost(error);
            self.start_reconnecting();
        }
    }

    /// Sets the state if this connection is the current one; returns whether it was.
    fn replace_state(&self, connection: &Arc<RedisConnection>, new: RedisState) -> bool {
        self.state.send_if_modified(|state| {
            let ours =
                matches!(state, RedisState::Connected(known) if Arc::ptr_eq(known, connection));
            if ours {
                *state = new;
            }
            ours
        })
    }

    /// Connects and probes twice: the first run also loads the script, the second
    /// must finish within the timeout of a call.
    async fn connect(&self) -> Result<RedisConnection, RedisUnavailable> {
        let settings = &self.settings;
        let connected = async {
            let stream = stream::connect(&settings.url.address, &settings.tls)
                .await
                .map_err(|error| {
                    HandshakeFailure::find(&error, PeerProtocol::Redis).map_or_else(
                        || RedisUnavailable::Disconnected(error.to_string()),
                        RedisUnavailable::Handshake,
                    )
                })?;
            let mut login = RedisConnectionInfo::default()
                .set_db(i64::from(settings.url.database))
                .set_skip_set_lib_name();
            if let Some(user) = &settings.url.user {
                login = login.set_username(user);
            }
            if let Some(RedisPassword(password)) = &settings.password {
                login = login.set_password(password);
            }
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let (connection, driver) =
                MultiplexedConnection::new_with_config(&login, stream, config).await?;
            let connection = RedisConnection {
                connection,
                driver: tokio::spawn(driver).abort_handle(),
            };
            self.probe(&connection).await?;
            Ok::<_, RedisUnavailable>(connection)
        };
        let connection = timeout(CONNECT_TIMEOUT, connected)
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(CONNECT_TIMEOUT))??;
        timeout(settings.timeout, self.probe(&connection))
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(settings.timeout))??;
        Ok(connection)
    }

    async fn probe(&self, connection: &RedisConnection) -> Result<(), RedisUnavailable> {
        let answer = connection.run(&self.probe_invocation()).await?;
        (self.probe.is_valid_reply)(&answer)
            .then_some(())
            .ok_or(RedisUnavailable::InvalidReply)
    }

    fn probe_invocation(&self) -> ScriptInvocation<'_> {
        let probe = &self.probe;
        let mut call = probe.script.prepare_invoke();
        for key in &probe.keys {
            call.key(format!("{}{key}", self.settings.prefix));
        }
        for argument in &probe.arguments {
            call.arg(argument.as_slice());
        }
        call
    }

    /// Logs the loss of the connection, once.
    fn log_lost(&self, error: &RedisUnavailable) {
        warn!(redis.used_for = self.probe.used_for, error = %error, "Lost Redis");
    }
}

impl RedisConnection {
    async fn run(&self, call: &ScriptInvocation<'_>) -> Result<Value, RedisUnavailable> {
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}

impl Drop for RedisConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Drop for Reconnector {
    fn drop(&mut self) {
        if let Some(redis) = self.0.upgrade() {
            redis.reconnecting.store(false, SeqCst);
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.settings)
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
