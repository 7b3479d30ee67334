//! Allowances that all replicas hold together, in a Redis.
//!
//! One script a decision, with Redis's own clock.

use std::{sync::Arc, time::Duration};

use redis::{FromRedisValue as _, Script, Value};

use super::{
    gcra::Rate,
    request::{LimitKey, LimitScope, RateCost, RateRequest},
};
use crate::redis::{Redis, RedisProbe, RedisSettings, RedisUnavailable, RetrySafety};

/// What decides, in a Redis.
#[derive(Debug)]
pub(super) struct RedisLimiter {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl RedisLimiter {
    pub(super) fn new(settings: RedisSettings) -> Arc<Self> {
        let script = Script::new(include_str!("take.lua"));
        let trial = RedisProbe {
            used_for: "limits",
            script: script.clone(),
            // No address has five bytes.
            keys: vec![LimitKey::new(LimitScope::Address, &[b"trial"]).redis_name("")],
            arguments: script_arguments(Rate::per_minute(60, 1), RateCost::AlreadyUsed(1))
                .map(String::into_bytes)
                .into(),
            is_valid_reply: |value| parse_decision(value.clone(), 1).is_some(),
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
        claims: &[RateRequest],
    ) -> Result<Result<(), (usize, Duration)>, RedisUnavailable> {
        let prefix = &self.redis.settings().prefix;
        let mut call = self.script.prepare_invoke();
        for claim in claims {
            call.key(claim.key.redis_name(prefix));
            for argument in script_arguments(claim.rate, claim.cost) {
                call.arg(argument);
            }
        }
        // At worst it is taken twice.
        let read = |value| parse_decision(value, claims.len());
        self.redis.run(&call, RetrySafety::Safe, read).await
    }
}

/// What the script is told of one claim.
fn script_arguments(allowance: Rate, take: RateCost) -> [String; 3] {
    let most_owed = if take.can_be_rejected() {
        micros(allowance.burst_tolerance()).to_string()
    } else {
        "-1".to_owned()
    };
    [
        micros(allowance.cost(take.amount())).to_string(),
        most_owed,
        micros(allowance.max_debt()).to_string(),
    ]
}

/// What the script said about so many claims; none if no script says that.
fn parse_decision(value: Value, claims: usize) -> Option<Result<(), (usize, Duration)>> {
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
