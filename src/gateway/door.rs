//! How callers prove who they are.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use gatepost_base::{CredentialName, InstanceName, RoleName, Subject};
use gatepost_identity::{
    Ambiguous, ApiKey, Bearer, Caller, CallerKind, Granted, Grants, KeptBearer, KeyId, Keyring,
    NoBearer, NotAccepted, Now, Principal, Provider, Recollection, Trouble, Unavailable, Unproved,
    Unproven, choose_credential,
};
use gatepost_policy::Policy;
use gatepost_state::limits::{Exhausted, PerAddress};

/// The ways in that are configured. Without any, nobody gets in.
#[derive(Debug, Default)]
pub struct Door {
    /// Our own API keys.
    pub keyring: Option<Keyring>,
    /// The role of whoever brings no proof; only on loopback.
    pub anonymous: Option<RoleName>,
    /// The roles of the one who started `gatepost stdio`.
    pub local: Vec<RoleName>,
    /// Who gets which roles.
    pub grants: Grants,
    /// How many tokens may fail.
    pub failures: PerAddress,
}

/// Whose tokens one instance takes.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The providers that vouch; the first that can is asked about tokens that
    /// do not say whose they are.
    pub providers: Vec<Arc<Provider>>,
    /// Whom a token must be meant for.
    pub audiences: BTreeSet<String>,
}

/// Somebody who was let in.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) caller: Caller,
    /// The Odoo users that their grants name.
    pub(super) credentials: Vec<CredentialName>,
    /// Of a token: what it takes to ask about it again.
    pub(super) token: Option<Token>,
}

/// A token that let somebody in.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) provider: Arc<Provider>,
    pub(super) principal: Arc<Principal>,
    bearer: KeptBearer,
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// Too many tokens from there were refused; this one was not looked at.
    #[error(transparent)]
    Exhausted(Exhausted),
    /// No proof, or one in a form that is none.
    #[error(transparent)]
    NoBearer(#[from] NoBearer),
    /// A token that is not good, or not here.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// Nobody can say whether a token is good.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A key of ours that does not hold.
    #[error(transparent)]
    Unproved(#[from] Unproved),
}

impl Unauthenticated {
    /// What happened, in words that only we may read.
    pub fn reason(&self) -> String {
        match self {
            Self::Exhausted(_) => "too many tokens from this address were refused".to_owned(),
            Self::NoBearer(NoBearer::Missing) => "no token".to_owned(),
            Self::NoBearer(_) => "malformed authorization header".to_owned(),
            Self::NotAccepted(why) => why.reason().to_owned(),
            Self::Unavailable(unavailable) => unavailable.why.to_string(),
            Self::Unproved(unproved) => unproved.reason().to_owned(),
        }
    }
}

/// How the look-up of a token went, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LookUp {
    /// The provider was asked, and said it is good.
    Accepted,
    /// It was good a moment ago.
    Cached,
    /// The provider refuses our own credentials.
    CredentialsRefused,
    /// It was not looked at: too many from there were refused.
    Limited,
    /// It is not good, or not for us.
    Refused,
    /// The provider did not answer, and an old answer counts.
    Stale,
    /// The provider could not be asked.
    Unavailable,
}

impl LookUp {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Cached => "cached",
            Self::CredentialsRefused => "credentials_refused",
            Self::Limited => "limited",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Unavailable => "unavailable",
        }
    }

    fn of(error: &Unauthenticated) -> Self {
        match error {
            Unauthenticated::Exhausted(_) => Self::Limited,
            Unauthenticated::Unavailable(unavailable) => match unavailable.why {
                Trouble::Credentials(_) => Self::CredentialsRefused,
                Trouble::BadAnswer(_)
                | Trouble::Busy
                | Trouble::Misconfigured(_)
                | Trouble::NoAnswer(_)
                | Trouble::Resting
                | Trouble::Unreachable(_) => Self::Unavailable,
            },
            Unauthenticated::NoBearer(_)
            | Unauthenticated::NotAccepted(_)
            | Unauthenticated::Unproved(_) => Self::Refused,
        }
    }
}

impl Door {
    /// Whether there is anything to look at. A request without a token is told
    /// where to get one, which costs nothing and counts against nobody.
    pub(super) fn looks_at(&self, found: &Result<Bearer<'_>, NoBearer>) -> bool {
        match found {
            Err(NoBearer::Missing | NoBearer::OtherScheme) => self.anonymous.is_some(),
            Ok(_) | Err(NoBearer::Malformed | NoBearer::Several | NoBearer::TooLong) => true,
        }
    }

    /// Lets a caller in on what the header proves.
    ///
    /// A wrong proof is refused even where none is needed: somebody meant to
    /// be somebody. `look_up` hears what became of a provider's token.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub(super) async fn enter(
        &self,
        found: Result<Bearer<'_>, NoBearer>,
        instance: &InstanceName,
        admission: &Admission,
        client: Option<IpAddr>,
        now: Now,
        look_up: &mut Option<LookUp>,
    ) -> Result<Entered, Unauthenticated> {
        let bearer = match (found, &self.anonymous) {
            (Ok(bearer), _) => bearer,
            (Err(NoBearer::Missing), Some(role)) => {
                return Ok(Entered::without_token(unproved(
                    CallerKind::Anonymous,
                    vec![role.clone()],
                )));
            }
            (Err(other), _) => return Err(other.into()),
        };
        // A key of ours is never shown to a provider.
        let own = ApiKey::is_claimed_by(bearer.reveal());
        let provider = if own {
            None
        } else {
            admission.provider_for(bearer)
        };
        let Some(provider) = provider else {
            return self.enter_with_key(bearer, instance, now);
        };
        let told = self.prove(provider, bearer, admission, client, now).await;
        *look_up = Some(match &told {
            Ok((_, how)) => *how,
            Err(error) => LookUp::of(error),
        });
        let (principal, _) = told?;
        let token = Token {
            provider: Arc::clone(provider),
            principal,
            bearer: bearer.keep(),
        };
        let granted = self.granted(&token, instance);
        Ok(Entered {
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

    fn enter_with_key(
        &self,
        bearer: Bearer<'_>,
        instance: &InstanceName,
        now: Now,
    ) -> Result<Entered, Unauthenticated> {
        let nobody = Keyring::default();
        let keyring = self.keyring.as_ref().unwrap_or(&nobody);
        let mut caller = keyring.verify(bearer.reveal(), now.wall)?;
        let granted = KeyId::try_from(caller.subject.as_str())
            .map(|id| self.grants.of_key(&id, instance))
            .unwrap_or_default();
        caller.roles.extend(granted.roles);
        caller.roles.sort();
        caller.roles.dedup();
        Ok(Entered {
            credentials: granted.credentials,
            ..Entered::without_token(caller)
        })
    }

    async fn prove(
        &self,
        provider: &Arc<Provider>,
        bearer: Bearer<'_>,
        admission: &Admission,
        client: Option<IpAddr>,
        now: Now,
    ) -> Result<(Arc<Principal>, LookUp), Unauthenticated> {
        let (principal, how) = match provider.recall(bearer, None, now) {
            Recollection::Good(principal) => (principal, LookUp::Cached),
            Recollection::Refused(why) => return Err(why.into()),
            Recollection::Unknown(unknown) => {
                // Who was let in before is not kept out by a neighbour who guesses.
                // Who waits for a question that is asked already costs none.
                let reserved = if unknown.was_good() || provider.is_looking_up(&unknown) {
                    None
                } else {
                    let reserved = self.failures.reserve(client, now.steady).await;
                    Some(reserved.map_err(Unauthenticated::Exhausted)?)
                };
                let told = provider.look_up(bearer, &unknown, now).await;
                // A question that came to nothing counts where the token may be why.
                let failed = match &told {
                    Ok(_) => false,
                    Err(Unproven::NotAccepted(_)) => true,
                    Err(Unproven::Unavailable(unavailable)) => {
                        matches!(unavailable.why, Trouble::NoAnswer(_))
                    }
                };
                if let Some(reserved) = reserved.filter(|_| !failed) {
                    reserved.give_back();
                }
                let found = told?;
                let how = if found.stale {
                    LookUp::Stale
                } else {
                    LookUp::Accepted
                };
                (found.principal, how)
            }
        };
        if principal.is_for(&admission.audiences) {
            Ok((principal, how))
        } else {
            Err(NotAccepted::Audience.into())
        }
    }

    /// Asks again about a token that let somebody in, for a call that changes
    /// something: the answer may not be older than the provider's
    /// `write_max_age`. It gives what the token grants now.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub(super) async fn enter_again(
        &self,
        token: &Token,
        instance: &InstanceName,
        admission: &Admission,
        now: Now,
    ) -> Result<(Granted, Token), Unauthenticated> {
        let provider = &token.provider;
        let bearer = token.bearer.as_bearer();
        let oldest = Some(provider.write_max_age());
        let principal = match provider.recall(bearer, oldest, now) {
            Recollection::Good(principal) => principal,
            Recollection::Refused(why) => return Err(why.into()),
            Recollection::Unknown(unknown) => {
                provider.look_up(bearer, &unknown, now).await?.principal
            }
        };
        // Another subject under the same token is nobody that we know.
        if principal.subject != token.principal.subject || !principal.is_for(&admission.audiences) {
            return Err(NotAccepted::Subject.into());
        }
        let token = Token {
            principal,
            ..token.clone()
        };
        Ok((self.granted(&token, instance), token))
    }

    fn granted(&self, token: &Token, instance: &InstanceName) -> Granted {
        self.grants
            .of_principal(&token.principal, token.provider.name(), instance)
    }

    /// The one who started us, for an instance.
    ///
    /// They have every role there is, so several credentials may well be named.
    /// That locks nobody out of their own machine: it is the service key then.
    pub fn local(&self, policy: &Policy, instance: &InstanceName) -> Caller {
        let credential = choose_credential([], policy.credentials(&self.local, instance));
        Caller {
            credential: credential.unwrap_or_default(),
            ..unproved(CallerKind::Stdio, self.local.clone())
        }
    }
}

impl Admission {
    /// The provider to ask about a token: the one that it names, or the first
    /// that can say something of a token that names none.
    pub(super) fn provider_for(&self, bearer: Bearer<'_>) -> Option<&Arc<Provider>> {
        let named = || {
            self.providers
                .iter()
                .find(|one| one.may_have_issued(bearer))
        };
        let asked = || self.providers.iter().find(|one| one.takes_opaque());
        match self.providers.as_slice() {
            [only] => Some(only),
            several => named().or_else(asked).or_else(|| several.first()),
        }
    }
}

impl Entered {
    fn without_token(caller: Caller) -> Self {
        Self {
            caller,
            credentials: Vec::new(),
            token: None,
        }
    }
}

impl From<Unproven> for Unauthenticated {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::NotAccepted(why) => why.into(),
            Unproven::Unavailable(why) => why.into(),
        }
    }
}

/// The caller, with the Odoo user that their calls in the instance act as.
/// `of_grants` are the credentials that their grants name there.
///
/// # Errors
/// [`Ambiguous`].
pub(super) fn acting(
    caller: Caller,
    of_grants: &[CredentialName],
    policy: &Policy,
    instance: &InstanceName,
) -> Result<Caller, Ambiguous> {
    let credential = choose_credential(of_grants, policy.credentials(&caller.roles, instance))?;
    Ok(Caller {
        credential,
        ..caller
    })
}

fn unproved(kind: CallerKind, roles: Vec<RoleName>) -> Caller {
    Caller {
        issuer: "gatepost".to_owned(),
        kind,
        subject: Subject::proved(kind.as_str()),
        name: None,
        roles,
        credential: None,
    }
}
