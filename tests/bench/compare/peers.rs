//! Two other MCP servers for Odoo, in the mode in which they speak JSON/2.

use std::{net::SocketAddr, path::Path, process::Command};

use odoo_sim::{ADMIN_KEY, DATABASE};
use serde_json::{Value, json};

use crate::scenario::{CallKind, domain, tool_call};

/// Another MCP server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// `mcp-server-odoo`.
    McpServerOdoo,
    /// `odoo-mcp`.
    OdooMcp,
}

pub(super) const PEERS: [Peer; 2] = [Peer::McpServerOdoo, Peer::OdooMcp];

impl Peer {
    /// The name of the package and of its program.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::McpServerOdoo => "mcp-server-odoo",
            Self::OdooMcp => "odoo-mcp",
        }
    }

    /// The command that serves MCP over HTTP at this address, in front of this Odoo.
    pub(super) fn command(self, program: &Path, address: SocketAddr, odoo: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("ODOO_URL", odoo)
            .env("ODOO_DB", DATABASE)
            .env("ODOO_API_KEY", ADMIN_KEY);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        match self {
            Self::McpServerOdoo => command
                .env("ODOO_YOLO", "read")
                .env("ODOO_RPC_TRANSPORT", "json2")
                .env("ODOO_MCP_TRANSPORT", "streamable-http")
                .env("ODOO_MCP_HOST", host)
                .env("ODOO_MCP_PORT", port),
            Self::OdooMcp => command
                .env("ODOO_TRANSPORT", "json2")
                .env("ODOO_JSON2_DATABASE_HEADER", "1")
                .env("ODOO_USERNAME", "admin")
                .env("ODOO_PASSWORD", ADMIN_KEY)
                .args(["--transport", "streamable-http", "--path", "/mcp"])
                .args(["--host", &host, "--port", &port]),
        };
        command
    }

    /// The call that is closest to Gatepost's; `None` if it has none.
    pub(super) fn message(self, call: CallKind) -> Option<Value> {
        let model = match call {
            CallKind::Ping => return Some(call.message()),
            CallKind::Count17 => "res.partner.industry",
            CallKind::Count280 => "res.partner",
            CallKind::Partners => {
                return Some(tool_call(
                    "search_records",
                    &json!({ "model": "res.partner", "domain": domain(), "limit": 20 }),
                ));
            }
            CallKind::Answer4Kb | CallKind::Answer100Kb | CallKind::Answer1Mb => return None,
        };
        // Neither has a tool that only counts.
        let arguments = match self {
            Self::McpServerOdoo => json!({ "model": model, "domain": domain() }),
            Self::OdooMcp => {
                json!({ "model": model, "domain": domain(), "group_by": ["active"], "measures": ["id:count"] })
            }
        };
        Some(tool_call("aggregate_records", &arguments))
    }
}

/// The message that opens a session.
pub(super) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": { "name": "bench", "version": "1" },
        },
    })
}
