//! `gatepost demo`.

use std::{net::SocketAddr, sync::Arc};

use clap::Args;

use super::{
    CliError,
    serve::{build_gateway, build_telemetry, open_listeners, start_log},
    terminal,
};
use crate::{
    config::{Sources, ValidConfig, load},
    edge::ProcessTasks,
};
use odoo_sim::{ADMIN_KEY, DATABASE, FakeOdoo};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost demo
  gatepost demo --listen 127.0.0.1:9000

It reads no configuration. Every process on this machine has access.")]
pub(super) struct DemoArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(super) listen: SocketAddr,
    /// The address of the sample company itself, to try your own gateway in front
    /// of it [default: a free port]
    #[arg(long, value_name = "ADDR")]
    pub(super) odoo_listen: Option<SocketAddr>,
}

/// Runs the gateway in front of the sample company.
///
/// # Errors
/// If the listener cannot be opened, or is not on loopback: the demo has no
/// authentication.
pub(super) fn run(demo: &DemoArgs) -> Result<(), CliError> {
    let addresses = [Some(demo.listen), demo.odoo_listen];
    if let Some(open) = addresses
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_loopback())
    {
        return Err(CliError::UnusableConfig(format!(
            "the demo has no authentication, so it listens only on loopback, and `{open}` can be reached from other machines"
        )));
    }
    start_log(&Sources::new(None))?;
    let company = DemoServer::open(demo.odoo_listen)?;
    let checked = company.configuration(demo.listen)?;
    let gateway = build_gateway(&checked)?;
    let telemetry = build_telemetry(&checked)?;
    let places = checked.config.server.max_connections;
    let edge = open_listeners(&checked, &gateway, &telemetry, places)?;
    let address = edge.addresses().first().copied().unwrap_or(demo.listen);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::Failed(format!("the async runtime could not be started: {error}"))
        })?;
    runtime.spawn(company.serve());
    terminal::print(&getting_started(&format!("http://{address}/demo/mcp")))?;
    edge.run(Some(ProcessTasks {
        reload: Box::new(|| Ok(Vec::new())),
        config_file: None,
        background: Vec::new(),
    }));
    runtime.shutdown_background();
    Ok(())
}

/// Everything but the protected models, and the names of salespeople.
const DEMO_RULES: &str = r#"[
    { models = ["*"], operations = ["read", "create", "write", "delete"] },
    { models = ["res.users"], fields = ["name"] },
    { models = ["sale.order"], methods = ["action_confirm", "action_cancel", "action_draft", "message_post"] },
    { models = ["crm.lead", "project.task", "res.partner"], methods = ["message_post"] },
]"#;

/// The sample company on a free port of this machine.
pub(super) struct DemoServer {
    listener: std::net::TcpListener,
    url: String,
}

impl DemoServer {
    /// Opens the address, or a free port.
    ///
    /// # Errors
    /// If the port is in use or none is free.
    pub(super) fn open(address: Option<SocketAddr>) -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::Failed(format!(
                "the port of the sample company cannot be opened: {error}"
            ))
        };
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        Ok(Self { listener, url })
    }

    /// A configuration with the company as its only instance, without
    /// authentication.
    ///
    /// # Errors
    /// Never, unless this file has a bug.
    pub(super) fn configuration(&self, listen: SocketAddr) -> Result<ValidConfig, CliError> {
        // Through the ordinary checks, like any configuration.
        let mut sources = Sources::with_environment(
            None,
            [
                ("GATEPOST_SERVER__ANONYMOUS_ROLE", "demo"),
                ("GATEPOST_ADMIN__LISTEN", ""),
                ("GATEPOST_INSTANCES__DEMO__URL", self.url.as_str()),
                ("GATEPOST_INSTANCES__DEMO__DATABASE", DATABASE),
                ("GATEPOST_INSTANCES__DEMO__API_KEY", ADMIN_KEY),
                ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
                ("GATEPOST_INSTANCES__DEMO__WRITES", "confirm"),
                ("GATEPOST_ROLES__DEMO__RULES", DEMO_RULES),
            ],
        );
        sources.listen = vec![listen];
        Ok(load(&sources)?)
    }

    /// Serves the sample company.
    pub(super) async fn serve(self) {
        match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => {
                let today = jiff::Zoned::now().date();
                Arc::new(FakeOdoo::new(today)).serve(listener).await;
            }
            Err(error) => tracing::error!(%error, "Failed to serve the sample company"),
        }
    }
}

/// The text printed at the start.
fn getting_started(url: &str) -> String {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_records","arguments":{"model":"sale.order","domain":[["state","=","sale"]],"limit":5}}}"#;
    format!(
        r#"
Gatepost is in front of a sample company. Its endpoint:

  {url}

Send a request:

  curl -s {url} -H 'Content-Type: application/json' -d '{call}' | awk '{{gsub(/\\n/, "\n")}} 1'

Connect a client:

  Claude Code     claude mcp add --transport http odoo {url}
  Claude Desktop  in claude_desktop_config.json:
                  {{"mcpServers": {{"odoo": {{"command": "{program}", "args": ["stdio", "--demo"]}}}}}}
  VS Code         in .vscode/mcp.json:
                  {{"servers": {{"odoo": {{"type": "http", "url": "{url}"}}}}}}
  Inspector       npx @modelcontextprotocol/inspector --cli {url} --transport http --method tools/list

Every process on this machine has access. A change is previewed, and made when it is confirmed;
all changes are lost when the demo stops. Stop it with Ctrl-C.
In front of your own Odoo: README.md, "Put it beside Odoo".
"#,
        program = std::env::current_exe()
            .map_or_else(|_| "gatepost".to_owned(), |path| path.display().to_string()),
    )
}
