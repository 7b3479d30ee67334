//! Whether a provider does what we need of it, for the administrator.

use std::sync::Arc;

use super::{
    Bearer, Metadata, Now, Principal, Provider, ProviderError, ProviderUnavailable,
    TokenCacheLookup, TokenError, TokenRejected, introspector::PROBE_TOKEN, jwt::UnverifiedJwt,
};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckResult {
    /// Whether it is right.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Whether something is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CheckStatus {
    /// It is.
    Pass,
    /// It works, and for some it may not.
    Warn,
    /// It does not work.
    Fail,
}

impl CheckResult {
    /// Something that is right.
    pub fn pass(text: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Pass,
            message: text.into(),
            remedy: None,
        }
    }

    /// Something that may not be right for all.
    pub fn warn(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Warn,
            message: text.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Something that is wrong.
    pub fn fail(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Fail,
            message: text.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Provider {
    /// Walks the chain from the issuer to an answer about a token.
    pub async fn check(self: &Arc<Self>, now: Now) -> Vec<CheckResult> {
        let mut findings = Vec::new();
        match self.metadata(now).await {
            Ok(metadata) => {
                findings.push(CheckResult::pass(format!(
                    "the metadata of `{}` are there and name it exactly so",
                    self.issuer()
                )));
                findings.extend(self.check_metadata(&metadata));
            }
            Err(unavailable) => findings.push(explain_unavailable(&unavailable)),
        }
        findings.extend(self.check_addresses().await);
        if self.uses_keys() {
            findings.push(match self.ensure_keys(now).await {
                Ok(()) => CheckResult::pass("its keys can be read"),
                Err(unavailable) => explain_unavailable(&unavailable),
            });
        }
        if self.accepts_opaque() {
            findings.push(self.check_introspection(now).await);
        }
        findings
    }

    async fn check_introspection(self: &Arc<Self>, now: Now) -> CheckResult {
        match self.introspect(PROBE_TOKEN, now).await {
            Ok(_) => CheckResult::fail(
                "it calls a token good that nobody gave",
                "do not use this provider; it vouches for everything",
            ),
            Err(TokenError::Rejected(TokenRejected::Inactive)) => CheckResult::pass(
                "it takes our own credentials, and says that a made-up token is not good",
            ),
            Err(TokenError::Rejected(why)) => CheckResult::fail(
                format!(
                    "it calls a made-up token good, which was refused for `{}` only",
                    why.reason()
                ),
                "do not use this provider; it vouches for everything",
            ),
            Err(TokenError::Unavailable(unavailable)) => explain_unavailable(&unavailable),
        }
    }

    fn check_metadata(&self, metadata: &Metadata) -> Vec<CheckResult> {
        let mut findings = Vec::new();
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == wanted);
        if !has(&metadata.code_challenge_methods_supported, "S256") {
            findings.push(CheckResult::warn(
                "it does not say that it knows PKCE with S256, without which clients of MCP refuse to log in",
                "switch PKCE on there; some providers (Entra) have it and do not say so",
            ));
        }
        findings.push(
            match (
                &metadata.registration_endpoint,
                metadata.client_id_metadata_document_supported,
            ) {
                (Some(_), true) => CheckResult::pass(
                    "clients can register themselves (RFC 7591), or be named by a URL",
                ),
                (Some(_), false) => CheckResult::pass("clients can register themselves (RFC 7591)"),
                (None, true) => CheckResult::pass(
                    "clients can be named by a URL (client id metadata documents)",
                ),
                (None, false) => CheckResult::warn(
                    "no client can register itself there",
                    "make one public client and have people paste its id, or configure `[facade]`",
                ),
            },
        );
        if !metadata.token_endpoint_auth_methods_supported.is_empty()
            && !has(&metadata.token_endpoint_auth_methods_supported, "none")
        {
            findings.push(CheckResult::warn(
                "it does not say that it knows clients without a secret (`none`), which most assistants are",
                "allow public clients there",
            ));
        }
        if metadata.authorization_response_iss_parameter_supported {
            findings.push(CheckResult::pass(
                "it names itself in what comes back from a login (RFC 9207)",
            ));
        }
        let methods = &metadata.introspection_endpoint_auth_methods_supported;
        if let (Some(method), true) = (self.auth_method(), self.accepts_opaque())
            && !methods.is_empty()
            && !has(methods, method)
        {
            findings.push(CheckResult::warn(
                format!(
                    "it does not name `{method}` among the ways to prove who asks about tokens"
                ),
                format!("set `client_auth` to one of: {}", methods.join(", ")),
            ));
        }
        let subjects = &metadata.subject_types_supported;
        if !subjects.is_empty() && !has(subjects, "public") {
            findings.push(CheckResult::warn(
                "its ids of users differ per client (`pairwise`), so that grants by `subject` hold for one client only",
                "grant by roles, or have it use public ids",
            ));
        }
        findings
    }

    async fn check_addresses(&self) -> Vec<CheckResult> {
        match self.is_public().await {
            Some(false) => vec![CheckResult::warn(
                "it is at an address that is not public, so that assistants that log in from their own cloud (claude.ai, ChatGPT) cannot reach it",
                "that is right where all clients are in your own network",
            )],
            Some(true) | None => Vec::new(),
        }
    }

    /// What a token proves here.
    ///
    /// # Errors
    /// Why it proves nothing, with a remedy.
    pub async fn check_token(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        now: Now,
    ) -> Result<Arc<Principal>, CheckResult> {
        let told = match self.cached(bearer, None, now) {
            TokenCacheLookup::Valid(principal) => Ok(principal),
            TokenCacheLookup::Rejected(why) => Err(why.into()),
            TokenCacheLookup::Miss(unknown) => {
                let found = self.look_up(bearer, &unknown, now).await;
                found.map(|found| found.principal)
            }
        };
        told.map_err(|why| match why {
            TokenError::Rejected(why) => self.explain_rejection(why, bearer),
            TokenError::Unavailable(unavailable) => explain_unavailable(&unavailable),
        })
    }

    /// Why a token is refused, with all that the administrator may know.
    fn explain_rejection(&self, why: TokenRejected, bearer: Bearer<'_>) -> CheckResult {
        let remedy = match why {
            TokenRejected::Audience => "the token says no audience, or in a form that is none; have the provider put one in".to_owned(),
            TokenRejected::InvalidClaim => "a claim has a form that it must not have; look at what the provider puts into it".to_owned(),
            TokenRejected::NoClient => "the token was issued to no client (a personal access token?); set `allow_pat = true` if such are to be taken".to_owned(),
            TokenRejected::Expired => "get a new token; if it is new, compare the clocks".to_owned(),
            TokenRejected::Inactive => "the provider does not know the token, or no longer; Zitadel and Keycloak also say so when our client is not in the token's audience".to_owned(),
            TokenRejected::Issuer => format!("the answer names another issuer than `{}`", self.issuer()),
            TokenRejected::NoExpiry => "the token has no end; set `allow_no_exp = true` if that is meant so".to_owned(),
            TokenRejected::NotYetValid => "its time has not come; compare the clocks".to_owned(),
            TokenRejected::NotVerified("too_short") => {
                "no provider gives one that short; was all of it pasted?".to_owned()
            }
            TokenRejected::NotVerified(_) => self.explain_jwt(bearer),
            TokenRejected::NoProvider => "no instance takes tokens of a provider".to_owned(),
            TokenRejected::SenderConstrained => "the token is bound to a key (DPoP, mTLS), which is not supported; switch that off for this client".to_owned(),
            TokenRejected::Subject => "the token names nobody: neither `sub` nor a client".to_owned(),
            TokenRejected::TokenType => "it is not an access token (an ID token or a refresh token?); or set `allow_missing_token_type = true` for a provider that never says".to_owned(),
        };
        CheckResult::fail(format!("the token is refused: {}", why.reason()), remedy)
    }

    /// What a JWT says of itself, against what it should say.
    fn explain_jwt(&self, bearer: Bearer<'_>) -> String {
        let Some(said) = UnverifiedJwt::parse(bearer.reveal()) else {
            return "it is no JWT; set `validation = \"introspection\"` if the provider gives opaque tokens, or ask it for an audience (Auth0)".to_owned();
        };
        let audiences = said.audiences.unwrap_or_default();
        format!(
            "it says that it is from `{}` for `{}`; `{}` for one of `{}` is wanted, signed with one of its keys{}",
            said.issuer.unwrap_or_default(),
            audiences.join("`, `"),
            self.issuer(),
            self.audiences().join("`, `"),
            if self.requires_at_jwt() {
                ", and of the type `at+jwt` (or `require_at_jwt = false`)"
            } else {
                ""
            }
        )
    }
}

fn explain_unavailable(unavailable: &ProviderUnavailable) -> CheckResult {
    let remedy = match &unavailable.cause {
        ProviderError::InvalidResponse(_) => {
            "look at what the provider answers at that address, and into its log"
        }
        ProviderError::TooManyLookups | ProviderError::CircuitOpen => "wait a moment",
        ProviderError::RequestRejected(_) => {
            "look whether the provider introspects tokens of this kind, and takes the question in this form"
        }
        ProviderError::ClientRejected(_) => {
            "compare client id and secret (or key) with what the provider has, and `client_auth` and `basic_encoding` with what it wants"
        }
        ProviderError::Misconfigured(_) => "mend the configuration as it says",
        ProviderError::Unreachable(_) => {
            "look whether the address is right, the name resolves from here, and a firewall or an unknown certificate (`ca_file`) is in between"
        }
    };
    CheckResult::fail(unavailable.cause.to_string(), remedy)
}
