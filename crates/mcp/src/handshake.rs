//! The revisions that start with `initialize`: 2025-03-26 to 2025-11-25.
//!
//! The gateway stores no sessions. What a client declares in `initialize` and matters
//! later is encoded in its session id ([`super::Session`]).

use serde_json::{Value, json};

use super::{
    Params, ProtocolEra, ProtocolError, Revision, Transport, elicitation, jsonrpc::json_string,
};

/// The revision of a request without one in `_meta`.
///
/// # Errors
/// [`ProtocolError::MissingMeta`] if the header names the stateless revision,
/// [`ProtocolError::UnsupportedVersion`] if it names an unknown one, also a later one:
/// what a request of that needs is not known here.
pub(super) fn resolve_revision(
    method: &str,
    transport: &Transport,
) -> Result<Revision, ProtocolError> {
    match transport.declared_version() {
        Some(text) => match Revision::parse(text) {
            Some(revision) if revision.era() == ProtocolEra::Handshake => Ok(revision),
            // `initialize` names its revision in the body, so the header does not matter.
            _ if method == "initialize" => Ok(Revision::NEWEST_HANDSHAKE),
            Some(_) => Err(ProtocolError::MissingMeta(
                "`io.modelcontextprotocol/protocolVersion` and `io.modelcontextprotocol/clientCapabilities`",
            )),
            None => Err(unsupported(text)),
        },
        None if method == "initialize" => Ok(Revision::NEWEST_HANDSHAKE),
        None => Ok(match transport {
            Transport::Http(_) => Revision::ASSUMED,
            // A stdio message of this era names no revision; they do not differ there.
            Transport::Stdio => Revision::NEWEST_HANDSHAKE,
        }),
    }
}

/// Rejects a notification whose header names an unknown revision.
///
/// # Errors
/// [`ProtocolError::UnsupportedVersion`].
pub(super) fn check_notification(transport: &Transport) -> Result<(), ProtocolError> {
    match transport.declared_version() {
        Some(text) if Revision::parse(text).is_none() => Err(unsupported(text)),
        Some(_) | None => Ok(()),
    }
}

fn unsupported(version: &str) -> ProtocolError {
    ProtocolError::UnsupportedVersion {
        requested: version.chars().take(40).collect(),
        supported: &Revision::ALL,
    }
}

/// The outcome of `initialize`.
#[derive(Debug)]
pub struct Initialized {
    /// The negotiated revision.
    pub revision: Revision,
    /// Whether the client supports form elicitation.
    pub supports_form_elicitation: bool,
    /// The result for the client.
    pub result: Value,
}

/// Answers `initialize` with the requested revision if it is of this era, else with
/// the newest (2025-11-25, lifecycle, "Version Negotiation").
///
/// # Errors
/// [`ProtocolError::InvalidParams`] if no revision is requested.
pub fn initialize(
    params: &Params<'_>,
    title: &str,
    instructions: &str,
) -> Result<Initialized, ProtocolError> {
    let requested = params
        .protocol_version
        .and_then(json_string)
        .ok_or_else(|| {
            ProtocolError::InvalidParams(
                "`protocolVersion` must be a string such as `2025-11-25`".to_owned(),
            )
        })?;
    let revision = Revision::parse(&requested)
        .filter(|revision| revision.era() == ProtocolEra::Handshake)
        .unwrap_or(Revision::NEWEST_HANDSHAKE);
    let result = json!({
        "protocolVersion": revision.as_str(),
        "capabilities": { "tools": {} },
        "serverInfo": super::response::server_info(title),
        "instructions": instructions,
    });
    Ok(Initialized {
        revision,
        // The oldest revision has no elicitation, even if declared.
        supports_form_elicitation: revision >= Revision::V2025_06_18
            && elicitation::supports_form_elicitation(params.capabilities),
        result,
    })
}
