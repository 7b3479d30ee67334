//! Names of keys in Redis.

use gatepost_base::digest::hex;

/// The name of a key in Redis, such as `gatepost:caller:e2cebc2e8159802b`.
///
/// It contains a digest, so that all names have one size and a reader of Redis
/// sees no names of callers.
pub fn key_name(prefix: &str, kind: &str, digest: &[u8]) -> String {
    format!("{prefix}{kind}:{}", hex(digest))
}
