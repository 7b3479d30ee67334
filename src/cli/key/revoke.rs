//! `gatepost key revoke`.

use clap::Args;
use jiff::Timestamp;

use super::{Failure, Where, terminal};
use gatepost_identity::{KeyId, MalformedKey, change_keys};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gatepost key revoke --config config/gatepost.toml 7k2mq0z9xw1c

The id stands between the two `_` of a key, and in `gatepost key list`.")]
pub(super) struct Revoke {
    #[command(flatten)]
    place: Where,
    /// The id of the key
    #[arg(value_name = "ID", value_parser = id)]
    id: KeyId,
}

fn id(text: &str) -> Result<KeyId, &'static str> {
    KeyId::try_from(text)
        .map_err(|MalformedKey| "this is not the id of a key; `gatepost key list` shows them")
}

pub(super) fn run(revoke: &Revoke) -> Result<(), Failure> {
    let (file, _) = revoke.place.find()?;
    let id = &revoke.id;
    let name = change_keys(&file, |keys| {
        keys.revoke(id, Timestamp::now())
            .map(|key| key.name.clone())
    })?;
    match name {
        Some(name) => {
            terminal::explain(&format!(
                "Revoked key {id} ({name}). A running gateway refuses it from its next SIGHUP on."
            ));
            Ok(())
        }
        None => Err(Failure::Failed(format!(
            "there is no key `{id}` in {}",
            file.display()
        ))),
    }
}
