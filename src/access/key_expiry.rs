//! When the API keys of an Odoo user expire.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::{OdooSession, OperationError, is_key_rejected, user_profile::WhoAmI};
use gatepost_base::{
    CredentialName, Diagnosis, InstanceName,
    sync::lock,
    text::{append, pluralize},
};
use gatepost_odoo::SystemQuery;
use gatepost_odoo_client::CallError;

/// How long before it expires the administrator is warned of a key.
const WARNING_PERIOD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How often Odoo is asked when a key expires.
const QUESTION_INTERVAL: Duration = Duration::from_hours(24);

/// How soon it is asked again if it did not answer.
const RETRY_INTERVAL: Duration = Duration::from_mins(10);

/// How soon it is asked again if no call with the key can work, so that the readiness
/// recovers without a call by anyone.
const REJECTED_INTERVAL: Duration = Duration::from_mins(1);

/// How long after a key has expired Odoo is asked about those that are left.
const AFTER_EXPIRY: Duration = Duration::from_mins(1);

/// How often the log says that Odoo rejects a key.
const REJECTION_LOG_INTERVAL: Duration = Duration::from_hours(1);

/// When the API keys of one Odoo user expire, of which one is in use here.
///
/// Odoo does not report which of them a call was made with, so with several this
/// says only when the first and the last one expire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyExpiry {
    /// When those with an end expire, sorted.
    ends: Vec<Timestamp>,
    /// How many never expire, as administrators may have them.
    endless: usize,
}

/// What is known about the API key of one account.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    status: Mutex<KeyStatus>,
    /// Whether the status has a rejection; read without the lock on every call.
    is_rejected: AtomicBool,
}

#[derive(Debug, Default)]
struct KeyStatus {
    expiry: Option<KeyExpiry>,
    /// When Odoo is asked again; at once if this is missing.
    next_question: Option<Instant>,
    /// Why no call with the key can work, as of the last one.
    rejection: Option<Arc<str>>,
    /// When the log last said so.
    rejection_logged: Option<Instant>,
}

/// A row of `res.users.apikeys/search_read`. Empty fields are `false`.
#[derive(Deserialize)]
struct ApiKeyRow {
    scope: Value,
    expiration_date: Value,
}

impl KeyExpiry {
    /// The keys in Odoo's answer that may be the one in use: it is accepted, so it has
    /// not expired, and calls need the scope `rpc` or none. `None` if there is none.
    fn parse(answer: &[u8], now: Timestamp) -> Result<Option<Self>, serde_json::Error> {
        let rows: Vec<ApiKeyRow> = serde_json::from_slice(answer)?;
        let mut found = Self {
            ends: Vec::new(),
            endless: 0,
        };
        for row in rows {
            if row.scope.as_str().is_some_and(|scope| scope != "rpc") {
                continue;
            }
            match row.expiration_date.as_str().map(parse_odoo_time) {
                None => found.endless += 1,
                Some(Some(end)) if end > now => found.ends.push(end),
                // Expired, or in an unknown form.
                Some(_) => {}
            }
        }
        found.ends.sort_unstable();
        Ok((found.count() > 0).then_some(found))
    }

    fn count(&self) -> usize {
        self.ends.len() + self.endless
    }

    /// When the first of them expires; `None` if none does.
    pub fn first(&self) -> Option<Timestamp> {
        self.ends.first().copied()
    }

    /// When the last of them expires; `None` if one never does.
    fn last(&self) -> Option<Timestamp> {
        self.ends.last().copied().filter(|_| self.endless == 0)
    }

    /// Whether the first of them expires within two weeks.
    pub fn is_near(&self, now: Timestamp) -> bool {
        let left = self.first().map(|first| first.duration_since(now));
        left.is_some_and(|left| left < WARNING_PERIOD)
    }

    /// Whether all of them have expired, so that the one in use has.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.last().is_some_and(|last| last <= now)
    }

    /// What follows "the API key": when it expires, and in how many days.
    pub fn describe(&self, now: Timestamp) -> String {
        let Some(first) = self.first() else {
            return "never expires".to_owned();
        };
        if self.count() == 1 {
            return expires_on(first, now);
        }
        let mut text = format!(
            "is one of {} keys of its Odoo user, and Odoo does not report which: the first {}",
            self.count(),
            expires_on(first, now)
        );
        match self.last() {
            None => text.push_str("; another never expires"),
            Some(last) => append(
                &mut text,
                format_args!("; the last {}", expires_on(last, now)),
            ),
        }
        text
    }
}

impl KeyState {
    pub(super) fn expiry(&self) -> Option<KeyExpiry> {
        lock(&self.status).expiry.clone()
    }

    /// Whether it is time to ask Odoo.
    pub(super) fn is_question_due(&self, now: Instant) -> bool {
        lock(&self.status)
            .next_question
            .is_none_or(|next| next <= now)
    }

    /// Stores what Odoo answered. What was known before stays if it did not say.
    fn store(&self, answer: &Result<Option<KeyExpiry>, OperationError>, now: Timestamp) {
        let mut wait = QUESTION_INTERVAL;
        let mut known = lock(&self.status);
        match answer {
            Ok(Some(expiry)) => {
                if let Some(first) = expiry.first() {
                    let left = Duration::try_from(first.duration_since(now)).unwrap_or_default();
                    wait = wait.min(left + AFTER_EXPIRY);
                }
                known.expiry = Some(expiry.clone());
            }
            // An older Odoo, or a user who may not ask, may not tomorrow either.
            Ok(None) => {}
            Err(error) if error.is_fault() => {}
            Err(_) => wait = RETRY_INTERVAL,
        }
        if known.rejection.is_some() {
            wait = wait.min(REJECTED_INTERVAL);
        }
        known.next_question = Some(Instant::now() + wait);
    }

    /// Why no call with the key can work, as of the last one.
    pub(super) fn rejection(&self) -> Option<Arc<str>> {
        lock(&self.status).rejection.clone()
    }

    /// Odoo answered a call with the key.
    pub(super) fn record_answer(&self) {
        if self.is_rejected.swap(false, Relaxed) {
            let mut status = lock(&self.status);
            (status.rejection, status.rejection_logged) = (None, None);
        }
    }

    /// Odoo rejects the key or has no such database. Logs that once an hour.
    pub(super) fn record_rejection(
        &self,
        instance: &InstanceName,
        credential: Option<&CredentialName>,
        error: &CallError,
        diagnosis: Diagnosis,
    ) {
        let mut known = lock(&self.status);
        self.is_rejected.store(true, Relaxed);
        known.rejection = Some(diagnosis.cause.as_str().into());
        let now = Instant::now();
        let soon = now + REJECTED_INTERVAL;
        known.next_question = known.next_question.map(|next| next.min(soon));
        let logged = known.rejection_logged.replace(now);
        if logged.is_some_and(|logged| now.duration_since(logged) < REJECTION_LOG_INTERVAL) {
            known.rejection_logged = logged;
            return;
        }
        let key_cause = rejection_cause(known.expiry.as_ref(), Timestamp::now());
        drop(known);
        let (message, cause, help) = if is_key_rejected(error) {
            let help = renewal_help(&key_holder(instance, credential));
            (
                "Failed to call Odoo because it rejects the API key",
                key_cause,
                help,
            )
        } else {
            (
                "Failed to call Odoo because of its database",
                diagnosis.cause,
                diagnosis.remedy,
            )
        };
        tracing::error!(
            instance.name = %instance,
            credential.name = credential.map(tracing::field::display),
            error = cause,
            help,
            "{message}"
        );
    }
}

impl OdooSession<'_> {
    /// Asks Odoo when the API keys of its user expire, and stores the answer. It is no
    /// error if Odoo does not say, as an Odoo before 18 does not.
    pub async fn refresh_key_expiry(&self, now: Timestamp) -> Option<KeyExpiry> {
        let account = self.account().ok()?;
        let answer = self.query_key_expiry(now).await;
        account.key_state().store(&answer, now);
        answer.unwrap_or_else(|error| {
            tracing::debug!(instance.name = %self.instance.name(), %error, "Failed to ask Odoo when an API key expires");
            None
        })
    }

    async fn query_key_expiry(&self, now: Timestamp) -> Result<Option<KeyExpiry>, OperationError> {
        let answer = self.run_system_query(&SystemQuery::WhoAmI).await?;
        let me: WhoAmI = serde_json::from_slice(&answer)?;
        let answer = self.run_system_query(&SystemQuery::ApiKeys(me.uid)).await?;
        Ok(KeyExpiry::parse(&answer, now)?)
    }
}

/// The part of the configuration that holds a key, such as
/// `instances.production.credentials.sales`.
pub fn key_holder(instance: &InstanceName, credential: Option<&CredentialName>) -> String {
    credential.map_or_else(
        || format!("instances.{instance}"),
        |credential| format!("instances.{instance}.credentials.{credential}"),
    )
}

/// How to replace a key that is in this part of the configuration.
pub fn renewal_help(holder: &str) -> String {
    format!(
        "log in to Odoo as that user, create a key (in Odoo 19: Preferences, Security, Add API Key), write it where `{holder}` has the old one, and run `gatepost reload`. Odoo lets a key live as long as the user's groups allow (`api_key_duration`): 90 days for internal users"
    )
}

/// Why Odoo probably rejects a key, for the administrator.
pub fn rejection_cause(known: Option<&KeyExpiry>, now: Timestamp) -> String {
    match known {
        Some(expiry) if expiry.first().is_some_and(|first| first <= now) => {
            format!("the key has probably expired: it {}", expiry.describe(now))
        }
        Some(_) => "the key was accepted before and has not expired, so it was probably deleted, or its user was archived".to_owned(),
        None => "the key is wrong, has expired, was deleted, or is one of another database".to_owned(),
    }
}

/// Odoo's times are in UTC (`2027-02-18 14:18:44`).
fn parse_odoo_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn expires_on(end: Timestamp, now: Timestamp) -> String {
    let on = end.strftime("%Y-%m-%d %H:%M UTC");
    if end <= now {
        return format!("expired on {on}");
    }
    let days = end.duration_since(now).as_hours() / 24;
    match usize::try_from(days) {
        Ok(0) | Err(_) => format!("expires on {on}, in less than a day"),
        Ok(days) => format!("expires on {on}, in {}", pluralize(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;

    use super::{KeyExpiry, KeyState, REJECTED_INTERVAL, rejection_cause};
    use crate::access::OperationError;
    use gatepost_base::{Diagnosis, InstanceName};
    use gatepost_odoo::OdooError;
    use gatepost_odoo_client::CallError;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn parsed(answer: &str, now: Timestamp) -> Option<KeyExpiry> {
        KeyExpiry::parse(answer.as_bytes(), now).unwrap()
    }

    const ONE: &str = r#"[{"id":1,"scope":false,"expiration_date":"2027-02-18 14:18:44"}]"#;
    const SEVERAL: &str = r#"[
        {"id":1,"scope":"rpc","expiration_date":"2027-02-18 14:18:44"},
        {"id":2,"scope":false,"expiration_date":"2027-02-10 00:00:00"},
        {"id":3,"scope":"odoo.plugin.outlook","expiration_date":"2027-02-03 00:00:00"},
        {"id":4,"scope":false,"expiration_date":"2027-01-31 00:00:00"}
    ]"#;

    #[test]
    fn odoo_is_asked_again_soon_while_it_rejects_the_key() {
        let no_database = || CallError::Fault(OdooError::UnknownDatabase);
        let state = KeyState::default();
        let reject = || {
            let diagnosis = Diagnosis {
                setting: "database",
                cause: "dropped".to_owned(),
                remedy: "restore it".to_owned(),
            };
            let instance = InstanceName::try_from("demo").unwrap();
            state.record_rejection(&instance, None, &no_database(), diagnosis);
        };
        let is_soon = || state.is_question_due(Instant::now() + REJECTED_INTERVAL);
        let now = Timestamp::now();
        state.store(&Ok(None), now);
        assert!(!is_soon());
        // A call is rejected, and then the question.
        reject();
        assert!(is_soon() && !state.is_question_due(Instant::now()));
        state.store(&Err(OperationError::from(no_database())), now);
        assert!(is_soon() && !state.is_question_due(Instant::now()));
        // Odoo answers the question.
        state.record_answer();
        state.store(&Ok(None), now);
        assert_eq!(state.rejection(), None);
        assert!(!state.is_question_due(Instant::now() + Duration::from_hours(23)));
    }

    #[test]
    fn only_key_of_a_user_is_the_one_in_use() {
        let now = at("2027-02-04T14:18:43Z");
        let key = parsed(ONE, now).unwrap();
        assert_eq!(key.first(), Some(at("2027-02-18T14:18:44Z")));
        assert!(!key.is_near(now));
        let later = at("2027-02-12T00:00:00Z");
        assert!(key.is_near(later) && !key.has_expired(later));
        assert_eq!(
            key.describe(later),
            "expires on 2027-02-18 14:18 UTC, in 6 days"
        );
        let after = at("2027-02-18T14:18:44Z");
        assert!(key.has_expired(after));
        assert_eq!(
            rejection_cause(Some(&key), after),
            "the key has probably expired: it expired on 2027-02-18 14:18 UTC"
        );
    }

    #[test]
    fn of_several_keys_first_and_last_end_are_reported() {
        // The scope of the third is not for calls, and the fourth has expired.
        let now = at("2027-02-01T00:00:00Z");
        let keys = parsed(SEVERAL, now).unwrap();
        assert_eq!(
            keys.describe(now),
            "is one of 2 keys of its Odoo user, and Odoo does not report which: the first expires on 2027-02-10 00:00 UTC, in 9 days; the last expires on 2027-02-18 14:18 UTC, in 17 days"
        );
        let between = at("2027-02-11T00:00:00Z");
        assert!(keys.is_near(between) && !keys.has_expired(between));
        let causes = [between, now].map(|at| rejection_cause(Some(&keys), at));
        insta::assert_snapshot!(causes.join("\n"), @r"
        the key has probably expired: it is one of 2 keys of its Odoo user, and Odoo does not report which: the first expired on 2027-02-10 00:00 UTC; the last expires on 2027-02-18 14:18 UTC, in 7 days
        the key was accepted before and has not expired, so it was probably deleted, or its user was archived
        ");
    }

    #[test]
    fn key_without_end_never_expires() {
        let now = at("2027-02-01T00:00:00Z");
        let endless = r#"[{"scope":false,"expiration_date":false}]"#;
        let key = parsed(endless, now).unwrap();
        assert_eq!((key.first(), key.is_near(now)), (None, false));
        assert_eq!(key.describe(now), "never expires");
        let both = format!(
            "{},{}",
            endless.trim_end_matches(']'),
            ONE.trim_start_matches('[')
        );
        let keys = parsed(&both, now).unwrap();
        assert!(!keys.has_expired(at("2030-01-01T00:00:00Z")));
        insta::assert_snapshot!(keys.describe(now), @"is one of 2 keys of its Odoo user, and Odoo does not report which: the first expires on 2027-02-18 14:18 UTC, in 17 days; another never expires");
        assert_eq!(parsed("[]", now), None);
    }
}
