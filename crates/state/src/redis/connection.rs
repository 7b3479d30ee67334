//! A connection to a Redis that is looked for until it is there.
//!
//! Whoever runs a script never waits longer than they are given: what is late or
//! gone is [`Away`], and a task of its own looks for Redis until it is back.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

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

/// How long a connection may take. Nobody waits for it but the one who looks.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait before looking again.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// After so many late answers in a row it counts as away: one is an accident,
/// and each costs a caller the whole time.
const MAX_LATE_REPLIES: u32 = 3;

/// How to reach a Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub url: RedisUrl,
    /// What it asks for.
    pub password: Option<RedisPassword>,
    /// Whom to believe, where it is reached by TLS.
    pub tls: Arc<ClientConfig>,
    /// The file that [`tls`](Self::tls) was read from, if it was one.
    pub ca_file: Option<PathBuf>,
    /// How long one run of a script may take.
    pub timeout: Duration,
    /// What its keys begin with.
    pub prefix: String,
}

/// What is tried on each new connection, before it counts as one: what will be
/// needed of it. So a replica that may not write, or a full Redis, is away.
#[derive(Debug)]
pub struct RedisProbe {
    /// Who needs it, in one word, for the log.
    pub used_for: &'static str,
    /// The script that is run.
    pub script: Script,
    /// The keys it is run with, without the prefix.
    pub keys: Vec<String>,
    /// What else it is run with.
    pub arguments: Vec<Vec<u8>>,
    /// Whether its answer is one of those that it can give.
    pub is_valid_reply: fn(&Value) -> bool,
}

/// Whether a script may be run a second time where nobody knows whether it ran,
/// for the connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetrySafety {
    /// The second time changes nothing, or so little that nobody minds.
    Safe,
    /// It may not.
    Unsafe,
}

/// A Redis, and whether it is there.
pub struct Redis {
    settings: RedisSettings,
    probe: RedisProbe,
    state: watch::Sender<RedisState>,
    /// Late answers in a row.
    late_replies: AtomicU32,
    /// Whether somebody looks for it.
    reconnecting: AtomicBool,
}

#[derive(Clone)]
enum RedisState {
    Unavailable,
    Connected(Arc<RedisConnection>),
    /// Nobody needed it so far, or it is tried again.
    Untried,
}

/// One connection; it ends when this is dropped, whatever is still expected.
struct RedisConnection {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

/// Stands for the one who looks.
struct Reconnector(Weak<Redis>);

impl Redis {
    /// A Redis that is not connected yet.
    pub fn new(settings: RedisSettings, trial: RedisProbe) -> Arc<Self> {
        Arc::new(Self {
            settings,
            probe: trial,
            state: watch::Sender::new(RedisState::Untried),
            late_replies: AtomicU32::new(0),
            reconnecting: AtomicBool::new(false),
        })
    }

    /// Runs a script. `read` makes sense of its answer, or does not.
    ///
    /// # Errors
    /// [`Away`], and then nobody knows whether it ran.
    pub async fn run<T>(
        self: &Arc<Self>,
        call: &ScriptInvocation<'_>,
        repeat: RetrySafety,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<T, RedisUnavailable> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut line = self.connection(deadline).await?;
        if line.driver.is_finished() {
            // It idled and was closed; nothing was sent yet.
            self.discard(&line);
            line = self.connection(deadline).await?;
        }
        let mut told = timeout_at(deadline, line.run(call)).await;
        // The same, and we did not know it yet: once more on a new one.
        if repeat == RetrySafety::Safe && matches!(told, Ok(Err(RedisUnavailable::Disconnected(_))))
        {
            self.discard(&line);
            line = self.connection(deadline).await?;
            told = timeout_at(deadline, line.run(call)).await;
        }
        let told = told.map(|answer| {
            answer.and_then(|value| read(value).ok_or(RedisUnavailable::InvalidReply))
        });
        match told {
            Ok(Ok(answer)) => {
                self.late_replies.store(0, SeqCst);
                Ok(answer)
            }
            Ok(Err(away)) => {
                self.mark_unavailable(&line, &away);
                Err(away)
            }
            Err(_elapsed) => {
                let away = RedisUnavailable::TimedOut(self.settings.timeout);
                if self.late_replies.fetch_add(1, SeqCst) + 1 >= MAX_LATE_REPLIES {
                    self.mark_unavailable(&line, &away);
                }
                Err(away)
            }
        }
    }

    /// Whether it was there when it was last needed; `None` before that.
    pub fn is_connected(&self) -> Option<bool> {
        match &*self.state.borrow() {
            RedisState::Unavailable => Some(false),
            RedisState::Connected(_) => Some(true),
            RedisState::Untried => None,
        }
    }

    /// Whether it does now what is needed of it, over the connection that there is.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn probe_current(self: &Arc<Self>) -> Result<(), RedisUnavailable> {
        let makes_sense = self.probe.is_valid_reply;
        let read = |value: Value| makes_sense(&value).then_some(());
        self.run(&self.probe_invocation(), RetrySafety::Safe, read)
            .await
    }

    /// Looks whether it is there and does what is needed of it, over a connection
    /// of its own.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn probe_new_connection(&self) -> Result<(), RedisUnavailable> {
        self.connect().await.map(drop)
    }

    /// What it says of itself, such as of its `memory`. The user may lack the right
    /// to ask.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn info(&self, section: &str) -> Result<String, RedisUnavailable> {
        let line = self.connect().await?;
        let mut connection = line.connection.clone();
        let mut ask = redis::cmd("INFO");
        let answer = ask.arg(section).query_async(&mut connection);
        Ok(timeout(self.settings.timeout, answer)
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(self.settings.timeout))??)
    }

    /// Waits until it is there, or is not.
    #[cfg(test)]
    pub(crate) async fn wait_until_connected(&self, is_here: bool) {
        let mut news = self.state.subscribe();
        let wanted = |state: &RedisState| matches!(state, RedisState::Connected(_)) == is_here;
        drop(news.wait_for(wanted).await.unwrap());
    }

    /// How it is reached.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Whether this is the Redis of these settings, by the same certificates.
    pub fn has_same_settings(&self, settings: &RedisSettings) -> bool {
        let ours = &self.settings;
        // What is in a file may have changed.
        ours.ca_file.is_none()
            && settings.ca_file.is_none()
            && ours.url == settings.url
            && ours.password == settings.password
            && ours.timeout == settings.timeout
            && ours.prefix == settings.prefix
    }

    /// The connection, if there is one. Waits for it where it was not tried yet,
    /// or is tried again.
    async fn connection(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<RedisConnection>, RedisUnavailable> {
        let known = self.state.borrow().clone();
        let state = match known {
            RedisState::Untried => {
                self.start_reconnecting();
                let mut news = self.state.subscribe();
                let tried = news.wait_for(|state| !matches!(state, RedisState::Untried));
                match timeout_at(deadline, tried).await {
                    Ok(Ok(state)) => state.clone(),
                    Ok(Err(_)) | Err(_) => RedisState::Untried,
                }
            }
            known @ (RedisState::Unavailable | RedisState::Connected(_)) => known,
        };
        match state {
            RedisState::Connected(line) => Ok(line),
            RedisState::Unavailable => {
                self.start_reconnecting();
                Err(RedisUnavailable::Disconnected(
                    "there is no connection".to_owned(),
                ))
            }
            RedisState::Untried => Err(RedisUnavailable::TimedOut(self.settings.timeout)),
        }
    }

    /// Sends somebody to look for it, unless somebody does already. They live
    /// on the runtime that serves the request, and as long as this.
    fn start_reconnecting(self: &Arc<Self>) {
        if self.reconnecting.swap(true, SeqCst) {
            return;
        }
        let looking = Reconnector(Arc::downgrade(self));
        drop(tokio::spawn(async move {
            loop {
                let Some(redis) = looking.0.upgrade() else {
                    return;
                };
                match redis.connect().await {
                    Ok(line) => {
                        redis.late_replies.store(0, SeqCst);
                        let before = redis
                            .state
                            .send_replace(RedisState::Connected(Arc::new(line)));
                        let used_for = redis.probe.used_for;
                        match before {
                            RedisState::Unavailable => {
                                info!(redis.used_for = used_for, "Reached Redis again")
                            }
                            RedisState::Connected(_) | RedisState::Untried => {
                                info!(redis.used_for = used_for, "Reached Redis");
                            }
                        }
                        return;
                    }
                    Err(away) => {
                        let before = redis.state.send_replace(RedisState::Unavailable);
                        if !matches!(before, RedisState::Unavailable) {
                            redis.log_lost(&away);
                        }
                    }
                }
                drop(redis);
                sleep(RECONNECT_DELAY).await;
            }
        }));
    }

    /// Gives a connection up for a new one, unless somebody did already.
    fn discard(&self, line: &Arc<RedisConnection>) {
        self.replace_state(line, RedisState::Untried);
    }

    /// Gives a connection up, unless somebody did already.
    fn mark_unavailable(self: &Arc<Self>, line: &Arc<RedisConnection>, away: &RedisUnavailable) {
        if self.replace_state(line, RedisState::Unavailable) {
            self.log_lost(away);
            self.start_reconnecting();
        }
    }

    /// Puts a state in the place of this connection, if it is the present one.
    fn replace_state(&self, line: &Arc<RedisConnection>, new: RedisState) -> bool {
        self.state.send_if_modified(|state| {
            let ours = matches!(state, RedisState::Connected(known) if Arc::ptr_eq(known, line));
            if ours {
                *state = new;
            }
            ours
        })
    }

    /// Connects, and tries twice what will be needed: writing may be
    /// refused where reading is not, and the first time the script is new there.
    async fn connect(&self) -> Result<RedisConnection, RedisUnavailable> {
        let settings = &self.settings;
        let connected = async {
            let stream = stream::connect(&settings.url.address, &settings.tls)
                .await
                .map_err(|error| RedisUnavailable::Disconnected(error.to_string()))?;
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
            let line = RedisConnection {
                connection,
                driver: tokio::spawn(driver).abort_handle(),
            };
            self.probe(&line).await?;
            Ok::<_, RedisUnavailable>(line)
        };
        let line = timeout(CONNECT_TIMEOUT, connected)
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(CONNECT_TIMEOUT))??;
        timeout(settings.timeout, self.probe(&line))
            .await
            .map_err(|_elapsed| RedisUnavailable::TimedOut(settings.timeout))??;
        Ok(line)
    }

    async fn probe(&self, line: &RedisConnection) -> Result<(), RedisUnavailable> {
        let answer = line.run(&self.probe_invocation()).await?;
        (self.probe.is_valid_reply)(&answer)
            .then_some(())
            .ok_or(RedisUnavailable::InvalidReply)
    }

    fn probe_invocation(&self) -> ScriptInvocation<'_> {
        let trial = &self.probe;
        let mut call = trial.script.prepare_invoke();
        for key in &trial.keys {
            call.key(format!("{}{key}", self.settings.prefix));
        }
        for argument in &trial.arguments {
            call.arg(argument.as_slice());
        }
        call
    }

    /// Says so once, when it happens.
    fn log_lost(&self, away: &RedisUnavailable) {
        warn!(redis.used_for = self.probe.used_for, error = %away, "Lost Redis");
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
            .field("is_here", &self.is_connected())
            .finish_non_exhaustive()
    }
}
