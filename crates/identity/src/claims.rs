//! Validates the claims of a token and reads its holder from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    CallerKind, Principal, TokenRejected,
    strict_json::{StrictObject, WrongType},
};
use gatepost_base::Subject;

/// Where claims come from, which decides what is proved already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClaimsSource {
    /// An introspection response (RFC 7662).
    Introspection,
    /// The payload of a JWT with a valid signature (RFC 9068).
    Jwt,
}

/// What claims must be like. There must be an audience; whether it is the
/// instance's is checked per request ([`Principal::has_audience`]).
#[derive(Clone, Debug)]
pub struct ClaimRules {
    /// The provider's own name, compared byte for byte.
    pub issuer: Arc<str>,
    /// How far the provider's clock may differ from ours.
    pub skew: Duration,
    /// Whether a token without `exp` is accepted.
    pub allow_no_exp: bool,
    /// Whether an introspection response without `token_type` is accepted.
    pub allow_missing_token_type: bool,
    /// Whether a token without a client is accepted: Zitadel's personal access
    /// tokens pass the audience check of every project.
    pub allow_no_client: bool,
    /// Claims that name the token's client; the first that exists counts.
    pub client_claims: &'static [&'static str],
    /// JSON pointers to roles or groups.
    pub role_claims: Vec<String>,
    /// JSON pointers to scopes.
    pub scope_claims: Vec<String>,
}

impl From<WrongType> for TokenRejected {
    fn from(WrongType(name): WrongType) -> Self {
        match name {
            "aud" => Self::Audience,
            "exp" => Self::Expired,
            "iss" => Self::Issuer,
            "sub" => Self::Subject,
            "token_type" => Self::TokenType,
            _ => Self::InvalidClaim,
        }
    }
}

/// RFC 7519 section 4.1.2 has no limit; OpenID Connect Core section 2 has 255.
const MAX_SUBJECT_BYTES: usize = 255;
/// Longer than the lifetime of any token, and within the range of timestamps.
const MAX_LIFETIME_S: f64 = 10.0 * 366.0 * 86_400.0;

impl ClaimRules {
    /// The holder named by the claims of a token that the provider reported
    /// as active or whose signature is valid.
    pub(super) fn validate(
        &self,
        claims: &StrictObject,
        source: ClaimsSource,
        now: Timestamp,
    ) -> Result<Principal, TokenRejected> {
        self.validate_issuer(claims, source)?;
        let expires = self.validate_times(claims, !self.allow_no_exp, now)?;
        let audiences = claims.texts("aud")?;
        if audiences.is_empty() || audiences.iter().any(|audience| audience.is_empty()) {
            return Err(TokenRejected::Audience);
        }
        self.validate_token_type(claims, source)?;
        let (kind, subject, client_id) = self.parse_subject(claims)?;
        Ok(Principal {
            issuer: Arc::clone(&self.issuer),
            kind,
            subject,
            client_id,
            scopes: self.scopes(claims),
            roles: self.roles(claims),
            audiences,
            expires,
        })
    }

    /// Compares the issuer byte for byte.
    pub(super) fn validate_issuer(
        &self,
        claims: &StrictObject,
        source: ClaimsSource,
    ) -> Result<(), TokenRejected> {
        match claims.text("iss")? {
            Some(issuer) if issuer == &*self.issuer => Ok(()),
            // The endpoint is the issuer's own (glewlwyd omits `iss`).
            None if source == ClaimsSource::Introspection => Ok(()),
            Some(_) | None => Err(TokenRejected::Issuer),
        }
    }

    /// Compares `exp`, `nbf` and `iat` with the time, and returns the expiry.
    pub(super) fn validate_times(
        &self,
        claims: &StrictObject,
        needs_expiry: bool,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, TokenRejected> {
        // Floats, because providers write them and no value overflows.
        let (time, skew) = (now.as_duration().as_secs_f64(), self.skew.as_secs_f64());
        // A NaN, which JSON does not have, would fail this comparison.
        let expires = match claims.seconds("exp")? {
            Some(exp) if exp > time - skew => Some(saturating_add_seconds(now, exp - time)),
            Some(_) => return Err(TokenRejected::Expired),
            None if needs_expiry => return Err(TokenRejected::NoExpiry),
            None => None,
        };
        for begin in ["nbf", "iat"] {
            if claims
                .seconds(begin)?
                .is_some_and(|begin| begin > time + skew)
            {
                return Err(TokenRejected::NotYetValid);
            }
        }
        Ok(expires)
    }

    /// A refresh token introspects as active too, without a type (seen with
    /// oidc-provider). The type of a JWT is checked in its header.
    fn validate_token_type(
        &self,
        claims: &StrictObject,
        source: ClaimsSource,
    ) -> Result<(), TokenRejected> {
        if claims.contains("cnf") {
            return Err(TokenRejected::SenderConstrained);
        }
        match claims.text("token_type")? {
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => Ok(()),
            Some(kind) if kind.eq_ignore_ascii_case("dpop") => {
                Err(TokenRejected::SenderConstrained)
            }
            None if source == ClaimsSource::Jwt || self.allow_missing_token_type => Ok(()),
            Some(_) | None => Err(TokenRejected::TokenType),
        }
    }

    fn parse_subject(
        &self,
        claims: &StrictObject,
    ) -> Result<(CallerKind, Subject, Option<Box<str>>), TokenRejected> {
        let mut client: Option<&str> = None;
        for claim in self.client_claims {
            client = claims.text(claim)?.filter(|client| !client.is_empty());
            if client.is_some() {
                break;
            }
        }
        if client.is_some_and(|client| !is_valid_identifier(client)) {
            return Err(TokenRejected::NoClient);
        }
        if client.is_none() && !self.allow_no_client {
            return Err(TokenRejected::NoClient);
        }
        let is_program = is_program(claims, client)?;
        let (kind, subject) = match (claims.text("sub")?, client) {
            // RFC 9068 section 2.2: a client that acts for itself is its own subject.
            (Some(subject), Some(client)) if subject == client => {
                (CallerKind::Client, format!("client:{client}"))
            }
            // A user must not pass for a program by the choice of a subject.
            (Some(subject), _)
                if is_valid_identifier(subject) && !subject.starts_with("client:") =>
            {
                let kind = if is_program {
                    CallerKind::Client
                } else {
                    CallerKind::User
                };
                (kind, subject.to_owned())
            }
            (None, Some(client)) => (CallerKind::Client, format!("client:{client}")),
            (Some(_), _) | (None, None) => return Err(TokenRejected::Subject),
        };
        Ok((kind, Subject::verified(&subject), client.map(Into::into)))
    }

    fn scopes(&self, claims: &StrictObject) -> BTreeSet<Box<str>> {
        let found = self.scope_claims.iter().map(|claim| claims.pointer(claim));
        found.flat_map(string_list).collect()
    }

    fn roles(&self, claims: &StrictObject) -> BTreeMap<Box<str>, BTreeSet<Box<str>>> {
        let mut roles: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for pointer in &self.role_claims {
            match claims.pointer(pointer) {
                // Zitadel: role -> organization -> its domain.
                Some(Value::Object(map)) => {
                    for (role, organizations) in map {
                        let known = roles.entry(role.as_str().into()).or_default();
                        let organizations = organizations.as_object().into_iter().flatten();
                        known.extend(organizations.map(|(id, _)| Box::from(id.as_str())));
                    }
                }
                other => {
                    for name in string_list(other) {
                        roles.entry(name).or_default();
                    }
                }
            }
        }
        roles
    }
}

/// A list of texts, or the words of one text.
fn string_list(value: Option<&Value>) -> Vec<Box<str>> {
    match value {
        Some(Value::String(words)) => words.split_ascii_whitespace().map(Into::into).collect(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.as_str().map(Into::into))
            .collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    }
}

/// Whether a token with a subject belongs to a program: Entra says so by `idtyp`,
/// Auth0 by `gty` and the form of `sub`, Keycloak by the name of the client's
/// service account.
fn is_program(claims: &StrictObject, client: Option<&str>) -> Result<bool, TokenRejected> {
    let has = |name, value| Ok::<_, TokenRejected>(claims.text(name)? == Some(value));
    let of_auth0 = client.is_some_and(|client| {
        let subject = claims.text("sub").ok().flatten();
        subject.and_then(|text| text.strip_suffix("@clients")) == Some(client)
    });
    let account = client.map(|client| format!("service-account-{}", client.to_lowercase()));
    let of_keycloak = ["username", "preferred_username"].iter().any(|name| {
        let user = claims.text(name).ok().flatten();
        user.is_some() && user == account.as_deref()
    });
    Ok(has("idtyp", "app")? || has("gty", "client-credentials")? || of_auth0 || of_keycloak)
}

fn is_valid_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SUBJECT_BYTES && !text.chars().any(char::is_control)
}

fn saturating_add_seconds(now: Timestamp, seconds: f64) -> Timestamp {
    let ahead = Duration::from_secs_f64(seconds.clamp(0.0, MAX_LIFETIME_S));
    now.saturating_add(ahead).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::{ClaimRules, ClaimsSource, TokenRejected};
    use crate::{CallerKind, strict_json::StrictObject};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn rules() -> ClaimRules {
        ClaimRules {
            issuer: "https://id.example.com".into(),
            skew: Duration::from_secs(5),
            allow_no_exp: false,
            allow_missing_token_type: false,
            allow_no_client: true,
            client_claims: &["client_id", "azp"],
            role_claims: vec!["/roles".to_owned()],
            scope_claims: vec!["/scope".to_owned()],
        }
    }

    fn claims(changes: &Value) -> StrictObject {
        let mut claims = json!({
            "active": true, "sub": "alice", "client_id": "claude", "aud": "production",
            "token_type": "Bearer", "exp": 1_750_000_060,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        StrictObject::parse(claims.to_string().as_bytes()).unwrap()
    }

    fn accept(changes: &Value) -> Result<(CallerKind, String), TokenRejected> {
        let principal = rules().validate(&claims(changes), ClaimsSource::Introspection, NOW)?;
        Ok((principal.kind, principal.subject.to_string()))
    }

    #[test]
    fn programs_and_users_are_distinguished_by_provider_claims() {
        for (changes, kind) in [
            (json!({}), CallerKind::User),
            (json!({"username": "alice@example.com"}), CallerKind::User),
            (json!({"sub": null}), CallerKind::Client),
            (json!({"sub": "claude"}), CallerKind::Client),
            (json!({"idtyp": "app"}), CallerKind::Client),
            (json!({"gty": "client-credentials"}), CallerKind::Client),
            (json!({"sub": "claude@clients"}), CallerKind::Client),
            (json!({"sub": "mallory@clients"}), CallerKind::User),
            (
                json!({"sub": "5f3c", "preferred_username": "service-account-claude"}),
                CallerKind::Client,
            ),
            (
                json!({"sub": "5f3c", "username": "service-account-other"}),
                CallerKind::User,
            ),
        ] {
            assert_eq!(
                accept(&changes).map(|accepted| accepted.0),
                Ok(kind),
                "{changes}"
            );
        }
    }

    #[test]
    fn user_subject_with_client_prefix_is_rejected() {
        let accepted = accept(&json!({"sub": "client:robot"}));
        assert_eq!(accepted, Err(TokenRejected::Subject));
        let accepted = accept(&json!({"sub": null, "client_id": "robot"}));
        assert_eq!(
            accepted,
            Ok((CallerKind::Client, "client:robot".to_owned()))
        );
    }
}
