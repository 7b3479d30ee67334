//! The revision in which every request stands alone: 2026-07-28.

use serde::Serialize;
use serde_json::{json, value::RawValue};

use super::{Malformed, Params, Revision, Transport, headers, params};

/// How long a client may keep what we say of ourselves, in milliseconds.
const DISCOVER_TTL_MS: u32 = 300_000;

/// The revision a request claims, once all that must agree with the claim does
/// (2026-07-28, Streamable HTTP, "Request Metadata" and "Server Validation").
///
/// # Errors
/// [`Malformed::MissingMeta`], [`Malformed::HeaderMismatch`],
/// [`Malformed::UnsupportedVersion`], in that order.
pub(super) fn revision(
    claim: &RawValue,
    request: &Params<'_>,
    transport: &Transport,
    method: &str,
) -> Result<Revision, Malformed> {
    let claim = params::text(claim).ok_or(Malformed::MissingMeta(
        "a text in `io.modelcontextprotocol/protocolVersion`",
    ))?;
    let capabilities = request.meta()?.capabilities.map(RawValue::get);
    if !capabilities.is_some_and(|capabilities| capabilities.starts_with('{')) {
        return Err(Malformed::MissingMeta(
            "an object in `io.modelcontextprotocol/clientCapabilities`",
        ));
    }
    if let Transport::Http(headers) = transport {
        agree("MCP-Protocol-Version", headers.version.as_deref(), &claim)?;
    }
    let revision = Revision::parse(&claim)
        .filter(|revision| Revision::STATELESS.contains(revision))
        .ok_or_else(|| Malformed::UnsupportedVersion {
            requested: claim.chars().take(40).collect(),
        })?;
    if let Transport::Http(headers) = transport {
        agree("Mcp-Method", headers.method.as_deref(), method)?;
        // The methods that name one thing, whether or not we offer them.
        let named = match method {
            "tools/call" | "prompts/get" => request.name.and_then(params::text),
            _ => None,
        };
        if let Some(name) = named {
            let header = headers
                .name
                .as_deref()
                .map(|value| headers::decode("Mcp-Name", value));
            agree("Mcp-Name", header.transpose()?.as_deref(), &name)?;
        }
    }
    Ok(revision)
}

fn agree(header: &str, value: Option<&str>, body: &str) -> Result<(), Malformed> {
    match value {
        Some(value) if value == body => Ok(()),
        Some(value) => Err(Malformed::HeaderMismatch(format!(
            "`{header}` says `{}`, the body says `{}`",
            short(value),
            short(body)
        ))),
        None => Err(Malformed::HeaderMismatch(format!(
            "`{header}` is missing; the body says `{}`",
            short(body)
        ))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The answer to `server/discover`, without the parts that every result has.
pub fn discover(instructions: &str) -> impl Serialize + use<> {
    json!({
        "supportedVersions": Revision::STATELESS.map(Revision::as_str),
        "capabilities": { "tools": {} },
        "instructions": instructions,
        "ttlMs": DISCOVER_TTL_MS,
        // What we say depends on who asks.
        "cacheScope": "private",
    })
}
