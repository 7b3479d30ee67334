//! `gatepost key revoke`.

use clap::Args;
use jiff::Timestamp;

use super::{CliError, KeysFileLocation, terminal};
use gatepost_identity::{ApiKeyId, update_keys_file};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gatepost key revoke --config config/gatepost.toml 7k2mq0z9xw1c

The id is between the two `_` of a key, and in `gatepost key list`.")]
pub(super) struct Revoke {
    #[command(flatten)]
    location: KeysFileLocation,
    /// The id of the key
    #[arg(value_name = "ID", value_parser = id)]
    id: ApiKeyId,
}

fn id(text: &str) -> Result<ApiKeyId, &'static str> {
    ApiKeyId::try_from(text)
        .map_err(|_not_an_id| "this is not the id of a key; `gatepost key list` prints them")
}

pub(super) fn run(revoke: &Revoke) -> Result<(), CliError> {
    let (file, _) = revoke.location.resolve()?;
    let id = &revoke.id;
    let name = update_keys_file(&file, |keys| {
        keys.revoke(id, Timestamp::now())
            .map(|key| key.name.clone())
    })?;
    match name {
        Some(name) => {
            terminal::print_stderr(&format!(
                "Revoked key {id} ({name}). A running gateway rejects it within seconds."
            ));
            Ok(())
        }
        None => Err(CliError::Failed(format!(
            "there is no key `{id}` in {}",
            file.display()
        ))),
    }
}
