//! What all replicas remember together, in a Redis.
//!
//! One script an operation, so that it is done whole or not at all, with Redis's
//! own clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Script, Value};

use super::{
    command::{StoreCommand, StoreOperation, StoreReply},
    failure::StoreError,
    key::{StoreKey, StoreKeyKind},
};
use crate::redis::{Redis, RedisProbe, RedisSettings, RedisUnavailable, RetrySafety};

/// How long one operation may take. Longer than a decision about rates: a change
/// rather waits than is refused.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What stands before each value.
const NONCE_BYTES: usize = 16;

/// What is remembered, in a Redis.
#[derive(Debug)]
pub(super) struct RedisStore {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl RedisStore {
    /// Nothing is connected yet. Of the settings only the time is ours.
    pub(super) fn new(settings: RedisSettings) -> Self {
        let script = Script::new(include_str!("deed.lua"));
        let trial = RedisProbe {
            used_for: "changes",
            script: script.clone(),
            keys: vec![StoreKey::new(StoreKeyKind::Idempotency, &[b"trial"]).redis_name("")],
            arguments: ["try", "", "trial", "1000"]
                .map(|argument| argument.as_bytes().to_vec())
                .into(),
            is_valid_reply: |value| parse_reply(value.clone()).is_some(),
        };
        Self {
            redis: Redis::new(Self::with_store_timeout(settings), trial),
            script,
        }
    }

    /// Whether it is reached in just this way.
    pub(super) fn has_same_settings(&self, settings: &RedisSettings) -> bool {
        self.redis
            .has_same_settings(&Self::with_store_timeout(settings.clone()))
    }

    /// Whether what is remembered there is the same, however it is reached.
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
        deed: StoreCommand,
    ) -> Result<StoreReply, StoreError> {
        let operation = deed.operation();
        let (expected, value, ttl) = match deed {
            StoreCommand::PutIfAbsent(value, ttl) | StoreCommand::Put(value, ttl) => {
                (Bytes::new(), with_nonce(&value)?, ttl_millis(ttl))
            }
            StoreCommand::Get | StoreCommand::GetAndDelete => (Bytes::new(), Vec::new(), 0),
            StoreCommand::CompareAndDelete(expected) => (expected, Vec::new(), 0),
            StoreCommand::CompareAndSwap(expected, value, ttl) => {
                (expected, with_nonce(&value)?, ttl_millis(ttl))
            }
        };
        let mut call = self.script.prepare_invoke();
        call.key(key.redis_name(&self.redis.settings().prefix))
            .arg(operation.as_str())
            .arg(expected.as_ref())
            .arg(value)
            .arg(ttl);
        let repeat = match operation {
            // A claim knows itself by its mark.
            StoreOperation::PutIfAbsent | StoreOperation::Get => RetrySafety::Safe,
            // It would find what it has done itself, or undo what came after it.
            StoreOperation::Put
            | StoreOperation::CompareAndDelete
            | StoreOperation::CompareAndSwap
            | StoreOperation::GetAndDelete => RetrySafety::Unsafe,
        };
        Ok(self.redis.run(&call, repeat, parse_reply).await?)
    }

    /// Whether it is there and does what is needed, and whether it keeps what it
    /// is given: none where it does not say.
    ///
    /// # Errors
    /// [`Away`].
    pub(super) async fn check(&self) -> Result<Option<bool>, RedisUnavailable> {
        self.redis.probe_new_connection().await?;
        let memory = self.redis.info("memory").await.unwrap_or_default();
        let said = |name: &str| {
            let mut lines = memory.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        Ok(said("maxmemory_policy").map(|policy| {
            policy.trim() == "noeviction" || said("maxmemory").is_some_and(|max| max.trim() == "0")
        }))
    }
}

/// The value with a mark of its own.
fn with_nonce(value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut marked = vec![0; NONCE_BYTES];
    getrandom::fill(&mut marked).map_err(|error| StoreError::unavailable(error.to_string()))?;
    marked.extend_from_slice(value);
    Ok(marked)
}

/// In milliseconds, as Redis counts: never none, which it refuses, and no more
/// than a century, for it adds the time of day.
fn ttl_millis(ttl: Duration) -> u64 {
    let century = Duration::from_hours(100 * 366 * 24);
    let millis = ttl.min(century).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// What the script said; none if no script says that.
fn parse_reply(value: Value) -> Option<StoreReply> {
    let Value::Array(parts) = value else {
        return None;
    };
    let (done, found) = match <[Value; 2]>::try_from(parts).ok()? {
        [Value::Int(done @ (0 | 1)), Value::Nil] => (done == 1, None),
        [Value::Int(done @ (0 | 1)), Value::BulkString(found)] => (done == 1, Some(found.into())),
        _ => return None,
    };
    Some(StoreReply {
        value: found,
        applied: done,
    })
}
