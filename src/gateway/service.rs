//! The gateway itself: everything that requests need, from one configuration.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{join_all, join4};
use ipnet::IpNet;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    InFlightLimits, InFlightRequests, authentication::Authenticator,
    public_endpoints::RegistrationFacade, routes::Routes,
};
use crate::{
    access::{InFlightWrites, Instance, OdooSession, key_holder},
    audit::{Journal, RequestAudit},
    elicitation::{Elicitation, PendingElicitations},
    telemetry::Readiness,
};
use gatepost_base::InstanceName;
use gatepost_identity::{ApiKeyStore, Caller, Now, Provider};
use gatepost_odoo_client::CallStats;
use gatepost_policy::{Policy, WriteMode};
use gatepost_state::{limits::Limiter, store::StateStore};

/// Everything that requests need, built from one configuration, so that a
/// reload replaces it whole.
#[derive(Debug, Default)]
pub struct Gateway {
    /// Which instance a request is for.
    pub routes: Routes,
    /// How callers prove who they are.
    pub authenticator: Authenticator,
    /// What callers may do.
    pub policy: Policy,
    /// How much callers may do.
    pub limits: Limiter,
    /// Web origins whose pages may call, besides those of the public URLs.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarding header fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a challenge names an error even if the request had no token.
    pub challenge_always_error: bool,
    /// The registration facade, if one is configured.
    pub facade: Option<Arc<RegistrationFacade>>,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// The audit journal of all calls to Odoo. It survives a reload.
    pub journal: Arc<Journal>,
    /// The state that writes need. It survives a reload.
    pub state_store: Arc<StateStore>,
    /// Questions that people have not answered yet. They survive a reload.
    pub pending_elicitations: Arc<PendingElicitations>,
    /// Writes that were sent to Odoo. They survive a reload.
    pub in_flight_writes: Arc<InFlightWrites>,
    /// The requests in flight. They survive a reload.
    pub in_flight: Arc<InFlightRequests>,
    /// How many of them there may be.
    pub in_flight_limits: InFlightLimits,
    /// How many configurations came before this one, in this process.
    pub generation: u64,
    /// How long a person may take to answer a question.
    pub elicitation_timeout: Duration,
}

/// Where the JSON-RPC notifications and requests of one call go while it runs:
/// each is one whole JSON text.
pub type ServerMessages = mpsc::Sender<Bytes>;

impl Gateway {
    /// This gateway as the successor of another one: used allowances stay used,
    /// and pending questions can still be answered, except those of callers whose
    /// API key is not active any more.
    #[must_use]
    pub fn with_state_of(mut self, old: &Self) -> Self {
        self.limits = self.limits.with_state_of(&old.limits);
        self.authenticator.failed_token_limiter = self
            .authenticator
            .failed_token_limiter
            .with_state_of(&old.authenticator.failed_token_limiter);
        self.authenticator.standings = old.authenticator.standings.clone();
        self.pending_elicitations = Arc::clone(&old.pending_elicitations);
        self.in_flight_writes = Arc::clone(&old.in_flight_writes);
        self.in_flight = Arc::clone(&old.in_flight);
        let keys = &old.authenticator.api_keys;
        keys.replace(&self.authenticator.api_keys);
        self.authenticator.api_keys = Arc::clone(keys);
        self.end_elicitations_of_inactive_keys();
        self.generation = old.generation.wrapping_add(1);
        self
    }

    /// Replaces the API keys, also for calls that began with the old ones.
    pub fn replace_api_keys(&self, newer: ApiKeyStore) {
        self.authenticator.api_keys.replace_keys(newer);
        self.end_elicitations_of_inactive_keys();
    }

    /// A question of a caller who was revoked meanwhile has no use.
    fn end_elicitations_of_inactive_keys(&self) {
        let keys = &self.authenticator.api_keys;
        self.pending_elicitations
            .end_of(|caller| !keys.is_active(caller));
    }

    /// Ends all calls that wait for a person, because the process is stopping.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub fn cancel_pending(&self) {
        self.pending_elicitations.close();
    }

    /// Whether any role may write in any instance. The state store matters only
    /// then.
    pub fn allows_any_write(&self) -> bool {
        self.routes.instances().any(|instance| {
            instance.write_mode() > WriteMode::ReadOnly
                && self.policy.allows_any_write(instance.name())
        })
    }

    /// Asks every service that requests depend on, for `/readyz`.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub async fn readiness(&self) -> Readiness {
        let pings = self.routes.instances().map(|instance| async {
            let answer = instance.ping().await;
            let answer = answer.map_err(|error| instance.diagnose(&error).cause);
            (instance.name().clone(), answer)
        });
        let now = Now::read();
        let providers = self.providers().into_iter().map(|provider| async move {
            (provider.name().clone(), provider.readiness(now).await)
        });
        let state_store = async {
            if !self.allows_any_write() {
                return None;
            }
            let available = self.state_store.check_available().await;
            Some(available.map_err(|error| error.to_string()))
        };
        let (instances, providers, state_store, limits) = join4(
            join_all(pings),
            join_all(providers),
            state_store,
            self.limits.check_available(),
        )
        .await;
        let (warnings, unusable) = self.key_warnings(now.wall);
        Readiness {
            instances,
            unusable,
            warnings,
            providers,
            audit: self.journal.check_available(),
            state_store,
            limits: limits.map(|available| available.map_err(|error| error.to_string())),
        }
    }

    /// A warning for each API key of Odoo that is rejected, expires soon or has expired,
    /// and the instances where no key works.
    pub fn key_warnings(&self, now: Timestamp) -> (Vec<String>, Vec<InstanceName>) {
        let (mut warnings, mut unusable) = (Vec::new(), Vec::new());
        for instance in self.routes.instances() {
            let name = instance.name();
            let mut none_works = true;
            for (credential, account) in instance.accounts() {
                let expiry = account.key_expiry();
                let rejection = account.rejection();
                none_works &= rejection.is_some()
                    || expiry.as_ref().is_some_and(|known| known.has_expired(now));
                if let Some(cause) = rejection {
                    let holder = key_holder(name, credential);
                    warnings.push(format!("no call with the key of `{holder}` works: {cause}"));
                } else if let Some(expiry) = expiry.filter(|known| known.is_near(now)) {
                    let holder = key_holder(name, credential);
                    let expires = expiry.describe(now);
                    warnings.push(format!("the Odoo API key of `{holder}` {expires}"));
                }
            }
            if none_works {
                unusable.push(name.clone());
            }
        }
        (warnings, unusable)
    }

    /// The identity providers of all instances, without duplicates.
    pub(crate) fn providers(&self) -> Vec<Arc<Provider>> {
        let mut found: Vec<Arc<Provider>> = Vec::new();
        for endpoint in self.routes.endpoints() {
            for provider in &endpoint.token_policy.providers {
                if !found.iter().any(|known| known.name() == provider.name()) {
                    found.push(Arc::clone(provider));
                }
            }
        }
        found
    }

    /// A caller's session with an instance, without a way to ask a person.
    pub(crate) fn odoo_session<'a>(
        &'a self,
        instance: &'a Instance,
        policy: &'a Policy,
        caller: &'a Caller,
        call_stats: &'a CallStats,
        audit: &'a RequestAudit,
    ) -> OdooSession<'a> {
        OdooSession {
            instance,
            policy,
            caller,
            call_stats,
            audit,
            progress: None,
            elicitation: Elicitation::ConfirmToken,
            store: &self.state_store,
            in_flight_writes: &self.in_flight_writes,
            active_keys: &self.authenticator.api_keys,
        }
    }
}
