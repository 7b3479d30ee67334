//! `gatepost check`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::{Failure, terminal};
use crate::{
    config::{Checked, Mistake, Sources, load},
    gateway::Examined,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost check --config config/gatepost.toml
  gatepost check --config config/gatepost.toml --live

It reads the configuration and every file that it names, and changes nothing.
Mistakes and warnings go to standard error; a warning alone is no failure.
Exit code 3: the configuration is wrong. 4, with --live: something does not answer.")]
pub(super) struct Check {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Also ask every Odoo whether it answers and takes its API key and its credentials
    #[arg(long)]
    pub(super) live: bool,
}

/// Says whether the configuration is right.
///
/// # Errors
/// When it is not.
pub(super) fn run(check: &Check) -> Result<(), Failure> {
    let sources = Sources::new(check.config.clone());
    let checked = load(&sources)?;
    warn(&checked.warnings);
    terminal::print(&summary(&sources, &checked, Timestamp::now()))?;
    if check.live {
        return ask(&checked);
    }
    Ok(())
}

/// Asks every Odoo whether it is there and whether it takes each of its keys.
fn ask(checked: &Checked) -> Result<(), Failure> {
    let gateway = checked
        .assemble()
        .map_err(|error| Failure::Unfit(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    let answers = runtime.block_on(gateway.examine());
    let mut failed = BTreeSet::new();
    for Examined {
        instance,
        credential,
        user,
    } in answers
    {
        match (user, credential) {
            (Ok(id), None) => terminal::print(&format!(
                "  {instance}: answers, and takes the API key of the Odoo user with id {id}"
            ))?,
            (Ok(id), Some(name)) => terminal::print(&format!(
                "  {instance}: takes the credential `{name}` of the Odoo user with id {id}"
            ))?,
            (Err(error), None) => {
                terminal::explain(&format!("error: `{instance}`: {error}"));
                failed.insert(instance);
            }
            (Err(error), Some(name)) => {
                terminal::explain(&format!(
                    "error: `{instance}`, credential `{name}`: {error}"
                ));
                failed.insert(instance);
            }
        }
    }
    match failed.len() {
        0 => Ok(()),
        one => Err(Failure::Unreachable(format!(
            "{} did not pass",
            counted(one, "instance")
        ))),
    }
}

/// Prints the warnings of a configuration.
pub(super) fn warn(warnings: &[Mistake]) {
    for warning in warnings {
        terminal::explain(&format!("warning: {warning}\n"));
    }
}

/// What is configured, in a few lines.
fn summary(sources: &Sources, checked: &Checked, now: Timestamp) -> String {
    let config = &checked.config;
    let file = sources.file.as_ref().map_or_else(
        || "the environment".to_owned(),
        |file| file.display().to_string(),
    );
    let mut lines = vec![format!("{file} is right")];
    let listen: Vec<String> = config
        .server
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.push(format!("  listen     {}", listen.join(", ")));
    for (name, instance) in &config.instances {
        let database = instance.database.as_deref().unwrap_or("the only database");
        lines.push(format!(
            "  instance   {name}: {database} on {}",
            instance.url
        ));
    }
    for (name, role) in &config.roles {
        lines.push(format!(
            "  role       {name}: {}{}",
            counted(role.rules.len(), "rule"),
            role.credential
                .as_ref()
                .map_or_else(String::new, |credential| format!(
                    ", acts as `{credential}`"
                ))
        ));
    }
    let good = checked.keyring.as_ref().map_or(0, |keys| {
        keys.iter().filter(|(_, key)| key.is_good(now)).count()
    });
    lines.push(format!("  API keys   {good} in use"));
    if !checked.warnings.is_empty() {
        lines.push(format!("  {}", counted(checked.warnings.len(), "warning")));
    }
    lines.join("\n")
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
