//! From a checked configuration to a gateway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{CallerKind, Checked, Grant, Instance, Limits, Provider, Redis, Validation, WhenDown};
use crate::{
    access::{self, InstanceSettings},
    audit::{self, Journal},
    gateway::{Admission, Door, Endpoint, FacadeDesk, Gateway, Routes},
    telemetry::{CannotTrace, CollectorSettings, Telemetry, TraceSettings},
};
use gatepost_base::{InstanceName, ProviderName, Subject};
use gatepost_identity::{
    self, Facade, Grants, InvalidProvider, KeyId, ProtectedResource, ProviderSettings,
};
use gatepost_odoo_client::{ApiKey, InvalidLink, Link, LinkSettings};
use gatepost_state::{
    limits::{self, Allowance, Limiter, PerAddress, Pool},
    redis::{InvalidRedisUrl, RedisSettings, RedisUrl},
    store::{Ledger, LedgerPlace, LedgerSettings},
};
use gatepost_tls::{self, Untrusted};

/// A part that no gateway can be built with.
#[derive(Debug, thiserror::Error)]
pub enum CannotAssemble {
    /// The audit journal.
    #[error("`audit`: {0}")]
    Audit(#[source] audit::CannotOpen),
    /// What is remembered of changes.
    #[error("`changes.file`: {0}")]
    Changes(#[source] gatepost_state::store::CannotOpen),
    /// The gateway remembers changes somewhere else.
    #[error(
        "what is remembered of changes cannot be kept in another place (`changes.file`, `redis.url`, `redis.prefix`) while the gateway runs, for a change that is repeated could be made twice: restart it, at a time when nobody changes anything"
    )]
    ChangesElsewhere,
    /// The certificates that the collector of traces is believed by.
    #[error("`telemetry`: {0}")]
    Collector(#[source] Untrusted),
    /// An instance.
    #[error("`instances.{0}`: {1}")]
    Instance(InstanceName, #[source] InvalidLink),
    /// An identity provider.
    #[error("`providers.{0}`: {1}")]
    Provider(ProviderName, #[source] InvalidProvider),
    /// Traces.
    #[error(transparent)]
    Traces(#[from] CannotTrace),
    /// The Redis of the limits.
    #[error("`redis.url`: {0}")]
    Redis(#[from] InvalidRedisUrl),
    /// The certificates that it is believed by.
    #[error("`redis`: {0}")]
    RedisUntrusted(#[source] Untrusted),
    /// The certificates that an identity provider is believed by.
    #[error("`providers.{0}`: {1}")]
    Untrusted(ProviderName, #[source] Untrusted),
}

type Providers = BTreeMap<ProviderName, Arc<gatepost_identity::Provider>>;

impl Checked {
    /// The gateway that this configuration describes, with its audit journal
    /// open. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CannotAssemble`] names the part and the setting.
    pub fn assemble(&self) -> Result<Gateway, CannotAssemble> {
        self.assemble_with_books(&Gateway::default())
    }

    /// The gateway that takes the place of another: it goes on with what that
    /// one has counted, with its audit journal if that is to be kept in the same
    /// place, and with what it remembers of changes, which must be.
    ///
    /// # Errors
    /// [`CannotAssemble`]; the other gateway goes on as it was.
    pub fn assemble_after(&self, other: &Gateway) -> Result<Gateway, CannotAssemble> {
        Ok(self.assemble_with_books(other)?.after(other))
    }

    fn assemble_with_books(&self, other: &Gateway) -> Result<Gateway, CannotAssemble> {
        let gateway = self.assemble_unaudited()?;
        let ledger_settings = self.ledger_settings()?;
        let ledger = ledger_after(&ledger_settings, other)?;
        // Last, for it changes what the other one has.
        let settings = self.config.audit.settings(self.audit_key.clone());
        let journal = if other.journal.adjust(&settings) {
            Arc::clone(&other.journal)
        } else {
            Arc::new(Journal::open(settings).map_err(CannotAssemble::Audit)?)
        };
        if Arc::ptr_eq(&ledger, &other.ledger) {
            ledger.adjust(&ledger_settings);
        }
        Ok(Gateway {
            journal,
            ledger,
            ..gateway
        })
    }

    /// Where changes are remembered, and for how long.
    ///
    /// # Errors
    /// [`CannotAssemble::Redis`], [`CannotAssemble::RedisUntrusted`].
    pub fn ledger_settings(&self) -> Result<LedgerSettings, CannotAssemble> {
        let config = &self.config;
        let place = match (&config.changes.file, &config.redis) {
            (None, Some(redis)) => LedgerPlace::Redis(self.redis_settings(redis)?),
            // Checked: not both.
            (Some(_), _) | (None, None) => config.changes.place(),
        };
        Ok(LedgerSettings {
            place,
            retention: config.changes.retention(),
        })
    }

    /// The gateway without a journal, and with a ledger in memory, to look whether
    /// it would work (`gatepost check --live`): the running one has them.
    ///
    /// # Errors
    /// [`CannotAssemble`].
    pub fn assemble_unaudited(&self) -> Result<Gateway, CannotAssemble> {
        let config = &self.config;
        let providers = self.providers()?;
        let endpoints = config
            .instances
            .iter()
            .map(|(name, instance)| self.endpoint(name, instance, &providers))
            .collect::<Result<Vec<_>, _>>()?;
        let facade = config.facade.as_ref().and_then(|facade| {
            let allowance = Allowance::per_minute(
                facade.registrations_per_minute,
                facade.registrations_per_minute,
            );
            let own = Facade {
                issuer: facade.issuer.clone(),
                client_id: facade.client_id.clone(),
                redirect_uris: facade.redirect_uris.clone(),
            };
            let provider = Arc::clone(providers.get(&facade.provider)?);
            Some(FacadeDesk::new(own, provider, PerAddress::new(allowance)))
        });
        let mut hosts = config.server.allowed_hosts.clone();
        let of_facade = config.facade.as_ref().map(|facade| &facade.issuer);
        hosts.extend(of_facade.and_then(|issuer| Some(issuer.split_once("://")?.1.to_owned())));
        Ok(Gateway {
            routes: Routes::new(endpoints, &hosts),
            door: Door {
                keyring: self.keyring.clone(),
                anonymous: config.server.anonymous_role.clone(),
                // Who can read the configuration and its secrets may do all that it opens.
                local: config.roles.keys().cloned().collect(),
                grants: Grants::new(config.grants.iter().map(|one| self.grant(one)).collect()),
                failures: failures(config.limits),
            },
            policy: config.policy(),
            limits: Limiter::new(
                self.config.rates(),
                config
                    .redis
                    .as_ref()
                    .map(|redis| self.pool(redis))
                    .transpose()?,
            ),
            allowed_origins: config.server.allowed_origins.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            challenge_always_error: config.server.challenge_always_error,
            facade,
            max_body_bytes: config.server.max_body_bytes,
            journal: Arc::default(),
            ledger: Arc::default(),
            questions: Arc::default(),
            sent: Arc::default(),
            generation: 0,
            patience: config.changes.patience(),
        })
    }

    /// What operators are told, with traces where they are configured.
    ///
    /// # Errors
    /// [`CannotAssemble::Collector`], [`CannotAssemble::Traces`].
    pub fn telemetry(&self) -> Result<Telemetry, CannotAssemble> {
        let config = &self.config.telemetry;
        let Some(url) = &config.otlp_url else {
            return Ok(Telemetry::new());
        };
        let tls = gatepost_tls::client(config.otlp_ca_file.as_deref())
            .map_err(CannotAssemble::Collector)?;
        Ok(Telemetry::tracing(TraceSettings {
            collector: CollectorSettings {
                url: url.clone(),
                headers: self.otlp_headers.clone(),
                tls,
                service_name: config.service_name.clone(),
            },
            sample_ratio: config.sample_ratio,
            include_caller: config.include_caller,
        })?)
    }

    fn redis_settings(&self, redis: &Redis) -> Result<RedisSettings, CannotAssemble> {
        let tls = gatepost_tls::client(redis.ca_file.as_deref())
            .map_err(CannotAssemble::RedisUntrusted)?;
        Ok(RedisSettings {
            url: RedisUrl::parse(&redis.url)?,
            password: self.redis_password.clone(),
            tls: Arc::new(tls),
            ca_file: redis.ca_file.clone(),
            timeout: Duration::from_millis(redis.timeout_ms),
            prefix: redis.prefix.clone(),
        })
    }

    fn pool(&self, redis: &Redis) -> Result<Pool, CannotAssemble> {
        let settings = self.redis_settings(redis)?;
        let when_down = match redis.when_down {
            WhenDown::FailClosed => limits::WhenDown::FailClosed,
            WhenDown::Local => limits::WhenDown::Local,
        };
        Ok(Pool::new(settings, when_down, redis.replicas))
    }

    /// The identity providers by their names.
    ///
    /// # Errors
    /// [`CannotAssemble`].
    pub fn providers(&self) -> Result<Providers, CannotAssemble> {
        let mut providers = Providers::new();
        for (name, provider) in &self.config.providers {
            let tls = gatepost_tls::client(provider.ca_file.as_deref())
                .map_err(|error| CannotAssemble::Untrusted(name.clone(), error))?;
            let settings = self.provider_settings(name, provider, tls);
            let made = gatepost_identity::Provider::new(settings)
                .map_err(|error| CannotAssemble::Provider(name.clone(), error))?;
            providers.insert(name.clone(), Arc::new(made));
        }
        Ok(providers)
    }

    fn endpoint(
        &self,
        name: &InstanceName,
        instance: &Instance,
        providers: &Providers,
    ) -> Result<Endpoint, CannotAssemble> {
        let link = Link::new(link_settings(instance))
            .map_err(|error| CannotAssemble::Instance(name.clone(), error))?;
        let web_url = instance.web_url.as_deref().unwrap_or(&instance.url);
        let settings = InstanceSettings {
            name: name.clone(),
            link,
            // Checked: every instance has one.
            service_key: self
                .secrets
                .get(name)
                .cloned()
                .unwrap_or_else(|| ApiKey::new("")),
            service_key_writes: instance.service_key_writes,
            credentials: self.credentials.get(name).cloned().unwrap_or_default(),
            writes: instance.writes.to_mode(instance.approval),
            web_url: web_url.trim_end_matches('/').into(),
            schema_ttl: Duration::from_secs(instance.schema_ttl_s),
        };
        let named = self.config.providers_of(instance);
        let asked: Vec<_> = named
            .iter()
            .filter_map(|name| providers.get(name).cloned())
            .collect();
        let facade = self.config.facade.as_ref();
        let facade = facade.filter(|facade| named.first() == Some(&facade.provider));
        let scopes = self.config.challenge_scopes_of(instance);
        let resources = asked.first().map_or_else(Vec::new, |first| {
            let urls = instance.public_urls.iter();
            urls.map(|url| {
                ProtectedResource::new(
                    url,
                    &format!("Odoo ({name})"),
                    first.issuer(),
                    facade.map(|facade| facade.issuer.as_str()),
                    scopes.clone(),
                )
            })
            .collect()
        });
        Ok(Endpoint {
            instance: Arc::new(access::Instance::new(settings)),
            admission: Admission {
                providers: asked,
                audiences: self.config.audiences_of(instance).into_iter().collect(),
            },
            public_urls: instance.public_urls.clone(),
            resources,
        })
    }

    fn provider_settings(
        &self,
        name: &ProviderName,
        provider: &Provider,
        tls: rustls::ClientConfig,
    ) -> ProviderSettings {
        ProviderSettings {
            name: name.clone(),
            issuer: provider.issuer.as_str().into(),
            zitadel: provider.is_zitadel(),
            validation: match provider.validation() {
                Validation::Introspection => gatepost_identity::Validation::Introspection,
                Validation::Jwt => gatepost_identity::Validation::Jwt,
                Validation::JwtThenIntrospection => {
                    gatepost_identity::Validation::JwtThenIntrospection
                }
            },
            auth: self.client_auths.get(name).cloned(),
            introspection_url: provider.introspection_url.clone(),
            jwks_url: provider.jwks_url.clone(),
            signed_introspection: provider.signed_introspection,
            algorithms: provider.algorithms.clone(),
            require_at_jwt: provider.require_at_jwt(),
            audiences: self.config.audiences_at(name),
            role_claims: provider.role_claims(),
            scope_claims: provider.scope_claims.clone(),
            client_claims: provider.client_claims(),
            allow_no_exp: provider.allow_no_exp,
            allow_missing_token_type: provider.allow_missing_token_type,
            allow_no_client: !provider.is_zitadel() || provider.allow_pat,
            step_up: provider.steps_up(),
            endpoint_hosts: provider
                .endpoint_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            private_networks: provider.private_networks.clone(),
            tls,
            connect_timeout: Duration::from_millis(provider.connect_timeout_ms),
            timeout: Duration::from_millis(provider.timeout_ms),
            max_in_flight: provider.max_in_flight,
            max_wait: Duration::from_millis(provider.max_wait_ms),
            cache_ttl: Duration::from_secs(provider.cache_ttl_s),
            negative_ttl: Duration::from_secs(provider.negative_ttl_s),
            write_max_age: Duration::from_secs(provider.write_max_age_s),
            stale_if_error: Duration::from_secs(provider.stale_if_error_s),
            clock_skew: Duration::from_secs(provider.clock_skew_s),
        }
    }

    fn grant(&self, grant: &Grant) -> gatepost_identity::Grant {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let names = self.config.instances.keys();
        gatepost_identity::Grant {
            roles: grant.roles.clone(),
            credential: grant.credential.clone(),
            instances: names.filter(|name| grant.covers(name)).cloned().collect(),
            provider: grant.provider.clone(),
            provider_role: text(&grant.provider_role),
            organization: text(&grant.organization),
            scope: text(&grant.scope),
            subject: grant.subject.as_deref().map(Subject::proved),
            client_id: text(&grant.client_id),
            kind: grant.kind.map(|kind| match kind {
                CallerKind::Client => gatepost_identity::CallerKind::Client,
                CallerKind::User => gatepost_identity::CallerKind::User,
            }),
            // Checked: it is one.
            api_key: grant
                .api_key
                .as_deref()
                .and_then(|id| KeyId::try_from(id).ok()),
        }
    }
}

/// The ledger: that of the other gateway where it is the same, else one that is
/// opened. One that may know of changes is not left behind.
fn ledger_after(settings: &LedgerSettings, other: &Gateway) -> Result<Arc<Ledger>, CannotAssemble> {
    if other.ledger.is_of(&settings.place) {
        return Ok(Arc::clone(&other.ledger));
    }
    if other.may_change() && !other.ledger.is_where(&settings.place) {
        return Err(CannotAssemble::ChangesElsewhere);
    }
    Ledger::open(settings.clone())
        .map(Arc::new)
        .map_err(CannotAssemble::Changes)
}

fn failures(limits: Limits) -> PerAddress {
    PerAddress::new(Allowance::per_minute(
        limits.failed_logins_per_minute,
        limits.failed_logins_burst,
    ))
}

fn link_settings(instance: &Instance) -> LinkSettings {
    LinkSettings {
        url: instance.url.clone(),
        database: instance.database.clone(),
        ca_file: instance.ca_file.clone(),
        connect_timeout: Duration::from_millis(instance.connect_timeout_ms),
        timeout: Duration::from_millis(instance.timeout_ms),
        max_answer_bytes: instance.max_answer_bytes,
        max_in_flight: instance.max_in_flight,
        max_waiting: instance.max_waiting,
        max_wait: Duration::from_millis(instance.max_wait_ms),
    }
}
