//! The revisions that begin with `initialize`: 2025-03-26 to 2025-11-25.
//!
//! We keep no session. Every request is taken as it comes; what the client said
//! in `initialize` and matters later stands in the id it brings ([`super::Session`]).

use serde_json::{Value, json};

use super::{Params, ProtocolEra, ProtocolError, Revision, Transport, elicitation, params};

/// The revision of a request that makes no claim in `_meta`.
///
/// # Errors
/// [`Malformed::MissingMeta`] when its header says it is a stateless one,
/// [`Malformed::UnsupportedVersion`] when its header says what nobody knows.
pub(super) fn resolve_revision(
    method: &str,
    transport: &Transport,
) -> Result<Revision, ProtocolError> {
    let header = match transport {
        Transport::Http(headers) => headers.version.as_deref(),
        Transport::Stdio => None,
    };
    match header {
        Some(text) => match Revision::parse(text) {
            Some(revision) if revision.era() == ProtocolEra::Handshake => Ok(revision),
            // Also a later one than we know: it would carry the claim too.
            _ if Revision::looks_stateless(text) => Err(ProtocolError::MissingMeta(
                "`io.modelcontextprotocol/protocolVersion` and `io.modelcontextprotocol/clientCapabilities`",
            )),
            // What `initialize` asks for stands in its body; the header is a leftover there.
            _ if method == "initialize" => Ok(Revision::NEWEST_HANDSHAKE),
            _ => Err(ProtocolError::UnsupportedVersion {
                requested: text.chars().take(40).collect(),
            }),
        },
        None if method == "initialize" => Ok(Revision::NEWEST_HANDSHAKE),
        None => Ok(match transport {
            Transport::Http(_) => Revision::ASSUMED,
            // Nothing in a stdio message of this era says its revision; they do not differ there.
            Transport::Stdio => Revision::NEWEST_HANDSHAKE,
        }),
    }
}

/// Refuses a notification whose header names a revision nobody knows.
///
/// # Errors
/// [`Malformed::UnsupportedVersion`].
pub(super) fn check_notification(transport: &Transport) -> Result<(), ProtocolError> {
    match transport {
        Transport::Http(headers) => match headers.version.as_deref() {
            Some(text) if Revision::parse(text).is_none() && !Revision::looks_stateless(text) => {
                Err(ProtocolError::UnsupportedVersion {
                    requested: text.chars().take(40).collect(),
                })
            }
            Some(_) | None => Ok(()),
        },
        Transport::Stdio => Ok(()),
    }
}

/// What comes of `initialize`.
#[derive(Debug)]
pub struct Initialized {
    /// The revision to go on with.
    pub revision: Revision,
    /// Whether the client can show a form to the person behind it.
    pub supports_form_elicitation: bool,
    /// The result for the client.
    pub result: Value,
}

/// The answer to `initialize`: the revision that was asked for if it is one of
/// this era, else our newest (2025-11-25, lifecycle, "Version Negotiation").
///
/// # Errors
/// [`Malformed::Params`] when no revision is named.
pub fn initialize(
    params: &Params<'_>,
    title: &str,
    instructions: &str,
) -> Result<Initialized, ProtocolError> {
    let asked = params
        .protocol_version
        .and_then(params::json_string)
        .ok_or_else(|| {
            ProtocolError::InvalidParams(
                "`protocolVersion` must be a text such as `2025-11-25`".to_owned(),
            )
        })?;
    let revision = Revision::parse(&asked)
        .filter(|revision| revision.era() == ProtocolEra::Handshake)
        .unwrap_or(Revision::NEWEST_HANDSHAKE);
    let result = json!({
        "protocolVersion": revision.as_str(),
        "capabilities": { "tools": {} },
        "serverInfo": super::respond::server_info(title),
        "instructions": instructions,
    });
    Ok(Initialized {
        revision,
        // The oldest revision has no elicitation, whatever is declared in it.
        supports_form_elicitation: revision >= Revision::V2025_06_18
            && elicitation::supports_form_elicitation(params.capabilities),
        result,
    })
}
