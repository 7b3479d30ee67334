//! Whether a provider does what we need of it, for the administrator.

use std::sync::Arc;

use super::{
    Bearer, Metadata, NotAccepted, Now, Principal, Provider, Recollection, Trouble, Unavailable,
    Unproven, jwt::Unverified, provider::NOBODYS,
};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Whether it is right.
    pub verdict: Verdict,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Whether something is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It is.
    Good,
    /// It works, and for some it may not.
    Doubtful,
    /// It does not work.
    Bad,
}

impl Finding {
    /// Something that is right.
    pub fn good(text: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Good,
            text: text.into(),
            remedy: None,
        }
    }

    /// Something that may not be right for all.
    pub fn doubtful(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Doubtful,
            text: text.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Something that is wrong.
    pub fn bad(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            text: text.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Provider {
    /// Walks the chain from the issuer to an answer about a token.
    pub async fn examine(self: &Arc<Self>, now: Now) -> Vec<Finding> {
        let mut findings = Vec::new();
        match self.metadata(now).await {
            Ok(metadata) => {
                findings.push(Finding::good(format!(
                    "the metadata of `{}` are there and name it exactly so",
                    self.issuer()
                )));
                findings.extend(self.examine_metadata(&metadata));
            }
            Err(unavailable) => findings.push(of_trouble(&unavailable)),
        }
        findings.extend(self.examine_addresses().await);
        if self.uses_keys() {
            findings.push(match self.keys_known(now).await {
                Ok(()) => Finding::good("its keys can be read"),
                Err(unavailable) => of_trouble(&unavailable),
            });
        }
        if self.takes_opaque() {
            findings.push(self.examine_introspection(now).await);
        }
        findings
    }

    async fn examine_introspection(self: &Arc<Self>, now: Now) -> Finding {
        match self.look_up_once(NOBODYS, now).await {
            Ok(()) => Finding::bad(
                "it calls a token good that nobody gave",
                "do not use this provider; it vouches for everything",
            ),
            Err(Unproven::NotAccepted(NotAccepted::Inactive)) => Finding::good(
                "it takes our own credentials, and says that a made-up token is not good",
            ),
            Err(Unproven::NotAccepted(why)) => Finding::bad(
                format!(
                    "it calls a made-up token good, which was refused for `{}` only",
                    why.reason()
                ),
                "do not use this provider; it vouches for everything",
            ),
            Err(Unproven::Unavailable(unavailable)) => of_trouble(&unavailable),
        }
    }

    fn examine_metadata(&self, metadata: &Metadata) -> Vec<Finding> {
        let mut findings = Vec::new();
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == wanted);
        if !has(&metadata.code_challenge_methods_supported, "S256") {
            findings.push(Finding::doubtful(
                "it does not say that it knows PKCE with S256, without which clients of MCP refuse to log in",
                "switch PKCE on there; some providers (Entra) have it and do not say so",
            ));
        }
        findings.push(
            match (
                &metadata.registration_endpoint,
                metadata.client_id_metadata_document_supported,
            ) {
                (Some(_), true) => Finding::good(
                    "clients can register themselves (RFC 7591), or be named by a URL",
                ),
                (Some(_), false) => Finding::good("clients can register themselves (RFC 7591)"),
                (None, true) => {
                    Finding::good("clients can be named by a URL (client id metadata documents)")
                }
                (None, false) => Finding::doubtful(
                    "no client can register itself there",
                    "make one public client and have people paste its id, or configure `[facade]`",
                ),
            },
        );
        if !metadata.token_endpoint_auth_methods_supported.is_empty()
            && !has(&metadata.token_endpoint_auth_methods_supported, "none")
        {
            findings.push(Finding::doubtful(
                "it does not say that it knows clients without a secret (`none`), which most assistants are",
                "allow public clients there",
            ));
        }
        if metadata.authorization_response_iss_parameter_supported {
            findings.push(Finding::good(
                "it names itself in what comes back from a login (RFC 9207)",
            ));
        }
        let methods = &metadata.introspection_endpoint_auth_methods_supported;
        if let (Some(method), true) = (self.auth_method(), self.takes_opaque())
            && !methods.is_empty()
            && !has(methods, method)
        {
            findings.push(Finding::doubtful(
                format!(
                    "it does not name `{method}` among the ways to prove who asks about tokens"
                ),
                format!("set `client_auth` to one of: {}", methods.join(", ")),
            ));
        }
        let subjects = &metadata.subject_types_supported;
        if !subjects.is_empty() && !has(subjects, "public") {
            findings.push(Finding::doubtful(
                "its ids of users differ per client (`pairwise`), so that grants by `subject` hold for one client only",
                "grant by roles, or have it use public ids",
            ));
        }
        findings
    }

    async fn examine_addresses(&self) -> Vec<Finding> {
        match self.is_public().await {
            Some(false) => vec![Finding::doubtful(
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
    pub async fn examine_token(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        now: Now,
    ) -> Result<Arc<Principal>, Finding> {
        let told = match self.recall(bearer, None, now) {
            Recollection::Good(principal) => Ok(principal),
            Recollection::Refused(why) => Err(why.into()),
            Recollection::Unknown(unknown) => {
                let found = self.look_up(bearer, &unknown, now).await;
                found.map(|found| found.principal)
            }
        };
        told.map_err(|why| match why {
            Unproven::NotAccepted(why) => self.of_refusal(why, bearer),
            Unproven::Unavailable(unavailable) => of_trouble(&unavailable),
        })
    }

    /// Why a token is refused, with all that the administrator may know.
    fn of_refusal(&self, why: NotAccepted, bearer: Bearer<'_>) -> Finding {
        let remedy = match why {
            NotAccepted::Audience => "the token says no audience, or in a form that is none; have the provider put one in".to_owned(),
            NotAccepted::BrokenClaim => "a claim has a form that it must not have; look at what the provider puts into it".to_owned(),
            NotAccepted::Client => "the token was issued to no client (a personal access token?); set `allow_pat = true` if such are to be taken".to_owned(),
            NotAccepted::Expired => "get a new token; if it is new, compare the clocks".to_owned(),
            NotAccepted::Inactive => "the provider does not know the token, or no longer; Zitadel and Keycloak also say so when our client is not in the token's audience".to_owned(),
            NotAccepted::Issuer => format!("the answer names another issuer than `{}`", self.issuer()),
            NotAccepted::NoExpiry => "the token has no end; set `allow_no_exp = true` if that is meant so".to_owned(),
            NotAccepted::NotYetValid => "its time has not come; compare the clocks".to_owned(),
            NotAccepted::NotVerified("too_short") => {
                "no provider gives one that short; was all of it pasted?".to_owned()
            }
            NotAccepted::NotVerified(_) => self.about_jwt(bearer),
            NotAccepted::NoProvider => "no instance takes tokens of a provider".to_owned(),
            NotAccepted::SenderConstrained => "the token is bound to a key (DPoP, mTLS), which is not supported; switch that off for this client".to_owned(),
            NotAccepted::Subject => "the token names nobody: neither `sub` nor a client".to_owned(),
            NotAccepted::TokenType => "it is not an access token (an ID token or a refresh token?); or set `allow_missing_token_type = true` for a provider that never says".to_owned(),
        };
        Finding::bad(format!("the token is refused: {}", why.reason()), remedy)
    }

    /// What a JWT says of itself, against what it should say.
    fn about_jwt(&self, bearer: Bearer<'_>) -> String {
        let Some(said) = Unverified::read(bearer.reveal()) else {
            return "it is no JWT; set `validation = \"introspection\"` if the provider gives opaque tokens, or ask it for an audience (Auth0)".to_owned();
        };
        let audiences = said.audiences.unwrap_or_default();
        format!(
            "it says that it is from `{}` for `{}`; `{}` for one of `{}` is wanted, signed with one of its keys{}",
            said.issuer.unwrap_or_default(),
            audiences.join("`, `"),
            self.issuer(),
            self.audiences().join("`, `"),
            if self.wants_at_jwt() {
                ", and of the type `at+jwt` (or `require_at_jwt = false`)"
            } else {
                ""
            }
        )
    }
}

fn of_trouble(unavailable: &Unavailable) -> Finding {
    let remedy = match &unavailable.why {
        Trouble::BadAnswer(_) => {
            "look at what the provider answers at that address, and into its log"
        }
        Trouble::Busy | Trouble::Resting => "wait a moment",
        Trouble::NoAnswer(_) => {
            "look whether the provider introspects tokens of this kind, and takes the question in this form"
        }
        Trouble::Credentials(_) => {
            "compare client id and secret (or key) with what the provider has, and `client_auth` and `basic_encoding` with what it wants"
        }
        Trouble::Misconfigured(_) => "mend the configuration as it says",
        Trouble::Unreachable(_) => {
            "look whether the address is right, the name resolves from here, and a firewall or an unknown certificate (`ca_file`) is in between"
        }
    };
    Finding::bad(unavailable.why.to_string(), remedy)
}
