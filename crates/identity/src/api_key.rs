//! API keys: their text, and the check that detects typing errors.

use std::{fmt, sync::Arc};

use gatepost_base::{
    checked_name,
    digest::{hex, parse_hex},
    opaque_debug,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// The 60-bit id of a key. Not a secret: it appears in logs and lists.
///
/// 12 of `0-9` and `a-z` without `i`, `l`, `o` and `u` (Crockford's base 32).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Arc<str>);

/// A text that is not the id of a key.
#[derive(Debug, thiserror::Error)]
#[error("`id` is not the id of a key")]
pub struct InvalidApiKeyId(String);

checked_name!(ApiKeyId, InvalidApiKeyId);

/// A whole key, such as `gp_7k2m…_4Tz…`: `gp`, id, and secret with a checksum.
///
/// The secret is 44 characters of base 58 (no `0`, `O`, `I`, `l`), 257 random
/// bits. The checksum is 6 characters over all before it, so that a mistyped
/// key is recognized without a lookup. Letters, digits and `_` only: a double
/// click selects the whole key, and no shell or URL changes it.
pub struct ApiKey {
    id: ApiKeyId,
    secret: Box<str>,
}

/// SHA-256 of a key's secret, which is what is stored.
///
/// A fast hash is right here: slow ones (Argon2, bcrypt) protect secrets that
/// people choose. 257 random bits cannot be guessed, and every request would
/// pay for a slow hash.
///
/// As text, it is `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

/// A text that is not an API key of Gatepost.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an API key of Gatepost")]
pub struct MalformedKey;

const PREFIX: &str = "gp_";
const ID_LETTERS: &[u8] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_LENGTH: usize = 12;
const SECRET_LETTERS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const SECRET_LENGTH: usize = 44;
const CHECKSUM_LENGTH: usize = 6;

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self {
            id: ApiKeyId(random_text(ID_LETTERS, ID_LENGTH)?.into()),
            secret: random_text(SECRET_LETTERS, SECRET_LENGTH)?,
        })
    }

    /// Reads a presented key.
    ///
    /// # Errors
    /// [`MalformedKey`], also for a key with a wrong checksum.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let (id, rest) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(MalformedKey)?;
        let id = ApiKeyId::try_from(id).map_err(|_not_an_id| MalformedKey)?;
        let (secret, check) = rest.split_at_checked(SECRET_LENGTH).ok_or(MalformedKey)?;
        let key = Self {
            id,
            secret: secret.into(),
        };
        let whole = consists_of(secret, SECRET_LETTERS, SECRET_LENGTH)
            && bool::from(key.checksum().as_bytes().ct_eq(check.as_bytes()));
        if whole { Ok(key) } else { Err(MalformedKey) }
    }

    /// Whether a text has the form of an API key of Gatepost, valid or not: then it
    /// is not sent to a provider.
    pub fn has_key_prefix(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The key's id.
    pub fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// What may be stored of the key.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret.as_bytes()).into())
    }

    /// The key as text. This is the secret: it is shown once, when the key is
    /// created.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}{}", self.id, self.secret, self.checksum())
    }

    fn checksum(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"gatepost key check\0");
        hasher.update(self.id.as_str());
        hasher.update(b"_");
        hasher.update(self.secret.as_bytes());
        let digest = hasher.finalize();
        // 58 does not divide 256, but a checksum need not be uniform.
        digest
            .iter()
            .take(CHECKSUM_LENGTH)
            .filter_map(|byte| SECRET_LETTERS.get(usize::from(*byte) % SECRET_LETTERS.len()))
            .map(|letter| char::from(*letter))
            .collect()
    }
}

// Not derived, because that would print the secret.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, ..)", self.id)
    }
}

impl ApiKeyId {
    fn check(text: &str) -> bool {
        consists_of(text, ID_LETTERS, ID_LENGTH)
    }
}

impl SecretHash {
    /// A hash of no known secret, for unknown ids: their comparison then takes as
    /// long as that of a wrong secret.
    pub(super) const DUMMY: Self = Self([0; 32]);

    /// Compares in constant time.
    pub(super) fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        format!("{HASH_PREFIX}{}", hex(&hash.0))
    }
}

impl TryFrom<String> for SecretHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix(HASH_PREFIX).map(str::to_ascii_lowercase);
        let hash = digits.and_then(|digits| parse_hex(digits.as_bytes()));
        hash.map(Self).ok_or("`hash` is not `sha256:…`")
    }
}

opaque_debug!(SecretHash);

const HASH_PREFIX: &str = "sha256:";

fn consists_of(text: &str, letters: &[u8], length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| letters.contains(&byte))
}

/// Random letters, uniformly distributed: both alphabets have at most 64, so six
/// bits select a letter, or are discarded.
fn random_text(letters: &[u8], length: usize) -> Result<Box<str>, getrandom::Error> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)?;
        let chosen = bytes
            .iter()
            .filter_map(|byte| letters.get(usize::from(*byte & 63)))
            .take(length - text.len());
        text.extend(chosen.map(|letter| char::from(*letter)));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ApiKey, ApiKeyId, MalformedKey, SecretHash};

    #[test]
    fn text_that_is_no_id_of_a_key_is_not_repeated() {
        // It may be a whole key that was pasted.
        let error = ApiKeyId::try_from("gp_hunter2").unwrap_err();
        insta::assert_snapshot!(error, @"`id` is not the id of a key");
    }

    #[test]
    fn generated_keys_are_unique_and_parse_back() {
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let read = ApiKey::parse(&one.reveal()).unwrap();
        assert_eq!(read.id(), one.id());
        assert!(bool::from(read.hash().ct_eq(&one.hash())));
        assert_ne!(one.reveal(), two.reveal());
        assert_eq!(one.reveal().len(), 3 + 12 + 1 + 44 + 6);
    }

    #[test]
    fn debug_output_hides_key_and_hash() {
        let key = ApiKey::generate().unwrap();
        let shown = format!("{key:?} {:?}", key.hash());
        assert!(!shown.contains(&*key.secret), "{shown}");
        assert!(
            !shown.contains(String::from(key.hash()).strip_prefix("sha256:").unwrap()),
            "{shown}"
        );
    }

    #[test]
    fn hash_text_round_trips_and_other_text_is_rejected() {
        let hash = ApiKey::generate().unwrap().hash();
        let written = String::from(hash.clone());
        let read = SecretHash::try_from(written.clone()).unwrap();
        assert!(bool::from(read.ct_eq(&hash)));
        for text in [
            "",
            "sha256:",
            "sha256:00",
            written.strip_prefix('s').unwrap(),
            &format!("{written}0"),
        ] {
            assert!(SecretHash::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn key_with_one_wrong_character_is_rejected(at in 0_usize..66, letter in "[ -~]") {
            let mut text = ApiKey::generate().unwrap().reveal();
            let right = text.get(at..=at).unwrap().to_owned();
            text.replace_range(at..=at, &letter);
            prop_assert_eq!(ApiKey::parse(&text).is_ok(), letter == right);
        }

        #[test]
        fn key_with_swapped_missing_or_added_character_is_rejected(at in 0_usize..65) {
            let text = ApiKey::generate().unwrap().reveal();
            let mut letters: Vec<char> = text.chars().collect();
            letters.swap(at, at + 1);
            let swapped: String = letters.iter().collect();
            prop_assert_eq!(ApiKey::parse(&swapped).is_ok(), swapped == text);
            let mut shorter = text.clone();
            shorter.remove(at);
            prop_assert!(ApiKey::parse(&shorter).is_err());
            let mut longer = text;
            longer.insert(at, 'x');
            prop_assert!(ApiKey::parse(&longer).is_err());
        }

        #[test]
        fn parsing_arbitrary_text_never_panics(text in "\\PC{0,80}") {
            prop_assert_eq!(ApiKey::parse(&text).err(), Some(MalformedKey));
        }
    }
}
