//! Authenticates callers by API key or by the token of an identity provider.

use std::{net::IpAddr, sync::Arc};

use super::{Endpoint, address_standing::AddressStandings};
use crate::{access::ActiveKeys, telemetry::TokenLookupOutcome};
use gatepost_base::{CredentialName, InstanceName, RoleName, Subject};
use gatepost_identity::{
    AddressStanding, ApiKey, ApiKeyError, ApiKeyId, Bearer, BearerError, Caller, CallerKind,
    Grants, Now, OwnedBearer, Principal, Provider, ProviderError, ProviderUnavailable,
    TokenCacheLookup, TokenError, TokenRejected, choose_credential,
};
use gatepost_policy::Policy;
use gatepost_state::limits::{AddressLimiter, RateLimited};

/// The configured authentication methods. With none configured, every request is
/// rejected.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// Gatepost's own API keys as they are now, also for calls that began with this
    /// configuration. They survive a reload.
    pub api_keys: Arc<ActiveKeys>,
    /// The role of callers without a token; only on loopback.
    pub anonymous_role: Option<RoleName>,
    /// The roles of the local user of `gatepost stdio`.
    pub local_roles: Vec<RoleName>,
    /// Which roles a token or an API key has.
    pub grants: Grants,
    /// How many tokens from one address may fail.
    pub failed_token_limiter: AddressLimiter,
    /// What the tokens from an address say of the next one.
    pub(crate) standings: AddressStandings,
}

/// A caller whose credential was accepted.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) caller: Caller,
    /// The Odoo credentials that the caller's grants name.
    pub(super) credentials: Vec<CredentialName>,
    /// The accepted token; `None` for API keys and anonymous callers.
    pub(super) token: Option<AuthenticatedToken>,
}

/// An accepted token, with what it takes to verify it again.
#[derive(Clone, Debug)]
pub(super) struct AuthenticatedToken {
    pub(super) provider: Arc<Provider>,
    pub(super) principal: Arc<Principal>,
    bearer: OwnedBearer,
}

/// Why a caller is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// The API key is not valid.
    #[error(transparent)]
    InvalidApiKey(#[from] ApiKeyError),
    /// There is no bearer token, or the header is malformed.
    #[error(transparent)]
    NoBearer(#[from] BearerError),
    /// The provider could not be asked about the token.
    #[error(transparent)]
    ProviderUnavailable(#[from] ProviderUnavailable),
    /// Too many tokens from the same address failed; this one was not verified.
    #[error(transparent)]
    RateLimited(RateLimited),
    /// The token is not valid.
    #[error(transparent)]
    TokenRejected(#[from] TokenRejected),
    /// The token is signed with an algorithm that is not accepted. The text is for
    /// the log.
    #[error("{}", TokenRejected::Algorithm)]
    WrongAlgorithm(String),
    /// The token is valid, but for something else. The text is for the log.
    #[error("{}", TokenRejected::Audience)]
    WrongAudience(String),
}

impl Unauthenticated {
    /// The reason, for the log only.
    pub(super) fn internal_reason(&self) -> String {
        match self {
            Self::InvalidApiKey(error) => match error.id() {
                Some(id) => format!("{}: API key {id}", error.reason()),
                None => error.reason().to_owned(),
            },
            Self::NoBearer(BearerError::Missing) => "no token".to_owned(),
            Self::NoBearer(_) => "malformed authorization header".to_owned(),
            Self::ProviderUnavailable(unavailable) => unavailable.cause.to_string(),
            Self::RateLimited(_) => "too many rejected tokens from this address".to_owned(),
            Self::TokenRejected(error) => match error.log_help() {
                Some(help) => format!("{}: {help}", error.reason()),
                None => error.reason().to_owned(),
            },
            Self::WrongAlgorithm(found) => format!("algorithm: {found}"),
            Self::WrongAudience(found) => format!("audience: {found}"),
        }
    }

    /// With the algorithm that the token names, if that is why it is rejected.
    fn explained(self, provider: &Provider, bearer: Bearer<'_>) -> Self {
        if matches!(self, Self::TokenRejected(TokenRejected::Algorithm)) {
            return Self::WrongAlgorithm(provider.explain_algorithm(bearer));
        }
        self
    }

    /// How the lookup of a token ended that failed so.
    fn lookup_outcome(&self) -> TokenLookupOutcome {
        match self {
            Self::InvalidApiKey(_)
            | Self::NoBearer(_)
            | Self::TokenRejected(_)
            | Self::WrongAlgorithm(_)
            | Self::WrongAudience(_) => TokenLookupOutcome::Rejected,
            Self::ProviderUnavailable(unavailable) => match unavailable.cause {
                ProviderError::ClientRejected(_) | ProviderError::ClientUnproved(_) => {
                    TokenLookupOutcome::ClientCredentialsRejected
                }
                ProviderError::CircuitOpen
                | ProviderError::InvalidResponse(_)
                | ProviderError::Misconfigured(_)
                | ProviderError::RequestRejected(_)
                | ProviderError::TooManyLookups
                | ProviderError::Unreachable(_) => TokenLookupOutcome::Unavailable,
            },
            Self::RateLimited(_) => TokenLookupOutcome::RateLimited,
        }
    }
}

impl Authenticator {
    /// Whether authentication costs anything. Without a token the response is a
    /// challenge, which costs nothing and counts against no limit.
    pub(super) fn requires_check(&self, bearer: &Result<Bearer<'_>, BearerError>) -> bool {
        match bearer {
            Err(BearerError::Missing | BearerError::OtherScheme) => self.anonymous_role.is_some(),
            Ok(_)
            | Err(BearerError::Malformed | BearerError::MultipleHeaders | BearerError::TooLong) => {
                true
            }
        }
    }

    /// Authenticates a caller at an endpoint.
    ///
    /// An invalid token is rejected even if anonymous callers are allowed: its
    /// sender did not mean to be anonymous. `allows_anonymous`: the request comes
    /// from this machine. `lookup` is set if the token is a provider's.
    pub(super) async fn authenticate(
        &self,
        bearer: Result<Bearer<'_>, BearerError>,
        allows_anonymous: bool,
        endpoint: &Endpoint,
        client: Option<IpAddr>,
        now: Now,
        lookup: &mut Option<TokenLookupOutcome>,
    ) -> Result<Authenticated, Unauthenticated> {
        let bearer = match (bearer, &self.anonymous_role) {
            (Ok(bearer), _) => bearer,
            (Err(BearerError::Missing), Some(role)) if allows_anonymous => {
                let caller = unauthenticated_caller(CallerKind::Anonymous, vec![role.clone()]);
                return Ok(Authenticated {
                    caller,
                    credentials: Vec::new(),
                    token: None,
                });
            }
            (Err(other), _) => return Err(other.into()),
        };
        let instance = endpoint.instance.name();
        // A provider never sees one of Gatepost's own keys.
        let provider = if ApiKey::has_key_prefix(bearer.reveal()) {
            None
        } else {
            endpoint.token_policy.provider_for(bearer)
        };
        let Some(provider) = provider else {
            return self.authenticate_key(bearer, instance, now);
        };
        let verified = self
            .verify_token(provider, bearer, endpoint, client, now)
            .await
            .map_err(|error| error.explained(provider, bearer));
        *lookup = Some(match &verified {
            Ok((_, outcome)) => *outcome,
            Err(error) => error.lookup_outcome(),
        });
        let (principal, _) = verified?;
        Ok(self.authenticated(
            AuthenticatedToken {
                provider: Arc::clone(provider),
                principal,
                bearer: bearer.into_owned(),
            },
            instance,
        ))
    }

    fn authenticated(&self, token: AuthenticatedToken, instance: &InstanceName) -> Authenticated {
        let (principal, provider) = (&token.principal, token.provider.name());
        let granted = self.grants.for_principal(principal, provider, instance);
        Authenticated {
            caller: Caller {
                issuer: principal.issuer.to_string(),
                kind: principal.kind,
                subject: principal.subject.clone(),
                name: None,
                roles: granted.roles,
                credential: None,
            },
            credentials: granted.credentials,
            token: Some(token),
        }
    }

    fn authenticate_key(
        &self,
        bearer: Bearer<'_>,
        instance: &InstanceName,
        now: Now,
    ) -> Result<Authenticated, Unauthenticated> {
        let mut caller = self.api_keys.verify(bearer.reveal(), now.wall)?;
        let granted = ApiKeyId::try_from(caller.subject.as_str())
            .map(|id| self.grants.for_key(&id, instance))
            .unwrap_or_default();
        caller.roles.extend(granted.roles);
        caller.roles.sort();
        caller.roles.dedup();
        Ok(Authenticated {
            caller,
            credentials: granted.credentials,
            token: None,
        })
    }

    async fn verify_token(
        &self,
        provider: &Arc<Provider>,
        bearer: Bearer<'_>,
        endpoint: &Endpoint,
        client: Option<IpAddr>,
        now: Now,
    ) -> Result<(Arc<Principal>, TokenLookupOutcome), Unauthenticated> {
        let (principal, outcome) = match provider.cached(bearer, None, now) {
            TokenCacheLookup::Valid(principal) => (principal, TokenLookupOutcome::Cached),
            TokenCacheLookup::Rejected(TokenRejected::Audience) => {
                let found = endpoint.explain_audiences(&Provider::unverified_audiences(bearer));
                return Err(Unauthenticated::WrongAudience(found));
            }
            TokenCacheLookup::Rejected(why) => return Err(why.into()),
            TokenCacheLookup::Miss(unknown) => {
                // A token that was valid before is not locked out by another client
                // at its address that guesses, and one whose lookup is in flight
                // already costs no other.
                let reserved = if unknown.was_valid() || provider.is_lookup_in_flight(&unknown) {
                    None
                } else {
                    let limiter = &self.failed_token_limiter;
                    let reserved = limiter.reserve(client, now.monotonic).await;
                    Some(reserved.map_err(Unauthenticated::RateLimited)?)
                };
                let standing = self.standings.of(client);
                let found = provider.look_up(bearer, &unknown, standing, now).await;
                // A lookup without a result counts if the token may be the reason.
                let failed = match &found {
                    Ok(_) => false,
                    Err(TokenError::Rejected(_)) => true,
                    Err(TokenError::Unavailable(unavailable)) => {
                        matches!(unavailable.cause, ProviderError::RequestRejected(_))
                    }
                };
                if failed || found.is_ok() {
                    self.standings.record(client, !failed);
                }
                if let Some(reserved) = reserved.filter(|_| !failed) {
                    reserved.release();
                }
                let found = found?;
                let outcome = if found.stale {
                    TokenLookupOutcome::Stale
                } else {
                    TokenLookupOutcome::Accepted
                };
                (found.principal, outcome)
            }
        };
        if principal.has_audience(&endpoint.token_policy.audiences) {
            Ok((principal, outcome))
        } else {
            let found = endpoint.explain_audiences(&principal.audiences);
            Err(Unauthenticated::WrongAudience(found))
        }
    }

    /// Verifies an accepted token again, for a write: the result may not be older
    /// than the provider's `write_max_age`. The roles are those it grants now.
    pub(super) async fn reauthenticate(
        &self,
        token: &AuthenticatedToken,
        endpoint: &Endpoint,
        now: Now,
    ) -> Result<Authenticated, Unauthenticated> {
        let provider = &token.provider;
        let bearer = token.bearer.as_bearer();
        let max_age = Some(provider.write_max_age());
        let principal = match provider.cached(bearer, max_age, now) {
            TokenCacheLookup::Valid(principal) => principal,
            TokenCacheLookup::Rejected(why) => return Err(why.into()),
            TokenCacheLookup::Miss(unknown) => {
                let standing = AddressStanding::Known;
                let found = provider.look_up(bearer, &unknown, standing, now).await?;
                found.principal
            }
        };
        // The same token must still be the same subject's.
        if principal.subject != token.principal.subject
            || !principal.has_audience(&endpoint.token_policy.audiences)
        {
            return Err(TokenRejected::Subject.into());
        }
        let token = AuthenticatedToken {
            principal,
            ..token.clone()
        };
        Ok(self.authenticated(token, endpoint.instance.name()))
    }

    /// The local user, who started Gatepost, as a caller of an instance.
    ///
    /// They have every role, so the roles may well name several credentials. The
    /// service key is used then, so that they are not locked out of their own
    /// machine.
    pub fn local_caller(&self, policy: &Policy, instance: &InstanceName) -> Caller {
        let credential = choose_credential([], policy.credentials(&self.local_roles, instance));
        Caller {
            credential: credential.unwrap_or_default(),
            ..unauthenticated_caller(CallerKind::Stdio, self.local_roles.clone())
        }
    }
}

impl From<TokenError> for Unauthenticated {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Rejected(why) => why.into(),
            TokenError::Unavailable(why) => why.into(),
        }
    }
}

fn unauthenticated_caller(kind: CallerKind, roles: Vec<RoleName>) -> Caller {
    Caller {
        issuer: "gatepost".to_owned(),
        kind,
        subject: Subject::configured(kind.as_str()),
        name: None,
        roles,
        credential: None,
    }
}
