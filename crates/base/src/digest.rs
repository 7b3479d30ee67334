//! SHA-256 digests (FIPS 180-4) of structured input.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::text::append;

/// The digest of several byte strings in this order.
///
/// Each is preceded by its length, so that `ab`, `c` and `a`, `bc` differ.
pub fn parts_digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The digest of a JSON value, independent of the order of object members.
pub fn json_digest(value: &Value) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hash_json(&mut hasher, value);
    hasher.finalize().into()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        append(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// Reads 32 bytes from lower-case hexadecimal digits, so that each has one spelling.
pub fn parse_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = *<&[u8; 2]>::try_from(pair).ok()?;
        *byte = (value(high)? << 4) | value(low)?;
    }
    (digits.len() == 64).then_some(bytes)
}

fn hash_json(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hasher.update(value.to_string());
        }
        Value::Array(items) => {
            hasher.update("[");
            for item in items {
                hash_json(hasher, item);
                hasher.update(",");
            }
            hasher.update("]");
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            hasher.update("{");
            for (name, member) in sorted {
                hasher.update(Value::from(name.as_str()).to_string());
                hasher.update(":");
                hash_json(hasher, member);
                hasher.update(",");
            }
            hasher.update("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{hex, json_digest, parts_digest};

    #[test]
    fn part_boundaries_change_the_digest() {
        assert_ne!(parts_digest(&[b"ab", b"c"]), parts_digest(&[b"a", b"bc"]));
    }

    // The state store outlives an update of the gateway: digests must not change.
    #[test]
    fn digests_are_stable_across_versions() {
        assert_eq!(
            hex(&parts_digest(&[b"production", b"mara"])),
            "b814e4fa7f0e619aa97bafebf0824e740ebd8822cd68b8537bd5f6c753d29337"
        );
        let value = json!({"b": [1, null, "x\""], "a": {"d": 1.5, "c": true}});
        assert_eq!(
            hex(&json_digest(&value)),
            "69854ae66ac9d3f15fcf33d5ebf688e50996f71dbc4bc22173ef97adb0b46887"
        );
    }

    #[test]
    fn json_digest_ignores_member_order_only() {
        let digest = |text| json_digest(&serde_json::from_str(text).unwrap());
        let plain = digest(r#"{"a":[1,2],"b":"x"}"#);
        assert_eq!(plain, digest(r#"{"b":"x","a":[1,2]}"#));
        assert_ne!(plain, digest(r#"{"a":[2,1],"b":"x"}"#));
    }
}
