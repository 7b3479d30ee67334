//! How callers prove who they are.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::telemetry::TokenLookup;
use gatepost_base::{CredentialName, InstanceName, RoleName, Subject};
use gatepost_identity::{
    AmbiguousCredential, ApiKey, ApiKeyError, ApiKeyId, ApiKeyStore, Bearer, BearerError, Caller,
    CallerKind, Granted, Grants, Now, OwnedBearer, Principal, Provider, ProviderError,
    ProviderUnavailable, TokenCacheLookup, TokenError, TokenRejected, choose_credential,
};
use gatepost_policy::Policy;
use gatepost_state::limits::{AddressLimiter, AddressRateLimited};

/// The ways in that are configured. Without any, nobody gets in.
#[derive(Debug, Default)]
pub struct Authenticator {
    /// Our own API keys.
    pub keyring: Option<ApiKeyStore>,
    /// The role of whoever brings no proof; only on loopback.
    pub anonymous_role: Option<RoleName>,
    /// The roles of the one who started `gatepost stdio`.
    pub local_roles: Vec<RoleName>,
    /// Who gets which roles.
    pub grants: Grants,
    /// How many tokens may fail.
    pub failed_token_limiter: AddressLimiter,
}

/// Whose tokens one instance takes.
#[derive(Clone, Debug, Default)]
pub struct TokenPolicy {
    /// The providers that vouch; the first that can is asked about tokens that
    /// do not say whose they are.
    pub providers: Vec<Arc<Provider>>,
    /// Whom a token must be meant for.
    pub audiences: BTreeSet<String>,
}

/// Somebody who was let in.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) caller: Caller,
    /// The Odoo users that their grants name.
    pub(super) credentials: Vec<CredentialName>,
    /// Of a token: what it takes to ask about it again.
    pub(super) token: Option<AuthenticatedToken>,
}

/// A token that let somebody in.
#[derive(Clone, Debug)]
pub(super) struct AuthenticatedToken {
    pub(super) provider: Arc<Provider>,
    pub(super) principal: Arc<Principal>,
    bearer: OwnedBearer,
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// Too many tokens from there were refused; this one was not looked at.
    #[error(transparent)]
    RateLimited(AddressRateLimited),
    /// No proof, or one in a form that is none.
    #[error(transparent)]
    NoBearer(#[from] BearerError),
    /// A token that is not good, or not here.
    #[error(transparent)]
    TokenRejected(#[from] TokenRejected),
    /// Nobody can say whether a token is good.
    #[error(transparent)]
    ProviderUnavailable(#[from] ProviderUnavailable),
    /// A key of ours that does not hold.
    #[error(transparent)]
    InvalidApiKey(#[from] ApiKeyError),
}

impl Unauthenticated {
    /// What happened, in words that only we may read.
    pub fn internal_reason(&self) -> String {
        match self {
            Self::RateLimited(_) => "too many tokens from this address were refused".to_owned(),
            Self::NoBearer(BearerError::Missing) => "no token".to_owned(),
            Self::NoBearer(_) => "malformed authorization header".to_owned(),
            Self::TokenRejected(why) => why.reason().to_owned(),
            Self::ProviderUnavailable(unavailable) => unavailable.cause.to_string(),
            Self::InvalidApiKey(unproved) => unproved.reason().to_owned(),
        }
    }
}

impl Authenticator {
    /// Whether there is anything to look at. A request without a token is told
    /// where to get one, which costs nothing and counts against nobody.
    pub(super) fn requires_check(&self, found: &Result<Bearer<'_>, BearerError>) -> bool {
        match found {
            Err(BearerError::Missing | BearerError::OtherScheme) => self.anonymous_role.is_some(),
            Ok(_)
            | Err(BearerError::Malformed | BearerError::MultipleHeaders | BearerError::TooLong) => {
                true
            }
        }
    }

    /// Lets a caller in on what the header proves.
    ///
    /// A wrong proof is refused even where none is needed: somebody meant to
    /// be somebody. `look_up` hears what became of a provider's token.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub(super) async fn authenticate(
        &self,
        found: Result<Bearer<'_>, BearerError>,
        instance: &InstanceName,
        admission: &TokenPolicy,
        client: Option<IpAddr>,
        now: Now,
        look_up: &mut Option<TokenLookup>,
    ) -> Result<Authenticated, Unauthenticated> {
        let bearer = match (found, &self.anonymous_role) {
            (Ok(bearer), _) => bearer,
            (Err(BearerError::Missing), Some(role)) => {
                return Ok(Authenticated::without_token(unauthenticated_caller(
                    CallerKind::Anonymous,
                    vec![role.clone()],
                )));
            }
            (Err(other), _) => return Err(other.into()),
        };
        // A key of ours is never shown to a provider.
        let own = ApiKey::has_key_prefix(bearer.reveal());
        let provider = if own {
            None
        } else {
            admission.provider_for(bearer)
        };
        let Some(provider) = provider else {
            return self.authenticate_key(bearer, instance, now);
        };
        let told = self
            .verify_token(provider, bearer, admission, client, now)
            .await;
        *look_up = Some(match &told {
            Ok((_, how)) => *how,
            Err(error) => lookup_outcome(error),
        });
        let (principal, _) = told?;
        let token = AuthenticatedToken {
            provider: Arc::clone(provider),
            principal,
            bearer: bearer.into_owned(),
        };
        let granted = self.grants_of(&token, instance);
        Ok(Authenticated {
            caller: Caller {
                issuer: token.principal.issuer.to_string(),
                kind: token.principal.kind,
                subject: token.principal.subject.clone(),
                name: None,
                roles: granted.roles,
                credential: None,
            },
            credentials: granted.credentials,
            token: Some(token),
        })
    }

    fn authenticate_key(
        &self,
        bearer: Bearer<'_>,
        instance: &InstanceName,
        now: Now,
    ) -> Result<Authenticated, Unauthenticated> {
        let nobody = ApiKeyStore::default();
        let keyring = self.keyring.as_ref().unwrap_or(&nobody);
        let mut caller = keyring.verify(bearer.reveal(), now.wall)?;
        let granted = ApiKeyId::try_from(caller.subject.as_str())
            .map(|id| self.grants.for_key(&id, instance))
            .unwrap_or_default();
        caller.roles.extend(granted.roles);
        caller.roles.sort();
        caller.roles.dedup();
        Ok(Authenticated {
            credentials: granted.credentials,
            ..Authenticated::without_token(caller)
        })
    }

    async fn verify_token(
        &self,
        provider: &Arc<Provider>,
        bearer: Bearer<'_>,
        admission: &TokenPolicy,
        client: Option<IpAddr>,
        now: Now,
    ) -> Result<(Arc<Principal>, TokenLookup), Unauthenticated> {
        let (principal, how) = match provider.cached(bearer, None, now) {
            TokenCacheLookup::Valid(principal) => (principal, TokenLookup::Cached),
            TokenCacheLookup::Rejected(why) => return Err(why.into()),
            TokenCacheLookup::Miss(unknown) => {
                // Who was let in before is not kept out by a neighbour who guesses.
                // Who waits for a question that is asked already costs none.
                let reserved = if unknown.was_valid() || provider.is_lookup_in_flight(&unknown) {
                    None
                } else {
                    let reserved = self
                        .failed_token_limiter
                        .reserve(client, now.monotonic)
                        .await;
                    Some(reserved.map_err(Unauthenticated::RateLimited)?)
                };
                let told = provider.look_up(bearer, &unknown, now).await;
                // A question that came to nothing counts where the token may be why.
                let failed = match &told {
                    Ok(_) => false,
                    Err(TokenError::Rejected(_)) => true,
                    Err(TokenError::Unavailable(unavailable)) => {
                        matches!(unavailable.cause, ProviderError::RequestRejected(_))
                    }
                };
                if let Some(reserved) = reserved.filter(|_| !failed) {
                    reserved.release();
                }
                let found = told?;
                let how = if found.stale {
                    TokenLookup::Stale
                } else {
                    TokenLookup::Accepted
                };
                (found.principal, how)
            }
        };
        if principal.has_audience(&admission.audiences) {
            Ok((principal, how))
        } else {
            Err(TokenRejected::Audience.into())
        }
    }

    /// Asks again about a token that let somebody in, for a call that changes
    /// something: the answer may not be older than the provider's
    /// `write_max_age`. It gives what the token grants now.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub(super) async fn reauthenticate(
        &self,
        token: &AuthenticatedToken,
        instance: &InstanceName,
        admission: &TokenPolicy,
        now: Now,
    ) -> Result<(Granted, AuthenticatedToken), Unauthenticated> {
        let provider = &token.provider;
        let bearer = token.bearer.as_bearer();
        let oldest = Some(provider.write_max_age());
        let principal = match provider.cached(bearer, oldest, now) {
            TokenCacheLookup::Valid(principal) => principal,
            TokenCacheLookup::Rejected(why) => return Err(why.into()),
            TokenCacheLookup::Miss(unknown) => {
                provider.look_up(bearer, &unknown, now).await?.principal
            }
        };
        // Another subject under the same token is nobody that we know.
        if principal.subject != token.principal.subject
            || !principal.has_audience(&admission.audiences)
        {
            return Err(TokenRejected::Subject.into());
        }
        let token = AuthenticatedToken {
            principal,
            ..token.clone()
        };
        Ok((self.grants_of(&token, instance), token))
    }

    fn grants_of(&self, token: &AuthenticatedToken, instance: &InstanceName) -> Granted {
        self.grants
            .for_principal(&token.principal, token.provider.name(), instance)
    }

    /// The one who started us, for an instance.
    ///
    /// They have every role there is, so several credentials may well be named.
    /// That locks nobody out of their own machine: it is the service key then.
    pub fn local_caller(&self, policy: &Policy, instance: &InstanceName) -> Caller {
        let credential = choose_credential([], policy.credentials(&self.local_roles, instance));
        Caller {
            credential: credential.unwrap_or_default(),
            ..unauthenticated_caller(CallerKind::Stdio, self.local_roles.clone())
        }
    }
}

impl TokenPolicy {
    /// The provider to ask about a token: the one that it names, or the first
    /// that can say something of a token that names none.
    pub fn provider_for(&self, bearer: Bearer<'_>) -> Option<&Arc<Provider>> {
        let named = || {
            self.providers
                .iter()
                .find(|one| one.could_be_issuer_of(bearer))
        };
        let asked = || self.providers.iter().find(|one| one.accepts_opaque());
        match self.providers.as_slice() {
            [only] => Some(only),
            several => named().or_else(asked).or_else(|| several.first()),
        }
    }
}

impl Authenticated {
    fn without_token(caller: Caller) -> Self {
        Self {
            caller,
            credentials: Vec::new(),
            token: None,
        }
    }
}

impl From<TokenError> for Unauthenticated {
    fn from(unproven: TokenError) -> Self {
        match unproven {
            TokenError::Rejected(why) => why.into(),
            TokenError::Unavailable(why) => why.into(),
        }
    }
}

/// The caller, with the Odoo user that their calls in the instance act as.
/// `of_grants` are the credentials that their grants name there.
///
/// # Errors
/// [`Ambiguous`].
pub(crate) fn with_odoo_credential(
    caller: Caller,
    of_grants: &[CredentialName],
    policy: &Policy,
    instance: &InstanceName,
) -> Result<Caller, AmbiguousCredential> {
    let credential = choose_credential(of_grants, policy.credentials(&caller.roles, instance))?;
    Ok(Caller {
        credential,
        ..caller
    })
}

/// How the lookup of a token ended that was not accepted.
fn lookup_outcome(error: &Unauthenticated) -> TokenLookup {
    match error {
        Unauthenticated::RateLimited(_) => TokenLookup::RateLimited,
        Unauthenticated::ProviderUnavailable(unavailable) => match unavailable.cause {
            ProviderError::ClientRejected(_) => TokenLookup::ClientCredentialsRejected,
            ProviderError::InvalidResponse(_)
            | ProviderError::TooManyLookups
            | ProviderError::Misconfigured(_)
            | ProviderError::RequestRejected(_)
            | ProviderError::CircuitOpen
            | ProviderError::Unreachable(_) => TokenLookup::Unavailable,
        },
        Unauthenticated::NoBearer(_)
        | Unauthenticated::TokenRejected(_)
        | Unauthenticated::InvalidApiKey(_) => TokenLookup::Rejected,
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
