//! Rate limits that all replicas share in Redis.
//!
//! Each decision is one script, which uses Redis's clock.

use std::{sync::Arc, time::Duration};

use redis::{FromRedisValue as _, Script, Value};

use super::{
    gcra::Rate,
    request::{LimitKey, LimitScope, RateCost, RateRequest},
};
use crate::redis::{Redis, RedisProbe, RedisSettings, RedisUnavailable, RetrySafety};

/// The limiter in Redis.
#[derive(Debug)]
pub(super) struct RedisLimiter {
    pub(super) redis: Arc<Redis>,
    script: Script,
}

impl RedisLimiter {
    pub(super) fn new(settings: RedisSettings) -> Arc<Self> {
        let script = Script::new(include_str!("charge.lua"));
        let probe = RedisProbe {
            used_for: "limits",
            script: script.clone(),
            // No real address has five bytes.
            keys: vec![LimitKey::new(LimitScope::Address, &[b"probe"]).redis_name("")],
            arguments: script_arguments(Rate::per_minute(60, 1), RateCost::AlreadyUsed(1))
                .map(String::into_bytes)
                .into(),
            is_valid_reply: |value| parse_decision(value.clone(), 1).is_some(),
        };
        Arc::new(Self {
            redis: Redis::new(settings, probe),
            script,
        })
    }

    /// Charges all requests or none.
    ///
    /// # Errors
    /// Outer: [`RedisUnavailable`]; the requests may have been charged or not.
    /// Inner: the index of the request with the longest wait, and that wait.
    pub(super) async fn decide(
        &self,
        requests: &[RateRequest],
    ) -> Result<Result<(), (usize, Duration)>, RedisUnavailable> {
        let prefix = &self.redis.settings().prefix;
        let mut call = self.script.prepare_invoke();
        for request in requests {
            call.key(request.key.redis_name(prefix));
            for argument in script_arguments(request.rate, request.cost) {
                call.arg(argument);
            }
        }
        // At worst it is charged twice.
        let read = |value| parse_decision(value, requests.len());
        self.redis.run(&call, RetrySafety::Safe, read).await
    }
}

/// The script arguments for one request.
fn script_arguments(rate: Rate, cost: RateCost) -> [String; 3] {
    let max_debt = if cost.can_be_rejected() {
        micros(rate.burst_tolerance()).to_string()
    } else {
        "-1".to_owned()
    };
    [
        micros(rate.cost(cost.amount())).to_string(),
        max_debt,
        micros(rate.max_debt()).to_string(),
    ]
}

/// Parses the reply about this number of requests; `None` if it is invalid.
fn parse_decision(value: Value, requests: usize) -> Option<Result<(), (usize, Duration)>> {
    let (which, wait) = <(usize, u64)>::from_redis_value(value).ok()?;
    match which.checked_sub(1) {
        None => Some(Ok(())),
        Some(index) if index < requests => Some(Err((index, Duration::from_micros(wait)))),
        Some(_) => None,
    }
}

/// In microseconds, rounded up.
fn micros(duration: Duration) -> u64 {
    let rounded_up = duration.as_nanos().div_ceil(1_000);
    u64::try_from(rounded_up).unwrap_or(u64::MAX)
}
