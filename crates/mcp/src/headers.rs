//! The header fields of MCP.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header::HeaderValue};

use super::ProtocolError;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// What the header says that the body says too (2026-07-28, Streamable HTTP,
/// "Request Metadata"; the version already from 2025-06-18 on).
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
    /// Reads them; white space around a value does not count.
    ///
    /// # Errors
    /// [`Malformed::HeaderMismatch`] when one stands there twice with different
    /// values, or holds what no header may.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ProtocolError> {
        let one = |name: &HeaderName| -> Result<Option<String>, ProtocolError> {
            let mut values = headers.get_all(name).iter();
            let Some(first) = values.next() else {
                return Ok(None);
            };
            if values.any(|other| other != first) {
                return Err(ProtocolError::HeaderMismatch(format!(
                    "`{name}` is there more than once"
                )));
            }
            header_text(first).map(Some).ok_or_else(|| {
                ProtocolError::HeaderMismatch(format!("`{name}` holds characters outside ASCII"))
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

/// The text in a header value that may be `=?base64?…?=` (2026-07-28,
/// "Value Encoding").
///
/// # Errors
/// [`Malformed::HeaderMismatch`] when that is not base64 of UTF-8.
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
