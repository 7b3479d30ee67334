//! `gatepost stdio`.

#[cfg(feature = "demo")]
use std::net::SocketAddr;
use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use clap::Args;

use super::{
    CliError, demo_example,
    names::choose_instance,
    serve::{ODOO_KEYS_INTERVAL, build_telemetry, close_stores, start_log},
    terminal,
};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::stdio,
    gateway::Gateway,
    telemetry::Telemetry,
};
use gatepost_base::InstanceName;

/// How long calls may continue after the client closed standard input.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long exporting the last traces may take then.
const TRACE_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take to send its first request, if it has to be refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The most processes of one configuration at a time.
const MAX_PROCESSES: u32 = 64;

#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  gatepost stdio --config config/gatepost.toml --instance production
{}  claude mcp add odoo -- gatepost stdio --config /etc/gatepost.toml --instance production

A client starts this itself: it speaks MCP over standard input and output, and logs
to standard error. It runs beside `serve` and beside other clients: each process has
its own audit journal and change store, such as `audit.stdio-1.jsonl` for `audit.jsonl`.", demo_example("  gatepost stdio --demo\n")))]
pub(super) struct StdioArgs {
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
pub(super) fn run(stdio: &StdioArgs) -> Result<(), CliError> {
    match StdioServer::prepare(stdio) {
        Ok(server) => server.serve(),
        Err(error) => {
            refuse_client(&error);
            Err(error)
        }
    }
}

/// Everything that is needed to serve the client.
struct StdioServer {
    instance: InstanceName,
    gateway: Arc<ArcSwap<Gateway>>,
    telemetry: Arc<Telemetry>,
    #[cfg(feature = "demo")]
    company: Option<super::demo::DemoServer>,
}

impl StdioServer {
    /// Reads the configuration and opens its files.
    ///
    /// # Errors
    /// If the client cannot be served.
    fn prepare(stdio: &StdioArgs) -> Result<Self, CliError> {
        let sources = Sources::new(stdio.config.clone());
        start_log(&sources)?;
        #[cfg(feature = "demo")]
        if stdio.demo {
            let company = super::demo::DemoServer::open(None)?;
            let checked = company.configuration(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            return Ok(Self {
                company: Some(company),
                ..Self::of(&checked, None)?
            });
        }
        let checked = load(&sources)?;
        terminal::print_warnings(&checked.warnings);
        if checked.config.audit.stdout {
            return Err(CliError::UnusableConfig(
                "`audit.stdout` would write to standard output, which the client reads; set GATEPOST_AUDIT__STDOUT=false".to_owned(),
            ));
        }
        Self::of(&checked, stdio.instance.as_ref())
    }

    fn of(checked: &ValidConfig, instance: Option<&InstanceName>) -> Result<Self, CliError> {
        Ok(Self {
            instance: choose_instance(&checked.config, instance)?,
            telemetry: build_telemetry(checked)?,
            gateway: build_with_own_state(checked)?,
            #[cfg(feature = "demo")]
            company: None,
        })
    }

    /// Serves standard input and output on its own runtime.
    fn serve(self) -> Result<(), CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                CliError::Failed(format!("the async runtime could not be started: {error}"))
            })?;
        #[cfg(feature = "demo")]
        if let Some(company) = self.company {
            runtime.spawn(company.serve());
        }
        let (gateway, instance) = (Arc::clone(&self.gateway), self.instance.clone());
        runtime.spawn(async move {
            loop {
                gateway.load().refresh_local_key_expiry(&instance).await;
                tokio::time::sleep(ODOO_KEYS_INTERVAL).await;
            }
        });
        let served = runtime.block_on(async {
            // A client that stops its server sends SIGTERM, perhaps in the middle of a write.
            let signals = stdio::TerminationSignals::install();
            let signals = signals.map_err(stdio::StdioError::NoSignals)?;
            stdio::serve(
                &self.gateway,
                &self.instance,
                &self.telemetry,
                DRAIN_TIMEOUT,
                signals,
                tokio::io::stdin(),
                tokio::io::stdout(),
            )
            .await
        });
        runtime.block_on(self.telemetry.flush(TRACE_FLUSH_TIMEOUT));
        // The thread that reads standard input cannot be stopped cleanly.
        runtime.shutdown_background();
        close_stores(&self.gateway.load());
        served.map_err(|error| CliError::Failed(error.to_string()))
    }
}

/// Builds the gateway with the first files of its own that no other process uses.
fn build_with_own_state(checked: &ValidConfig) -> Result<Arc<ArcSwap<Gateway>>, CliError> {
    for number in 1..=MAX_PROCESSES {
        match checked.with_stdio_state(number).build() {
            Err(error) if error.is_file_in_use() => {}
            built => return Ok(Arc::new(ArcSwap::from_pointee(built?))),
        }
    }
    Err(CliError::Failed(format!(
        "{MAX_PROCESSES} processes of `gatepost stdio` use this configuration already; end some of them"
    )))
}

/// Answers the client with the reason, because most clients show no standard error.
fn refuse_client(error: &CliError) {
    let input = io::stdin();
    // A person sees standard error.
    if input.is_terminal() {
        return;
    }
    let reason = format!("Gatepost cannot start. {error}");
    let (sender, answered) = mpsc::channel::<()>();
    thread::spawn(move || {
        // Whether the client still reads is its own affair.
        drop(stdio::refuse(input.lock(), io::stdout().lock(), &reason));
        drop(sender);
    });
    // A client that sends nothing is not waited for any longer.
    answered.recv_timeout(REFUSAL_TIMEOUT).ok();
}
