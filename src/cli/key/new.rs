//! `gatepost key new`.

use clap::Args;
use jiff::Timestamp;

use super::{CliError, KeysFileLocation, expiry::Expiry, terminal};
use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost key new --config config/gatepost.toml --role reader --name laptop
  gatepost key new --role reader --role auditor --name report --expires 90d > report.key

Only the key goes to standard output. It is kept as a hash: nobody can show it again.
A client sends it as `Authorization: Bearer gp_…`.")]
pub(super) struct New {
    #[command(flatten)]
    location: KeysFileLocation,
    /// A role that the key grants; may be repeated
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<RoleName>,
    /// What the key is for, such as `laptop of Ada`
    #[arg(long, value_parser = name)]
    name: String,
    /// How long it is good: hours, days or weeks, such as `90d` [default: until it is revoked]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Expiry>,
}

/// A name that fits into one line of a list.
fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let short = !text.is_empty() && text.chars().count() <= 80;
    if short && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("a name has 1 to 80 characters in one line")
    }
}

pub(super) fn run(new: &New) -> Result<(), CliError> {
    let (file, config) = new.location.resolve()?;
    match &config {
        Some(config) => {
            if let Some(role) = new
                .roles
                .iter()
                .find(|role| !config.roles.contains_key(*role))
            {
                let known: Vec<&str> = config.roles.keys().map(RoleName::as_str).collect();
                let known = if known.is_empty() {
                    "none is configured".to_owned()
                } else {
                    format!("there are `{}`", known.join("`, `"))
                };
                return Err(CliError::UnusableConfig(format!(
                    "there is no role `{role}`; {known}"
                )));
            }
        }
        None => {
            terminal::print_stderr(
                "note: without a configuration nobody looks whether the roles exist",
            );
        }
    }
    let now = Timestamp::now();
    let mut roles = new.roles.clone();
    roles.sort();
    roles.dedup();
    let key = ApiKey::generate()
        .map_err(|error| CliError::Failed(format!("the system gives no randomness: {error}")))?;
    let stored = StoredKey {
        hash: key.hash(),
        name: new.name.clone(),
        roles,
        created: now,
        expires: new.expires.map(|expiry| expiry.after(now)),
        revoked: None,
    };
    let until = stored
        .expires
        .map_or_else(|| "it is revoked".to_owned(), |time| time.to_string());
    update_keys_file(&file, |keys| keys.add(&key, stored))?;
    terminal::print(&key.reveal())?;
    terminal::print_stderr(&format!(
        "Made key {} in {}, good until {until}.\nIt is shown this once. A running gateway takes it up on SIGHUP.",
        key.id(),
        file.display()
    ));
    Ok(())
}
