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
    /// The payload of a JWT with a valid signature that says that it is an access
    /// token (RFC 9068).
    Jwt,
    /// The payload of a JWT with a valid signature that does not say what it is.
    UnmarkedJwt,
}

/// What claims must be like. There must be an audience; whether it is the
/// instance's is checked per request ([`Principal::has_audience`]).
#[derive(Clone, PartialEq, Eq, Debug)]
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
            "token_type" | "typ" => Self::TokenType,
            _ => Self::InvalidClaim,
        }
    }
}

/// RFC 7519 section 4.1.2 has no limit; OpenID Connect Core section 2 has 255.
const MAX_SUBJECT_BYTES: usize = 255;
/// Longer than the lifetime of any token, and within the range of timestamps.
const MAX_LIFETIME_S: f64 = 10.0 * 366.0 * 86_400.0;
/// The end of the year 9999, which stands for "never" at some providers. A later
/// time is no time.
const MAX_TIME_S: f64 = 253_402_300_799.0;

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
        self.validate_token_type(claims, source, &audiences)?;
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

    /// The holder of a JWT that the provider also reported as active. What its
    /// response omits is taken from the JWT, what both name must agree, and the
    /// response does not widen what was signed.
    pub(super) fn validate_both(
        &self,
        signed: &StrictObject,
        source: ClaimsSource,
        response: StrictObject,
        now: Timestamp,
    ) -> Result<Principal, TokenRejected> {
        let client = |claims| Ok::<_, TokenRejected>(self.client(claims)?.map(|(_, id)| id));
        if differ(response.text("sub")?, signed.text("sub")?)
            || differ(client(&response)?, client(signed)?)
        {
            return Err(TokenRejected::Contradiction);
        }
        let says_type = response.text("token_type")?.is_some();
        let claims = response.or(signed);
        let audiences = signed.texts("aud")?;
        // The provider was asked about an access token.
        let proved = says_type || self.has_access_claims(&claims, &audiences)?;
        let source = if proved { ClaimsSource::Jwt } else { source };
        let mut principal = self.validate(&claims, source, now)?;
        let signed_expiry = self.validate_times(signed, true, now)?;
        let expiries = [principal.expires, signed_expiry].into_iter().flatten();
        principal.expires = expiries.min();
        principal.audiences.retain(|one| audiences.contains(one));
        let (scopes, roles) = (self.scopes(signed), self.roles(signed));
        if !scopes.is_empty() {
            principal.scopes.retain(|one| scopes.contains(one));
        }
        if !roles.is_empty() {
            principal.roles.retain(|one, _| roles.contains_key(one));
        }
        Ok(principal)
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
            Some(exp) if exp > MAX_TIME_S => return Err(TokenRejected::InvalidClaim),
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
    /// oidc-provider). The type of a JWT is in its header, or in `typ`; one that
    /// has neither may be a refresh or ID token, signed with the same keys.
    fn validate_token_type(
        &self,
        claims: &StrictObject,
        source: ClaimsSource,
        audiences: &[Box<str>],
    ) -> Result<(), TokenRejected> {
        if claims.pointer("/cnf").is_some_and(|cnf| !cnf.is_null()) {
            return Err(TokenRejected::SenderConstrained);
        }
        let marked = is_marked_as_access_token(claims)?;
        match (claims.text("token_type")?, source) {
            (Some(kind), _) if kind.eq_ignore_ascii_case("dpop") => {
                Err(TokenRejected::SenderConstrained)
            }
            (Some(kind), _) if !kind.eq_ignore_ascii_case("bearer") => {
                Err(TokenRejected::TokenType)
            }
            (_, ClaimsSource::UnmarkedJwt)
                if claims.text("sub")?.is_none()
                    || !self.has_access_claims(claims, audiences)? =>
            {
                Err(TokenRejected::Unmarked)
            }
            (None, ClaimsSource::Introspection) if !marked && !self.allow_missing_token_type => {
                Err(TokenRejected::TokenType)
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Whether claims have a scope or a client, which ID and refresh tokens lack.
    /// An ID token may name the party that it was issued to, as its audience.
    fn has_access_claims(
        &self,
        claims: &StrictObject,
        audiences: &[Box<str>],
    ) -> Result<bool, TokenRejected> {
        let is_other = |client| audiences.iter().any(|one| &**one != client);
        let client = self.client(claims)?;
        Ok(
            client.is_some_and(|(name, client)| name != "azp" || is_other(client))
                || !self.scopes(claims).is_empty(),
        )
    }

    /// The first claim that names the token's client, and the client.
    fn client<'a>(
        &self,
        claims: &'a StrictObject,
    ) -> Result<Option<(&'static str, &'a str)>, TokenRejected> {
        for claim in self.client_claims {
            if let Some(client) = claims.text(claim)?.filter(|client| !client.is_empty()) {
                return Ok(Some((claim, client)));
            }
        }
        Ok(None)
    }

    fn parse_subject(
        &self,
        claims: &StrictObject,
    ) -> Result<(CallerKind, Subject, Option<Box<str>>), TokenRejected> {
        let client = self.client(claims)?.map(|(_, client)| client);
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

fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_some() && other.is_some() && one != other
}

/// Whether `typ` says that this is an access token: Keycloak and Rauthy write
/// there what a token is.
///
/// # Errors
/// If it says that it is something else, such as `Refresh`, `Offline` or `Id`.
pub(super) fn is_marked_as_access_token(claims: &StrictObject) -> Result<bool, TokenRejected> {
    let typ = claims.text("typ")?.map(str::to_ascii_lowercase);
    match typ.as_deref() {
        Some("bearer" | "at+jwt" | "application/at+jwt" | "access" | "access_token") => Ok(true),
        Some("id") => Err(TokenRejected::IdToken),
        Some("jwt") | None => Ok(false),
        Some(_) => Err(TokenRejected::TokenType),
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
    use crate::{CallerKind, Principal, strict_json::StrictObject};

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

    // P1, canaille, Google: what is signed with the same keys as access tokens.
    #[test]
    fn unmarked_jwt_needs_subject_and_scope_or_client() {
        let accept = |changes: &Value| {
            let mut members = json!({"iss": "https://id.example.com", "token_type": null});
            for (name, value) in changes.as_object().unwrap() {
                members[name] = value.clone();
            }
            let claims = claims(&members);
            let accepted = rules().validate(&claims, ClaimsSource::UnmarkedJwt, NOW);
            accepted.map(|_| ())
        };
        for good in [
            json!({}),
            json!({"client_id": null, "scope": "openid"}),
            json!({"client_id": null, "azp": "claude"}),
            json!({"client_id": null, "azp": "claude", "aud": ["claude", "production"]}),
        ] {
            assert_eq!(accept(&good), Ok(()), "{good}");
        }
        for bad in [
            json!({"sub": null}),
            json!({"sub": null, "scope": "openid"}),
            json!({"client_id": null}),
            json!({"client_id": null, "scope": ""}),
            json!({"client_id": null, "azp": "claude", "aud": "claude"}),
        ] {
            assert_eq!(accept(&bad), Err(TokenRejected::Unmarked), "{bad}");
        }
    }

    // BC-04.
    #[test]
    fn null_members_count_as_absent() {
        let changes = json!({
            "iss": null, "nbf": null, "iat": null, "username": null, "cnf": null, "jti": null,
            "typ": null,
        });
        assert!(accept(&changes).is_ok());
        let accepted = accept(&json!({"cnf": {"jkt": "x"}}));
        assert_eq!(accepted, Err(TokenRejected::SenderConstrained));
    }

    #[test]
    fn introspected_refresh_token_with_typ_is_rejected() {
        let accepted = accept(&json!({"typ": "Refresh"}));
        assert_eq!(accepted, Err(TokenRejected::TokenType));
        // Keycloak's access token, without `token_type`.
        assert!(accept(&json!({"typ": "Bearer", "token_type": null})).is_ok());
    }

    fn both(response: &Value, signed: &Value) -> Result<Principal, TokenRejected> {
        let object = |value: &Value| StrictObject::parse(value.to_string().as_bytes()).unwrap();
        let (response, signed) = (object(response), object(signed));
        rules().validate_both(&signed, ClaimsSource::UnmarkedJwt, response, NOW)
    }

    // P5: LemonLDAP::NG, Rauthy and canaille.
    #[test]
    fn what_introspection_omits_is_taken_from_the_signed_token() {
        let signed = json!({
            "iss": "https://id.example.com", "aud": ["claude", "production"], "sub": "alice",
            "exp": 1_750_000_060, "scope": "openid profile", "client_id": "claude",
            "roles": ["reader"],
        });
        let response = json!({
            "active": true, "sub": "alice", "scope": "openid profile", "client_id": "claude",
            "exp": 1_750_000_600, "token_type": null,
        });
        let principal = both(&response, &signed).unwrap();
        let audiences: Vec<&str> = principal.audiences.iter().map(|one| &**one).collect();
        assert_eq!(audiences, ["claude", "production"]);
        assert!(principal.roles.contains_key("reader"));
        // The session may last longer than the token.
        assert_eq!(principal.expires.unwrap().as_second(), 1_750_000_060);
        // canaille: neither scope nor client in the token.
        let bare = json!({
            "iss": "https://id.example.com", "aud": "production", "sub": "alice",
            "exp": 1_750_000_060, "roles": ["reader"],
        });
        let mut response = json!({"active": true, "sub": "alice", "exp": 1_750_000_060});
        assert_eq!(both(&response, &bare), Err(TokenRejected::Unmarked));
        response["token_type"] = json!("Bearer");
        assert!(both(&response, &bare).is_ok());
    }

    #[test]
    fn introspection_and_signed_token_must_agree_and_do_not_widen_each_other() {
        let signed = json!({
            "iss": "https://id.example.com", "aud": "production", "sub": "alice",
            "exp": 1_750_000_060, "scope": "openid", "azp": "claude", "roles": ["reader"],
        });
        let response = |changes: &Value| {
            let mut response = json!({"active": true, "token_type": "Bearer"});
            for (name, value) in changes.as_object().unwrap() {
                response[name] = value.clone();
            }
            both(&response, &signed)
        };
        for (changes, why) in [
            (json!({"sub": "mallory"}), TokenRejected::Contradiction),
            (json!({"client_id": "other"}), TokenRejected::Contradiction),
            (json!({"iss": "https://evil.test"}), TokenRejected::Issuer),
            (json!({"typ": "Refresh"}), TokenRejected::TokenType),
            (json!({"cnf": {}}), TokenRejected::SenderConstrained),
        ] {
            assert_eq!(response(&changes), Err(why), "{changes}");
        }
        let principal = response(&json!({
            "aud": ["production", "staging"], "scope": "openid odoo:write",
            "roles": ["reader", "admin"], "client_id": "claude",
        }))
        .unwrap();
        assert_eq!(principal.audiences, vec![Box::from("production")]);
        assert_eq!(principal.scopes, ["openid".into()].into());
        assert!(principal.roles.keys().eq([&Box::from("reader")]));
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
