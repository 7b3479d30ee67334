//! The methods that the gateway serves.

use super::ProtocolEra;

gatepost_base::words! {
    /// A method that the gateway serves.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Method {
        /// `server/discover`, from 2026-07-28.
        Discover = "server/discover",
        /// `initialize`, until 2025-11-25.
        Initialize = "initialize",
        /// `ping`, until 2025-11-25.
        Ping = "ping",
        /// `tools/call`.
        ToolsCall = "tools/call",
        /// `tools/list`.
        ToolsList = "tools/list",
    }

    /// The name in MCP, also used in logs and metrics.
    pub fn as_str(self);
}

impl Method {
    /// The method of a name in an era; `None` if the era has no such method or the
    /// gateway does not serve it.
    pub fn of(name: &str, era: ProtocolEra) -> Option<Self> {
        match (name, era) {
            ("initialize", ProtocolEra::Handshake) => Some(Self::Initialize),
            ("ping", ProtocolEra::Handshake) => Some(Self::Ping),
            ("server/discover", ProtocolEra::Stateless) => Some(Self::Discover),
            ("tools/call", _) => Some(Self::ToolsCall),
            ("tools/list", _) => Some(Self::ToolsList),
            _ => None,
        }
    }
}
