//! Who decides: this process, or all replicas together.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    Limited,
    claim::{Claim, Dimension, Key, Take, ToolClass},
    memory::Memory,
    per_address::block,
    rates::Rates,
    shared::Shared,
};
use crate::redis::{Away, RedisSettings};
use gatepost_base::InstanceName;
use gatepost_identity::Caller;

/// When to come again while nobody counts.
const UNCOUNTED: Duration = Duration::from_secs(2);

/// Decides whether there is still allowance, and counts what is used.
///
/// What this process refused it refuses without asking Redis: others can only
/// have used more. So a flood costs Redis no more than its allowance.
#[derive(Debug)]
pub struct Limiter {
    rates: Rates,
    memory: Arc<Memory>,
    pool: Option<Pool>,
}

/// What several replicas count in together.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
    when_down: WhenDown,
    replicas: u32,
}

/// What happens while Redis is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenDown {
    /// Nothing goes on.
    FailClosed,
    /// Each replica counts by itself, with its share of every allowance.
    Local,
}

/// One allowance that was looked at, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// What the allowance is of.
    pub dimension: Dimension,
    /// What was decided.
    pub outcome: Outcome,
    /// Who decided.
    pub store: Store,
}

/// What was decided about one allowance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// There was enough.
    Allowed,
    /// There was not.
    Limited,
    /// Nobody could say, and so it was refused.
    Uncounted,
}

/// Who decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Store {
    /// This process.
    Memory,
    /// All replicas together.
    Redis,
    /// This process with its share, for Redis was away.
    Share,
}

impl Limiter {
    /// These rates, counted in this process or, with a pool, together with
    /// others.
    pub fn new(rates: Rates, pool: Option<Pool>) -> Self {
        Self {
            rates,
            memory: Arc::new(Memory::new()),
            pool,
        }
    }

    /// The same rates, with what was counted before a reload. The connection is
    /// kept if it is one to the same Redis.
    #[must_use]
    pub fn after(self, old: &Self) -> Self {
        let pool = match (self.pool, &old.pool) {
            (Some(new), Some(old)) if old.shared.redis.is_of(new.shared.redis.settings()) => {
                Some(Pool {
                    shared: Arc::clone(&old.shared),
                    ..new
                })
            }
            (pool, _) => pool,
        };
        Self {
            memory: Arc::clone(&old.memory),
            pool,
            ..self
        }
    }

    /// Counts a request that brings a token, by its address. Before anything is
    /// done with that token.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn arrive(
        &self,
        address: Option<IpAddr>,
        now: Instant,
        counted: &mut Vec<Counted>,
    ) -> Result<(), Limited> {
        // Without an address: a Unix socket, or a peer that is gone already.
        let key = match block(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))) {
            IpAddr::V4(v4) => Key::new(Dimension::Address, &[&v4.octets()]),
            IpAddr::V6(v6) => Key::new(Dimension::Address, &[&v6.octets()]),
        };
        let claim = Claim {
            key,
            allowance: self.rates.address,
            take: Take::One,
        };
        self.decide(&[claim], now, counted).await
    }

    /// Counts a tool call, for its caller, its instance and its class. Where it
    /// hands out `records`, there must be something left of what the caller may
    /// read too. All or nothing.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn call(
        &self,
        caller: &Caller,
        instance: &InstanceName,
        class: ToolClass,
        records: bool,
        now: Instant,
        counted: &mut Vec<Counted>,
    ) -> Result<(), Limited> {
        let rates = self.rates.of(caller);
        let (of_class, allowance) = rates.class(class);
        let claim = |dimension, allowance, take| Claim {
            key: key_of(dimension, caller),
            allowance,
            take,
        };
        let calls = [
            claim(Dimension::Caller, rates.calls, Take::One),
            Claim {
                key: Key::new(Dimension::Instance, &[instance.as_str().as_bytes()]),
                allowance: self.rates.instance,
                take: Take::One,
            },
            claim(of_class, allowance, Take::One),
        ];
        if !records {
            return self.decide(&calls, now, counted).await;
        }
        let [one, two, three] = calls;
        let rows = claim(Dimension::Rows, rates.rows, Take::Look);
        let bytes = claim(Dimension::Bytes, rates.bytes, Take::Look);
        self.decide(&[one, two, three, rows, bytes], now, counted)
            .await
    }

    /// Counts what a call has read. Nobody waits for it, and it is counted here
    /// at once: the next call is told.
    pub fn read(&self, caller: &Caller, rows: u64, bytes: u64, now: Instant) {
        let rates = self.rates.of(caller);
        let claims: Vec<Claim> = [
            (Dimension::Rows, rates.rows, rows),
            (Dimension::Bytes, rates.bytes, bytes),
        ]
        .into_iter()
        .filter(|(_, _, weight)| *weight > 0)
        .map(|(dimension, allowance, weight)| Claim {
            key: key_of(dimension, caller),
            allowance,
            take: Take::Charge(weight),
        })
        .collect();
        if claims.is_empty() {
            return;
        }
        match &self.pool {
            Some(pool) if pool.shared.redis.is_here() == Some(false) => {
                self.memory.charge(&pool.share(&claims), now);
            }
            Some(pool) => {
                self.memory.charge(&claims, now);
                let shared = Arc::clone(&pool.shared);
                if let Ok(runtime) = Handle::try_current() {
                    drop(runtime.spawn(async move { drop(shared.decide(&claims).await) }));
                }
            }
            None => self.memory.charge(&claims, now),
        }
    }

    /// Whether Redis was there when it was last needed; `None` where there is
    /// none, or nobody needed it so far.
    pub fn redis_is_here(&self) -> Option<bool> {
        self.pool.as_ref()?.shared.redis.is_here()
    }

    /// Whether calls can be counted, where none goes on uncounted
    /// ([`WhenDown::FailClosed`]); `None` where they go on all the same.
    pub async fn state(&self) -> Option<Result<(), Away>> {
        let pool = self.pool.as_ref()?;
        match pool.when_down {
            WhenDown::FailClosed => {
                let redis = &pool.shared.redis;
                let told = redis.try_now().await;
                // One late answer is an accident, as it is for callers.
                let accident = matches!(told, Err(Away::Late(_))) && redis.is_here() == Some(true);
                Some(if accident { Ok(()) } else { told })
            }
            WhenDown::Local => None,
        }
    }

    /// Asks Redis whether it does what is needed of it, for the administrator;
    /// `None` where there is none.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn examine(&self) -> Option<Result<(), Away>> {
        Some(self.pool.as_ref()?.shared.redis.examine().await)
    }

    async fn decide(
        &self,
        claims: &[Claim],
        now: Instant,
        counted: &mut Vec<Counted>,
    ) -> Result<(), Limited> {
        let mut count = |store, told: Result<(), (Dimension, Duration)>| {
            let outcome = |dimension, outcome| Counted {
                dimension,
                outcome,
                store,
            };
            match told {
                Ok(()) => {
                    let all = claims.iter().map(|claim| claim.key.dimension);
                    counted.extend(all.map(|one| outcome(one, Outcome::Allowed)));
                    Ok(())
                }
                Err((dimension, wait)) => {
                    counted.push(outcome(dimension, Outcome::Limited));
                    Err(Limited::exceeded(dimension, wait))
                }
            }
        };
        let Some(pool) = &self.pool else {
            return count(Store::Memory, self.memory.decide(claims, now));
        };
        if let Err(known) = self.memory.look(claims, now) {
            return count(Store::Memory, Err(known));
        }
        match (pool.shared.decide(claims).await, pool.when_down) {
            (Ok(Ok(())), _) => {
                self.memory.charge(claims, now);
                count(Store::Redis, Ok(()))
            }
            (Ok(Err((index, wait))), _) => {
                // The index was checked where it came from.
                let dimension = claims.get(index).map_or(Dimension::Caller, |claim| {
                    self.memory.hold_off(claim, wait, now);
                    claim.key.dimension
                });
                count(Store::Redis, Err((dimension, wait)))
            }
            (Err(_away), WhenDown::Local) => {
                count(Store::Share, self.memory.decide(&pool.share(claims), now))
            }
            (Err(_away), WhenDown::FailClosed) => {
                counted.extend(claims.iter().map(|claim| Counted {
                    dimension: claim.key.dimension,
                    outcome: Outcome::Uncounted,
                    store: Store::Redis,
                }));
                Err(Limited::Uncounted {
                    retry_after: UNCOUNTED,
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

impl Pool {
    /// A pool in this Redis, of so many replicas. Nothing is connected yet.
    pub fn new(settings: RedisSettings, when_down: WhenDown, replicas: u32) -> Self {
        Self {
            shared: Shared::new(settings),
            when_down,
            replicas,
        }
    }

    fn share(&self, claims: &[Claim]) -> Vec<Claim> {
        let share = |claim: &Claim| claim.share(self.replicas);
        claims.iter().map(share).collect()
    }
}

impl Outcome {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::Uncounted => "uncounted",
        }
    }
}

impl Store {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Share => "share",
        }
    }
}

/// The key of a caller: two are the same exactly when issuer, kind and subject
/// are.
fn key_of(dimension: Dimension, caller: &Caller) -> Key {
    let parts = [
        caller.issuer.as_bytes(),
        caller.kind.as_str().as_bytes(),
        caller.subject.as_str().as_bytes(),
    ];
    Key::new(dimension, &parts)
}
