//! The rate limiter: decides in this process or together with all replicas.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{
    RateLimited,
    memory::LocalLimiter,
    per_address::network_of,
    rates::Rates,
    request::{LimitKey, LimitScope, RateCost, RateRequest, ToolClass},
    shared::RedisLimiter,
};
use crate::redis::{RedisSettings, RedisUnavailable};
use gatepost_base::InstanceName;
use gatepost_identity::Caller;

/// How long callers should wait before they retry while Redis is unavailable.
const RETRY_WHEN_UNAVAILABLE: Duration = Duration::from_secs(2);

/// Applies rate limits and counts usage.
///
/// What this process would reject is rejected without asking Redis, because other
/// replicas can only have used more. So a flood costs Redis no more than its rate.
#[derive(Debug)]
pub struct Limiter {
    rates: Rates,
    local: Arc<LocalLimiter>,
    shared: Option<SharedLimiter>,
}

/// The limiter that all replicas share.
#[derive(Clone, Debug)]
pub struct SharedLimiter {
    pub(super) redis_limiter: Arc<RedisLimiter>,
    failure_mode: LimiterFailureMode,
    replicas: u32,
}

/// What limits allow while Redis is unavailable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimiterFailureMode {
    /// Nothing.
    FailClosed,
    /// To each replica its share of every allowance.
    #[default]
    #[serde(rename = "local")]
    LocalShare,
}

/// The decision about one limit, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitDecision {
    /// The limit.
    pub scope: LimitScope,
    /// The decision.
    pub outcome: LimitOutcome,
    /// Where it was made.
    pub store: LimitStore,
}

gatepost_base::words! {
    /// The outcome of a decision about one limit.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum LimitOutcome {
        /// Within the limit.
        Allowed = "allowed",
        /// Over the limit.
        Limited = "limited",
        /// Redis was unavailable, so the call was rejected.
        Unavailable = "uncounted",
    }

    /// The value in metric labels.
    pub fn as_str(self);
}

gatepost_base::words! {
    /// Where a decision was made.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum LimitStore {
        /// In this process with its share, because Redis was unavailable.
        LocalShare = "share",
        /// In this process.
        Memory = "memory",
        /// In Redis, for all replicas.
        Redis = "redis",
    }

    /// The value in metric labels.
    pub fn as_str(self);
}

impl Limiter {
    /// A limiter with these rates, counting in this process or together with other
    /// replicas.
    pub fn new(rates: Rates, shared: Option<SharedLimiter>) -> Self {
        Self {
            rates,
            local: Arc::new(LocalLimiter::new()),
            shared,
        }
    }

    /// The same limiter with the usage counted before a reload. Reuses the
    /// connection if the Redis settings are the same.
    #[must_use]
    pub fn with_state_of(self, old: &Self) -> Self {
        let shared = match (self.shared, &old.shared) {
            (Some(new), Some(old))
                if old
                    .redis_limiter
                    .redis
                    .has_same_settings(new.redis_limiter.redis.settings()) =>
            {
                Some(SharedLimiter {
                    redis_limiter: Arc::clone(&old.redis_limiter),
                    ..new
                })
            }
            (shared, _) => shared,
        };
        Self {
            local: Arc::clone(&old.local),
            shared,
            ..self
        }
    }

    /// Counts a request with a token by its client address, before the token is
    /// checked.
    ///
    /// # Errors
    /// [`RateLimited`].
    pub async fn check_address(
        &self,
        address: Option<IpAddr>,
        now: Instant,
        decisions: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        // Without an address: a Unix socket, or a peer that has disconnected.
        let key = match network_of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))) {
            IpAddr::V4(v4) => LimitKey::new(LimitScope::Address, &[&v4.octets()]),
            IpAddr::V6(v6) => LimitKey::new(LimitScope::Address, &[&v6.octets()]),
        };
        let request = RateRequest {
            key,
            rate: self.rates.address,
            cost: RateCost::One,
        };
        self.decide(&[request], now, decisions).await
    }

    /// Counts a tool call for its caller, instance and class. A call that returns
    /// `records` also needs remaining rows and bytes. All or nothing.
    ///
    /// # Errors
    /// [`RateLimited`].
    pub async fn check_call(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        class: ToolClass,
        records: bool,
        now: Instant,
        decisions: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        let rates = self.rates.for_caller(caller);
        let (of_class, rate) = rates.for_class(class);
        let request = |scope, rate, cost| RateRequest {
            key: caller_key(scope, caller),
            rate,
            cost,
        };
        let calls = [
            request(LimitScope::Caller, rates.calls, RateCost::One),
            RateRequest {
                key: LimitKey::new(LimitScope::Instance, &[instance.as_str().as_bytes()]),
                rate: self.rates.instance,
                cost: RateCost::One,
            },
            request(of_class, rate, RateCost::One),
        ];
        if !records {
            return self.decide(&calls, now, decisions).await;
        }
        let [one, two, three] = calls;
        let rows = request(LimitScope::Rows, rates.rows, RateCost::CheckOnly);
        let bytes = request(LimitScope::Bytes, rates.bytes, RateCost::CheckOnly);
        self.decide(&[one, two, three, rows, bytes], now, decisions)
            .await
    }

    /// Counts what a call has read: in this process at once, in Redis in the
    /// background.
    pub fn charge_read(&self, caller: &Caller, rows: u64, bytes: u64, now: Instant) {
        let rates = self.rates.for_caller(caller);
        let requests: Vec<RateRequest> = [
            (LimitScope::Rows, rates.rows, rows),
            (LimitScope::Bytes, rates.bytes, bytes),
        ]
        .into_iter()
        .filter(|(_, _, amount)| *amount > 0)
        .map(|(scope, rate, amount)| RateRequest {
            key: caller_key(scope, caller),
            rate,
            cost: RateCost::AlreadyUsed(amount),
        })
        .collect();
        if requests.is_empty() {
            return;
        }
        match &self.shared {
            Some(shared) if shared.redis_limiter.redis.is_connected() == Some(false) => {
                self.local.charge(&shared.replica_share(&requests), now);
            }
            Some(shared) => {
                self.local.charge(&requests, now);
                let shared = Arc::clone(&shared.redis_limiter);
                if let Ok(runtime) = Handle::try_current() {
                    drop(runtime.spawn(async move { drop(shared.decide(&requests).await) }));
                }
            }
            None => self.local.charge(&requests, now),
        }
    }

    /// Whether Redis was available when last used; `None` without Redis or before
    /// its first use.
    pub fn is_redis_connected(&self) -> Option<bool> {
        self.shared.as_ref()?.redis_limiter.redis.is_connected()
    }

    /// Checks that calls can be counted, if uncounted calls are rejected
    /// ([`LimiterFailureMode::FailClosed`]); `None` otherwise.
    pub async fn check_available(&self) -> Option<Result<(), RedisUnavailable>> {
        let shared = self.shared.as_ref()?;
        match shared.failure_mode {
            LimiterFailureMode::FailClosed => {
                let redis = &shared.redis_limiter.redis;
                let result = redis.probe_current().await;
                // A single late reply is tolerated, as it is for callers.
                let is_single_timeout = matches!(result, Err(RedisUnavailable::TimedOut(_)))
                    && redis.is_connected() == Some(true);
                Some(if is_single_timeout { Ok(()) } else { result })
            }
            LimiterFailureMode::LocalShare => None,
        }
    }

    /// Checks a new connection to Redis, for the administrator; `None` without Redis.
    ///
    /// # Errors
    /// [`RedisUnavailable`].
    pub async fn check_redis(&self) -> Option<Result<(), RedisUnavailable>> {
        let redis = &self.shared.as_ref()?.redis_limiter.redis;
        Some(redis.probe_new_connection().await)
    }

    async fn decide(
        &self,
        requests: &[RateRequest],
        now: Instant,
        decisions: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        let mut count = |store, result: Result<(), (LimitScope, Duration)>| {
            let outcome = |scope, outcome| LimitDecision {
                scope,
                outcome,
                store,
            };
            match result {
                Ok(()) => {
                    let all = requests.iter().map(|request| request.key.scope);
                    decisions.extend(all.map(|one| outcome(one, LimitOutcome::Allowed)));
                    Ok(())
                }
                Err((scope, wait)) => {
                    decisions.push(outcome(scope, LimitOutcome::Limited));
                    Err(RateLimited::exceeded(scope, wait))
                }
            }
        };
        let Some(shared) = &self.shared else {
            return count(LimitStore::Memory, self.local.decide(requests, now));
        };
        if let Err(known) = self.local.check(requests, now) {
            return count(LimitStore::Memory, Err(known));
        }
        match (
            shared.redis_limiter.decide(requests).await,
            shared.failure_mode,
        ) {
            (Ok(Ok(())), _) => {
                self.local.charge(requests, now);
                count(LimitStore::Redis, Ok(()))
            }
            (Ok(Err((index, wait))), _) => {
                // `parse_decision` has checked the index.
                let scope = requests.get(index).map_or(LimitScope::Caller, |request| {
                    self.local.set_wait(request, wait, now);
                    request.key.scope
                });
                count(LimitStore::Redis, Err((scope, wait)))
            }
            (Err(_unavailable), LimiterFailureMode::LocalShare) => count(
                LimitStore::LocalShare,
                self.local.decide(&shared.replica_share(requests), now),
            ),
            (Err(_unavailable), LimiterFailureMode::FailClosed) => {
                decisions.extend(requests.iter().map(|request| LimitDecision {
                    scope: request.key.scope,
                    outcome: LimitOutcome::Unavailable,
                    store: LimitStore::Redis,
                }));
                Err(RateLimited::LimiterUnavailable {
                    retry_after: RETRY_WHEN_UNAVAILABLE,
                })
            }
        }
    }
}

/// A limiter that never limits.
impl Default for Limiter {
    fn default() -> Self {
        Self::new(Rates::default(), None)
    }
}

impl SharedLimiter {
    /// A limiter in this Redis for this number of replicas. Does not connect yet.
    pub fn new(settings: RedisSettings, failure_mode: LimiterFailureMode, replicas: u32) -> Self {
        Self {
            redis_limiter: RedisLimiter::new(settings),
            failure_mode,
            replicas,
        }
    }

    fn replica_share(&self, requests: &[RateRequest]) -> Vec<RateRequest> {
        let share = |request: &RateRequest| request.replica_share(self.replicas);
        requests.iter().map(share).collect()
    }
}

/// The key of a caller, from its issuer, kind and subject.
fn caller_key(scope: LimitScope, caller: &Caller) -> LimitKey {
    LimitKey::new(scope, &caller.identity().map(str::as_bytes))
}
