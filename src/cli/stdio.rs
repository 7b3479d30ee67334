//! `gatepost stdio`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    CliError,
    check::print_warnings,
    demo_example,
    names::choose_instance,
    serve::{build_gateway, build_telemetry, close_stores},
};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::stdio,
    telemetry::logging,
};
use gatepost_base::InstanceName;

/// How long calls may continue after the client closed standard input.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long exporting the last traces may take then.
const TRACE_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  gatepost stdio --config config/gatepost.toml --instance production
{}  claude mcp add odoo -- gatepost stdio --config /etc/gatepost.toml --instance production

A client starts this itself: it speaks MCP over standard input and output, and logs
to standard error.", demo_example("  gatepost stdio --demo\n")))]
pub(super) struct Stdio {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The instance; required if several are configured
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Option<InstanceName>,
    /// The built-in sample company instead of an Odoo
    #[cfg(feature = "demo")]
    #[arg(long, conflicts_with_all = ["config", "instance"])]
    pub(super) demo: bool,
}

/// Serves the client that started this process until it closes standard input.
///
/// # Errors
/// If the configuration has errors or the instance is ambiguous.
pub(super) fn run(stdio: &Stdio) -> Result<(), CliError> {
    let sources = Sources::new(stdio.config.clone());
    let filter = sources.log_filter().unwrap_or("warn").to_owned();
    logging::start(&filter).map_err(|error| CliError::UnusableConfig(error.to_string()))?;
    #[cfg(feature = "demo")]
    if stdio.demo {
        let demo = super::demo::DemoServer::open(None)?;
        let checked = demo.configuration("127.0.0.1:0")?;
        return serve_stdio(&checked, None, demo.serve());
    }
    let checked = load(&sources)?;
    print_warnings(&checked.warnings);
    if checked.config.audit.stdout {
        return Err(CliError::UnusableConfig(
            "`audit.stdout` would write to standard output, which the client reads; set GATEPOST_AUDIT__STDOUT=false".to_owned(),
        ));
    }
    serve_stdio(&checked, stdio.instance.as_ref(), std::future::ready(()))
}

/// Serves standard input and output on its own runtime, with another task beside it.
fn serve_stdio(
    checked: &ValidConfig,
    instance: Option<&InstanceName>,
    beside: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CliError> {
    let instance = choose_instance(&checked.config, instance)?;
    let telemetry = build_telemetry(checked)?;
    let gateway = build_gateway(checked)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::Failed(format!("the async runtime could not be started: {error}"))
        })?;
    runtime.spawn(beside);
    let served = runtime.block_on(async {
        // A client that stops its server sends SIGTERM, perhaps in the middle of a write.
        let signals = stdio::TerminationSignals::install();
        let signals = signals.map_err(stdio::StdioError::NoSignals)?;
        stdio::serve(
            &gateway,
            &instance,
            &telemetry,
            DRAIN_TIMEOUT,
            signals,
            tokio::io::stdin(),
            tokio::io::stdout(),
        )
        .await
    });
    runtime.block_on(telemetry.flush(TRACE_FLUSH_TIMEOUT));
    // The thread that reads standard input cannot be stopped cleanly.
    runtime.shutdown_background();
    close_stores(&gateway.load());
    served.map_err(|error| CliError::Failed(error.to_string()))
}
