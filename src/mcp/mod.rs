//! MCP on the wire: JSON-RPC, revisions, headers, content. No I/O.
