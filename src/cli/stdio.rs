//! `gatepost stdio`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use clap::Args;

use super::{
    Failure,
    check::warn,
    demo::SampleCompany,
    serve::{close, gateway, telemetry},
};
use crate::{
    config::{Checked, Sources, load},
    edge::stdio,
    gateway::Gateway,
    telemetry::{Telemetry, logging},
};
use gatepost_base::InstanceName;

/// How long calls may go on when the client has closed standard input.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long traces may take to be handed over then.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost stdio --config config/gatepost.toml --instance production
  gatepost stdio --demo
  claude mcp add odoo -- gatepost stdio --config /etc/gatepost.toml --instance production

A client starts this itself: it speaks MCP over standard input and output, and logs
to standard error.")]
pub(super) struct Stdio {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    pub(super) config: Option<PathBuf>,
    /// Which instance; needed where several are configured
    #[arg(long, value_name = "NAME", conflicts_with = "demo")]
    pub(super) instance: Option<InstanceName>,
    /// The built-in sample company instead of an Odoo
    #[arg(long)]
    pub(super) demo: bool,
}

/// Serves the client that started us until it closes standard input.
///
/// # Errors
/// When the configuration is wrong or no instance is meant.
pub(super) fn run(stdio: &Stdio) -> Result<(), Failure> {
    let sources = Sources::new(stdio.config.clone());
    let filter = sources.log_filter().unwrap_or("warn").to_owned();
    logging::start(&filter).map_err(|error| Failure::Unfit(error.to_string()))?;
    if stdio.demo {
        let company = SampleCompany::open(None)?;
        let checked = company.configuration("127.0.0.1:0")?;
        let instance = chosen(&checked, None)?;
        let gateway = gateway(&checked)?;
        let telemetry = telemetry(&checked)?;
        return converse(&gateway, &instance, &telemetry, Some(company));
    }
    let checked = load(&sources)?;
    warn(&checked.warnings);
    if checked.config.audit.stdout {
        return Err(Failure::Unfit(
            "`audit.stdout` would mix with what is said to the client on standard output; set GATEPOST_AUDIT__STDOUT=false".to_owned(),
        ));
    }
    let instance = chosen(&checked, stdio.instance.as_ref())?;
    let telemetry = telemetry(&checked)?;
    converse(&gateway(&checked)?, &instance, &telemetry, None)
}

/// Serves standard input and output on a runtime of its own.
fn converse(
    gateway: &Arc<ArcSwap<Gateway>>,
    instance: &InstanceName,
    telemetry: &Arc<Telemetry>,
    company: Option<SampleCompany>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    if let Some(company) = company {
        runtime.spawn(company.serve());
    }
    let served = runtime.block_on(stdio::serve(
        gateway,
        instance,
        telemetry,
        PATIENCE,
        tokio::io::stdin(),
        tokio::io::stdout(),
    ));
    runtime.block_on(telemetry.flush(LAST_WORDS));
    // The thread that reads standard input cannot be ended in order.
    runtime.shutdown_background();
    close(&gateway.load());
    served.map_err(|error| Failure::Failed(error.to_string()))
}

/// The instance that is meant: the named one, or the only one.
fn chosen(checked: &Checked, wanted: Option<&InstanceName>) -> Result<InstanceName, Failure> {
    let instances = &checked.config.instances;
    let names: Vec<&str> = instances.keys().map(InstanceName::as_str).collect();
    let names = names.join("`, `");
    match wanted {
        Some(name) if instances.contains_key(name) => Ok(name.clone()),
        Some(name) => Err(Failure::Unfit(format!(
            "there is no instance `{name}`; there are `{names}`"
        ))),
        None => match instances.first_key_value() {
            Some((only, _)) if instances.len() == 1 => Ok(only.clone()),
            _ => Err(Failure::Unfit(format!(
                "say which instance by `--instance`: `{names}`"
            ))),
        },
    }
}
