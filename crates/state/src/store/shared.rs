//! What all replicas remember together, in a Redis.
//!
//! One script an operation, so that it is done whole or not at all, with Redis's
//! own clock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::{Script, Value};

use super::{
    deed::{Deed, Operation, Told},
    failure::LedgerError,
    key::{Key, Kind},
};
use crate::redis::{Away, Redis, RedisSettings, Repeat, Trial};

/// How long one operation may take. Longer than a decision about rates: a change
/// rather waits than is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stands before each value.
const MARK_BYTES: usize = 16;

/// What is remembered, in a Redis.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl Shared {
    /// Nothing is connected yet. Of the settings only the time is ours.
    pub(super) fn new(settings: RedisSettings) -> Self {
        let script = Script::new(include_str!("deed.lua"));
        let trial = Trial {
            used_for: "changes",
            script: script.clone(),
            keys: vec![Key::new(Kind::Once, &[b"trial"]).name("")],
            arguments: ["try", "", "trial", "1000"]
                .map(|argument| argument.as_bytes().to_vec())
                .into(),
            makes_sense: |value| told(value.clone()).is_some(),
        };
        Self {
            redis: Redis::new(Self::patient(settings), trial),
            script,
        }
    }

    /// Whether it is reached in just this way.
    pub(super) fn is_of(&self, settings: &RedisSettings) -> bool {
        self.redis.is_of(&Self::patient(settings.clone()))
    }

    /// Whether what is remembered there is the same, however it is reached.
    pub(super) fn is_where(&self, settings: &RedisSettings) -> bool {
        let ours = self.redis.settings();
        ours.url.is_same_database(&settings.url) && ours.prefix == settings.prefix
    }

    fn patient(settings: RedisSettings) -> RedisSettings {
        RedisSettings {
            timeout: PATIENCE,
            ..settings
        }
    }

    pub(super) async fn run(&self, key: Key, deed: Deed) -> Result<Told, LedgerError> {
        let operation = deed.operation();
        let (expected, value, ttl) = match deed {
            Deed::Claim(value, ttl) | Deed::Put(value, ttl) => {
                (Bytes::new(), marked(&value)?, millis(ttl))
            }
            Deed::Get | Deed::Take => (Bytes::new(), Vec::new(), 0),
            Deed::Remove(expected) => (expected, Vec::new(), 0),
            Deed::Replace(expected, value, ttl) => (expected, marked(&value)?, millis(ttl)),
        };
        let mut call = self.script.prepare_invoke();
        call.key(key.name(&self.redis.settings().prefix))
            .arg(operation.as_str())
            .arg(expected.as_ref())
            .arg(value)
            .arg(ttl);
        let repeat = match operation {
            // A claim knows itself by its mark.
            Operation::Claim | Operation::Get => Repeat::Harmless,
            // It would find what it has done itself, or undo what came after it.
            Operation::Put | Operation::Remove | Operation::Replace | Operation::Take => {
                Repeat::Never
            }
        };
        Ok(self.redis.run(&call, repeat, told).await?)
    }

    /// Whether it is there and does what is needed, and whether it keeps what it
    /// is given: none where it does not say.
    ///
    /// # Errors
    /// [`Away`].
    pub(super) async fn examine(&self) -> Result<Option<bool>, Away> {
        self.redis.examine().await?;
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
fn marked(value: &[u8]) -> Result<Vec<u8>, LedgerError> {
    let mut marked = vec![0; MARK_BYTES];
    getrandom::fill(&mut marked).map_err(|error| LedgerError::unavailable(error.to_string()))?;
    marked.extend_from_slice(value);
    Ok(marked)
}

/// In milliseconds, as Redis counts: never none, which it refuses, and no more
/// than a century, for it adds the time of day.
fn millis(ttl: Duration) -> u64 {
    let century = Duration::from_hours(100 * 366 * 24);
    let millis = ttl.min(century).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// What the script said; none if no script says that.
fn told(value: Value) -> Option<Told> {
    let Value::Array(parts) = value else {
        return None;
    };
    let (done, found) = match <[Value; 2]>::try_from(parts).ok()? {
        [Value::Int(done @ (0 | 1)), Value::Nil] => (done == 1, None),
        [Value::Int(done @ (0 | 1)), Value::BulkString(found)] => (done == 1, Some(found.into())),
        _ => return None,
    };
    Some(Told { found, done })
}
