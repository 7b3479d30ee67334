//! Names of keys, from which nobody reads whom they are about.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// What stands for these parts together.
///
/// A hash, for a key has one size whatever a client or a provider calls things,
/// and nobody who looks into Redis reads names there.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length: "ab" and "c" are not "a" and "bc".
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The name of a key in Redis, such as `gatepost:caller:e2cebc2e8159802b`.
pub fn key_name(prefix: &str, kind: &str, digest: &[u8]) -> String {
    let mut name = format!("{prefix}{kind}:");
    for byte in digest {
        // Writing into a string does not fail.
        let _infallible = write!(name, "{byte:02x}");
    }
    name
}
