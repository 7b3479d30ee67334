//! An authenticated caller.

use serde::Deserialize;

use gatepost_base::{CredentialName, RoleName, Subject};

/// An authenticated caller and their roles.
///
/// Two callers are the same exactly when issuer, kind and subject are: a
/// subject alone is unique only within its issuer.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The issuer of the subject: its URL, or `gatepost` for API keys and for
    /// callers that need no credentials.
    pub issuer: String,
    /// How the caller was authenticated.
    pub kind: CallerKind,
    /// The subject.
    pub subject: Subject,
    /// The administrator's name for the API key, for people to read; no decision
    /// depends on it.
    pub name: Option<Box<str>>,
    /// Granted roles; sorted, no duplicates.
    pub roles: Vec<RoleName>,
    /// The Odoo user that the calls act as in the requested instance; `None`
    /// stands for the user of the instance's service key.
    pub credential: Option<CredentialName>,
}

impl Caller {
    /// What identifies the caller: issuer, kind and subject, only together.
    pub fn identity(&self) -> [&str; 3] {
        [&self.issuer, self.kind.as_str(), self.subject.as_str()]
    }
}

gatepost_base::words! {
    /// The kind of a caller, and with it the way of authentication.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum CallerKind {
        /// Any caller of a loopback listener without authentication, or of the demo.
        Anonymous = "anonymous",
        /// The holder of one of the gateway's API keys.
        ApiKey = "api_key",
        /// A program acting for itself, with a token of a provider.
        Client = "client",
        /// The user who started `gatepost stdio`.
        Stdio = "stdio",
        /// A person, with a token of a provider.
        User = "user",
    }

    /// The kind's name in log and audit.
    pub fn as_str(self);
}
