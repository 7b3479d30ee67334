//! Whether a key of the provider signed a JWT.

use super::{
    JwtError,
    compact::{CompactJws, JwtHeader, MAX_TOKEN_BYTES},
};
use crate::{TokenRejected, jwks::KeySet, strict_json::StrictObject};

/// Checks only the signature of a JWT, with any algorithm: whether its issuer can
/// have issued it. A header that cannot be judged is no error.
pub(crate) fn verify_signature(token: &str, keys: &KeySet) -> Result<(), JwtError> {
    let parts = CompactJws::split(token, MAX_TOKEN_BYTES)?;
    match JwtHeader::read(&parts.header) {
        Ok(header) => check_signature(&parts, &header, keys),
        Err(error) if is_unsigned(&parts) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Whether `alg` is `none`, or for a shared secret, which no provider publishes.
fn is_unsigned(parts: &CompactJws<'_>) -> bool {
    let header = StrictObject::parse(&parts.header);
    header.is_ok_and(|header| match header.text("alg") {
        Ok(Some(name)) => name.eq_ignore_ascii_case("none") || name.starts_with("HS"),
        Ok(None) | Err(_) => true,
    })
}

pub(super) fn check_signature(
    parts: &CompactJws<'_>,
    header: &JwtHeader,
    keys: &KeySet,
) -> Result<(), JwtError> {
    let mut named = keys.with_id(&header.key_id).peekable();
    if named.peek().is_none() {
        return Err(JwtError::NeedsKey(header.key_id.clone()));
    }
    // The key decides about its algorithm, not the token.
    let mut usable = named
        .filter(|key| key.allows_algorithm(header.algorithm))
        .peekable();
    if usable.peek().is_none() {
        return Err(TokenRejected::KeyMismatch.into());
    }
    if usable.any(|key| key.verifies(parts.signing_input, parts.signature, header.algorithm)) {
        Ok(())
    } else {
        Err(TokenRejected::Signature.into())
    }
}
