//! The store in Redis, shared by all replicas.
//!
//! Each command is one script, so it is atomic and uses Redis's clock.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{Script, Value};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    command::{StoreCommand, StoreOperation, StoreReply},
    failure::StoreError,
    key::{StoreKey, StoreKeyKind, StoreOwner},
    time::StoreTime,
};
use crate::redis::{Redis, RedisProbe, RedisSettings, RedisUnavailable, RetrySafety};

/// How long one command may take. Longer than for rate limits, because waiting is
/// better than rejecting a change.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The length of the nonce before each value.
const NONCE_BYTES: usize = 16;

/// How often Redis's clock is read while no command runs. Less than the longest step of
/// the store's clock ([`MAX_STEP`](super::time::MAX_STEP)), which would otherwise fall
/// behind.
const TICK_INTERVAL: Duration = Duration::from_secs(4);

/// The keys of the store itself: its clock and sizes, the shares of callers, and the
/// entries by expiry.
const STATE_KEYS: [&str; 5] = [
    "changes:state",
    "changes:shares",
    "changes:pinned",
    "changes:evictable",
    "changes:evictable_sizes",
];

/// A store in Redis.
#[derive(Debug)]
pub(super) struct RedisStore {
    pub(super) redis: Arc<Redis>,
    script: Script,
    max_bytes: AtomicU64,
    /// Whether a task reads the clock.
    ticking: Once,
}

impl RedisStore {
    /// A store of at most this size with these settings but its own timeout. Does not connect yet.
    pub(super) fn new(settings: RedisSettings, max_bytes: u64) -> Self {
        let script = Script::new(include_str!("command.lua"));
        let probe = RedisProbe {
            used_for: "changes",
            script: script.clone(),
            keys: command_keys(probe_key(), ""),
            // The value is a nonce and a caller.
            arguments: ["try", "", "the-gateway-probes-this!", "1000", "0", "0"]
                .map(|argument| argument.as_bytes().to_vec())
                .into(),
            is_valid_reply: |value| parse_reply(value.clone()).is_some(),
        };
        Self {
            redis: Redis::new(Self::with_store_timeout(settings), probe),
            script,
            max_bytes: AtomicU64::new(max_bytes),
            ticking: Once::new(),
        }
    }

    /// Changes the size limit; existing entries stay.
    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Relaxed);
    }

    /// Whether the connection settings are the same.
    pub(super) fn has_same_settings(&self, settings: &RedisSettings) -> bool {
        self.redis
            .has_same_settings(&Self::with_store_timeout(settings.clone()))
    }

    /// Whether the entries are the same, however they are accessed.
    pub(super) fn is_same_database(&self, settings: &RedisSettings) -> bool {
        let ours = self.redis.settings();
        ours.url.is_same_database(&settings.url) && ours.prefix == settings.prefix
    }

    fn with_store_timeout(settings: RedisSettings) -> RedisSettings {
        RedisSettings {
            timeout: TIMEOUT,
            ..settings
        }
    }

    pub(super) async fn execute(
        &self,
        key: StoreKey,
        command: StoreCommand,
    ) -> Result<StoreReply, StoreError> {
        self.start_ticking();
        let operation = command.operation();
        let with_header = |value: &[u8]| with_header(key.owner(), value);
        let (expected, value, ttl) = match command {
            StoreCommand::PutIfAbsent(value, ttl) | StoreCommand::Put(value, ttl) => {
                (Bytes::new(), with_header(&value)?, ttl_millis(ttl))
            }
            StoreCommand::Get | StoreCommand::GetAndDelete => (Bytes::new(), Vec::new(), 0),
            StoreCommand::CompareAndDelete(expected) => (expected, Vec::new(), 0),
            StoreCommand::CompareAndSwap(expected, value, ttl) => {
                (expected, with_header(&value)?, ttl_millis(ttl))
            }
        };
        let mut call = self.script.prepare_invoke();
        for name in command_keys(key, &self.redis.settings().prefix) {
            call.key(name);
        }
        call.arg(operation.as_str())
            .arg(expected.as_ref())
            .arg(value)
            .arg(ttl)
            .arg(u8::from(key.kind().is_evictable()))
            .arg(self.max_bytes.load(Relaxed));
        let retry_safety = match operation {
            // A repeated claim recognizes its own nonce.
            StoreOperation::PutIfAbsent | StoreOperation::Get => RetrySafety::Safe,
            // A second run would see its own effect, or undo a later change.
            StoreOperation::Put
            | StoreOperation::CompareAndDelete
            | StoreOperation::CompareAndSwap
            | StoreOperation::GetAndDelete => RetrySafety::Unsafe,
        };
        self.redis.run(&call, retry_safety, parse_reply).await?
    }

    /// Starts to read the clock at intervals, on the runtime of the first command and
    /// until this value is dropped.
    fn start_ticking(&self) {
        self.ticking.call_once(|| {
            let (redis, script) = (Arc::downgrade(&self.redis), self.script.clone());
            drop(tokio::spawn(async move {
                let mut ticks = interval(TICK_INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Some(redis) = redis.upgrade() else {
                        return;
                    };
                    let mut call = script.prepare_invoke();
                    for name in command_keys(probe_key(), &redis.settings().prefix) {
                        call.key(name);
                    }
                    for argument in ["get", "", "", "0", "0", "0"] {
                        call.arg(argument);
                    }
                    // The connection logs a failure. The clock then falls behind, so that
                    // changes wait longer.
                    drop(redis.run(&call, RetrySafety::Safe, parse_reply).await);
                }
            }));
        });
    }

    /// Checks the connection. Returns whether Redis never evicts keys; `None` if it
    /// does not report that.
    ///
    /// # Errors
    /// [`RedisUnavailable`].
    pub(super) async fn check(&self) -> Result<Option<bool>, RedisUnavailable> {
        self.redis.probe_new_connection().await?;
        let memory = self.redis.info("memory").await.unwrap_or_default();
        let setting = |name: &str| {
            let mut lines = memory.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        Ok(setting("maxmemory_policy").map(|policy| {
            policy.trim() == "noeviction"
                || setting("maxmemory").is_some_and(|max| max.trim() == "0")
        }))
    }
}

/// A key without an entry.
pub(super) fn probe_key() -> StoreKey {
    StoreKey::new(StoreKeyKind::Idempotency, &[b"probe"])
}

/// The names of the keys of a command, in the order of the script.
fn command_keys(key: StoreKey, prefix: &str) -> Vec<String> {
    let state = STATE_KEYS.iter().map(|name| format!("{prefix}{name}"));
    std::iter::once(key.redis_name(prefix))
        .chain(state)
        .collect()
}

/// The value with a random nonce and its caller, or zeros.
fn with_header(owner: Option<StoreOwner>, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut entry = vec![0; NONCE_BYTES];
    getrandom::fill(&mut entry).map_err(|error| StoreError::unavailable(error.to_string()))?;
    let StoreOwner(owner) = owner.unwrap_or(StoreOwner([0; StoreOwner::BYTES]));
    entry.extend_from_slice(&owner);
    entry.extend_from_slice(value);
    Ok(entry)
}

/// The lifetime in milliseconds: at least 1, which Redis requires, and at most a
/// century, because Redis adds the current time.
fn ttl_millis(ttl: Duration) -> u64 {
    let century = Duration::from_hours(100 * 366 * 24);
    let millis = ttl.min(century).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// Parses the reply of the script; `None` if it is invalid.
fn parse_reply(value: Value) -> Option<Result<StoreReply, StoreError>> {
    let Value::Array(parts) = value else {
        return None;
    };
    let [
        Value::Int(applied),
        found,
        Value::Int(at),
        Value::Int(pinned),
    ] = <[Value; 4]>::try_from(parts).ok()?
    else {
        return None;
    };
    let value = if let Value::BulkString(found) = found {
        Some(found.into())
    } else if found == Value::Nil {
        None
    } else {
        return None;
    };
    let reply = StoreReply {
        value,
        applied: applied == 1,
        at: StoreTime::from_millis(u64::try_from(at).ok()?),
        pinned_bytes: u64::try_from(pinned).ok()?,
    };
    match applied {
        0 | 1 => Some(Ok(reply)),
        -1 => Some(Err(StoreError::Full)),
        -2 => Some(Err(StoreError::ShareUsed)),
        _ => None,
    }
}
