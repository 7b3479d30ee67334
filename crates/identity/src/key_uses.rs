//! When each API key was last used.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use jiff::{Timestamp, Unit};

use super::{
    api_key::ApiKeyId,
    keys_file::{lock_file, replace_file},
};
use gatepost_base::sync::lock;

/// When each API key was last used, to the second. In memory; [`KeyUses::store`]
/// writes it beside the keys file.
#[derive(Debug, Default)]
pub struct KeyUses(Mutex<PendingUses>);

#[derive(Debug, Default)]
struct PendingUses {
    last: BTreeMap<ApiKeyId, Timestamp>,
    /// Whether a key was used since the file was written.
    changed: bool,
}

/// The first lines of the file.
const HEADER: &str = "\
# When each API key was last used. Gatepost writes this file at most once a minute.

";

impl KeyUses {
    /// The file for the keys of this keys file: the same name with `.used`.
    pub fn file_beside(keys_file: &Path) -> PathBuf {
        keys_file.with_added_extension("used")
    }

    /// Records that a key is used now. In memory only.
    pub fn record(&self, id: &ApiKeyId, now: Timestamp) {
        let mut pending = lock(&self.0);
        pending.changed = true;
        if let Some(last) = pending.last.get_mut(id) {
            *last = now;
        } else {
            pending.last.insert(id.clone(), now);
        }
    }

    /// Writes what was recorded since the last time, if anything was. Later times in
    /// the file stay: they are those of other gateways.
    ///
    /// # Errors
    /// If the file cannot be read or written. Nothing is lost: the next call writes it.
    pub fn store(&self, keys_file: &Path) -> io::Result<()> {
        let used = {
            let mut pending = lock(&self.0);
            if !std::mem::take(&mut pending.changed) {
                return Ok(());
            }
            pending.last.clone()
        };
        let stored = Self::merge_into(&Self::file_beside(keys_file), used);
        if stored.is_err() {
            lock(&self.0).changed = true;
        }
        stored
    }

    /// The times in the file beside this keys file; none if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn load(keys_file: &Path) -> io::Result<BTreeMap<ApiKeyId, Timestamp>> {
        Self::read(&Self::file_beside(keys_file))
    }

    fn read(file: &Path) -> io::Result<BTreeMap<ApiKeyId, Timestamp>> {
        match fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    fn merge_into(file: &Path, used: BTreeMap<ApiKeyId, Timestamp>) -> io::Result<()> {
        // Held until the end.
        let turn = lock_file(file)?;
        turn.lock()?;
        let mut all = Self::read(file)?;
        for (id, at) in used {
            let at = at.round(Unit::Second).unwrap_or(at);
            let last = all.entry(id).or_insert(at);
            *last = at.max(*last);
        }
        let text = toml::to_string(&all).map_err(io::Error::other)?;
        replace_file(file, &format!("{HEADER}{text}"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::KeyUses;
    use crate::ApiKey;

    #[test]
    fn last_uses_of_two_gateways_are_merged_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let keys_file = folder.path().join("keys.toml");
        let now = Timestamp::constant(1_750_000_000, 123);
        let later = now + SignedDuration::from_secs(60);
        let (shared, own) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let (one, other) = (KeyUses::default(), KeyUses::default());
        assert!(KeyUses::load(&keys_file).unwrap().is_empty());
        one.record(shared.id(), later);
        other.record(shared.id(), now);
        other.record(own.id(), now);
        one.store(&keys_file).unwrap();
        other.store(&keys_file).unwrap();
        let stored = KeyUses::load(&keys_file).unwrap();
        let seconds = |key: &ApiKey| stored[key.id()].to_string();
        assert_eq!(seconds(&shared), "2025-06-15T15:07:40Z");
        assert_eq!(seconds(&own), "2025-06-15T15:06:40Z");
        // Nothing new: the file is not written.
        let file = KeyUses::file_beside(&keys_file);
        std::fs::remove_file(&file).unwrap();
        one.store(&keys_file).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn use_that_cannot_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let key = ApiKey::generate().unwrap();
        let uses = KeyUses::default();
        uses.record(key.id(), Timestamp::UNIX_EPOCH);
        let keys_file = missing.join("keys.toml");
        assert!(uses.store(&keys_file).is_err());
        std::fs::create_dir(&missing).unwrap();
        uses.store(&keys_file).unwrap();
        assert!(KeyUses::load(&keys_file).unwrap().contains_key(key.id()));
    }
}
