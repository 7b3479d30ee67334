//! Updates the keys file without losing keys.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::Path,
};

use gatepost_base::path::parent_folder;

use super::api_key_store::{ApiKeyStore, KeysFileError};

/// Reads the keys file, or starts an empty one, applies `change`, writes the file,
/// and returns the result of `change`.
///
/// A folder that does not exist is created, for its owner only. Another process that
/// does the same waits. The file is replaced atomically:
/// readers see the old or the new one. Only its owner, who stays the same, may
/// read it (mode 0600).
///
/// # Errors
/// If the file cannot be read or written; then it is unchanged.
pub fn update_keys_file<T>(
    path: &Path,
    change: impl FnOnce(&mut ApiKeyStore) -> T,
) -> Result<T, KeysFileError> {
    // Replaces the target of a symbolic link, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let io = |error| KeysFileError::Io(path.clone(), error);
    // Only the owner may list it, as only the owner may read the file.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent_folder(path))
        .map_err(io)?;

    // Held until the end; the system releases it if the process dies.
    let lock = lock_file(path).map_err(io)?;
    lock.lock().map_err(io)?;
    let mut keys = match ApiKeyStore::load(path) {
        Err(error) if error.is_missing() => ApiKeyStore::default(),
        result => result?,
    };
    let result = change(&mut keys);
    let text = keys
        .to_text()
        .map_err(|error| io(io::Error::other(error)))?;
    replace_file(path, &text).map_err(io)?;
    Ok(result)
}

/// A separate file for the lock, because the keys file is replaced together with
/// any lock on it.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.with_added_extension("lock"))
}

pub(super) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let folder = parent_folder(path);
    // In the same folder, so that the rename stays in one file system. Created
    // with mode 0600.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        let created = new.as_file().metadata()?;
        if (old.uid(), old.gid()) != (created.uid(), created.gid()) {
            // Root must not take the file away from the gateway.
            chown(new.path(), Some(old.uid()), Some(old.gid()))?;
        }
    }
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    // The rename must survive a power failure too.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, thread};

    use jiff::Timestamp;

    use super::update_keys_file;
    use crate::{ApiKey, ApiKeyStore, StoredKey};
    use gatepost_base::RoleName;

    fn add(path: &std::path::Path) -> ApiKey {
        let key = ApiKey::generate().unwrap();
        let stored = StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "a \"quoted\" name".to_owned(),
            roles: vec![RoleName::try_from("reader").unwrap()],
            created: Timestamp::UNIX_EPOCH,
            expires: Some(Timestamp::MAX),
            revoked: None,
        };
        update_keys_file(path, |keys| keys.add(stored)).unwrap();
        key
    }

    #[test]
    fn keys_file_round_trips_and_is_readable_only_by_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let keys = [add(&path), add(&path)];
        let store = ApiKeyStore::load(&path).unwrap();
        for key in keys {
            assert!(store.verify(&key.reveal(), Timestamp::UNIX_EPOCH).is_ok());
            assert!(
                !fs::read_to_string(&path)
                    .unwrap()
                    .contains(key.reveal().rsplit('_').next().unwrap())
            );
        }
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn missing_folder_is_created_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/of/clients.toml");
        let key = add(&path);
        let store = ApiKeyStore::load(&path).unwrap();
        assert!(store.verify(&key.reveal(), Timestamp::UNIX_EPOCH).is_ok());
        for created in ["keys", "keys/of"] {
            let mode = fs::metadata(folder.path().join(created)).unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o700, "{created}");
        }
    }

    #[test]
    fn concurrent_updates_lose_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| drop(add(&path))));
            }
        });
        assert_eq!(ApiKeyStore::load(&path).unwrap().iter().count(), 40);
        // The keys and the lock; nothing half written.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn damaged_keys_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "not = keys").unwrap();
        assert!(update_keys_file(&path, |_| ()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "not = keys");
    }

    #[test]
    fn symbolic_link_is_preserved() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (
            folder.path().join("real.toml"),
            folder.path().join("link.toml"),
        );
        add(&real);
        std::os::unix::fs::symlink(&real, &link).unwrap();
        add(&link);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(ApiKeyStore::load(&real).unwrap().iter().count(), 2);
    }
}
