//! Allowances that all replicas hold together, in a Redis.
//!
//! One script a decision, with Redis's own clock.

use std::{sync::Arc, time::Duration};

use redis::{FromRedisValue as _, Script, Value};

use super::{
    claim::{Claim, Dimension, Key, Take},
    gcra::Allowance,
};
use crate::redis::{Away, Redis, RedisSettings, Repeat, Trial};

/// What decides, in a Redis.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl Shared {
    pub(super) fn new(settings: RedisSettings) -> Arc<Self> {
        let script = Script::new(include_str!("take.lua"));
        let trial = Trial {
            used_for: "limits",
            script: script.clone(),
            // No address has five bytes.
            keys: vec![Key::new(Dimension::Address, &[b"trial"]).name("")],
            arguments: arguments(Allowance::per_minute(60, 1), Take::Charge(1))
                .map(String::into_bytes)
                .into(),
            makes_sense: |value| verdict(value.clone(), 1).is_some(),
        };
        Arc::new(Self {
            redis: Redis::new(settings, trial),
            script,
        })
    }

    /// Takes all that is claimed, or nothing.
    ///
    /// # Errors
    /// Outside: [`Away`], and then nobody knows whether it was taken. Inside:
    /// which claim has to wait, and how long.
    pub(super) async fn decide(
        &self,
        claims: &[Claim],
    ) -> Result<Result<(), (usize, Duration)>, Away> {
        let prefix = &self.redis.settings().prefix;
        let mut call = self.script.prepare_invoke();
        for claim in claims {
            call.key(claim.key.name(prefix));
            for argument in arguments(claim.allowance, claim.take) {
                call.arg(argument);
            }
        }
        // At worst it is taken twice.
        let read = |value| verdict(value, claims.len());
        self.redis.run(&call, Repeat::Harmless, read).await
    }
}

/// What the script is told of one claim.
fn arguments(allowance: Allowance, take: Take) -> [String; 3] {
    let most_owed = if take.asks() {
        micros(allowance.most_owed()).to_string()
    } else {
        "-1".to_owned()
    };
    [
        micros(allowance.cost(take.weight())).to_string(),
        most_owed,
        micros(allowance.deepest()).to_string(),
    ]
}

/// What the script said about so many claims; none if no script says that.
fn verdict(value: Value, claims: usize) -> Option<Result<(), (usize, Duration)>> {
    let (which, wait) = <(usize, u64)>::from_redis_value(value).ok()?;
    match which.checked_sub(1) {
        None => Some(Ok(())),
        Some(index) if index < claims => Some(Err((index, Duration::from_micros(wait)))),
        Some(_) => None,
    }
}

/// In microseconds, as the script counts: of something never nothing.
fn micros(duration: Duration) -> u64 {
    let rounded_up = duration.as_nanos().div_ceil(1_000);
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}
