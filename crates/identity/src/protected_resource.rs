//! How clients find the login: protected resource metadata (RFC 9728) and the
//! challenge that links to it (RFC 6750).

use gatepost_base::text::append;
use serde::Serialize;

/// One public URL of an instance, as an OAuth resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtectedResource {
    /// The URL as people enter it: RFC 9728 section 3.3 compares it so.
    resource: String,
    /// The URL of its metadata: section 3.1 inserts before the path.
    metadata_url: String,
    /// Scopes for the first login.
    scopes: Vec<String>,
    /// The metadata.
    document: String,
    /// The metadata with the facade in place of the provider.
    facade_document: Option<String>,
}

/// RFC 9728 section 2.
#[derive(Serialize)]
struct ResourceMetadata<'a> {
    resource: &'a str,
    authorization_servers: [&'a str; 1],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    scopes_supported: &'a [String],
    bearer_methods_supported: [&'a str; 1],
    resource_name: &'a str,
}

/// Why a request is challenged (RFC 6750 section 3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// The token needs these scopes.
    InsufficientScope(Vec<Box<str>>),
    /// The `Authorization` header is malformed.
    InvalidRequest,
    /// The token is not valid. One text for all reasons, which would help an
    /// attacker.
    InvalidToken,
    /// There is no token.
    NoToken,
}

/// The prefix of the path of a resource's metadata (RFC 9728 section 3).
pub const PROTECTED_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

impl ProtectedResource {
    /// The resource at this URL, with tokens of this issuer; `facade` is the
    /// issuer name of the facade.
    pub fn new(
        url: &str,
        name: &str,
        issuer: &str,
        facade: Option<&str>,
        scopes: Vec<String>,
    ) -> Self {
        let resource = url.trim_end_matches('/').to_owned();
        let (origin, path) = split_origin(&resource);
        let document = |issuer| {
            let document = ResourceMetadata {
                resource: &resource,
                authorization_servers: [issuer],
                scopes_supported: &scopes,
                bearer_methods_supported: ["header"],
                resource_name: name,
            };
            // Serializing a struct of texts cannot fail.
            serde_json::to_string(&document).unwrap_or_default()
        };
        Self {
            metadata_url: format!("{origin}{PROTECTED_RESOURCE_PATH}{path}"),
            document: document(issuer),
            facade_document: facade.map(document),
            scopes,
            resource,
        }
    }

    /// The URL as people enter it.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Its metadata as JSON; with the facade in place of the provider if `facade`
    /// and there is one.
    pub fn document(&self, facade: bool) -> &str {
        let shown = self.facade_document.as_ref().filter(|_| facade);
        shown.unwrap_or(&self.document)
    }

    /// The value of `WWW-Authenticate`. `always_error` is for clients that need
    /// an error even without a token.
    pub fn www_authenticate(&self, challenge: &Challenge, always_error: bool) -> String {
        let mut text = format!("Bearer resource_metadata=\"{}\"", self.metadata_url);
        let mut scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        if let Challenge::InsufficientScope(more) = challenge {
            scopes.extend(more.iter().map(|scope| &**scope));
            scopes.sort_unstable();
            scopes.dedup();
        }
        if !scopes.is_empty() {
            append(&mut text, format_args!(", scope=\"{}\"", scopes.join(" ")));
        }
        text.push_str(challenge.error_parameters(always_error));
        text
    }
}

impl Challenge {
    fn error_parameters(&self, always: bool) -> &'static str {
        match self {
            Self::InsufficientScope(_) => {
                ", error=\"insufficient_scope\", error_description=\"this needs another scope\""
            }
            Self::InvalidRequest => ", error=\"invalid_request\"",
            Self::NoToken if !always => "",
            Self::InvalidToken | Self::NoToken => {
                ", error=\"invalid_token\", error_description=\"a new token is needed\""
            }
        }
    }

    /// The challenge of an instance that accepts no provider's tokens.
    pub fn without_metadata(&self) -> String {
        format!("Bearer realm=\"gatepost\"{}", self.error_parameters(false))
    }
}

/// Scheme and authority, and the path.
fn split_origin(url: &str) -> (&str, &str) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(begin..)
        .and_then(|rest| rest.find('/'))
        .map_or(url.len(), |at| begin + at);
    url.split_at_checked(end).unwrap_or((url, ""))
}

#[cfg(test)]
mod tests {
    use super::{Challenge, ProtectedResource};

    fn resource(url: &str) -> ProtectedResource {
        let scopes = vec!["openid".to_owned(), "profile".to_owned()];
        ProtectedResource::new(
            url,
            "Odoo (production)",
            "https://id.example.com",
            Some("https://gw.example.com"),
            scopes,
        )
    }

    #[test]
    fn metadata_names_resource_and_authorization_server() {
        insta::assert_snapshot!(resource("https://gw.example.com/production/mcp").document(false), @r#"{"resource":"https://gw.example.com/production/mcp","authorization_servers":["https://id.example.com"],"scopes_supported":["openid","profile"],"bearer_methods_supported":["header"],"resource_name":"Odoo (production)"}"#);
    }

    #[test]
    fn challenge_links_to_metadata_of_the_resource() {
        let path = resource("https://gw.example.com/production/mcp");
        let host = resource("https://production.gw.example.com:8443/mcp/");
        let more = Challenge::InsufficientScope(vec!["odoo:write".into(), "openid".into()]);
        insta::assert_snapshot!([
            path.www_authenticate(&Challenge::NoToken, false),
            path.www_authenticate(&Challenge::NoToken, true),
            host.www_authenticate(&Challenge::InvalidToken, false),
            path.www_authenticate(&Challenge::InvalidRequest, false),
            path.www_authenticate(&more, false),
            Challenge::InvalidToken.without_metadata(),
        ].join("\n"), @r#"
        Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/production/mcp", scope="openid profile"
        Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/production/mcp", scope="openid profile", error="invalid_token", error_description="a new token is needed"
        Bearer resource_metadata="https://production.gw.example.com:8443/.well-known/oauth-protected-resource/mcp", scope="openid profile", error="invalid_token", error_description="a new token is needed"
        Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/production/mcp", scope="openid profile", error="invalid_request"
        Bearer resource_metadata="https://gw.example.com/.well-known/oauth-protected-resource/production/mcp", scope="odoo:write openid profile", error="insufficient_scope", error_description="this needs another scope"
        Bearer realm="gatepost", error="invalid_token", error_description="a new token is needed"
        "#);
    }
}
