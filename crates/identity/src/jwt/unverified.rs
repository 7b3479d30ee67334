//! What a JWT says of itself, before anything is verified.

use super::compact::{CompactJws, MAX_TOKEN_BYTES};
use crate::strict_json::StrictObject;

/// The claims of a JWT, whose signature is not verified: anyone may have written
/// them. Sufficient only for an early rejection, and for guessing the issuer.
///
/// `None` for a token that is not a JWT but opaque: only its provider can
/// interpret it. A JWT with a duplicate member counts as opaque, because parsers
/// disagree about its value.
pub(crate) fn unverified_claims(token: &str) -> Option<StrictObject> {
    let parts = CompactJws::split(token, MAX_TOKEN_BYTES).ok()?;
    // RFC 7515 section 4.1.1: `alg` is in every header.
    let is_jwt = StrictObject::parse(&parts.header).ok()?.contains("alg");
    StrictObject::parse(&parts.payload).ok().filter(|_| is_jwt)
}

/// The `alg` of a JWT, as it says itself, for an administrator.
pub(crate) fn unverified_algorithm(token: &str) -> Option<String> {
    let parts = CompactJws::split(token, MAX_TOKEN_BYTES).ok()?;
    let header = StrictObject::parse(&parts.header).ok()?;
    let name = header.text("alg").ok()??;
    Some(
        name.chars()
            .filter(char::is_ascii_graphic)
            .take(20)
            .collect(),
    )
}
