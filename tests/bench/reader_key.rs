//! An API key for a benchmark's gateway.

use std::path::Path;

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};

/// Adds an API key with the role `reader` to `keys.toml` in this folder.
pub(crate) fn new_reader_key(folder: &Path) -> String {
    let key = ApiKey::generate().unwrap();
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: "bench".to_owned(),
        roles: vec![RoleName::try_from("reader").unwrap()],
        created: jiff::Timestamp::now(),
        expires: None,
        revoked: None,
    };
    update_keys_file(&folder.join("keys.toml"), |keys| keys.add(stored)).unwrap();
    key.reveal()
}
