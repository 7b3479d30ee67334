//! `gatepost check`.

use std::{fmt, path::PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::{
    CliError,
    check_live::{LiveFindings, run_live_checks},
    check_startup::{StartupFindings, check_startup},
    client_setup::client_setups,
    serve::connection_places,
    terminal,
};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::DescriptorLimit,
};
use gatepost_base::text::pluralize;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost check --config config/gatepost.toml
  gatepost check --config config/gatepost.toml --live
  gatepost check --config config/gatepost.toml --live --token < token.txt

It reads the configuration and every file that it names, opens what `serve` would open (ports,
certificate, audit journal, change store), and changes nothing. What a gateway that is running
already has open is no error.
Errors and warnings go to standard error; a warning alone is not a failure.
Exit code 3: the configuration has errors, or `serve` would not work with it. 4, with --live: a
service does not answer, or a rule names a field that does not exist, so it does not protect or
allow what it should.")]
pub(super) struct CheckArgs {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Also check that every Odoo answers, accepts its API keys and has the models,
    /// fields and methods that rules name; that every identity provider and Redis
    /// works; and that the change store can be opened
    #[arg(long)]
    pub(super) live: bool,
    /// Also report what an access token gives access to. It is read from standard
    /// input because other users of the machine can see arguments
    #[arg(long, requires = "live")]
    pub(super) token: bool,
}

/// Checks the configuration and what it names, prints what it says, and at the end
/// whether it is right.
///
/// # Errors
/// If anything is wrong.
pub(super) fn run(check: &CheckArgs) -> Result<(), CliError> {
    let sources = Sources::new(check.config.clone());
    let checked = load(&sources)?;
    let now = Timestamp::now();
    let startup = check_startup(&checked, now)?;
    terminal::print(&description(
        &sources,
        &checked,
        &startup,
        DescriptorLimit::possible(),
        now,
    ))?;
    terminal::print_warnings(&checked.warnings);
    terminal::print_warnings(&startup.warnings);
    for error in &startup.errors {
        terminal::print_stderr(&format!("error: {error}\n"));
    }
    let live = if check.live {
        run_live_checks(&checked, check.token)?
    } else {
        LiveFindings::default()
    };
    let warnings = checked.warnings.len() + startup.warnings.len() + live.warnings;
    verdict(&startup, &live, warnings, check.live)
}

/// The last line: whether all is right.
///
/// # Errors
/// If anything is wrong.
fn verdict(
    startup: &StartupFindings,
    live: &LiveFindings,
    warnings: usize,
    is_live: bool,
) -> Result<(), CliError> {
    let mut wrong = Vec::new();
    if !startup.errors.is_empty() {
        let errors = pluralize(startup.errors.len(), "error");
        wrong.push(format!("`gatepost serve` would not work ({errors})"));
    }
    if !live.failed.is_empty() {
        wrong.push(format!("{} did not pass", live.failed.join(" and ")));
    }
    if !wrong.is_empty() {
        let text = wrong.join("; ");
        return Err(if startup.errors.is_empty() {
            CliError::Unreachable(text)
        } else {
            CliError::UnusableConfig(text)
        });
    }
    let right = if is_live {
        "The configuration is valid, and what it names works"
    } else {
        "The configuration is valid"
    };
    let warnings = match warnings {
        0 => String::new(),
        count => format!("; {}", pluralize(count, "warning")),
    };
    terminal::print(&format!("{right}{warnings}"))
}

/// The configuration in a few lines.
fn description(
    sources: &Sources,
    checked: &ValidConfig,
    startup: &StartupFindings,
    descriptors: DescriptorLimit,
    now: Timestamp,
) -> String {
    let config = &checked.config;
    let file = sources.file.as_ref().map_or_else(
        || "the environment".to_owned(),
        |file| file.display().to_string(),
    );
    let mut lines = vec![file];
    let listen: Vec<String> = config
        .server
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.push(format!("  listen     {}", listen.join(", ")));
    if let Some(validity) = startup.certificate {
        lines.push(format!(
            "  TLS        certificate valid from {} to {}",
            day(validity.not_before),
            day(validity.not_after)
        ));
    }
    if !startup.in_use.is_empty() {
        lines.push(format!(
            "  running    this gateway is running already, and uses {}",
            startup.in_use.join(", ")
        ));
    }
    let places = connection_places(config, descriptors);
    if places < config.server.max_connections {
        lines.push(format!(
            "  limit      {places} connections instead of the {} of `server.max_connections`, because a process may open only {} files here; raise that limit (systemd: LimitNOFILE=, containers: --ulimit nofile=)",
            config.server.max_connections,
            descriptors.as_u64()
        ));
    }
    for (name, instance) in &config.instances {
        let database = instance.database.as_deref().unwrap_or("the only database");
        lines.push(format!(
            "  instance   {name}: {database} on {}",
            instance.url
        ));
    }
    if config.instances.len() > 1 {
        lines.push("  /mcp       answers 404 because there are several instances; clients need one of these URLs:".to_owned());
    }
    for setup in client_setups(config, &config.server.listen) {
        lines.push(format!("  endpoint   {}: {}", setup.instance, setup.url));
        lines.push(format!("  client     {}", setup.command));
    }
    for (name, provider) in &config.providers {
        lines.push(format!("  provider   {name}: {}", provider.issuer));
    }
    if let Some(redis) = &config.redis {
        lines.push(format!("  redis      {}", redis.url));
    }
    if config.allows_writes() {
        let place = match (&config.changes.file, &config.redis) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(_)) => "redis".to_owned(),
            (None, None) => "memory, until the next restart".to_owned(),
        };
        lines.push(format!("  changes    stored in {place}"));
    }
    if !config.grants.is_empty() {
        lines.push(format!("  grants     {}", config.grants.len()));
    }
    for (name, role) in &config.roles {
        lines.push(format!(
            "  role       {name}: {}{}",
            pluralize(role.rules.len(), "rule"),
            role.credential
                .as_ref()
                .map_or_else(String::new, |credential| format!(
                    ", acts as `{credential}`"
                ))
        ));
    }
    let good = checked.secrets.keyring.as_ref().map_or(0, |keys| {
        keys.iter().filter(|(_, key)| key.is_active(now)).count()
    });
    lines.push(format!("  API keys   {good} in use"));
    lines.join("\n")
}

/// A day for a person, such as `2026-01-31`.
fn day(time: Timestamp) -> impl fmt::Display {
    time.strftime("%Y-%m-%d")
}
