//! The bearer token of a request.

use http::{HeaderMap, header::AUTHORIZATION};

/// The longest token that is read, in bytes. Access tokens with many roles have
/// some thousand.
const MAX_BYTES: usize = 8 << 10;

/// A bearer token as it was presented; it is not verified.
///
/// A secret: neither `Debug` nor `Display` shows it.
#[derive(Clone, Copy)]
pub struct Bearer<'a>(&'a str);

/// A copy of a token, for work that outlives the request.
#[derive(Clone)]
pub struct OwnedBearer(Box<str>);

/// Why a request has no usable token. The text is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// The header is not a bearer token as RFC 6750 section 2.1 writes it.
    #[error("the `Authorization` header must be `Bearer` and one token")]
    Malformed,
    /// There is no `Authorization` header.
    #[error("an `Authorization: Bearer` header is needed")]
    Missing,
    /// There are several, and each hop may read another one.
    #[error("there must be only one `Authorization` header")]
    MultipleHeaders,
    /// The header has another scheme, such as `Basic` or `DPoP`.
    #[error("an `Authorization: Bearer` header is needed")]
    OtherScheme,
    /// The token is too long.
    #[error("the token must not be longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl<'a> Bearer<'a> {
    /// Reads the token of a request: only from `Authorization`, never from the
    /// query or the body (RFC 6750 sections 2.2 and 2.3 allow both; MCP
    /// forbids the query).
    ///
    /// # Errors
    /// [`BearerError`].
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Self, BearerError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(BearerError::Missing)?;
        if values.next().is_some() {
            return Err(BearerError::MultipleHeaders);
        }
        // No token has bytes beyond ASCII.
        let value = value
            .to_str()
            .map_err(|_beyond_ascii| BearerError::Malformed)?;
        let (scheme, token) = value.split_once(' ').ok_or(BearerError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(if scheme.is_empty() {
                BearerError::Malformed
            } else {
                BearerError::OtherScheme
            });
        }
        // RFC 9110 section 11.4: one or more spaces before the token.
        Self::parse(token.trim_matches(' '))
    }

    /// A text as a token, if it has the form of one.
    ///
    /// # Errors
    /// [`BearerError::TooLong`] or [`BearerError::Malformed`].
    pub fn parse(token: &'a str) -> Result<Self, BearerError> {
        if token.len() > MAX_BYTES {
            return Err(BearerError::TooLong);
        }
        if is_b64token(token) {
            Ok(Self(token))
        } else {
            Err(BearerError::Malformed)
        }
    }

    /// The token.
    pub fn reveal(self) -> &'a str {
        self.0
    }

    /// A copy that outlives the request.
    pub fn into_owned(self) -> OwnedBearer {
        OwnedBearer(self.0.into())
    }
}

impl OwnedBearer {
    /// The token as it was presented.
    pub fn as_bearer(&self) -> Bearer<'_> {
        Bearer(&self.0)
    }
}

gatepost_base::opaque_debug!(Bearer<'_>, OwnedBearer);

/// RFC 6750 section 2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    use super::{Bearer, BearerError};

    fn find(values: &[&str]) -> Result<String, BearerError> {
        let values = values.iter().map(|value| HeaderValue::from_str(value));
        let headers: HeaderMap = values
            .map(|value| (AUTHORIZATION, value.unwrap()))
            .collect();
        Bearer::from_headers(&headers).map(|bearer| bearer.reveal().to_owned())
    }

    #[test]
    fn bearer_scheme_is_case_insensitive() {
        for header in ["Bearer abc", "bearer abc", "BEARER   abc", "bEaReR abc "] {
            assert_eq!(find(&[header]).as_deref(), Ok("abc"), "{header}");
        }
        assert_eq!(find(&["Bearer aZ0-._~+/=="]).as_deref(), Ok("aZ0-._~+/=="));
    }

    #[test]
    fn malformed_or_non_bearer_header_is_rejected() {
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "abc",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \u{e4}",
            "Bearer\tabc",
            "Bearer \"abc\"",
            " Bearer abc",
        ] {
            assert_eq!(find(&[header]), Err(BearerError::Malformed), "{header}");
        }
        for header in ["Basic abc", "DPoP abc", "Bearer\u{2003}x y"] {
            let found = find(&[header]);
            assert!(
                matches!(
                    found,
                    Err(BearerError::OtherScheme | BearerError::Malformed)
                ),
                "{header}"
            );
        }
        assert_eq!(find(&["Basic abc"]), Err(BearerError::OtherScheme));
        assert_eq!(find(&[]), Err(BearerError::Missing));
    }

    #[test]
    fn multiple_authorization_headers_are_rejected_even_if_equal() {
        assert_eq!(
            find(&["Bearer abc", "Bearer abc"]),
            Err(BearerError::MultipleHeaders)
        );
    }

    #[test]
    fn token_over_size_limit_is_rejected() {
        let token = "a".repeat(8 << 10);
        assert!(find(&[&format!("Bearer {token}")]).is_ok());
        assert_eq!(
            find(&[&format!("Bearer {token}a")]),
            Err(BearerError::TooLong)
        );
    }

    #[test]
    fn debug_output_hides_token() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer hunter2"));
        let shown = format!("{:?}", Bearer::from_headers(&headers));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn missing_or_malformed_token_says_what_to_send() {
        let errors = [
            BearerError::Malformed,
            BearerError::Missing,
            BearerError::MultipleHeaders,
            BearerError::OtherScheme,
            BearerError::TooLong,
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
