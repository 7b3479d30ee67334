//! `gatepost serve`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use clap::Args;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{
    CliError, check_startup::locate_port, client_setup::client_setups, reloader::Reloader, terminal,
};
use crate::{
    config::{self, Config, Sources, ValidConfig, load},
    edge::{DescriptorLimit, Edge, EdgeOpenError, ProcessTasks},
    gateway::Gateway,
    telemetry::{self, Telemetry},
};

/// The time between two questions about the keys of Odoo.
pub(super) const ODOO_KEYS_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost serve --config config/gatepost.toml
  gatepost serve --config config/gatepost.toml --listen 127.0.0.1:8080 --listen [::1]:8080
  ODOO_URL=https://odoo.example.com ODOO_DB=prod ODOO_API_KEY=… gatepost serve

On SIGTERM it finishes the calls in flight and stops. On SIGHUP, or `gatepost reload`, it
reloads its configuration; one with errors changes nothing. Keys that `gatepost key` makes
or revokes take effect within seconds by themselves.")]
pub(super) struct ServeArgs {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// An address to listen on instead of those configured; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<SocketAddr>,
}

/// Runs the gateway until it receives a signal to stop.
///
/// # Errors
/// If the configuration has errors or a listener cannot be opened.
pub(super) fn run(serve: &ServeArgs) -> Result<(), CliError> {
    let mut sources = Sources::new(serve.config.clone());
    sources.listen.clone_from(&serve.listen);
    let checked = load(&sources)?;
    start_log(&sources)?;
    terminal::print_warnings(&checked.warnings);
    let gateway = build_gateway(&checked)?;
    let descriptors = DescriptorLimit::raise().unwrap_or_else(|error| {
        warn!(%error, "Failed to raise the limit on open files");
        DescriptorLimit::current()
    });
    let wanted = checked.config.server.max_connections;
    let places = connection_places(&checked.config, descriptors);
    if places < wanted {
        warn!(
            max_connections = wanted,
            connections = places,
            open_files = descriptors.as_u64(),
            "Lowered the number of connections because this process may not open enough files"
        );
    }
    let telemetry = build_telemetry(&checked)?;
    let edge = open_listeners(&checked, &gateway, &telemetry, places)?;
    if let Some(role) = &checked.config.server.anonymous_role {
        warn!(role.name = %role, "Allowed unauthenticated access from this machine");
    }
    for setup in client_setups(&checked.config, edge.addresses()) {
        info!(
            instance.name = %setup.instance,
            url = setup.url,
            client = setup.command,
            "Opened an endpoint for clients"
        );
    }
    let metrics = telemetry.metrics.clone();
    let config_file = sources.file.as_ref();
    let config_file = config_file.and_then(|file| std::path::absolute(file).ok());
    let reloader = Reloader::new(sources, &checked, Arc::clone(&gateway), metrics);
    let reloader = Arc::new(reloader);
    let reload = Arc::clone(&reloader);
    edge.run(Some(ProcessTasks {
        reload: Box::new(move || reload.reload()),
        config_file,
        background: vec![
            Box::pin(Arc::clone(&reloader).watch_keys_file()),
            Box::pin(Arc::clone(&reloader).write_key_uses()),
            Box::pin(watch_odoo_keys(Arc::clone(&gateway))),
        ],
    }));
    if let Err(error) = reloader.write_key_uses_once() {
        warn!(%error, "Failed to store the last uses of API keys");
    }
    close_stores(&gateway.load());
    info!("Stopped");
    Ok(())
}

/// Starts the log as the environment says.
///
/// # Errors
/// If its filter or format is invalid.
pub(super) fn start_log(sources: &Sources) -> Result<(), CliError> {
    let filter = sources.log_filter().unwrap_or("info");
    telemetry::logging::start(filter, sources.log_format())
        .map_err(|error| CliError::UnusableConfig(error.to_string()))
}

/// Asks Odoo when its API keys expire, one after the other. Never returns.
async fn watch_odoo_keys(gateway: Arc<ArcSwap<Gateway>>) {
    loop {
        gateway.load_full().refresh_next_key_expiry().await;
        sleep(ODOO_KEYS_INTERVAL).await;
    }
}

/// How many connections of clients this process can have beside its connections to
/// Odoo and everything else, at most `server.max_connections`.
pub(super) fn connection_places(config: &Config, descriptors: DescriptorLimit) -> usize {
    let instances = config.instances.values();
    let calls = instances
        .map(|instance| instance.max_in_flight)
        .fold(0, usize::saturating_add);
    descriptors.connection_places(config.server.max_connections, calls)
}

/// Builds the gateway, in a cell that a reload swaps.
///
/// # Errors
/// If it cannot be built.
pub(super) fn build_gateway(checked: &ValidConfig) -> Result<Arc<ArcSwap<Gateway>>, CliError> {
    Ok(Arc::new(ArcSwap::from_pointee(checked.build()?)))
}

/// Builds metrics and traces. A reload does not rebuild them.
///
/// # Errors
/// If traces are configured and the exporter cannot be built.
pub(super) fn build_telemetry(checked: &ValidConfig) -> Result<Arc<Telemetry>, CliError> {
    Ok(Arc::new(checked.telemetry()?))
}

/// Writes the last records and closes the files, waiting at most five seconds for
/// each.
pub(super) fn close_stores(gateway: &Gateway) {
    if !gateway.journal.close(Duration::from_secs(5)) {
        error!("Timed out closing the audit journal");
    }
    if !gateway.state_store.close(Duration::from_secs(5)) {
        error!("Timed out closing the change store");
    }
}

/// Opens the listeners, for this many connections.
///
/// # Errors
/// If one cannot be opened.
pub(super) fn open_listeners(
    checked: &ValidConfig,
    gateway: &Arc<ArcSwap<Gateway>>,
    telemetry: &Arc<Telemetry>,
    places: usize,
) -> Result<Edge, CliError> {
    let config = &checked.config;
    Edge::open(
        &config::ServerConfig {
            max_connections: places,
            ..config.server.clone()
        },
        &config.admin,
        gateway,
        telemetry,
    )
    .map_err(|error| match &error {
        EdgeOpenError::Listen(error) => CliError::Failed(locate_port(checked, error).to_string()),
        EdgeOpenError::Certificate(_) | EdgeOpenError::TlsSetup(_) => {
            CliError::Failed(error.to_string())
        }
    })
}
