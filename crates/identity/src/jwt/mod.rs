//! Verifies that a JWT was signed by the provider, is for this gateway, and is
//! currently valid.
//!
//! Pure: it fetches no keys. It does not read the holder of the token; that is
//! done from the payload, as from an introspection response.

mod compact;
mod error;
mod rules;
mod signature;
#[cfg(test)]
mod tests;
mod unverified;

pub use self::compact::is_supported_algorithm;
pub(super) use self::{
    compact::parse_algorithm,
    error::JwtError,
    rules::JwtRules,
    signature::verify_signature,
    unverified::{unverified_algorithm, unverified_claims},
};
