//! The session id, which encodes all that matters of a session.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// The prefix of the ids of clients that support form elicitation.
const FORM_ELICITATION_PREFIX: &str = "gp1-e-";

/// An `Mcp-Session-Id` of the gateway (2025-06-18, transports, "Session Management").
///
/// In the older revisions a client declares its capabilities only once, in
/// `initialize`, and the gateway stores nothing. So the id, which the client sends
/// with every later request, encodes them: `gp1-e-` and 32 hex digits for a client
/// that supports form elicitation. Other clients get no id. The id grants nothing: a
/// client that forges one only receives elicitations.
#[derive(Clone, PartialEq, Eq)]
pub struct Session(Box<str>);

impl Session {
    /// The header field.
    pub const HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

    /// A session of a client that supports form elicitation, with a random number.
    pub fn with_form_elicitation(random: u128) -> Self {
        Self(format!("{FORM_ELICITATION_PREFIX}{random:032x}").into())
    }

    /// The session of a request. An id in another format is ignored, because another
    /// server may have issued it.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(Self::HEADER).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        Self::parse(value.to_str().ok()?)
    }

    /// Parses an id.
    pub fn parse(id: &str) -> Option<Self> {
        let id = id.trim_matches([' ', '\t']);
        let digits = id.strip_prefix(FORM_ELICITATION_PREFIX)?;
        let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        (digits.len() == 32 && digits.bytes().all(plain)).then(|| Self(id.into()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// The id allows cancelling a call, so it must not be logged.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(…)")
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::Session;

    #[test]
    fn session_id_encodes_form_support() {
        let session = Session::with_form_elicitation(7);
        assert_eq!(session.as_str(), "gp1-e-00000000000000000000000000000007");
        assert_eq!(Session::parse(session.as_str()), Some(session.clone()));
        assert!(!format!("{session:?}").contains('7'));
    }

    #[test]
    fn foreign_session_ids_are_ignored() {
        for id in [
            "",
            "gp1-e-",
            "gp1-e-7",
            "gp1-x-00000000000000000000000000000007",
            "gp2-e-00000000000000000000000000000007",
            "gp1-e-0000000000000000000000000000000Z",
            "1868a90c-7c5e-4f1b-9f43-0d4b9a3b7f52",
        ] {
            assert_eq!(Session::parse(id), None, "{id}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Session::from_headers(&headers), None);
        headers.insert(Session::HEADER, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(Session::from_headers(&headers), None);
        let own = HeaderValue::from_str(Session::with_form_elicitation(7).as_str()).unwrap();
        headers.insert(Session::HEADER, own.clone());
        assert_eq!(
            Session::from_headers(&headers),
            Some(Session::with_form_elicitation(7))
        );
        headers.append(Session::HEADER, own);
        assert_eq!(Session::from_headers(&headers), None);
    }
}
