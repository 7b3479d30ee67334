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
pub(super) struct RevokeArgs {
    #[command(flatten)]
    location: KeysFileLocation,
    /// The id of the key
    #[arg(value_name = "ID", value_parser = id)]
    id: ApiKeyId,
}

/// The id, also of a whole key: an error would print the key.
fn id(text: &str) -> Result<ApiKeyId, &'static str> {
    let of_key = || text.strip_prefix("gp_")?.split('_').next();
    ApiKeyId::try_from(of_key().unwrap_or(text))
        .map_err(|_not_an_id| "this is not the id of a key; `gatepost key list` prints them")
}

pub(super) fn run(revoke: &RevokeArgs) -> Result<(), CliError> {
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

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn whole_key_is_taken_for_its_id() {
        for key in [
            "7k2mq0z9xw1c",
            "gp_7k2mq0z9xw1c_4TzSecret",
            "gp_7k2mq0z9xw1c_",
        ] {
            assert_eq!(id(key).unwrap().to_string(), "7k2mq0z9xw1c", "{key}");
        }
        id("reader").unwrap_err();
    }
}
