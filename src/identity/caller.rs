//! One proved caller.

use crate::names::{CredentialName, RoleName, Subject};

/// Somebody who proved who they are, with the roles that gives them.
///
/// Two callers are the same exactly when issuer, kind and subject are: a
/// subject alone is unique only within its issuer.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who vouches for the subject: an issuer URL, or `gatepost` for our own
    /// keys and for callers who need no proof.
    pub issuer: String,
    /// How the proof was given.
    pub kind: CallerKind,
    /// Who it is.
    pub subject: Subject,
    /// What they were granted; sorted, no duplicates.
    pub roles: Vec<RoleName>,
    /// The Odoo user that their calls act as, in the instance they came for;
    /// none for the one of the instance's service key.
    pub credential: Option<CredentialName>,
}

/// How a caller proved who they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallerKind {
    /// Not at all: a loopback listener that asks for nothing, or the demo.
    Anonymous,
    /// By one of our own API keys.
    ApiKey,
    /// By being the one who started `gatepost stdio`.
    Stdio,
}

impl CallerKind {
    /// The word for it in log and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ApiKey => "api_key",
            Self::Stdio => "stdio",
        }
    }
}
