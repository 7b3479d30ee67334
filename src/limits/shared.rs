//! Allowances that all replicas hold together, in a Redis.
//!
//! One script a decision, with Redis's own clock. A decision never waits longer
//! than it is given: what is late or gone is [`Away`], and a task of its own
//! looks for Redis until it is back.

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
    AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError, Script,
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
    claim::{Claim, Dimension, Key, Take},
    gcra::Allowance,
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
pub struct SharedSettings {
    /// Where it is.
    pub url: RedisUrl,
    /// What it asks for.
    pub password: Option<Password>,
    /// Whom to believe, where it is reached by TLS.
    pub tls: Arc<ClientConfig>,
    /// The file that [`tls`](Self::tls) was read from, if it was one.
    pub ca_file: Option<PathBuf>,
    /// How long one decision may take.
    pub timeout: Duration,
    /// What its keys begin with.
    pub prefix: String,
}

/// Why Redis did not decide. For the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Away {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Gone(String),
    /// It did not answer in time.
    #[error("it did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// It answered what no Redis answers.
    #[error("what it answered makes no sense")]
    Nonsense,
    /// It refused; what it said.
    #[error("it refused: {0}")]
    Refused(String),
}

/// A Redis, and whether it is there.
pub(super) struct Shared {
    settings: SharedSettings,
    script: Script,
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
struct Looking(Weak<Shared>);

impl Shared {
    pub(super) fn new(settings: SharedSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            script: Script::new(include_str!("take.lua")),
            state: watch::Sender::new(State::Untried),
            late: AtomicU32::new(0),
            looking: AtomicBool::new(false),
        })
    }

    /// Takes all that is claimed, or nothing.
    ///
    /// # Errors
    /// Outside: [`Away`], and then nobody knows whether it was taken. Inside:
    /// which claim has to wait, and how long.
    pub(super) async fn decide(
        self: &Arc<Self>,
        claims: &[Claim],
    ) -> Result<Result<(), (usize, Duration)>, Away> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut line = self.line(deadline).await?;
        let mut told = timeout_at(deadline, self.run(&line, claims)).await;
        // A connection that idled may have been closed: once more on a new one.
        // At worst it is taken twice.
        if matches!(told, Ok(Err(Away::Gone(_)))) {
            self.renew(&line);
            line = self.line(deadline).await?;
            told = timeout_at(deadline, self.run(&line, claims)).await;
        }
        match told {
            Ok(Ok(verdict)) => {
                self.late.store(0, SeqCst);
                Ok(verdict)
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
    pub(super) fn is_here(&self) -> Option<bool> {
        match &*self.state.borrow() {
            State::Away => Some(false),
            State::Here(_) => Some(true),
            State::Untried => None,
        }
    }

    /// Looks whether it is there and does what is needed of it.
    ///
    /// # Errors
    /// [`Away`].
    pub(super) async fn examine(&self) -> Result<(), Away> {
        self.connect().await.map(drop)
    }

    /// Waits until it is there, or is not.
    #[cfg(test)]
    pub(super) async fn until(&self, is_here: bool) {
        let mut news = self.state.subscribe();
        let wanted = |state: &State| matches!(state, State::Here(_)) == is_here;
        drop(news.wait_for(wanted).await.unwrap());
    }

    pub(super) fn settings(&self) -> &SharedSettings {
        &self.settings
    }

    /// Whether this is the Redis of these settings, by the same certificates.
    pub(super) fn is_of(&self, settings: &SharedSettings) -> bool {
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
                let Some(shared) = looking.0.upgrade() else {
                    return;
                };
                match shared.connect().await {
                    Ok(line) => {
                        shared.late.store(0, SeqCst);
                        let before = shared.state.send_replace(State::Here(Arc::new(line)));
                        match before {
                            State::Away => info!("Reached Redis again"),
                            State::Here(_) | State::Untried => info!("Reached Redis"),
                        }
                        return;
                    }
                    Err(away) => {
                        let before = shared.state.send_replace(State::Away);
                        if !matches!(before, State::Away) {
                            lost(&away);
                        }
                    }
                }
                drop(shared);
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
            lost(away);
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

    /// Connects, and tries twice what every decision does: writing may be
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
        let claim = Claim {
            // No address has five bytes.
            key: Key::new(Dimension::Address, &[b"trial"]),
            allowance: Allowance::per_minute(60, 1),
            take: Take::Charge(1),
        };
        self.run(line, &[claim]).await.map(drop)
    }

    async fn run(
        &self,
        line: &Line,
        claims: &[Claim],
    ) -> Result<Result<(), (usize, Duration)>, Away> {
        let mut call = self.script.prepare_invoke();
        for claim in claims {
            let allowance = claim.allowance;
            call.key(claim.key.name(&self.settings.prefix));
            call.arg(micros(allowance.cost(claim.take.weight())));
            if claim.take.asks() {
                call.arg(micros(allowance.most_owed()));
            } else {
                call.arg(-1);
            }
            call.arg(micros(allowance.deepest()));
        }
        let (which, wait): (usize, u64) = call.invoke_async(&mut line.connection.clone()).await?;
        match which.checked_sub(1) {
            None => Ok(Ok(())),
            Some(index) if index < claims.len() => Ok(Err((index, Duration::from_micros(wait)))),
            Some(_) => Err(Away::Nonsense),
        }
    }
}

/// Says so once, when it happens.
fn lost(away: &Away) {
    warn!(error = %away, "Lost Redis");
}

/// In microseconds, as the script counts: of something never nothing.
fn micros(duration: Duration) -> u64 {
    let rounded_up = duration.as_nanos().div_ceil(1_000);
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}

impl From<RedisError> for Away {
    fn from(error: RedisError) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
            Self::Nonsense
        } else if matches!(
            kind,
            ErrorKind::AuthenticationFailed | ErrorKind::Extension | ErrorKind::Server(_)
        ) {
            Self::Refused(error.to_string())
        } else {
            Self::Gone(error.to_string())
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.looking.store(false, SeqCst);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .field("is_here", &self.is_here())
            .finish_non_exhaustive()
    }
}
