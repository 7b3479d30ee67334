//! `gatepost key list`.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;

use super::{CliError, KeysFileLocation, terminal, terminal::format_time};
use gatepost_base::RoleName;
use gatepost_identity::{ApiKeyId, ApiKeyStore, KeyUses, StoredKey};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gatepost key list --config config/gatepost.toml

LAST USED is what running gateways write beside the keys file, at most once a minute; `-`: never,
or not since they do.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    location: KeysFileLocation,
}

pub(super) fn run(list: &ListArgs) -> Result<(), CliError> {
    let (file, _) = list.location.resolve()?;
    let keys = match ApiKeyStore::load(&file) {
        Err(error) if error.is_missing() => ApiKeyStore::default(),
        result => result?,
    };
    let uses = KeyUses::load(&file).unwrap_or_else(|error| {
        let uses_file = KeyUses::file_beside(&file);
        terminal::print_stderr(&format!(
            "warning: when keys were last used is not known: {}: {error}",
            uses_file.display()
        ));
        BTreeMap::new()
    });
    let now = Timestamp::now();
    let mut sorted: Vec<(&ApiKeyId, &StoredKey)> = keys.iter().collect();
    sorted.sort_by_key(|(id, key)| (key.created, *id));
    let heads = [
        "ID",
        "STATE",
        "CREATED",
        "EXPIRES",
        "LAST USED",
        "ROLES",
        "NAME",
    ]
    .map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(
        sorted
            .into_iter()
            .map(|(id, key)| row(id, key, uses.get(id), now)),
    );
    terminal::print(&terminal::columns(&rows))
}

fn row(id: &ApiKeyId, key: &StoredKey, used: Option<&Timestamp>, now: Timestamp) -> [String; 7] {
    let state = if key.revoked.is_some() {
        "revoked"
    } else if key.has_expired(now) {
        "expired"
    } else {
        "active"
    };
    let roles: Vec<&str> = key.roles.iter().map(RoleName::as_str).collect();
    [
        id.to_string(),
        state.to_owned(),
        format_time(key.created),
        key.expires.map_or_else(|| "-".to_owned(), format_time),
        used.map_or_else(|| "-".to_owned(), |time| format_time(*time)),
        roles.join(","),
        key.name.clone(),
    ]
}
