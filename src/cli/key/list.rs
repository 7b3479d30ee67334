//! `gatepost key list`.

use clap::Args;
use jiff::{Timestamp, Unit};

use super::{Failure, Where, terminal};
use gatepost_base::RoleName;
use gatepost_identity::{KeyId, Keyring, StoredKey};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gatepost key list --config config/gatepost.toml")]
pub(super) struct List {
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(list: &List) -> Result<(), Failure> {
    let (file, _) = list.place.find()?;
    let keys = match Keyring::load(&file) {
        Err(error) if error.is_missing() => Keyring::default(),
        result => result?,
    };
    let now = Timestamp::now();
    let mut sorted: Vec<(&KeyId, &StoredKey)> = keys.iter().collect();
    sorted.sort_by_key(|(id, key)| (key.created, *id));
    let heads = ["ID", "STATE", "CREATED", "EXPIRES", "ROLES", "NAME"].map(str::to_owned);
    let mut rows = vec![heads];
    rows.extend(sorted.into_iter().map(|(id, key)| row(id, key, now)));
    terminal::print(&terminal::columns(&rows))
}

fn row(id: &KeyId, key: &StoredKey, now: Timestamp) -> [String; 6] {
    let state = if key.revoked.is_some() {
        "revoked"
    } else if key.has_expired(now) {
        "expired"
    } else {
        "good"
    };
    let roles: Vec<&str> = key.roles.iter().map(RoleName::as_str).collect();
    [
        id.to_string(),
        state.to_owned(),
        seconds(key.created),
        key.expires.map_or_else(|| "-".to_owned(), seconds),
        roles.join(","),
        key.name.clone(),
    ]
}

fn seconds(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}
