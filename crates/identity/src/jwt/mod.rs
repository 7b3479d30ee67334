//! Whether a JWT was made by the provider, for us, and holds now.
//!
//! It reads texts and keys and does nothing else: it fetches no key, and it
//! does not look at who the token is about. That is judged from the payload,
//! in the same way as what an introspection endpoint answers.

mod compact;
mod rejected;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use self::compact::{CompactJws, JwtHeader};
pub(super) use self::{
    compact::parse_algorithm,
    rejected::{JwtError, JwtRejected},
};
use super::{
    jwks::KeySet,
    strict_json::{InvalidObject, StrictObject, WrongType},
};

/// The longest access token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The longest signed answer of an introspection endpoint, in bytes: 64 KiB of
/// JSON in base 64, and a signature.
const MAX_INTROSPECTION_BYTES: usize = 96 << 10;

/// How old a signed introspection answer may be. It has no `exp` of its own.
const MAX_INTROSPECTION_AGE: Duration = Duration::from_mins(1);

/// What a JWT of one provider must be like.
///
/// Stricter than the library's `Validation`, which takes a missing or numeric
/// `aud`, an `iss` in a list, any `crit` and an `iat` in the future.
#[derive(Clone, Debug)]
pub(crate) struct JwtRules {
    /// The provider's issuer, compared byte for byte.
    pub(crate) issuer: String,
    /// What `aud` may name: all that any of our instances accepts. Which of
    /// them may be called with it is decided where the instance is known.
    pub(crate) audiences: BTreeSet<String>,
    /// The algorithms that may sign. One with a shared secret is never
    /// accepted, though it stood here.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether `typ` must say that this is an access token (RFC 9068 section
    /// 2.1). If not, what marks an ID token is refused instead.
    pub(crate) require_at_jwt: bool,
    /// How far the provider's clock may be from ours.
    pub(crate) clock_skew: Duration,
}

/// What a JWT says of itself; anybody may have written it.
///
/// Only good for refusing early, and for finding out whose token it may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnverifiedJwt {
    /// `iss`, if it is a text.
    pub(crate) issuer: Option<String>,
    /// `aud`, if it is a text or a list of texts.
    pub(crate) audiences: Option<Vec<Box<str>>>,
    /// `exp` in seconds since 1970, if it is a number.
    pub(crate) expires: Option<f64>,
}

impl UnverifiedJwt {
    /// Reads a token. `None` when it is no JWT, but opaque to us: only its
    /// provider can tell what it is.
    ///
    /// One that names a member twice is as good as opaque: it is not known
    /// which of the two its provider would believe.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let parts = CompactJws::split(token, MAX_TOKEN_BYTES).ok()?;
        // RFC 7515 section 4.1.1: `alg` is in every header.
        if !StrictObject::parse(&parts.header).ok()?.contains("alg") {
            return None;
        }
        let payload = StrictObject::parse(&parts.payload).ok()?;
        let issuer = payload.text("iss").ok().flatten();
        let audiences = payload.texts("aud").ok();
        Some(Self {
            issuer: issuer.map(str::to_owned),
            audiences: audiences.filter(|all| !all.is_empty()),
            expires: payload.seconds("exp").ok().flatten(),
        })
    }
}

/// Whether tokens may be signed with the algorithm of this name.
pub fn is_supported_algorithm(name: &str) -> bool {
    parse_algorithm(name).is_some()
}

impl JwtRules {
    /// Refuses what is certain to be refused, before any key is looked for or
    /// the provider is asked. What a token does not say, its provider may.
    ///
    /// # Errors
    /// [`NotAccepted::Issuer`], [`NotAccepted::Audience`] and
    /// [`NotAccepted::Expired`].
    pub(crate) fn precheck(
        &self,
        token: &UnverifiedJwt,
        now: Timestamp,
    ) -> Result<(), JwtRejected> {
        let clock = SkewedClock::new(now, self.clock_skew);
        if token.issuer.as_ref().is_some_and(|it| *it != self.issuer) {
            return Err(JwtRejected::Issuer);
        }
        let is_ours = |all: &Vec<Box<str>>| all.iter().any(|one| self.audiences.contains(&**one));
        if token.audiences.as_ref().is_some_and(|all| !is_ours(all)) {
            return Err(JwtRejected::Audience);
        }
        if token.expires.is_some_and(|time| clock.is_past(time)) {
            return Err(JwtRejected::Expired);
        }
        Ok(())
    }

    /// Verifies an access token and gives its payload, a JSON object in which
    /// nothing is said twice.
    ///
    /// What it says is looked at before the key, so that a token that would be
    /// refused anyway makes nobody fetch keys. It is the same text that the
    /// signature then covers.
    ///
    /// # Errors
    /// [`Unproven::NeedsKey`] when all is well but for the key, which is not
    /// in the set; else [`Unproven::NotAccepted`].
    pub(crate) fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<StrictObject, JwtError> {
        let parts = CompactJws::split(token, MAX_TOKEN_BYTES)?;
        let header = JwtHeader::read(&parts.header)?;
        let payload = StrictObject::parse(&parts.payload)?;
        let clock = SkewedClock::new(now, self.clock_skew);

        self.check_type(&header, &payload)?;
        self.check_issuer(&payload)?;
        check_audience(&payload, |name| self.audiences.contains(name))?;
        match numeric_date(&payload, "exp")? {
            None => return Err(JwtRejected::NoExpiry.into()),
            Some(expires) if clock.is_past(expires) => return Err(JwtRejected::Expired.into()),
            Some(_) => {}
        }
        check_not_before(&payload, &clock)?;
        self.check_signature(&parts, &header, keys)?;
        Ok(payload)
    }

    /// Verifies a signed answer of the introspection endpoint (RFC 9701) and
    /// gives its `token_introspection`: the JSON object that the plain answer
    /// would have been.
    ///
    /// `client_id` is ours, by which the endpoint knows us.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub(crate) fn verify_introspection(
        &self,
        answer: &str,
        client_id: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<StrictObject, JwtError> {
        let parts = CompactJws::split(answer, MAX_INTROSPECTION_BYTES)?;
        let header = JwtHeader::read(&parts.header)?;
        let payload = StrictObject::parse(&parts.payload)?;
        let clock = SkewedClock::new(now, self.clock_skew);

        // RFC 9701 section 5: by `typ`, no access token passes for an answer.
        if !header.has_typ("token-introspection+jwt") {
            return Err(JwtRejected::WrongType.into());
        }
        self.check_issuer(&payload)?;
        check_audience(&payload, |name| name == client_id)?;
        let issued = numeric_date(&payload, "iat")?.ok_or(JwtRejected::Stale)?;
        if clock.is_past(issued + MAX_INTROSPECTION_AGE.as_secs_f64()) {
            return Err(JwtRejected::Stale.into());
        }
        if numeric_date(&payload, "exp")?.is_some_and(|expires| clock.is_past(expires)) {
            return Err(JwtRejected::Expired.into());
        }
        check_not_before(&payload, &clock)?;
        let inner = payload.object("token_introspection")?;
        let inner = inner.ok_or(JwtRejected::Malformed)?;
        self.check_signature(&parts, &header, keys)?;
        Ok(inner)
    }

    fn check_type(&self, header: &JwtHeader, payload: &StrictObject) -> Result<(), JwtRejected> {
        if header.has_typ("at+jwt") {
            return Ok(());
        }
        // RFC 7519 section 5.1: `JWT`, or nothing.
        if self.require_at_jwt || !(header.lacks_typ() || header.has_typ("jwt")) {
            return Err(JwtRejected::WrongType);
        }
        // `nonce`, `at_hash` and `c_hash` are of ID tokens (OpenID Connect Core
        // section 2), `events` is of logout tokens (Back-Channel Logout section
        // 2.4), and Keycloak says `typ` in the payload.
        let marks = ["nonce", "at_hash", "c_hash", "events"];
        let kind = payload.text("typ")?;
        // Keycloak's own word for an access token; older ones put a `nonce` into it.
        if kind == Some("Bearer") {
            return Ok(());
        }
        if marks.into_iter().any(|mark| payload.contains(mark)) || kind == Some("ID") {
            return Err(JwtRejected::IdToken);
        }
        Ok(())
    }

    fn check_issuer(&self, payload: &StrictObject) -> Result<(), JwtRejected> {
        match payload.text("iss") {
            Ok(Some(issuer)) if issuer == self.issuer => Ok(()),
            Ok(_) | Err(_) => Err(JwtRejected::Issuer),
        }
    }

    fn check_signature(
        &self,
        parts: &CompactJws<'_>,
        header: &JwtHeader,
        keys: &KeySet,
    ) -> Result<(), JwtError> {
        let algorithm = header.algorithm;
        // A key with a shared secret is in no key set either; this is for who
        // changes that.
        if !self.algorithms.contains(&algorithm) || algorithm.family() == AlgorithmFamily::Hmac {
            return Err(JwtRejected::Algorithm.into());
        }
        let mut named = keys.with_id(&header.key_id).peekable();
        if named.peek().is_none() {
            return Err(JwtError::NeedsKey(header.key_id.clone()));
        }
        // The key decides how it is used, not the token.
        let key = named
            .find(|key| key.allows_algorithm(algorithm))
            .ok_or(JwtRejected::KeyMismatch)?;
        if key.verifies(parts.signing_input, parts.signature, algorithm) {
            Ok(())
        } else {
            Err(JwtRejected::Signature.into())
        }
    }
}

/// Our time and how far the provider's may be from it, in seconds.
///
/// As floats, because providers write them: no time overflows them.
struct SkewedClock {
    now: f64,
    skew: f64,
}

impl SkewedClock {
    fn new(now: Timestamp, skew: Duration) -> Self {
        Self {
            now: now.as_duration().as_secs_f64(),
            skew: skew.as_secs_f64(),
        }
    }

    fn is_past(&self, time: f64) -> bool {
        time <= self.now - self.skew
    }

    fn is_future(&self, time: f64) -> bool {
        time > self.now + self.skew
    }
}

fn check_audience(
    payload: &StrictObject,
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), JwtRejected> {
    let named = payload.texts("aud").unwrap_or_default();
    if named.iter().any(|name| is_ours(name)) {
        Ok(())
    } else {
        Err(JwtRejected::Audience)
    }
}

fn check_not_before(payload: &StrictObject, clock: &SkewedClock) -> Result<(), JwtRejected> {
    if numeric_date(payload, "nbf")?.is_some_and(|begins| clock.is_future(begins)) {
        return Err(JwtRejected::NotYetValid);
    }
    if numeric_date(payload, "iat")?.is_some_and(|issued| clock.is_future(issued)) {
        return Err(JwtRejected::IssuedInFuture);
    }
    Ok(())
}

/// A time in seconds since 1970 (RFC 7519 section 2, `NumericDate`).
fn numeric_date(payload: &StrictObject, name: &'static str) -> Result<Option<f64>, JwtRejected> {
    match payload.seconds(name)? {
        // `null` is no time, and no provider writes it.
        None if payload.contains(name) => Err(JwtRejected::Malformed),
        time => Ok(time),
    }
}

impl From<InvalidObject> for JwtRejected {
    fn from(why: InvalidObject) -> Self {
        match why {
            InvalidObject::Malformed => Self::Malformed,
            InvalidObject::DuplicateMember => Self::DuplicateMember,
        }
    }
}

impl From<InvalidObject> for JwtError {
    fn from(why: InvalidObject) -> Self {
        JwtRejected::from(why).into()
    }
}

impl From<WrongType> for JwtRejected {
    fn from(_: WrongType) -> Self {
        Self::Malformed
    }
}

impl From<WrongType> for JwtError {
    fn from(wrong: WrongType) -> Self {
        JwtRejected::from(wrong).into()
    }
}
