//! The stateless revision: 2026-07-28.

use serde::Serialize;
use serde_json::{json, value::RawValue};

use gatepost_base::text::first_chars;

use super::{Params, ProtocolError, Revision, Transport, headers, jsonrpc::json_string};

/// How long a client may cache the result of `server/discover`, in milliseconds.
const DISCOVER_TTL_MS: u32 = 300_000;

/// The revision that a request claims in `_meta`, after checking that the metadata
/// and the header fields agree with it (2026-07-28, Streamable HTTP, "Request
/// Metadata" and "Server Validation").
///
/// # Errors
/// The first of these that applies:
/// - [`ProtocolError::MissingMeta`] if the claim is not a string;
/// - [`ProtocolError::HeaderMismatch`] if `MCP-Protocol-Version` differs from the claim;
/// - [`ProtocolError::UnsupportedVersion`] if the revision is not served without
///   `initialize`;
/// - [`ProtocolError::MissingMeta`] if the client's capabilities are not an object;
/// - [`ProtocolError::HeaderMismatch`] if `Mcp-Method` or `Mcp-Name` differs from the body.
pub(super) fn resolve_revision(
    claim: &RawValue,
    request: &Params<'_>,
    transport: &Transport,
    method: &str,
) -> Result<Revision, ProtocolError> {
    let claim = json_string(claim).ok_or(ProtocolError::MissingMeta(
        "a string in `io.modelcontextprotocol/protocolVersion`",
    ))?;
    if let Transport::Http(headers) = transport {
        let version = headers.version_like(&claim);
        check_header("MCP-Protocol-Version", version, &claim)?;
    }
    let revision = Revision::parse(&claim)
        .filter(|revision| Revision::STATELESS.contains(revision))
        .ok_or_else(|| ProtocolError::UnsupportedVersion {
            requested: claim.chars().take(40).collect(),
            supported: &Revision::STATELESS,
        })?;
    // After the revision, because another may need other metadata.
    let capabilities = request.meta()?.capabilities.map(RawValue::get);
    if !capabilities.is_some_and(|capabilities| capabilities.starts_with('{')) {
        return Err(ProtocolError::MissingMeta(
            "an object in `io.modelcontextprotocol/clientCapabilities`",
        ));
    }
    if let Transport::Http(headers) = transport {
        check_header("Mcp-Method", headers.method.as_deref(), method)?;
        // The methods with a name, even those that are not served.
        let named = match method {
            "tools/call" | "prompts/get" => request.name.and_then(json_string),
            _ => None,
        };
        if let Some(name) = named {
            let header = headers
                .name
                .as_deref()
                .map(|value| headers::decode("Mcp-Name", value));
            check_header("Mcp-Name", header.transpose()?.as_deref(), &name)?;
        }
    }
    Ok(revision)
}

fn check_header(header: &str, value: Option<&str>, body: &str) -> Result<(), ProtocolError> {
    match value {
        Some(value) if value == body => Ok(()),
        Some(value) => Err(ProtocolError::HeaderMismatch(format!(
            "`{header}` is `{}`, but the body has `{}`",
            first_chars(value, 80),
            first_chars(body, 80)
        ))),
        None => Err(ProtocolError::HeaderMismatch(format!(
            "`{header}` is missing; the body has `{}`",
            first_chars(body, 80)
        ))),
    }
}

/// The result of `server/discover`, without the parts that every result has.
pub fn discover(instructions: &str) -> impl Serialize + use<> {
    json!({
        "supportedVersions": Revision::STATELESS.map(Revision::as_str),
        "capabilities": { "tools": {} },
        "instructions": instructions,
        "ttlMs": DISCOVER_TTL_MS,
        // The result depends on the caller.
        "cacheScope": "private",
    })
}
