//! The API keys in the keys file.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    api_key::{ApiKey, ApiKeyId, MalformedKey, SecretHash},
    caller::{Caller, CallerKind},
};
use gatepost_base::{RoleName, Subject, path::require_regular};

/// All API keys. A value: the file is read once.
#[derive(Clone, Default)]
pub struct ApiKeyStore {
    keys: BTreeMap<ApiKeyId, StoredKey>,
}

/// What is stored of one key. Two keys may have the same name: the current one
/// and its replacement.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoredKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The administrator's name for the key.
    pub name: String,
    /// Granted roles; sorted, no duplicates, at least one.
    pub roles: Vec<RoleName>,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

gatepost_base::words! {
    /// Why an API key is rejected.
    ///
    /// The client reads the same text for all reasons; [`reason`](Self::reason) is
    /// for the log.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("the API key is not accepted; ask the administrator of this gateway for a new one")]
    pub enum ApiKeyError {
        /// The secret is right, but the key has expired.
        Expired(ApiKeyId) = "expired",
        /// It does not have the form of a key: mistyped, or of another service.
        Malformed = "malformed",
        /// The secret is right, but the key was revoked.
        Revoked(ApiKeyId) = "revoked",
        /// No key has this id; it may be from another installation.
        Unknown(ApiKeyId) = "unknown",
        /// The id is known, but the secret is wrong: no typing error does that.
        WrongSecret(ApiKeyId) = "wrong_secret",
    }

    /// The reason's name in the log.
    pub fn reason(&self);
}

impl ApiKeyError {
    /// The id of the key, which is no secret; `None` if it has no form of a key.
    pub fn id(&self) -> Option<&ApiKeyId> {
        match self {
            Self::Expired(id) | Self::Revoked(id) | Self::Unknown(id) | Self::WrongSecret(id) => {
                Some(id)
            }
            Self::Malformed => None,
        }
    }
}

/// A keys file that cannot be used. The text is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It is not what `gatepost key` writes.
    #[error("the keys file {0} is damaged: {1}; correct it or restore it from a backup")]
    Damaged(PathBuf, String),
    /// It cannot be read or written.
    #[error("the keys file {0} cannot be read or written: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// The largest keys file that is read: some ten thousand keys.
const MAX_BYTES: u64 = 4 << 20;

impl ApiKeyStore {
    /// Reads the file.
    ///
    /// # Errors
    /// If the file does not exist ([`KeysFileError::is_missing`]) or cannot be
    /// read, or if any key in it is malformed: a skipped entry may be the one
    /// that revokes a key.
    pub fn load(path: &Path) -> Result<Self, KeysFileError> {
        let io = |error| KeysFileError::Io(path.to_owned(), error);
        let damaged = |message: String| KeysFileError::Damaged(path.to_owned(), message);
        let metadata = fs::metadata(path).map_err(io)?;
        require_regular(&metadata).map_err(io)?;
        if metadata.len() > MAX_BYTES {
            return Err(damaged("it is larger than 4 MiB".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let file: KeysFile = toml::from_str(&text).map_err(|error| {
            // The line is not quoted: this may be a wrong file, with secrets.
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            damaged(format!("line {line}: {}", error.message()))
        })?;
        let mut keys = BTreeMap::new();
        for mut key in file.keys {
            let id = key.id.clone();
            key.roles.sort();
            key.roles.dedup();
            if key.roles.is_empty() {
                return Err(damaged(format!("key `{id}`: `roles` is empty")));
            }
            if keys.insert(id.clone(), key).is_some() {
                return Err(damaged(format!("key `{id}` appears twice")));
            }
        }
        Ok(Self { keys })
    }

    /// Authenticates the holder of a key.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn verify(&self, presented: &str, now: Timestamp) -> Result<Caller, ApiKeyError> {
        let key = ApiKey::parse(presented).map_err(|MalformedKey| ApiKeyError::Malformed)?;
        let id = key.id().clone();
        let stored = self.keys.get(&id);
        // Always compared, so that timing does not reveal which ids exist.
        let expected = stored.map_or(&SecretHash::DUMMY, |stored| &stored.hash);
        let same = bool::from(key.hash().ct_eq(expected));
        let Some(stored) = stored else {
            return Err(ApiKeyError::Unknown(id));
        };
        if !same {
            return Err(ApiKeyError::WrongSecret(id));
        }
        if stored.revoked.is_some() {
            return Err(ApiKeyError::Revoked(id));
        }
        if stored.has_expired(now) {
            return Err(ApiKeyError::Expired(id));
        }
        Ok(Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::verified(id.as_str()),
            name: (!stored.name.is_empty()).then(|| stored.name.as_str().into()),
            roles: stored.roles.clone(),
            credential: None,
        })
    }

    /// The keys with their ids, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ApiKeyId, &StoredKey)> {
        self.keys.iter()
    }

    /// Whether it holds the same keys with the same properties.
    pub fn has_same_keys(&self, other: &Self) -> bool {
        let text = self.to_text().ok();
        text.is_some() && text == other.to_text().ok()
    }

    /// Whether it holds no key, not even a revoked one.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key.
    pub fn add(&mut self, key: StoredKey) {
        self.keys.insert(key.id.clone(), key);
    }

    /// Marks a key as revoked. `None` if there is no key of that id. The time of
    /// an earlier revocation does not change.
    pub fn revoke(&mut self, id: &ApiKeyId, now: Timestamp) -> Option<&StoredKey> {
        let key = self.keys.get_mut(id)?;
        key.revoked.get_or_insert(now);
        Some(key)
    }

    /// The text of the file.
    pub(super) fn to_text(&self) -> Result<String, toml::ser::Error> {
        let keys = self.keys.values().cloned().collect();
        let file = KeysFile { keys };
        Ok(format!("{HEADER}{}", toml::to_string(&file)?))
    }
}

impl fmt::Debug for ApiKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

impl StoredKey {
    /// Whether the key has expired; at its expiry it has.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether the key authenticates callers at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && !self.has_expired(now)
    }
}

impl KeysFileError {
    /// Whether the file does not exist yet.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Io(_, error) => error.kind() == io::ErrorKind::NotFound,
            Self::Damaged(..) => false,
        }
    }
}

const HEADER: &str = "\
# API keys of Gatepost, as hashes: the keys cannot be recovered from this file.
# `gatepost key new` and `gatepost key revoke` rewrite it; comments are lost.

";

/// The content of the file.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    keys: Vec<StoredKey>,
}

#[cfg(test)]
mod tests {
    use std::{fs, io, path::PathBuf};

    use jiff::{SignedDuration, Timestamp};

    use super::{ApiKeyError, ApiKeyStore, KeysFileError, StoredKey};
    use crate::{ApiKey, CallerKind};
    use gatepost_base::RoleName;

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    fn stored(key: &ApiKey) -> StoredKey {
        StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "report".to_owned(),
            roles: vec![RoleName::try_from("reader").unwrap()],
            created: NOW,
            expires: None,
            revoked: None,
        }
    }

    fn store_with(key: &ApiKey, change: impl FnOnce(&mut StoredKey)) -> ApiKeyStore {
        let mut store = ApiKeyStore::default();
        let mut entry = stored(key);
        change(&mut entry);
        store.add(entry);
        store
    }

    #[test]
    fn valid_key_yields_caller_with_its_id_and_roles() {
        let key = ApiKey::generate().unwrap();
        let caller = store_with(&key, |_| ()).verify(&key.reveal(), NOW).unwrap();
        assert_eq!(caller.kind, CallerKind::ApiKey);
        assert_eq!(caller.issuer, "gatepost");
        assert_eq!(caller.subject.as_str(), key.id().as_str());
        assert_eq!(caller.roles, [RoleName::try_from("reader").unwrap()]);
    }

    #[test]
    fn rejected_keys_share_one_client_message_and_differ_by_reason() {
        let (key, other) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let id = key.id().clone();
        let good = store_with(&key, |_| ());
        let results = [
            good.verify("sk-1234", NOW),
            good.verify(&other.reveal(), NOW),
            // Another secret under a known id.
            store_with(&key, |entry| entry.hash = other.hash()).verify(&key.reveal(), NOW),
            store_with(&key, |entry| entry.expires = Some(NOW)).verify(&key.reveal(), NOW),
            store_with(&key, |entry| entry.revoked = Some(NOW)).verify(&key.reveal(), NOW),
        ];
        let errors: Vec<ApiKeyError> = results.into_iter().map(Result::unwrap_err).collect();
        assert_eq!(
            errors,
            [
                ApiKeyError::Malformed,
                ApiKeyError::Unknown(other.id().clone()),
                ApiKeyError::WrongSecret(id.clone()),
                ApiKeyError::Expired(id.clone()),
                ApiKeyError::Revoked(id),
            ]
        );
        for error in &errors {
            assert_eq!(error.to_string(), errors[0].to_string());
        }
    }

    #[test]
    fn key_is_valid_until_its_expiry() {
        let key = ApiKey::generate().unwrap();
        let store = store_with(&key, |entry| entry.expires = Some(NOW));
        let before = NOW - SignedDuration::from_nanos(1);
        assert!(store.verify(&key.reveal(), before).is_ok());
        assert!(store.verify(&key.reveal(), NOW).is_err());
    }

    #[test]
    fn keys_with_same_name_are_both_valid_until_one_is_revoked() {
        let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let mut store = store_with(&old, |_| ());
        store.add(stored(&new));
        assert!(store.verify(&old.reveal(), NOW).is_ok());
        assert!(store.verify(&new.reveal(), NOW).is_ok());
        store.revoke(old.id(), NOW).unwrap();
        assert!(store.verify(&old.reveal(), NOW).is_err());
        assert!(store.verify(&new.reveal(), NOW).is_ok());
    }

    #[test]
    fn debug_output_hides_secrets_and_hashes() {
        let key = ApiKey::generate().unwrap();
        let shown = format!("{:?} {:?}", store_with(&key, |_| ()), stored(&key));
        assert!(!shown.contains("sha256"), "{shown}");
        assert!(shown.contains(key.id().as_str()));
    }

    #[test]
    fn damaged_entry_makes_whole_keys_file_invalid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let key = ApiKey::generate().unwrap();
        let text = store_with(&key, |_| ()).to_text().unwrap();
        fs::write(&path, &text).unwrap();
        assert!(ApiKeyStore::load(&path).is_ok());
        let twice = format!("{text}\n{}", text.rsplit_once("\n\n").unwrap().1);
        for damaged in [
            text.replace("sha256:", "md5:"),
            text.replace("[\"reader\"]", "[]"),
            text.replace("reader", "No Role"),
            text.replace("Z\"", "\""),
            text.replace("name =", "nmae ="),
            twice,
        ] {
            fs::write(&path, &damaged).unwrap();
            let error = ApiKeyStore::load(&path).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{damaged} {error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(ApiKeyStore::load(&path).unwrap_err().is_missing());
    }

    #[test]
    fn rejected_keys_share_one_text_and_file_errors_name_the_file() {
        let id = || ApiKey::generate().unwrap().id().clone();
        let rejected = [
            ApiKeyError::Expired(id()),
            ApiKeyError::Malformed,
            ApiKeyError::Revoked(id()),
            ApiKeyError::Unknown(id()),
            ApiKeyError::WrongSecret(id()),
        ];
        let path = || PathBuf::from("/etc/gatepost/keys.toml");
        let file_errors = [
            KeysFileError::Damaged(path(), "line 3: `hash` is not `sha256:…`".to_owned()),
            KeysFileError::Io(path(), io::ErrorKind::PermissionDenied.into()),
        ];
        insta::assert_snapshot!(rejected.map(|error| error.to_string()).join("\n"));
        insta::assert_snapshot!(file_errors.map(|error| error.to_string()).join("\n"));
    }
}
