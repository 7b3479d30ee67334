//! Who is calling.

use serde::Deserialize;

use gatepost_base::{CredentialName, RoleName, Subject};

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
    /// What the administrator called the key that proved it, for people to read;
    /// nothing is decided by it.
    pub name: Option<Box<str>>,
    /// What they were granted; sorted, no duplicates.
    pub roles: Vec<RoleName>,
    /// The Odoo user that their calls act as, in the instance they came for;
    /// none for the one of the instance's service key.
    pub credential: Option<CredentialName>,
}

/// What kind of caller it is, and so how the proof was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// Nobody in particular: a loopback listener that asks for nothing, or the
    /// demo.
    Anonymous,
    /// The holder of one of our own API keys.
    ApiKey,
    /// A program on its own account, with a token of a provider.
    Client,
    /// The one who started `gatepost stdio`.
    Stdio,
    /// A person, with a token of a provider.
    User,
}

impl CallerKind {
    /// The word for it in log and audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::ApiKey => "api_key",
            Self::Client => "client",
            Self::Stdio => "stdio",
            Self::User => "user",
        }
    }
}
