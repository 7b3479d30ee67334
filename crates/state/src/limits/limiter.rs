//! Who decides: this process, or all replicas together.

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

/// When to come again while nobody counts.
const RETRY_WHEN_UNAVAILABLE: Duration = Duration::from_secs(2);

/// Decides whether there is still allowance, and counts what is used.
///
/// What this process refused it refuses without asking Redis: others can only
/// have used more. So a flood costs Redis no more than its allowance.
#[derive(Debug)]
pub struct Limiter {
    rates: Rates,
    local: Arc<LocalLimiter>,
    shared: Option<SharedLimiter>,
}

/// What several replicas count in together.
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

/// One allowance that was looked at, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitDecision {
    /// What the allowance is of.
    pub scope: LimitScope,
    /// What was decided.
    pub outcome: LimitOutcome,
    /// Who decided.
    pub store: LimitStore,
}

/// What was decided about one allowance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitOutcome {
    /// There was enough.
    Allowed,
    /// There was not.
    Limited,
    /// Nobody could say, and so it was refused.
    Unavailable,
}

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitStore {
    /// This process.
    Memory,
    /// All replicas together.
    Redis,
    /// This process with its share, for Redis was away.
    LocalShare,
}

impl Limiter {
    /// These rates, counted in this process or, with a pool, together with
    /// others.
    pub fn new(rates: Rates, shared: Option<SharedLimiter>) -> Self {
        Self {
            rates,
            local: Arc::new(LocalLimiter::new()),
            shared,
        }
    }

    /// The same rates, with what was counted before a reload. The connection is
    /// kept if it is one to the same Redis.
    #[must_use]
    pub fn with_state_of(self, old: &Self) -> Self {
        let pool = match (self.shared, &old.shared) {
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
            (pool, _) => pool,
        };
        Self {
            local: Arc::clone(&old.local),
            shared: pool,
            ..self
        }
    }

    /// Counts a request that brings a token, by its address. Before anything is
    /// done with that token.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn check_address(
        &self,
        address: Option<IpAddr>,
        now: Instant,
        counted: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        // Without an address: a Unix socket, or a peer that is gone already.
        let key = match network_of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))) {
            IpAddr::V4(v4) => LimitKey::new(LimitScope::Address, &[&v4.octets()]),
            IpAddr::V6(v6) => LimitKey::new(LimitScope::Address, &[&v6.octets()]),
        };
        let claim = RateRequest {
            key,
            rate: self.rates.address,
            cost: RateCost::One,
        };
        self.decide(&[claim], now, counted).await
    }

    /// Counts a tool call, for its caller, its instance and its class. Where it
    /// hands out `records`, there must be something left of what the caller may
    /// read too. All or nothing.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn check_call(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        class: ToolClass,
        records: bool,
        now: Instant,
        counted: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        let rates = self.rates.for_caller(caller);
        let (of_class, allowance) = rates.for_class(class);
        let claim = |dimension, allowance, take| RateRequest {
            key: caller_key(dimension, caller),
            rate: allowance,
            cost: take,
        };
        let calls = [
            claim(LimitScope::Caller, rates.calls, RateCost::One),
            RateRequest {
                key: LimitKey::new(LimitScope::Instance, &[instance.as_str().as_bytes()]),
                rate: self.rates.instance,
                cost: RateCost::One,
            },
            claim(of_class, allowance, RateCost::One),
        ];
        if !records {
            return self.decide(&calls, now, counted).await;
        }
        let [one, two, three] = calls;
        let rows = claim(LimitScope::Rows, rates.rows, RateCost::CheckOnly);
        let bytes = claim(LimitScope::Bytes, rates.bytes, RateCost::CheckOnly);
        self.decide(&[one, two, three, rows, bytes], now, counted)
            .await
    }

    /// Counts what a call has read. Nobody waits for it, and it is counted here
    /// at once: the next call is told.
    pub fn charge_read(&self, caller: &Caller, rows: u64, bytes: u64, now: Instant) {
        let rates = self.rates.for_caller(caller);
        let claims: Vec<RateRequest> = [
            (LimitScope::Rows, rates.rows, rows),
            (LimitScope::Bytes, rates.bytes, bytes),
        ]
        .into_iter()
        .filter(|(_, _, weight)| *weight > 0)
        .map(|(dimension, allowance, weight)| RateRequest {
            key: caller_key(dimension, caller),
            rate: allowance,
            cost: RateCost::AlreadyUsed(weight),
        })
        .collect();
        if claims.is_empty() {
            return;
        }
        match &self.shared {
            Some(pool) if pool.redis_limiter.redis.is_connected() == Some(false) => {
                self.local.charge(&pool.replica_share(&claims), now);
            }
            Some(pool) => {
                self.local.charge(&claims, now);
                let shared = Arc::clone(&pool.redis_limiter);
                if let Ok(runtime) = Handle::try_current() {
                    drop(runtime.spawn(async move { drop(shared.decide(&claims).await) }));
                }
            }
            None => self.local.charge(&claims, now),
        }
    }

    /// Whether Redis was there when it was last needed; `None` where there is
    /// none, or nobody needed it so far.
    pub fn is_redis_connected(&self) -> Option<bool> {
        self.shared.as_ref()?.redis_limiter.redis.is_connected()
    }

    /// Whether calls can be counted, where none goes on uncounted
    /// ([`WhenDown::FailClosed`]); `None` where they go on all the same.
    pub async fn check_available(&self) -> Option<Result<(), RedisUnavailable>> {
        let pool = self.shared.as_ref()?;
        match pool.failure_mode {
            LimiterFailureMode::FailClosed => {
                let redis = &pool.redis_limiter.redis;
                let told = redis.probe_current().await;
                // One late answer is an accident, as it is for callers.
                let accident = matches!(told, Err(RedisUnavailable::TimedOut(_)))
                    && redis.is_connected() == Some(true);
                Some(if accident { Ok(()) } else { told })
            }
            LimiterFailureMode::LocalShare => None,
        }
    }

    /// Asks Redis whether it does what is needed of it, for the administrator;
    /// `None` where there is none.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn check_redis(&self) -> Option<Result<(), RedisUnavailable>> {
        Some(
            self.shared
                .as_ref()?
                .redis_limiter
                .redis
                .probe_new_connection()
                .await,
        )
    }

    async fn decide(
        &self,
        claims: &[RateRequest],
        now: Instant,
        counted: &mut Vec<LimitDecision>,
    ) -> Result<(), RateLimited> {
        let mut count = |store, told: Result<(), (LimitScope, Duration)>| {
            let outcome = |dimension, outcome| LimitDecision {
                scope: dimension,
                outcome,
                store,
            };
            match told {
                Ok(()) => {
                    let all = claims.iter().map(|claim| claim.key.scope);
                    counted.extend(all.map(|one| outcome(one, LimitOutcome::Allowed)));
                    Ok(())
                }
                Err((dimension, wait)) => {
                    counted.push(outcome(dimension, LimitOutcome::Limited));
                    Err(RateLimited::exceeded(dimension, wait))
                }
            }
        };
        let Some(pool) = &self.shared else {
            return count(LimitStore::Memory, self.local.decide(claims, now));
        };
        if let Err(known) = self.local.check(claims, now) {
            return count(LimitStore::Memory, Err(known));
        }
        match (pool.redis_limiter.decide(claims).await, pool.failure_mode) {
            (Ok(Ok(())), _) => {
                self.local.charge(claims, now);
                count(LimitStore::Redis, Ok(()))
            }
            (Ok(Err((index, wait))), _) => {
                // The index was checked where it came from.
                let dimension = claims.get(index).map_or(LimitScope::Caller, |claim| {
                    self.local.set_wait(claim, wait, now);
                    claim.key.scope
                });
                count(LimitStore::Redis, Err((dimension, wait)))
            }
            (Err(_away), LimiterFailureMode::LocalShare) => count(
                LimitStore::LocalShare,
                self.local.decide(&pool.replica_share(claims), now),
            ),
            (Err(_away), LimiterFailureMode::FailClosed) => {
                counted.extend(claims.iter().map(|claim| LimitDecision {
                    scope: claim.key.scope,
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

/// So much that nobody notices.
impl Default for Limiter {
    fn default() -> Self {
        Self::new(Rates::default(), None)
    }
}

impl SharedLimiter {
    /// A pool in this Redis, of so many replicas. Nothing is connected yet.
    pub fn new(settings: RedisSettings, failure_mode: LimiterFailureMode, replicas: u32) -> Self {
        Self {
            redis_limiter: RedisLimiter::new(settings),
            failure_mode,
            replicas,
        }
    }

    fn replica_share(&self, claims: &[RateRequest]) -> Vec<RateRequest> {
        let share = |claim: &RateRequest| claim.replica_share(self.replicas);
        claims.iter().map(share).collect()
    }
}

impl LimitOutcome {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::Unavailable => "uncounted",
        }
    }
}

impl LimitStore {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::LocalShare => "share",
        }
    }
}

/// The key of a caller: two are the same exactly when issuer, kind and subject
/// are.
fn caller_key(dimension: LimitScope, caller: &Caller) -> LimitKey {
    let parts = [
        caller.issuer.as_bytes(),
        caller.kind.as_str().as_bytes(),
        caller.subject.as_str().as_bytes(),
    ];
    LimitKey::new(dimension, &parts)
}
