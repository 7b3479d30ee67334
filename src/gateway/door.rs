//! How callers prove who they are.

use http::HeaderMap;
use jiff::Timestamp;

use crate::{
    identity::{
        Ambiguous, Bearer, Caller, CallerKind, Keyring, NoBearer, Unproved, choose_credential,
    },
    names::{CredentialName, InstanceName, RoleName, Subject},
    policy::Policy,
};

/// The ways in that are configured. Without any, nobody gets in.
#[derive(Debug, Default)]
pub struct Door {
    /// Our own API keys.
    pub keyring: Option<Keyring>,
    /// The role of whoever brings no proof; only on loopback.
    pub anonymous: Option<RoleName>,
    /// The roles of the one who started `gatepost stdio`.
    pub local: Vec<RoleName>,
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// No proof, or one in a form that is none.
    #[error(transparent)]
    NoBearer(#[from] NoBearer),
    /// A proof that does not hold.
    #[error(transparent)]
    Unproved(#[from] Unproved),
}

impl Unauthenticated {
    /// What happened, in words that only we may read.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoBearer(NoBearer::Missing) => "no token",
            Self::NoBearer(_) => "malformed authorization header",
            Self::Unproved(unproved) => unproved.reason(),
        }
    }

    /// Whether there was no attempt at a proof at all.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoBearer(NoBearer::Missing))
    }
}

impl Door {
    /// Lets a caller in on what the header proves.
    ///
    /// A wrong proof is refused even where none is needed: somebody meant to
    /// be somebody.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub fn enter(&self, headers: &HeaderMap, now: Timestamp) -> Result<Caller, Unauthenticated> {
        let bearer = match (Bearer::find(headers), &self.anonymous) {
            (Ok(bearer), _) => bearer,
            (Err(NoBearer::Missing), Some(role)) => {
                return Ok(unproved(CallerKind::Anonymous, vec![role.clone()]));
            }
            (Err(other), _) => return Err(other.into()),
        };
        let nobody = Keyring::default();
        let keyring = self.keyring.as_ref().unwrap_or(&nobody);
        Ok(keyring.verify(bearer.reveal(), now)?)
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
        roles,
        credential: None,
    }
}
