//! The header fields of MCP.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, header::HeaderValue};

use super::{ProtocolError, Revision};

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The header fields that repeat parts of the body (2026-07-28, Streamable HTTP,
/// "Request Metadata"; the version since 2025-06-18).
#[derive(Clone, Debug, Default)]
pub struct McpHeaders {
    /// `MCP-Protocol-Version`; of several, the newest that is supported.
    pub version: Option<String>,
    /// All of them, if there are several: a client and a proxy may each add one, and
    /// a proxy may join them with commas (RFC 9110 section 5.3).
    pub(super) other_versions: Vec<String>,
    /// `Mcp-Method`.
    pub method: Option<String>,
    /// `Mcp-Name`, still encoded.
    pub name: Option<String>,
}

impl McpHeaders {
    /// Reads the fields, without white space around values.
    ///
    /// # Errors
    /// [`ProtocolError::HeaderMismatch`] if another field has several different values or
    /// characters outside ASCII.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ProtocolError> {
        let one = |name: &HeaderName| -> Result<Option<String>, ProtocolError> {
            let mut values = headers.get_all(name).iter();
            let Some(first) = values.next() else {
                return Ok(None);
            };
            if values.any(|other| other != first) {
                return Err(ProtocolError::HeaderMismatch(format!(
                    "`{name}` has several different values"
                )));
            }
            header_text(first).map(Some).ok_or_else(|| {
                ProtocolError::HeaderMismatch(format!("`{name}` contains characters outside ASCII"))
            })
        };
        let mut versions = Vec::new();
        for value in headers.get_all(VERSION) {
            let text = header_text(value).ok_or_else(|| {
                ProtocolError::HeaderMismatch(format!(
                    "`{VERSION}` contains characters outside ASCII"
                ))
            })?;
            versions.extend(text.split(',').map(|one| one.trim().to_owned()));
        }
        let newest = versions.iter().max_by_key(|text| Revision::parse(text));
        Ok(Self {
            version: newest.cloned(),
            other_versions: if versions.len() > 1 {
                versions
            } else {
                Vec::new()
            },
            method: one(&METHOD)?,
            name: one(&NAME)?,
        })
    }
}

impl McpHeaders {
    /// The version that equals `claim` if one of several does, else [`Self::version`].
    pub(super) fn version_like(&self, claim: &str) -> Option<&str> {
        let mut several = self.other_versions.iter();
        several
            .find(|version| *version == claim)
            .or(self.version.as_ref())
            .map(String::as_str)
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{McpHeaders, VERSION};

    fn headers(values: &[&'static str]) -> McpHeaders {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(VERSION, value.parse().unwrap());
        }
        McpHeaders::from_headers(&headers).unwrap()
    }

    #[test]
    fn newest_supported_of_several_versions_counts() {
        for values in [
            &["2025-06-18, 2025-11-25"][..],
            &["2025-11-25,2025-11-25"],
            &["2025-11-25", "2025-06-18"],
            &["1999-01-01, 2025-11-25", "2099-01-01"],
            &[" 2025-11-25\t"],
        ] {
            assert_eq!(
                headers(values).version.as_deref(),
                Some("2025-11-25"),
                "{values:?}"
            );
        }
        assert_eq!(
            headers(&["1999-01-01"]).version.as_deref(),
            Some("1999-01-01")
        );
        assert_eq!(headers(&[]).version, None);
        let joined = headers(&["2025-11-25, 2026-07-28"]);
        assert_eq!(joined.version_like("2025-11-25"), Some("2025-11-25"));
        assert_eq!(joined.version_like("1999-01-01"), Some("2026-07-28"));
    }
}
