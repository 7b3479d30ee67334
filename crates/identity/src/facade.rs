//! The optional facade: a metadata and registration proxy for clients that must
//! register themselves at a provider without open registration.
//!
//! Off by default. It publishes the provider's metadata under the gateway's name
//! and gives every client the id of the one public client that the administrator
//! created at the provider. No authorization code, token or secret passes
//! through it; the provider still matches redirect URIs.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Metadata;

/// The path of the metadata of an authorization server (RFC 8414).
pub const AUTHORIZATION_SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
/// The path of the registration endpoint.
pub const REGISTER_PATH: &str = "/register";
/// The largest registration that is read, in bytes.
pub const MAX_REGISTRATION_BYTES: usize = 16 << 10;

/// The settings of the facade.
#[derive(Clone, Debug)]
pub struct Facade {
    /// The gateway's name as an authorization server: an origin, without a path.
    pub issuer: String,
    /// The public client at the provider.
    pub client_id: String,
    /// Allowed redirect URIs. One on loopback allows every port (RFC 8252 section
    /// 7.3).
    pub redirect_uris: Vec<String>,
}

/// Why the facade is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FacadeUnavailable {
    /// The provider has no login.
    #[error(
        "the provider's metadata lacks `authorization_endpoint` or `token_endpoint`, so clients cannot log in"
    )]
    NoLoginEndpoints,
    /// The provider publishes PKCE methods without the one that clients need.
    #[error("the provider's metadata lists PKCE methods without `S256`, which MCP clients require")]
    NoPkce,
    /// Clients compare the issuer in the authorization response with the one
    /// they know (RFC 9207), which is the gateway.
    #[error(
        "the provider sends its own issuer in authorization responses (RFC 9207), and clients that expect the gateway's reject the login"
    )]
    SendsIssuerParameter,
    /// A browser would follow a link to such an endpoint.
    #[error("the provider's metadata names an endpoint that is not an `https://` URL")]
    UnsafeEndpoint,
}

gatepost_base::words! {
    /// A rejected registration (RFC 7591 section 3.2.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
    pub enum RegistrationError {
        /// It is not a registration.
        #[error("send a JSON object with `redirect_uris`")]
        InvalidClientMetadata = "invalid_client_metadata",
        /// A redirect URI is not allowed.
        #[error(
            "a redirect URI is not allowed here; ask the administrator of this gateway to add it to `facade.redirect_uris`"
        )]
        InvalidRedirectUri = "invalid_redirect_uri",
    }

    /// The error code.
    pub fn error_code(self);
}

#[derive(Deserialize)]
struct RegistrationRequest {
    redirect_uris: Vec<String>,
    client_name: Option<String>,
}

impl Facade {
    /// The metadata to publish; only the listed members of the provider's.
    ///
    /// # Errors
    /// [`FacadeUnavailable`].
    pub fn metadata(&self, provider: &Metadata) -> Result<Value, FacadeUnavailable> {
        if provider.authorization_response_iss_parameter_supported {
            return Err(FacadeUnavailable::SendsIssuerParameter);
        }
        let methods = &provider.code_challenge_methods_supported;
        if !methods.is_empty() && !methods.iter().any(|method| method == "S256") {
            return Err(FacadeUnavailable::NoPkce);
        }
        let (Some(login), Some(token)) =
            (&provider.authorization_endpoint, &provider.token_endpoint)
        else {
            return Err(FacadeUnavailable::NoLoginEndpoints);
        };
        let endpoints = [
            Some(login),
            Some(token),
            provider.jwks_uri.as_ref(),
            provider.revocation_endpoint.as_ref(),
        ];
        // Without TLS only if the provider itself has none.
        let is_web = |url: &String| {
            Url::parse(url).is_ok_and(|url| {
                url.scheme() == "https"
                    || (url.scheme() == "http" && provider.issuer.starts_with("http://"))
            })
        };
        if !endpoints.into_iter().flatten().all(is_web) {
            return Err(FacadeUnavailable::UnsafeEndpoint);
        }
        let grants = ["authorization_code", "refresh_token"].into_iter();
        let supported = &provider.grant_types_supported;
        let grants: Vec<&str> = grants
            .filter(|grant| supported.is_empty() || supported.iter().any(|one| one == grant))
            .collect();
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": login,
            "token_endpoint": token,
            "registration_endpoint": format!("{}{REGISTER_PATH}", self.issuer),
            "response_types_supported": ["code"],
            "grant_types_supported": grants,
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
        });
        if let Some(members) = document.as_object_mut() {
            for (name, value) in [
                ("jwks_uri", json!(provider.jwks_uri)),
                ("revocation_endpoint", json!(provider.revocation_endpoint)),
                ("scopes_supported", json!(provider.scopes_supported)),
                (
                    "response_modes_supported",
                    json!(provider.response_modes_supported),
                ),
            ] {
                if !value.is_null() && value != json!([]) {
                    members.insert(name.to_owned(), value);
                }
            }
        }
        Ok(document)
    }

    /// The response to a registration; nothing is stored.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn register(&self, body: &[u8]) -> Result<Value, RegistrationError> {
        let request: RegistrationRequest = serde_json::from_slice(body)
            .map_err(|_not_json| RegistrationError::InvalidClientMetadata)?;
        if request.redirect_uris.is_empty() || request.redirect_uris.len() > 20 {
            return Err(RegistrationError::InvalidClientMetadata);
        }
        if !request
            .redirect_uris
            .iter()
            .all(|uri| self.allows_redirect_uri(uri))
        {
            return Err(RegistrationError::InvalidRedirectUri);
        }
        let mut response = json!({
            "client_id": self.client_id,
            "redirect_uris": request.redirect_uris,
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        });
        if let (Some(name), Some(members)) = (request.client_name, response.as_object_mut()) {
            let name: String = name.chars().take(100).collect();
            members.insert("client_name".to_owned(), json!(name));
        }
        Ok(response)
    }

    fn allows_redirect_uri(&self, uri: &str) -> bool {
        self.redirect_uris
            .iter()
            .any(|allowed| allowed == uri || is_same_loopback_uri(allowed, uri))
    }
}

/// Whether both are the same loopback URI, apart from the port: a program cannot
/// know in advance which port is free.
fn is_same_loopback_uri(allowed: &str, uri: &str) -> bool {
    let parts = |text: &str| {
        let (authority, path) = text.strip_prefix("http://").map(|rest| {
            rest.find(['/', '?', '#'])
                .and_then(|at| rest.split_at_checked(at))
                .unwrap_or((rest, ""))
        })?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let loopback = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
        let valid_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
        (loopback && valid_port).then(|| (host.to_owned(), path.to_owned()))
    };
    parts(allowed).is_some_and(|allowed| parts(uri) == Some(allowed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Facade, FacadeUnavailable, RegistrationError};
    use crate::Metadata;

    fn facade() -> Facade {
        Facade {
            issuer: "https://mcp.example.com".to_owned(),
            client_id: "4711@odoo".to_owned(),
            redirect_uris: vec![
                "https://claude.ai/api/mcp/auth_callback".to_owned(),
                "http://localhost/callback".to_owned(),
            ],
        }
    }

    fn metadata() -> Metadata {
        serde_json::from_value(json!({
            "issuer": "https://id.example.com",
            "authorization_endpoint": "https://id.example.com/authorize",
            "token_endpoint": "https://id.example.com/token",
            "jwks_uri": "https://id.example.com/keys",
            "registration_endpoint": "https://id.example.com/register",
            "client_id_metadata_document_supported": true,
            "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
            "scopes_supported": ["openid"],
            "something_else": true
        }))
        .unwrap()
    }

    #[test]
    fn facade_metadata_copies_only_listed_members() {
        let shown = facade().metadata(&metadata()).unwrap();
        insta::assert_snapshot!(shown, @r#"{"issuer":"https://mcp.example.com","authorization_endpoint":"https://id.example.com/authorize","token_endpoint":"https://id.example.com/token","registration_endpoint":"https://mcp.example.com/register","response_types_supported":["code"],"grant_types_supported":["authorization_code","refresh_token"],"code_challenge_methods_supported":["S256"],"token_endpoint_auth_methods_supported":["none"],"jwks_uri":"https://id.example.com/keys","scopes_supported":["openid"]}"#);
    }

    #[test]
    fn facade_is_off_if_provider_sends_iss_parameter() {
        let metadata = Metadata {
            authorization_response_iss_parameter_supported: true,
            ..metadata()
        };
        assert_eq!(
            facade().metadata(&metadata),
            Err(FacadeUnavailable::SendsIssuerParameter)
        );
    }

    #[test]
    fn facade_publishes_no_endpoint_that_is_not_https() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "http://id.example.com/x",
            "file:///etc/passwd",
            "/authorize",
            "",
        ] {
            type Change = fn(&mut Metadata, String);
            let changes: [Change; 4] = [
                |metadata, url| metadata.authorization_endpoint = Some(url),
                |metadata, url| metadata.token_endpoint = Some(url),
                |metadata, url| metadata.jwks_uri = Some(url),
                |metadata, url| metadata.revocation_endpoint = Some(url),
            ];
            for change in changes {
                let mut metadata = metadata();
                change(&mut metadata, bad.to_owned());
                let given = facade().metadata(&metadata);
                assert_eq!(given, Err(FacadeUnavailable::UnsafeEndpoint), "{bad}");
            }
        }
        let mut plain = serde_json::to_value(facade().metadata(&metadata()).unwrap()).unwrap();
        plain["issuer"] = json!("http://id.internal");
        plain["authorization_endpoint"] = json!("http://id.internal/authorize");
        let plain: Metadata = serde_json::from_value(plain).unwrap();
        assert!(facade().metadata(&plain).is_ok());
    }

    #[test]
    fn registration_accepts_only_configured_redirect_uris() {
        let register = |uris: &[&str]| {
            let body = json!({"redirect_uris": uris, "client_name": "x"}).to_string();
            facade()
                .register(body.as_bytes())
                .map(|response| response["client_id"].clone())
        };
        for good in [
            "https://claude.ai/api/mcp/auth_callback",
            "http://localhost/callback",
            "http://localhost:53682/callback",
        ] {
            assert_eq!(register(&[good]), Ok(json!("4711@odoo")), "{good}");
        }
        for bad in [
            "https://evil.example/cb",
            "https://claude.ai/api/mcp/auth_callback/",
            "https://claude.ai/api/mcp/auth_callback?x",
            "https://claude.ai:443/api/mcp/auth_callback",
            "http://localhost:1/other",
            "http://localhost:1/callback?x=1",
            "http://localhost:99999/callback",
            "http://localhost.evil.example/callback",
            "http://localhost:80@evil.example/callback",
            "http://127.0.0.1/callback",
            "https://localhost/callback",
            "",
        ] {
            assert_eq!(
                register(&[bad]),
                Err(RegistrationError::InvalidRedirectUri),
                "{bad}"
            );
        }
        assert_eq!(
            register(&["http://localhost/callback", "https://evil.example/"]),
            Err(RegistrationError::InvalidRedirectUri)
        );
        assert_eq!(register(&[]), Err(RegistrationError::InvalidClientMetadata));
        assert_eq!(
            facade().register(b"[]").unwrap_err(),
            RegistrationError::InvalidClientMetadata
        );
    }

    #[test]
    fn facade_and_registration_errors_say_what_is_wrong() {
        let errors: [&dyn std::error::Error; 5] = [
            &FacadeUnavailable::NoLoginEndpoints,
            &FacadeUnavailable::NoPkce,
            &FacadeUnavailable::SendsIssuerParameter,
            &RegistrationError::InvalidClientMetadata,
            &RegistrationError::InvalidRedirectUri,
        ];
        insta::assert_snapshot!(errors.map(ToString::to_string).join("\n"));
    }
}
