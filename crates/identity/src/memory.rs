//! What is remembered of tokens that were looked up.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac as _, digest::KeyInit};
use moka::sync::Cache;
use sha2::Sha256;

use super::{NotAccepted, Now, Principal};

/// Room for tokens that are good, in bytes: some ten thousand.
const GOOD_BYTES: u64 = 32 << 20;
/// How many refused tokens are remembered.
const REFUSED: u64 = 4_096;
/// How long it is remembered that a token was good once, for the reserved lane.
const WAS_GOOD: Duration = Duration::from_mins(15);

/// What stands for a token: a hash under a key that only this process has. The
/// token itself is not kept, and neither a core dump nor a log tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

/// How long things are believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    /// That a token is good.
    pub(super) good: Duration,
    /// That it is not: short, for Zitadel says so too when something in it fails.
    pub(super) refused: Duration,
    /// That it is good, beyond the first, while the provider does not answer.
    pub(super) in_trouble: Duration,
}

/// The answers about tokens, bounded: good and refused ones apart, so that a
/// flood of random tokens drives nobody out.
pub(super) struct Memory {
    secret: Hmac<Sha256>,
    trust: Trust,
    good: Cache<TokenKey, Known>,
    refused: Cache<TokenKey, (NotAccepted, Instant)>,
}

/// A token that was found good.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) principal: Arc<Principal>,
    since: Instant,
}

/// What is remembered of a token.
#[derive(Clone, Debug)]
pub(super) enum Recalled {
    /// It is good. `renew`: its time is nearly over, ask again while it holds.
    Good { known: Known, renew: bool },
    /// It was refused a moment ago.
    Refused(NotAccepted),
    /// Nothing that holds now; perhaps it was good once.
    Nothing { once: Option<Known> },
}

impl Memory {
    /// An empty memory.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub(super) fn new(trust: Trust) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 64];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            secret: <Hmac<Sha256> as KeyInit>::new(&secret.into()),
            trust,
            good: Cache::builder()
                .max_capacity(GOOD_BYTES)
                .weigher(|_, known: &Known| weight(&known.principal))
                .time_to_idle(WAS_GOOD)
                .build(),
            refused: Cache::builder()
                .max_capacity(REFUSED)
                .time_to_live(Duration::from_mins(1))
                .build(),
        })
    }

    pub(super) fn key(&self, token: &str) -> TokenKey {
        let mut mac = self.secret.clone();
        mac.update(token.as_bytes());
        TokenKey(mac.finalize().into_bytes().into())
    }

    /// What is remembered; `oldest` is how old the answer may be at most.
    pub(super) fn recall(&self, key: &TokenKey, oldest: Option<Duration>, now: Now) -> Recalled {
        if let Some(known) = self.good.get(key) {
            let trust = oldest.map_or(self.trust.good, |oldest| oldest.min(self.trust.good));
            return if known.holds(trust, now) {
                let renew = !known.holds(self.trust.good.mul_f32(0.8), now);
                Recalled::Good { known, renew }
            } else {
                Recalled::Nothing { once: Some(known) }
            };
        }
        match self.refused.get(key) {
            Some((why, until)) if now.steady < until => Recalled::Refused(why),
            Some(_) | None => Recalled::Nothing { once: None },
        }
    }

    /// Whether what was known once still counts while the provider does not
    /// answer.
    pub(super) fn holds_in_trouble(&self, known: &Known, now: Now) -> bool {
        !self.trust.in_trouble.is_zero()
            && known.holds(self.trust.good + self.trust.in_trouble, now)
    }

    pub(super) fn good(&self, key: TokenKey, principal: &Arc<Principal>, now: Now) {
        self.refused.invalidate(&key);
        self.good.insert(
            key,
            Known {
                principal: Arc::clone(principal),
                since: now.steady,
            },
        );
    }

    pub(super) fn refused(&self, key: TokenKey, why: NotAccepted, now: Now) {
        self.good.invalidate(&key);
        self.refused
            .insert(key, (why, now.steady + self.trust.refused));
    }
}

impl Known {
    fn holds(&self, trust: Duration, now: Now) -> bool {
        now.steady.saturating_duration_since(self.since) < trust
            && self
                .principal
                .expires
                .is_none_or(|expires| now.wall < expires)
    }
}

fn weight(principal: &Principal) -> u32 {
    let texts = principal.scopes.iter().map(|scope| scope.len() + 48);
    let audiences = principal.audiences.iter().map(|one| one.len() + 24);
    let roles = principal.roles.iter().map(|(role, organizations)| {
        role.len()
            + 64
            + organizations
                .iter()
                .map(|one| one.len() + 48)
                .sum::<usize>()
    });
    let bytes = 512 + texts.chain(audiences).chain(roles).sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Memory, Recalled, Trust};
    use crate::{CallerKind, NotAccepted, Now, Principal};
    use gatepost_base::Subject;

    fn memory() -> Memory {
        Memory::new(Trust {
            good: Duration::from_mins(1),
            refused: Duration::from_secs(5),
            in_trouble: Duration::from_secs(30),
        })
        .unwrap()
    }

    fn alice(now: Now, seconds: u64) -> Arc<Principal> {
        Arc::new(Principal {
            issuer: "https://id.example.com".into(),
            kind: CallerKind::User,
            subject: Subject::proved("alice"),
            client_id: None,
            scopes: ["odoo:read".into()].into(),
            roles: [("reader".into(), ["acme".into()].into())].into(),
            audiences: vec!["production".into()],
            expires: Some(now.after(Duration::from_secs(seconds)).wall),
        })
    }

    fn told(recalled: &Recalled) -> &'static str {
        match recalled {
            Recalled::Good { renew: false, .. } => "good",
            Recalled::Good { renew: true, .. } => "renew",
            Recalled::Refused(_) => "refused",
            Recalled::Nothing { once: Some(_) } => "once",
            Recalled::Nothing { once: None } => "nothing",
        }
    }

    #[test]
    fn what_is_good_is_believed_for_a_while_and_renewed_before_its_end() {
        let (memory, now) = (memory(), Now::read());
        let key = memory.key("token");
        memory.good(key, &alice(now, 3_600), now);
        for (seconds, expected) in [(0, "good"), (47, "good"), (48, "renew"), (60, "once")] {
            let then = now.after(Duration::from_secs(seconds));
            assert_eq!(
                told(&memory.recall(&key, None, then)),
                expected,
                "{seconds}"
            );
        }
        let write = Some(Duration::from_secs(10));
        let then = now.after(Duration::from_secs(10));
        assert_eq!(told(&memory.recall(&key, write, then)), "once");
        assert_eq!(
            told(&memory.recall(&memory.key("other"), None, now)),
            "nothing"
        );
    }

    #[test]
    fn nothing_is_believed_beyond_the_tokens_own_end() {
        let (memory, now) = (memory(), Now::read());
        let key = memory.key("token");
        memory.good(key, &alice(now, 20), now);
        let then = now.after(Duration::from_secs(20));
        let Recalled::Nothing { once: Some(known) } = memory.recall(&key, None, then) else {
            panic!("it has ended");
        };
        assert!(!memory.holds_in_trouble(&known, then));
    }

    #[test]
    fn while_the_provider_is_away_what_was_good_may_count_longer() {
        let (memory, now) = (memory(), Now::read());
        let key = memory.key("token");
        memory.good(key, &alice(now, 3_600), now);
        for (seconds, holds) in [(89, true), (90, false)] {
            let then = now.after(Duration::from_secs(seconds));
            let Recalled::Nothing { once: Some(known) } = memory.recall(&key, None, then) else {
                panic!("its time is over");
            };
            assert_eq!(memory.holds_in_trouble(&known, then), holds, "{seconds}");
        }
    }

    #[test]
    fn a_refusal_is_remembered_shortly_and_undoes_what_was_good() {
        let (memory, now) = (memory(), Now::read());
        let key = memory.key("token");
        memory.good(key, &alice(now, 3_600), now);
        memory.refused(key, NotAccepted::Inactive, now);
        assert_eq!(told(&memory.recall(&key, None, now)), "refused");
        let then = now.after(Duration::from_secs(5));
        assert_eq!(told(&memory.recall(&key, None, then)), "nothing");
    }

    #[test]
    fn random_tokens_drive_no_good_one_out() {
        let (memory, now) = (memory(), Now::read());
        let key = memory.key("good");
        memory.good(key, &alice(now, 3_600), now);
        for number in 0..20_000 {
            memory.refused(memory.key(&number.to_string()), NotAccepted::Inactive, now);
        }
        memory.refused.run_pending_tasks();
        assert_eq!(told(&memory.recall(&key, None, now)), "good");
        assert!(memory.refused.entry_count() <= super::REFUSED);
    }
}
