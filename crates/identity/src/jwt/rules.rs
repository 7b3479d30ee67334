//! What an access token or a signed introspection response must be like.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::{
    JwtError,
    compact::{CompactJws, JwtHeader, MAX_TOKEN_BYTES},
    signature::check_signature,
};
use crate::{
    ClaimRules, TokenRejected,
    claims::{self, ClaimsSource},
    jwks::KeySet,
    strict_json::StrictObject,
};

/// The longest signed introspection response, in bytes: 64 KiB of JSON in base
/// 64, and a signature.
const MAX_INTROSPECTION_BYTES: usize = 96 << 10;

/// How old a signed introspection response may be. It has no `exp` of its own.
const MAX_INTROSPECTION_AGE: Duration = Duration::from_mins(1);

/// What a JWT of one provider must be like.
///
/// Stricter than the library's `Validation`, which accepts a missing or numeric
/// `aud`, a list of issuers, any `crit` and an `iat` in the future.
#[derive(Clone, Debug)]
pub(crate) struct JwtRules {
    /// What its claims must be like.
    pub(crate) claims: ClaimRules,
    /// The audiences of all instances. Which of them may be called with a token
    /// is decided where the instance is known.
    pub(crate) audiences: BTreeSet<String>,
    /// The accepted algorithms. One with a shared secret is never accepted, even
    /// if it is listed.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether `typ` must say that this is an access token (RFC 9068 section
    /// 2.1). If not, tokens with the marks of an ID token are rejected instead.
    pub(crate) require_at_jwt: bool,
}

impl JwtRules {
    /// Rejects a token whose unverified claims are wrong, before a key is
    /// fetched or the provider is asked. Missing claims are not an error: the
    /// provider may supply them.
    ///
    /// # Errors
    /// [`TokenRejected::Issuer`], [`TokenRejected::Audience`] or
    /// [`TokenRejected::Expired`].
    pub(crate) fn precheck(
        &self,
        claims: &StrictObject,
        now: Timestamp,
    ) -> Result<(), TokenRejected> {
        match claims.text("iss") {
            Ok(Some(issuer)) if issuer != &*self.claims.issuer => {
                return Err(TokenRejected::Issuer);
            }
            Ok(_) | Err(_) => {}
        }
        if claims.texts("aud").is_ok_and(|named| !named.is_empty()) {
            check_audience(claims, |name| self.audiences.contains(name))?;
        }
        match self.claims.validate_times(claims, false, now) {
            Err(TokenRejected::Expired) if claims.seconds("exp").is_ok() => {
                Err(TokenRejected::Expired)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Verifies an access token and returns its payload, and whether it says that
    /// it is an access token.
    ///
    /// The claims are checked before the signature, so that a token that would
    /// be rejected anyway causes no fetch of keys.
    ///
    /// # Errors
    /// [`JwtError::NeedsKey`] if only the key is missing from the set; otherwise
    /// [`JwtError::Rejected`].
    pub(crate) fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<(StrictObject, ClaimsSource), JwtError> {
        let parts = CompactJws::split(token, MAX_TOKEN_BYTES)?;
        let header = JwtHeader::read(&parts.header)?;
        let payload = StrictObject::parse(&parts.payload)?;

        let source = self.check_type(&header, &payload)?;
        self.claims.validate_issuer(&payload, ClaimsSource::Jwt)?;
        check_audience(&payload, |name| self.audiences.contains(name))?;
        self.claims.validate_times(&payload, true, now)?;
        // No key set has shared secrets either; this guards against a change there.
        if !self.algorithms.contains(&header.algorithm)
            || header.algorithm.family() == AlgorithmFamily::Hmac
        {
            return Err(TokenRejected::Algorithm.into());
        }
        check_signature(&parts, &header, keys)?;
        Ok((payload, source))
    }

    /// Verifies a signed introspection response (RFC 9701) and returns its
    /// `token_introspection`: the JSON object of an unsigned response.
    ///
    /// `client_id` is ours at the provider.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub(crate) fn verify_introspection(
        &self,
        response: &str,
        client_id: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<StrictObject, JwtError> {
        let parts = CompactJws::split(response, MAX_INTROSPECTION_BYTES)?;
        let header = JwtHeader::read(&parts.header)?;
        let payload = StrictObject::parse(&parts.payload)?;

        // RFC 9701 section 5: `typ` prevents that an access token is taken for a response.
        if !header.has_typ("token-introspection+jwt") {
            return Err(TokenRejected::WrongType.into());
        }
        self.claims.validate_issuer(&payload, ClaimsSource::Jwt)?;
        check_audience(&payload, |name| name == client_id)?;
        self.claims.validate_times(&payload, false, now)?;
        let issued = payload.seconds("iat")?.ok_or(TokenRejected::Stale)?;
        let max_age = MAX_INTROSPECTION_AGE
            .saturating_add(self.claims.skew)
            .as_secs_f64();
        if now.as_duration().as_secs_f64() - issued >= max_age {
            return Err(TokenRejected::Stale.into());
        }
        let inner = payload.object("token_introspection")?;
        let inner = inner.ok_or(TokenRejected::Malformed)?;
        if !self.algorithms.contains(&header.algorithm) {
            return Err(TokenRejected::Algorithm.into());
        }
        check_signature(&parts, &header, keys)?;
        Ok(inner)
    }

    fn check_type(
        &self,
        header: &JwtHeader,
        payload: &StrictObject,
    ) -> Result<ClaimsSource, JwtError> {
        let is_at_jwt = header.has_typ("at+jwt");
        // RFC 7519 section 5.1: `JWT`, or nothing.
        if !is_at_jwt && (self.require_at_jwt || !(header.lacks_typ() || header.has_typ("jwt"))) {
            return Err(TokenRejected::WrongType.into());
        }
        // Older versions of Keycloak add a `nonce` to access tokens.
        if claims::is_marked_as_access_token(payload)? || is_at_jwt {
            return Ok(ClaimsSource::Jwt);
        }
        // `nonce`, `at_hash` and `c_hash` are of ID tokens (OpenID Connect Core
        // section 2), `events` is of logout tokens (Back-Channel Logout section
        // 2.4).
        let mut marks = ["nonce", "at_hash", "c_hash", "events"].into_iter();
        if marks.any(|mark| payload.contains(mark)) {
            return Err(TokenRejected::IdToken.into());
        }
        Ok(ClaimsSource::UnmarkedJwt)
    }
}

fn check_audience(
    payload: &StrictObject,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), TokenRejected> {
    let named = payload.texts("aud").unwrap_or_default();
    if named.iter().any(|name| is_ours(name)) {
        Ok(())
    } else {
        Err(TokenRejected::Audience)
    }
}
