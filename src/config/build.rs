//! Builds a gateway from a valid configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{GrantConfig, InstanceConfig, ProviderConfig, RedisConfig, ValidConfig};
use crate::{
    access::{self, InstanceSettings},
    audit::{self, Journal},
    gateway::{
        Authenticator, Endpoint, Gateway, InFlightLimits, RegistrationFacade, Routes, TokenPolicy,
    },
    telemetry::{CollectorSettings, Telemetry, TraceSettings, TracingError},
};
use gatepost_base::{InstanceName, ProviderName, Subject};
use gatepost_identity::{
    self, ApiKeyId, CacheTtls, ClaimRules, EgressPolicy, Facade, Grants, InvalidProvider,
    ProtectedResource, ProviderSettings, ProviderTrust,
};
use gatepost_odoo_client::{InvalidOdooClientSettings, OdooApiKey, OdooClient, OdooClientSettings};
use gatepost_state::{
    limits::{AddressLimiter, Limiter, Rate, SharedLimiter},
    redis::{InvalidRedisUrl, RedisSettings, RedisUrl},
    store::{StateStore, StoreLocation, StoreSettings},
};
use gatepost_tls::{self, TlsSetupError};

/// Why a gateway cannot be built; names the setting.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The audit journal.
    #[error("`audit`: {0}")]
    Audit(#[source] audit::JournalOpenError),
    /// The change store cannot be opened.
    #[error("`changes.file`: {0}")]
    Changes(#[source] gatepost_state::store::StoreOpenError),
    /// A reload names another location of the change store.
    #[error(
        "the location of the change store (`changes.file`, `redis.url`, `redis.prefix`) cannot be changed while the gateway runs because a repeated change could be made twice: restart it when no changes are in flight"
    )]
    StoreLocationChanged,
    /// The trusted certificates for the trace collector.
    #[error("`telemetry.otlp_ca_file`: {0}")]
    Collector(#[source] TlsSetupError),
    /// An instance.
    #[error("`instances.{0}`: {1}")]
    Instance(InstanceName, #[source] InvalidOdooClientSettings),
    /// An identity provider.
    #[error("`providers.{0}`: {1}")]
    Provider(ProviderName, #[source] InvalidProvider),
    /// Traces.
    #[error(transparent)]
    Traces(#[from] TracingError),
    /// The URL of Redis.
    #[error("`redis.url`: {0}")]
    Redis(#[from] InvalidRedisUrl),
    /// The trusted certificates for Redis.
    #[error("`redis.ca_file`: {0}")]
    RedisUntrusted(#[source] TlsSetupError),
    /// The trusted certificates for an identity provider.
    #[error("`providers.{0}.ca_file`: {1}")]
    Untrusted(ProviderName, #[source] TlsSetupError),
}

impl BuildError {
    /// Whether another process uses a file of the gateway.
    pub fn is_file_in_use(&self) -> bool {
        match self {
            Self::Audit(error) => matches!(error, audit::JournalOpenError::Locked(_)),
            Self::Changes(error) => {
                matches!(error, gatepost_state::store::StoreOpenError::Locked(_))
            }
            Self::Collector(_)
            | Self::Instance(..)
            | Self::Provider(..)
            | Self::Redis(_)
            | Self::RedisUntrusted(_)
            | Self::StoreLocationChanged
            | Self::Traces(_)
            | Self::Untrusted(..) => false,
        }
    }
}

fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

type Providers = BTreeMap<ProviderName, Arc<gatepost_identity::Provider>>;

impl ValidConfig {
    /// Builds the gateway and opens its audit journal and change store. No
    /// connection is made yet.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(&self) -> Result<Gateway, BuildError> {
        self.build_with_state_of(&Gateway::default())
    }

    /// Builds the gateway that replaces another. It continues with the counters and
    /// the change store of the other one, and with its audit journal if the
    /// location is the same.
    ///
    /// # Errors
    /// [`BuildError`]; the other gateway is unchanged.
    pub fn rebuild(&self, other: &Gateway) -> Result<Gateway, BuildError> {
        Ok(self.build_with_state_of(other)?.with_state_of(other))
    }

    fn build_with_state_of(&self, other: &Gateway) -> Result<Gateway, BuildError> {
        let gateway = self.build_gateway(other)?;
        let store_settings = self.store_settings()?;
        let state_store = reuse_or_open_store(&store_settings, other)?;
        // Last because it changes the other gateway's journal.
        let settings = self
            .config
            .audit
            .journal_settings(self.secrets.audit_key.clone());
        let journal = if other.journal.reconfigure(&settings) {
            Arc::clone(&other.journal)
        } else {
            Arc::new(Journal::open(settings).map_err(BuildError::Audit)?)
        };
        if Arc::ptr_eq(&state_store, &other.state_store) {
            state_store.reconfigure(&store_settings);
        }
        Ok(Gateway {
            journal,
            state_store,
            ..gateway
        })
    }

    /// The settings of the change store.
    ///
    /// # Errors
    /// [`BuildError::Redis`], [`BuildError::RedisUntrusted`].
    pub fn store_settings(&self) -> Result<StoreSettings, BuildError> {
        let config = &self.config;
        let location = match (&config.changes.file, &config.redis) {
            (None, Some(redis)) => StoreLocation::Redis {
                settings: self.redis_settings(redis)?,
                max_bytes: config.changes.max_redis_bytes(),
            },
            // Checked: not both.
            (Some(_), _) | (None, None) => config.changes.local_store_location(),
        };
        Ok(StoreSettings {
            location,
            retention: config.changes.retention(),
        })
    }

    /// Builds a gateway without a journal and with a change store in memory, for
    /// `gatepost check --live`, because a running gateway may have them open.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build_for_diagnostics(&self) -> Result<Gateway, BuildError> {
        self.build_gateway(&Gateway::default())
    }

    /// Builds a gateway without a journal. A provider whose settings have not
    /// changed is that of the other gateway, so that a reload does not log out its
    /// users, and an unchanged instance continues with the throttle of the other's.
    fn build_gateway(&self, other: &Gateway) -> Result<Gateway, BuildError> {
        let config = &self.config;
        let providers = self.providers(&other.providers())?;
        let endpoints = config
            .instances
            .iter()
            .map(|(name, instance)| self.endpoint((name, instance), &providers, other))
            .collect::<Result<Vec<_>, _>>()?;
        let facade = config.facade.as_ref().and_then(|facade| {
            let allowance = Rate::per_minute(
                facade.registrations_per_minute,
                facade.registrations_per_minute,
            );
            let own = Facade {
                issuer: facade.issuer.clone(),
                client_id: facade.client_id.clone(),
                redirect_uris: facade.redirect_uris.clone(),
            };
            let provider = Arc::clone(providers.get(&facade.provider)?);
            let limiter = AddressLimiter::new(allowance);
            Some(Arc::new(RegistrationFacade::new(own, provider, limiter)))
        });
        let mut hosts = config.server.allowed_hosts.clone();
        let of_facade = config.facade.as_ref().map(|facade| &facade.issuer);
        hosts.extend(of_facade.and_then(|issuer| Some(issuer.split_once("://")?.1.to_owned())));
        Ok(Gateway {
            routes: Routes::new(endpoints, &hosts),
            authenticator: Authenticator {
                api_keys: Arc::new(access::ActiveKeys::new(self.secrets.keyring.clone())),
                anonymous_role: config.server.anonymous_role.clone(),
                // A local user who can read the configuration and its secrets has every role.
                local_roles: config.roles.keys().cloned().collect(),
                grants: Grants::new(config.grants.iter().map(|one| self.grant(one)).collect()),
                failed_token_limiter: AddressLimiter::new(Rate::per_minute(
                    config.limits.failed_logins_per_minute,
                    config.limits.failed_logins_burst,
                )),
                ..Authenticator::default()
            },
            policy: config.policy(),
            limits: Limiter::new(
                config.rates(),
                match &config.redis {
                    Some(redis) => Some(self.shared_limiter(redis)?),
                    None => None,
                },
            ),
            allowed_origins: config.server.allowed_origins.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            challenge_always_error: config.server.challenge_always_error,
            facade,
            max_body_bytes: config.server.max_body_bytes,
            journal: Arc::default(),
            state_store: Arc::default(),
            pending_elicitations: Arc::default(),
            in_flight_writes: Arc::default(),
            in_flight: Arc::default(),
            in_flight_limits: InFlightLimits {
                per_caller: as_count(config.limits.caller_in_flight),
                per_address: as_count(config.limits.address_in_flight),
                body_bytes: config.server.max_bodies_bytes,
            },
            generation: 0,
            elicitation_timeout: config.changes.elicitation_timeout(),
        })
    }

    /// Builds metrics, and traces if configured.
    ///
    /// # Errors
    /// [`BuildError::Collector`], [`BuildError::Traces`].
    pub fn telemetry(&self) -> Result<Telemetry, BuildError> {
        let config = &self.config.telemetry;
        let Some(url) = &config.otlp_url else {
            return Ok(Telemetry::new());
        };
        let tls = gatepost_tls::client_config(config.otlp_ca_file.as_deref())
            .map_err(BuildError::Collector)?;
        Ok(Telemetry::with_tracing(TraceSettings {
            collector: CollectorSettings {
                url: url.clone(),
                headers: self.secrets.otlp_headers.clone(),
                tls,
                service_name: config.service_name.clone(),
            },
            sample_ratio: config.sample_ratio,
            include_caller: config.include_caller,
        })?)
    }

    fn redis_settings(&self, redis: &RedisConfig) -> Result<RedisSettings, BuildError> {
        let tls = gatepost_tls::client_config(redis.ca_file.as_deref())
            .map_err(BuildError::RedisUntrusted)?;
        Ok(RedisSettings {
            url: RedisUrl::parse(&redis.url)?,
            password: self.secrets.redis_password.clone(),
            tls: Arc::new(tls),
            ca_file: redis.ca_file.clone(),
            timeout: Duration::from_millis(redis.timeout_ms),
            prefix: redis.prefix.clone(),
        })
    }

    fn shared_limiter(&self, redis: &RedisConfig) -> Result<SharedLimiter, BuildError> {
        let settings = self.redis_settings(redis)?;
        Ok(SharedLimiter::new(
            settings,
            redis.when_down,
            redis.replicas,
        ))
    }

    /// The identity providers by name; those of `known` that have the same settings.
    ///
    /// # Errors
    /// [`BuildError::Untrusted`], [`BuildError::Provider`].
    fn providers(
        &self,
        known: &[Arc<gatepost_identity::Provider>],
    ) -> Result<Providers, BuildError> {
        let mut providers = Providers::new();
        for (name, provider) in &self.config.providers {
            let ca_file = provider.ca_file.as_deref();
            let tls = gatepost_tls::client_config(ca_file)
                .map_err(|error| BuildError::Untrusted(name.clone(), error))?;
            let trust = ProviderTrust {
                tls,
                // Read a moment ago.
                authorities: ca_file.and_then(|file| std::fs::read(file).ok()),
            };
            let settings = self.provider_settings(name, provider, trust);
            let mut known = known.iter();
            let made = match known.find(|one| one.has_settings(&settings)) {
                Some(same) => Arc::clone(same),
                None => gatepost_identity::Provider::new(settings)
                    .map(Arc::new)
                    .map_err(|error| BuildError::Provider(name.clone(), error))?,
            };
            providers.insert(name.clone(), made);
        }
        Ok(providers)
    }

    fn endpoint(
        &self,
        (name, instance): (&InstanceName, &InstanceConfig),
        providers: &Providers,
        other: &Gateway,
    ) -> Result<Endpoint, BuildError> {
        let mut client = OdooClient::new(client_settings(instance))
            .map_err(|error| BuildError::Instance(name.clone(), error))?;
        let mut replaced = other.routes.instances();
        if let Some(replaced) = replaced.find(|replaced| replaced.name() == name) {
            client.continue_turns_of(replaced.client());
        }
        let web_url = instance.web_url.as_deref().unwrap_or(&instance.url);
        let settings = InstanceSettings {
            name: name.clone(),
            client,
            // Checked: every instance has one.
            service_key: self
                .secrets
                .service_keys
                .get(name)
                .cloned()
                .unwrap_or_else(|| OdooApiKey::new("")),
            service_key_may_write: instance.service_key_writes,
            credentials: self
                .secrets
                .credentials
                .get(name)
                .cloned()
                .unwrap_or_default(),
            write_mode: instance.writes.to_mode(instance.approval),
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
            token_policy: TokenPolicy {
                providers: asked,
                audiences: self.config.audiences_of(instance).into_iter().collect(),
            },
            public_urls: instance.public_urls.clone(),
            protected_resources: resources,
        })
    }

    fn provider_settings(
        &self,
        name: &ProviderName,
        provider: &ProviderConfig,
        trust: ProviderTrust,
    ) -> ProviderSettings {
        ProviderSettings {
            name: name.clone(),
            is_zitadel: provider.is_zitadel(),
            validation: provider.validation(),
            client_auth: self.secrets.client_auths.get(name).cloned(),
            introspection_url: provider.introspection_url.clone(),
            jwks_url: provider.jwks_url.clone(),
            signed_introspection: provider.signed_introspection,
            algorithms: provider.algorithms(),
            require_at_jwt: provider.require_at_jwt(),
            audiences: self.config.audiences_of_provider(name),
            claims: ClaimRules {
                issuer: provider.issuer.as_str().into(),
                skew: Duration::from_secs(provider.clock_skew_s),
                allow_no_exp: provider.allow_no_exp,
                allow_missing_token_type: provider.allow_missing_token_type,
                allow_no_client: !provider.is_zitadel() || provider.allow_pat,
                client_claims: provider.client_claims(),
                role_claims: provider.role_claims(),
                scope_claims: provider.scope_claims.clone(),
            },
            step_up: provider.supports_step_up(),
            egress: EgressPolicy {
                allowed_hosts: provider
                    .endpoint_hosts
                    .iter()
                    .map(|host| host.to_ascii_lowercase())
                    .collect(),
                allowed_networks: provider.private_networks.clone(),
                connect_timeout: Duration::from_millis(provider.connect_timeout_ms),
                timeout: Duration::from_millis(provider.timeout_ms),
            },
            trust,
            max_in_flight: provider.max_in_flight,
            max_wait: Duration::from_millis(provider.max_wait_ms),
            cache: CacheTtls {
                valid: Duration::from_secs(provider.cache_ttl_s),
                rejected: Duration::from_secs(provider.negative_ttl_s),
                stale_if_error: Duration::from_secs(provider.stale_if_error_s),
            },
            write_max_age: Duration::from_secs(provider.write_max_age_s),
        }
    }

    fn grant(&self, grant: &GrantConfig) -> gatepost_identity::Grant {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let names = self.config.instances.keys();
        gatepost_identity::Grant {
            roles: grant.roles.clone(),
            credential: grant.credential.clone(),
            instances: names
                .filter(|name| grant.applies_to(name))
                .cloned()
                .collect(),
            provider: grant.provider.clone(),
            provider_role: text(&grant.provider_role),
            organization: text(&grant.organization),
            scope: text(&grant.scope),
            subject: grant.subject.as_deref().map(Subject::configured),
            client_id: text(&grant.client_id),
            kind: grant.kind,
            // Checked to be valid.
            api_key: grant
                .api_key
                .as_deref()
                .and_then(|id| ApiKeyId::try_from(id).ok()),
        }
    }
}

/// The change store: the other gateway's if the location is the same, otherwise a
/// new one. A store that may have entries is never abandoned.
fn reuse_or_open_store(
    settings: &StoreSettings,
    other: &Gateway,
) -> Result<Arc<StateStore>, BuildError> {
    if other.state_store.has_same_settings(&settings.location) {
        return Ok(Arc::clone(&other.state_store));
    }
    if other.allows_any_write() && !other.state_store.is_same_store(&settings.location) {
        return Err(BuildError::StoreLocationChanged);
    }
    StateStore::open(settings.clone())
        .map(Arc::new)
        .map_err(BuildError::Changes)
}

fn client_settings(instance: &InstanceConfig) -> OdooClientSettings {
    OdooClientSettings {
        url: instance.url.clone(),
        database: instance.database.clone(),
        ca_file: instance.ca_file.clone(),
        connect_timeout: Duration::from_millis(instance.connect_timeout_ms),
        timeout: Duration::from_millis(instance.timeout_ms),
        max_answer_bytes: instance.max_answer_bytes,
        max_in_flight: instance.max_in_flight,
        max_waiting: instance.max_waiting,
        max_wait: Duration::from_millis(instance.max_wait_ms),
        max_calls_per_second: instance.max_calls_per_second,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::BuildError;
    use crate::{audit::JournalOpenError, telemetry::TracingError};
    use gatepost_base::{InstanceName, ProviderName};
    use gatepost_identity::InvalidProvider;
    use gatepost_odoo_client::{InvalidAddress, InvalidOdooClientSettings};
    use gatepost_state::{redis::InvalidRedisUrl, store::StoreOpenError};
    use gatepost_tls::TlsSetupError;

    /// The texts of the inner errors are pinned in their own crates.
    #[test]
    fn build_errors_name_the_setting() {
        let provider = || ProviderName::try_from("zitadel").unwrap();
        let instance = || InstanceName::try_from("production").unwrap();
        let untrusted =
            || TlsSetupError::InvalidCertificates("/etc/ca.pem".into(), "<reason>".to_owned());
        let io_error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let no_client = reqwest::Client::builder().user_agent("\n").build();
        let errors = [
            BuildError::Audit(JournalOpenError::Locked("/var/audit.jsonl".into())),
            BuildError::Changes(StoreOpenError::Io("/var/changes".into(), io_error())),
            BuildError::StoreLocationChanged,
            BuildError::Collector(untrusted()),
            BuildError::Instance(instance(), InvalidAddress.into()),
            BuildError::Instance(
                instance(),
                InvalidOdooClientSettings::Untrusted(untrusted()),
            ),
            BuildError::Provider(provider(), InvalidProvider::Url("<url>".to_owned())),
            BuildError::Traces(TracingError::Client(no_client.unwrap_err())),
            BuildError::Traces(TracingError::Thread(io_error())),
            BuildError::Redis(InvalidRedisUrl::Syntax),
            BuildError::RedisUntrusted(untrusted()),
            BuildError::Untrusted(provider(), untrusted()),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
