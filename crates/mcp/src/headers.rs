//! The header fields of MCP.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header::HeaderValue};

use super::ProtocolError;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The header fields that repeat parts of the body (2026-07-28, Streamable HTTP,
/// "Request Metadata"; the version since 2025-06-18).
#[derive(Clone, Debug, Default)]
pub struct McpHeaders {
    /// `MCP-Protocol-Version`.
    pub version: Option<String>,
    /// `Mcp-Method`.
    pub method: Option<String>,
    /// `Mcp-Name`, still encoded.
    pub name: Option<String>,
}

impl McpHeaders {
    /// Reads the fields, without white space around values.
    ///
    /// # Errors
    /// [`ProtocolError::HeaderMismatch`] if a field has several different values or
    /// characters outside ASCII.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ProtocolError> {
        let one = |name: &HeaderName| -> Result<Option<String>, ProtocolError> {
            let mut values = headers.get_all(name).iter();
            let Some(first) = values.next() else {
                return Ok(None);
            };
            if values.any(|other| other != first) {
                return Err(ProtocolError::HeaderMismatch(format!(
                    "`{name}` has several values"
                )));
            }
            header_text(first).map(Some).ok_or_else(|| {
                ProtocolError::HeaderMismatch(format!("`{name}` contains characters outside ASCII"))
            })
        };
        Ok(Self {
            version: one(&VERSION)?,
            method: one(&METHOD)?,
            name: one(&NAME)?,
        })
    }
}

fn header_text(value: &HeaderValue) -> Option<String> {
    value
        .to_str()
        .ok()
        .map(|text| text.trim_matches([' ', '\t']).to_owned())
}

/// Decodes a header value that may be `=?base64?…?=` (2026-07-28, "Value Encoding").
///
/// # Errors
/// [`ProtocolError::HeaderMismatch`] if it is not base64 of UTF-8.
pub(super) fn decode<'a>(header: &str, value: &'a str) -> Result<Cow<'a, str>, ProtocolError> {
    let Some(encoded) = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Ok(Cow::Borrowed(value));
    };
    STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Cow::Owned)
        .ok_or_else(|| {
            ProtocolError::HeaderMismatch(format!("`{header}` is not valid base64 of UTF-8"))
        })
}
