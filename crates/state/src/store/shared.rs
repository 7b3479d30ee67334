//! The store in Redis, shared by all replicas.
//!
//! Each command is one script, so it is atomic and uses Redis's clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Script, Value};

use super::{
    command::{StoreCommand, StoreOperation, StoreReply},
    failure::StoreError,
    key::{StoreKey, StoreKeyKind},
};
use crate::redis::{Redis, RedisProbe, RedisSettings, RedisUnavailable, RetrySafety};

/// How long one command may take. Longer than for rate limits, because waiting is
/// better than rejecting a change.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The length of the nonce before each value.
const NONCE_BYTES: usize = 16;

/// A store in Redis.
#[derive(Debug)]
pub(super) struct RedisStore {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl RedisStore {
    /// A store with these settings but its own timeout. Does not connect yet.
    pub(super) fn new(settings: RedisSettings) -> Self {
        let script = Script::new(include_str!("command.lua"));
        let probe = RedisProbe {
            used_for: "changes",
            script: script.clone(),
            keys: vec![StoreKey::new(StoreKeyKind::Idempotency, &[b"probe"]).redis_name("")],
            arguments: ["try", "", "probe", "1000"]
                .map(|argument| argument.as_bytes().to_vec())
                .into(),
            is_valid_reply: |value| parse_reply(value.clone()).is_some(),
        };
        Self {
            redis: Redis::new(Self::with_store_timeout(settings), probe),
            script,
        }
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
        let operation = command.operation();
        let (expected, value, ttl) = match command {
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
        let retry_safety = match operation {
            // A repeated claim recognizes its own nonce.
            StoreOperation::PutIfAbsent | StoreOperation::Get => RetrySafety::Safe,
            // A second run would see its own effect, or undo a later change.
            StoreOperation::Put
            | StoreOperation::CompareAndDelete
            | StoreOperation::CompareAndSwap
            | StoreOperation::GetAndDelete => RetrySafety::Unsafe,
        };
        Ok(self.redis.run(&call, retry_safety, parse_reply).await?)
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

/// The value with a random nonce.
fn with_nonce(value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut value_with_nonce = vec![0; NONCE_BYTES];
    getrandom::fill(&mut value_with_nonce)
        .map_err(|error| StoreError::unavailable(error.to_string()))?;
    value_with_nonce.extend_from_slice(value);
    Ok(value_with_nonce)
}

/// The lifetime in milliseconds: at least 1, which Redis requires, and at most a
/// century, because Redis adds the current time.
fn ttl_millis(ttl: Duration) -> u64 {
    let century = Duration::from_hours(100 * 366 * 24);
    let millis = ttl.min(century).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// Parses the reply of the script; `None` if it is invalid.
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
