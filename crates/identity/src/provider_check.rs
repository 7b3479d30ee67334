//! Checks, for the administrator, that a provider supports what the gateway
//! needs.

use std::sync::Arc;

use super::{
    AddressStanding, Bearer, Metadata, Now, Principal, Provider, ProviderError,
    ProviderUnavailable, TokenCacheLookup, TokenError, TokenRejected, Validation,
    introspector::{IntrospectionAnswer, RefusalCause},
    jwt,
};

/// The result of one check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckResult {
    /// How severe it is.
    pub status: CheckStatus,
    /// The finding.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The key of the provider's section that most likely has to change, if one is
    /// known.
    pub setting: Option<&'static str>,
}

/// The severity of a result, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CheckStatus {
    /// It works.
    Pass,
    /// It may not work for some clients.
    Warn,
    /// It does not work.
    Fail,
}

impl CheckResult {
    /// A finding that needs no action.
    pub fn pass(text: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Pass,
            message: text.into(),
            remedy: None,
            setting: None,
        }
    }

    /// A finding that may be a problem for some clients.
    pub fn warn(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Warn,
            message: text.into(),
            remedy: Some(remedy.into()),
            setting: None,
        }
    }

    /// A finding that must be fixed.
    pub fn fail(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Fail,
            message: text.into(),
            remedy: Some(remedy.into()),
            setting: None,
        }
    }

    /// This result, about a key of the provider's section.
    #[must_use]
    fn about(self, setting: &'static str) -> Self {
        Self {
            setting: Some(setting),
            ..self
        }
    }
}

impl Provider {
    /// Checks the metadata, the keys, and an introspection request.
    pub async fn check(self: &Arc<Self>, now: Now) -> Vec<CheckResult> {
        let mut results = Vec::new();
        match self.metadata(now).await {
            Ok(metadata) => {
                results.push(CheckResult::pass(format!(
                    "the metadata is readable and names `{}` as its issuer",
                    self.issuer()
                )));
                results.extend(self.check_metadata(&metadata));
            }
            Err(unavailable) => results.push(explain_unavailable(&unavailable)),
        }
        results.push(match self.endpoints.walk_client_discovery().await {
            Ok(url) => CheckResult::pass(format!("clients find the metadata at `{url}`")),
            Err(steps) => CheckResult::warn(
                format!("clients may not find the metadata: {steps}"),
                "let `[facade]` publish it, or configure the provider or its proxy to answer 404 where there is none",
            ),
        });
        if self.endpoints.http.is_public().await == Some(false) {
            results.push(CheckResult::warn(
                "its address is not public, so that assistants in a cloud (claude.ai, ChatGPT) cannot reach it to log in",
                "no action is needed if all clients are in your own network",
            ));
        }
        let settings = &self.settings;
        if settings.validation != Validation::Introspection || settings.signed_introspection {
            results.push(match self.keys.load(now).await {
                Ok(_) => CheckResult::pass("its keys are readable"),
                Err(unavailable) => explain_unavailable(&unavailable),
            });
        }
        if self.accepts_opaque() {
            results.push(self.check_introspection(now).await);
        }
        results
    }

    async fn check_introspection(&self, now: Now) -> CheckResult {
        let introspector = &self.introspector;
        let probe = match introspector.probe(now).await {
            Ok(probe) => probe,
            Err(unavailable) => return explain_unavailable(&unavailable),
        };
        let cause = match &probe {
            IntrospectionAnswer::Active(_) => {
                return CheckResult::fail(
                    "it reports a made-up token as active",
                    "do not use this provider: it reports every token as active",
                );
            }
            IntrospectionAnswer::Inactive => Ok(RefusalCause::Token),
            IntrospectionAnswer::Refused(refusal) => {
                introspector.refusal_cause(refusal, &probe, now).await
            }
        };
        match (cause, introspector.checks_secret(&probe, now).await) {
            (Ok(RefusalCause::Client), _) => {
                let received = match probe {
                    IntrospectionAnswer::Refused(refusal) => refusal.received,
                    IntrospectionAnswer::Active(_) | IntrospectionAnswer::Inactive => {
                        "no answer".into()
                    }
                };
                explain_unavailable(&ProviderError::ClientRejected(received).into())
            }
            (Ok(_), Ok(true)) => CheckResult::pass(
                "it accepts the gateway's credentials and rejects a made-up token",
            ),
            (Ok(_), Ok(false)) => CheckResult::warn(
                "it answers an invented client secret as it answers the gateway's, so that it is not proved that it accepts the gateway's credentials",
                "check them with a real token: `gatepost check --live --token < token.txt`",
            ),
            (Err(unavailable), _) | (_, Err(unavailable)) => explain_unavailable(&unavailable),
        }
    }

    fn check_metadata(&self, metadata: &Metadata) -> Vec<CheckResult> {
        let mut results = Vec::new();
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == wanted);
        if !has(&metadata.code_challenge_methods_supported, "S256") {
            results.push(CheckResult::warn(
                "its metadata does not list PKCE with S256, without which MCP clients do not log in",
                "enable PKCE there; some providers (Entra) support it without listing it",
            ));
        }
        results.push(
            match (
                &metadata.registration_endpoint,
                metadata.client_id_metadata_document_supported,
            ) {
                (Some(_), true) => CheckResult::pass(
                    "its metadata says that clients can register themselves (RFC 7591) or use a URL as client id; only a login shows whether their tokens have the right audience",
                ),
                (Some(_), false) => CheckResult::pass(
                    "its metadata says that clients can register themselves (RFC 7591); only a login shows whether their tokens have the right audience",
                ),
                (None, true) => CheckResult::pass(
                    "clients can use a URL as client id (client id metadata documents)",
                ),
                (None, false) => CheckResult::warn(
                    "clients cannot register themselves",
                    "create one public client and let users enter its id, or configure `[facade]`",
                ),
            },
        );
        if !metadata.token_endpoint_auth_methods_supported.is_empty()
            && !has(&metadata.token_endpoint_auth_methods_supported, "none")
        {
            results.push(CheckResult::warn(
                "its metadata does not list public clients (`none`), which most assistants are",
                "allow public clients there",
            ));
        }
        if metadata.authorization_response_iss_parameter_supported {
            results.push(CheckResult::pass(
                "it names its issuer in authorization responses (RFC 9207)",
            ));
        }
        let methods = &metadata.introspection_endpoint_auth_methods_supported;
        if let (Some(auth), true) = (self.settings.client_auth.as_deref(), self.accepts_opaque())
            && !methods.is_empty()
            && !has(methods, auth.method())
        {
            results.push(CheckResult::warn(
                format!(
                    "its metadata does not list `{}` for introspection",
                    auth.method()
                ),
                format!("set `client_auth` to one of: {}", methods.join(", ")),
            ));
        }
        let subjects = &metadata.subject_types_supported;
        if !subjects.is_empty() && !has(subjects, "public") {
            results.push(CheckResult::warn(
                "its user ids differ per client (`pairwise`), so that a grant by `subject` applies to one client only",
                "grant by roles, or configure public user ids there",
            ));
        }
        results
    }

    /// The holder of a token.
    ///
    /// # Errors
    /// Why it is not accepted; [`explain`](Self::explain) has a remedy.
    pub async fn check_token(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        now: Now,
    ) -> Result<Arc<Principal>, TokenError> {
        match self.cached(bearer, None, now) {
            TokenCacheLookup::Valid(principal) => Ok(principal),
            TokenCacheLookup::Rejected(why) => Err(why.into()),
            TokenCacheLookup::Miss(miss) => {
                let verified = self
                    .look_up(bearer, &miss, AddressStanding::Known, now)
                    .await;
                verified.map(|verified| verified.principal)
            }
        }
    }

    /// Why a token is not accepted, with a remedy, for the administrator.
    pub fn explain(&self, error: &TokenError, bearer: Bearer<'_>) -> CheckResult {
        match error {
            TokenError::Rejected(why) => self.explain_rejection(*why, bearer),
            TokenError::Unavailable(unavailable) => explain_unavailable(unavailable),
        }
    }

    /// Why a token is rejected, in the detail that an administrator may see.
    fn explain_rejection(&self, why: TokenRejected, bearer: Bearer<'_>) -> CheckResult {
        let by_signature = self.settings.validation != Validation::Introspection;
        let remedy = match why {
            TokenRejected::Algorithm => self.explain_algorithm(bearer),
            TokenRejected::Audience | TokenRejected::Issuer => self.explain_jwt(bearer),
            TokenRejected::Contradiction => "the introspection response and the signed token name different subjects or clients; set `validation = \"jwt\"`, or `\"introspection\"`".to_owned(),
            TokenRejected::Expired => "get a new token; if it is new, compare the clocks".to_owned(),
            TokenRejected::Inactive => "the provider does not know the token, or no longer; Zitadel and Keycloak also say so if the gateway's client is not in the token's audience".to_owned(),
            TokenRejected::InvalidClaim => "a claim has the wrong type or an impossible value; check what the provider writes into it".to_owned(),
            TokenRejected::NotYetValid => "the token is not valid yet; compare the clocks".to_owned(),
            TokenRejected::NoProvider => "no instance accepts tokens of a provider".to_owned(),
            TokenRejected::SenderConstrained => "the token is bound to a key (DPoP, mTLS), which is not supported; disable that for this client".to_owned(),
            TokenRejected::Subject => "the token has neither a valid `sub` nor a client".to_owned(),
            TokenRejected::TooShort => "no provider issues tokens this short; was it pasted completely?".to_owned(),
            TokenRejected::NoClient
            | TokenRejected::NoExpiry
            | TokenRejected::TokenType
            | TokenRejected::Unmarked
            | TokenRejected::WrongType => why.log_help().unwrap_or_default().to_owned(),
            TokenRejected::IdToken => "it is an ID token or a logout token; paste the access token".to_owned(),
            TokenRejected::DuplicateMember
            | TokenRejected::ForbiddenHeader
            | TokenRejected::KeyMismatch
            | TokenRejected::Malformed
            | TokenRejected::NoKeyId
            | TokenRejected::NotJwt
            | TokenRejected::Signature
            | TokenRejected::Stale
            | TokenRejected::TooLong
            | TokenRejected::UnknownKey => if by_signature {
                format!("{}; it must be signed by one of the issuer's keys", self.explain_jwt(bearer))
            } else {
                "the provider failed to introspect it, and it is not a JWT that the provider signed".to_owned()
            },
        };
        CheckResult::fail(format!("the token is rejected: {}", why.reason()), remedy)
    }

    /// Which algorithm a rejected JWT is signed with, which ones are accepted, and what
    /// would change that. For the log and the administrator.
    pub fn explain_algorithm(&self, bearer: Bearer<'_>) -> String {
        let named = jwt::unverified_algorithm(bearer.reveal()).unwrap_or_default();
        let accepted = self.settings.algorithms.join("`, `");
        if jwt::is_supported_algorithm(&named) {
            format!(
                "the token is signed with `{named}`, and `algorithms` is `{accepted}`; add it there if the provider signs with it"
            )
        } else {
            format!(
                "the token's `alg` is `{named}`, which is never accepted; make the provider sign with an algorithm of `algorithms`: `{accepted}`"
            )
        }
    }

    /// Issuer and audience of a JWT, compared with the required ones.
    fn explain_jwt(&self, bearer: Bearer<'_>) -> String {
        let required = self.settings.audiences.join("`, `");
        let Some(claims) = jwt::unverified_claims(bearer.reveal()) else {
            return if self.settings.validation == Validation::Jwt {
                "it is not a JWT; set `validation = \"introspection\"` if the provider issues opaque tokens, or request an audience from it (Auth0)".to_owned()
            } else {
                format!(
                    "the introspection response has no valid `aud` or another `iss` than `{}`; the required audience is one of `{required}`. Configure the provider to add it, or to issue JWTs that have it, with `validation = \"jwt_then_introspection\"`",
                    self.issuer()
                )
            };
        };
        let audiences = claims.texts("aud").unwrap_or_default();
        if audiences
            .iter()
            .any(|one| self.settings.audiences.iter().any(|own| **own == **one))
            && self.settings.validation == Validation::Introspection
        {
            return "the token has the right `aud`, but the introspection response does not; set `validation = \"jwt_then_introspection\"`".to_owned();
        }
        format!(
            "its issuer is `{}` and its audience `{}`; required are issuer `{}` and one of the audiences `{required}`",
            claims.text("iss").ok().flatten().unwrap_or_default(),
            audiences.join("`, `"),
            self.issuer(),
        )
    }
}

fn explain_unavailable(unavailable: &ProviderUnavailable) -> CheckResult {
    let failed = |setting, remedy: &str| {
        CheckResult::fail(unavailable.cause.to_string(), remedy).about(setting)
    };
    match &unavailable.cause {
        ProviderError::CircuitOpen => failed("issuer", "see the errors before this one"),
        ProviderError::TooManyLookups => failed("max_in_flight", "check again in a moment"),
        ProviderError::ClientRejected(_) | ProviderError::ClientUnproved(_) => failed(
            "client_id",
            "compare client id and secret (or key) with those at the provider, and `client_auth` and `basic_encoding` with what it expects",
        ),
        ProviderError::InvalidResponse(_) => failed(
            "issuer",
            "check the provider's response at that address, and its log",
        ),
        ProviderError::Misconfigured(_) => {
            failed("issuer", "change the configuration as described")
        }
        ProviderError::RequestRejected(_) => failed(
            "introspection_url",
            "check whether the provider introspects tokens of this kind, and accepts requests of this form",
        ),
        ProviderError::Unreachable(why) => match &why.handshake {
            Some(handshake) if handshake.is_about_url() => failed("issuer", &handshake.remedy()),
            Some(handshake) => failed("ca_file", &handshake.remedy()),
            None if why.text.contains("redirects to") => failed(
                "issuer",
                "write `issuer` exactly as the provider calls itself, which is usually the address that it redirects to",
            ),
            None if why.text.contains("`private_networks`") => failed(
                "private_networks",
                "add the network only if the provider is really there",
            ),
            None => failed("issuer", "check the address, name resolution and firewalls"),
        },
    }
}
