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
    away::Away,
    redis_url::{Password, RedisUrl},
    stream,
};

/// How long a connection may take. Nobody waits for it but the one who looks.
const CONNECT: Duration = Duration::from_secs(2);

/// How long to wait before looking again.
const REST: Duration = Duration::from_millis(500);

/// After so many late answers in a row it counts as away: one is an accident,
/// and each costs a caller the whole time.
const LATE: u32 = 3;

/// How to reach a Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub url: RedisUrl,
    /// What it asks for.
    pub password: Option<Password>,
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
pub struct Trial {
    /// Who needs it, in one word, for the log.
    pub used_for: &'static str,
    /// The script that is run.
    pub script: Script,
    /// The keys it is run with, without the prefix.
    pub keys: Vec<String>,
    /// What else it is run with.
    pub arguments: Vec<Vec<u8>>,
    /// Whether its answer is one of those that it can give.
    pub makes_sense: fn(&Value) -> bool,
}

/// Whether a script may be run a second time where nobody knows whether it ran,
/// for the connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// The second time changes nothing, or so little that nobody minds.
    Harmless,
    /// It may not.
    Never,
}

/// A Redis, and whether it is there.
pub struct Redis {
    settings: RedisSettings,
    trial: Trial,
    state: watch::Sender<State>,
    /// Late answers in a row.
    late: AtomicU32,
    /// Whether somebody looks for it.
    looking: AtomicBool,
}

#[derive(Clone)]
enum State {
    Away,
    Here(Arc<Line>),
    /// Nobody needed it so far, or it is tried again.
    Untried,
}

/// One connection; it ends when this is dropped, whatever is still expected.
struct Line {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

/// Stands for the one who looks.
struct Looking(Weak<Redis>);

impl Redis {
    /// A Redis that is not connected yet.
    pub fn new(settings: RedisSettings, trial: Trial) -> Arc<Self> {
        Arc::new(Self {
            settings,
            trial,
            state: watch::Sender::new(State::Untried),
            late: AtomicU32::new(0),
            looking: AtomicBool::new(false),
        })
    }

    /// Runs a script. `read` makes sense of its answer, or does not.
    ///
    /// # Errors
    /// [`Away`], and then nobody knows whether it ran.
    pub async fn run<T>(
        self: &Arc<Self>,
        call: &ScriptInvocation<'_>,
        repeat: Repeat,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<T, Away> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut line = self.line(deadline).await?;
        if line.driver.is_finished() {
            // It idled and was closed; nothing was sent yet.
            self.renew(&line);
            line = self.line(deadline).await?;
        }
        let mut told = timeout_at(deadline, line.run(call)).await;
        // The same, and we did not know it yet: once more on a new one.
        if repeat == Repeat::Harmless && matches!(told, Ok(Err(Away::Gone(_)))) {
            self.renew(&line);
            line = self.line(deadline).await?;
            told = timeout_at(deadline, line.run(call)).await;
        }
        let told = told.map(|answer| answer.and_then(|value| read(value).ok_or(Away::Nonsense)));
        match told {
            Ok(Ok(answer)) => {
                self.late.store(0, SeqCst);
                Ok(answer)
            }
            Ok(Err(away)) => {
                self.lose(&line, &away);
                Err(away)
            }
            Err(_elapsed) => {
                let away = Away::Late(self.settings.timeout);
                if self.late.fetch_add(1, SeqCst) + 1 >= LATE {
                    self.lose(&line, &away);
                }
                Err(away)
            }
        }
    }

    /// Whether it was there when it was last needed; `None` before that.
    pub fn is_here(&self) -> Option<bool> {
        match &*self.state.borrow() {
            State::Away => Some(false),
            State::Here(_) => Some(true),
            State::Untried => None,
        }
    }

    /// Whether it does now what is needed of it, over the connection that there is.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn try_now(self: &Arc<Self>) -> Result<(), Away> {
        let makes_sense = self.trial.makes_sense;
        let read = |value: Value| makes_sense(&value).then_some(());
        self.run(&self.trial(), Repeat::Harmless, read).await
    }

    /// Looks whether it is there and does what is needed of it, over a connection
    /// of its own.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn examine(&self) -> Result<(), Away> {
        self.connect().await.map(drop)
    }

    /// What it says of itself, such as of its `memory`. The user may lack the right
    /// to ask.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn info(&self, section: &str) -> Result<String, Away> {
        let line = self.connect().await?;
        let mut connection = line.connection.clone();
        let mut ask = redis::cmd("INFO");
        let answer = ask.arg(section).query_async(&mut connection);
        Ok(timeout(self.settings.timeout, answer)
            .await
            .map_err(|_elapsed| Away::Late(self.settings.timeout))??)
    }

    /// Waits until it is there, or is not.
    #[cfg(test)]
    pub(crate) async fn until(&self, is_here: bool) {
        let mut news = self.state.subscribe();
        let wanted = |state: &State| matches!(state, State::Here(_)) == is_here;
        drop(news.wait_for(wanted).await.unwrap());
    }

    /// How it is reached.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Whether this is the Redis of these settings, by the same certificates.
    pub fn is_of(&self, settings: &RedisSettings) -> bool {
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
    async fn line(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Line>, Away> {
        let known = self.state.borrow().clone();
        let state = match known {
            State::Untried => {
                self.look();
                let mut news = self.state.subscribe();
                let tried = news.wait_for(|state| !matches!(state, State::Untried));
                match timeout_at(deadline, tried).await {
                    Ok(Ok(state)) => state.clone(),
                    Ok(Err(_)) | Err(_) => State::Untried,
                }
            }
            known @ (State::Away | State::Here(_)) => known,
        };
        match state {
            State::Here(line) => Ok(line),
            State::Away => {
                self.look();
                Err(Away::Gone("there is no connection".to_owned()))
            }
            State::Untried => Err(Away::Late(self.settings.timeout)),
        }
    }

    /// Sends somebody to look for it, unless somebody does already. They live
    /// on the runtime that serves the request, and as long as this.
    fn look(self: &Arc<Self>) {
        if self.looking.swap(true, SeqCst) {
            return;
        }
        let looking = Looking(Arc::downgrade(self));
        drop(tokio::spawn(async move {
            loop {
                let Some(redis) = looking.0.upgrade() else {
                    return;
                };
                match redis.connect().await {
                    Ok(line) => {
                        redis.late.store(0, SeqCst);
                        let before = redis.state.send_replace(State::Here(Arc::new(line)));
                        let used_for = redis.trial.used_for;
                        match before {
                            State::Away => info!(redis.used_for = used_for, "Reached Redis again"),
                            State::Here(_) | State::Untried => {
                                info!(redis.used_for = used_for, "Reached Redis");
                            }
                        }
                        return;
                    }
                    Err(away) => {
                        let before = redis.state.send_replace(State::Away);
                        if !matches!(before, State::Away) {
                            redis.say_lost(&away);
                        }
                    }
                }
                drop(redis);
                sleep(REST).await;
            }
        }));
    }

    /// Gives a connection up for a new one, unless somebody did already.
    fn renew(&self, line: &Arc<Line>) {
        self.replace(line, State::Untried);
    }

    /// Gives a connection up, unless somebody did already.
    fn lose(self: &Arc<Self>, line: &Arc<Line>, away: &Away) {
        if self.replace(line, State::Away) {
            self.say_lost(away);
            self.look();
        }
    }

    /// Puts a state in the place of this connection, if it is the present one.
    fn replace(&self, line: &Arc<Line>, new: State) -> bool {
        self.state.send_if_modified(|state| {
            let ours = matches!(state, State::Here(known) if Arc::ptr_eq(known, line));
            if ours {
                *state = new;
            }
            ours
        })
    }

    /// Connects, and tries twice what will be needed: writing may be
    /// refused where reading is not, and the first time the script is new there.
    async fn connect(&self) -> Result<Line, Away> {
        let settings = &self.settings;
        let connected = async {
            let stream = stream::open(&settings.url.place, &settings.tls)
                .await
                .map_err(|error| Away::Gone(error.to_string()))?;
            let mut login = RedisConnectionInfo::default()
                .set_db(i64::from(settings.url.database))
                .set_skip_set_lib_name();
            if let Some(user) = &settings.url.user {
                login = login.set_username(user);
            }
            if let Some(Password(password)) = &settings.password {
                login = login.set_password(password);
            }
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let (connection, driver) =
                MultiplexedConnection::new_with_config(&login, stream, config).await?;
            let line = Line {
                connection,
                driver: tokio::spawn(driver).abort_handle(),
            };
            self.try_out(&line).await?;
            Ok::<_, Away>(line)
        };
        let line = timeout(CONNECT, connected)
            .await
            .map_err(|_elapsed| Away::Late(CONNECT))??;
        timeout(settings.timeout, self.try_out(&line))
            .await
            .map_err(|_elapsed| Away::Late(settings.timeout))??;
        Ok(line)
    }

    async fn try_out(&self, line: &Line) -> Result<(), Away> {
        let answer = line.run(&self.trial()).await?;
        (self.trial.makes_sense)(&answer)
            .then_some(())
            .ok_or(Away::Nonsense)
    }

    fn trial(&self) -> ScriptInvocation<'_> {
        let trial = &self.trial;
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
    fn say_lost(&self, away: &Away) {
        warn!(redis.used_for = self.trial.used_for, error = %away, "Lost Redis");
    }
}

impl Line {
    async fn run(&self, call: &ScriptInvocation<'_>) -> Result<Value, Away> {
        Ok(call.invoke_async(&mut self.connection.clone()).await?)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(redis) = self.0.upgrade() {
            redis.looking.store(false, SeqCst);
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("settings", &self.settings)
            .field("is_here", &self.is_here())
            .finish_non_exhaustive()
    }
}
