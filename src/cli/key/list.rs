//! `gatepost key list`.

use clap::Args;
use jiff::{Timestamp, Unit};

use super::{CliError, KeysFileLocation, terminal};
use gatepost_base::RoleName;
use gatepost_identity::{ApiKeyId, ApiKeyStore, StoredKey};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gatepost key list --config config/gatepost.toml")]
pub(super) struct List {
    #[command(flatten)]
    location: KeysFileLocation,
}

pub(super) fn run(list: &List) -> Result<(), CliError> {
    let (file, _) = list.location.resolve()?;
    let keys = match ApiKeyStore::load(&file) {
        Err(error) if error.is_missing() => ApiKeyStore::default(),
        result => result?,
    };
    let now = Timestamp::now();
    let mut sorted: Vec<(&ApiKeyId, &StoredKey)> = keys.iter().collect();
    sorted.sort_by_key(|(id, key)| (key.created, *id));
    let heads = ["ID", "STATE", "CREATED", "EXPIRES", "ROLES", "NAME"].map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(sorted.into_iter().map(|(id, key)| row(id, key, now)));
    terminal::print(&terminal::columns(&rows))
}

fn row(id: &ApiKeyId, key: &StoredKey, now: Timestamp) -> [String; 6] {
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
        roles.join(","),
        key.name.clone(),
    ]
}

fn format_time(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}
