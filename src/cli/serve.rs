//! `gatepost serve`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use clap::Args;
use tracing::{error, info, warn};

use super::{CliError, check::print_warnings};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::Edge,
    gateway::Gateway,
    telemetry::{self, Telemetry},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost serve --config config/gatepost.toml
  gatepost serve --config config/gatepost.toml --listen 127.0.0.1:8080 --listen [::1]:8080
  ODOO_URL=https://odoo.example.com ODOO_DB=prod ODOO_API_KEY=… gatepost serve

It stops on SIGTERM after the calls under way, and reads its configuration again
on SIGHUP; a configuration that is wrong then changes nothing.")]
pub(super) struct Serve {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// An address to listen on instead of those configured; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<SocketAddr>,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// When the configuration is wrong or a listener cannot be opened.
pub(super) fn run(serve: &Serve) -> Result<(), CliError> {
    let mut sources = Sources::new(serve.config.clone());
    sources.listen.clone_from(&serve.listen);
    let checked = load(&sources)?;
    telemetry::logging::start(sources.log_filter().unwrap_or("info"))
        .map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    print_warnings(&checked.warnings);
    let gateway = build_gateway(&checked)?;
    let edge = open_listeners(&checked, &gateway)?;
    if let Some(role) = &checked.config.server.anonymous_role {
        warn!(role.name = %role, "Let in everybody on this machine without any proof");
    }
    let reloaded = Arc::clone(&gateway);
    edge.run(Some(Box::new(move || reload(&sources, &reloaded))));
    close_stores(&gateway.load());
    info!("Stopped");
    Ok(())
}

/// The gateway of a configuration, to be swapped by a reload.
///
/// # Errors
/// When an instance cannot be used.
pub(super) fn build_gateway(checked: &ValidConfig) -> Result<Arc<ArcSwap<Gateway>>, CliError> {
    let gateway = checked
        .build()
        .map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    Ok(Arc::new(ArcSwap::from_pointee(gateway)))
}

/// What operators are told; it is not made anew by a reload.
///
/// # Errors
/// When traces are configured and cannot be handed over at all.
pub(super) fn build_telemetry(checked: &ValidConfig) -> Result<Arc<Telemetry>, CliError> {
    let telemetry = checked
        .telemetry()
        .map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    Ok(Arc::new(telemetry))
}

/// Writes the last records and lets go of the files. What hangs for so long is not
/// worth waiting for.
pub(super) fn close_stores(gateway: &Gateway) {
    if !gateway.journal.close(Duration::from_secs(5)) {
        error!("Gave up waiting for the audit journal");
    }
    if !gateway.state_store.close(Duration::from_secs(5)) {
        error!("Gave up waiting for the file of changes");
    }
}

/// Opens the listeners.
///
/// # Errors
/// When one cannot be opened.
pub(super) fn open_listeners(
    checked: &ValidConfig,
    gateway: &Arc<ArcSwap<Gateway>>,
) -> Result<Edge, CliError> {
    let config = &checked.config;
    Edge::open(
        &config.server,
        &config.admin,
        gateway,
        &build_telemetry(checked)?,
    )
    .map_err(|error| CliError::Failed(error.to_string()))
}

/// Reads the configuration again and swaps the gateway; one that is wrong
/// changes nothing. Listeners and their bounds stay as they were at the start.
fn reload(sources: &Sources, gateway: &ArcSwap<Gateway>) {
    let built = load(sources)
        .map_err(|mistakes| mistakes.to_string())
        .and_then(|checked| {
            let built = checked.rebuild(&gateway.load());
            built.map_err(|error| error.to_string())
        });
    match built {
        Ok(built) => {
            gateway.store(Arc::new(built));
            info!("Read the configuration again");
        }
        Err(error) => error!(
            error,
            "Kept the old configuration, for the new one is wrong"
        ),
    }
}
