//! The metadata of an authorization server (RFC 8414, OpenID Connect Discovery
//! 1.0).

use serde::Deserialize;

/// The members of a provider's metadata that the gateway uses or shows to an
/// administrator.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata {
    /// The provider's own name.
    pub issuer: String,
    /// Where tokens are introspected (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// How a client may authenticate there.
    #[serde(default, deserialize_with = "lenient::list")]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// Where its public keys are.
    pub jwks_uri: Option<String>,
    /// Where people log in.
    pub authorization_endpoint: Option<String>,
    /// Where clients get tokens.
    pub token_endpoint: Option<String>,
    /// How a client may authenticate there; `none` stands for public clients.
    #[serde(default, deserialize_with = "lenient::list")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Where clients revoke tokens (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// Whether the URL of a client's metadata can serve as its id.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub client_id_metadata_document_supported: bool,
    /// PKCE methods; MCP clients require `S256`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub code_challenge_methods_supported: Vec<String>,
    /// Whether the authorization response names the issuer (RFC 9207).
    #[serde(default, deserialize_with = "lenient::flag")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Scopes.
    #[serde(default, deserialize_with = "lenient::list")]
    pub scopes_supported: Vec<String>,
    /// Response types.
    #[serde(default, deserialize_with = "lenient::list")]
    pub response_types_supported: Vec<String>,
    /// Response modes.
    #[serde(default, deserialize_with = "lenient::list")]
    pub response_modes_supported: Vec<String>,
    /// Grant types.
    #[serde(default, deserialize_with = "lenient::list")]
    pub grant_types_supported: Vec<String>,
    /// Subject types; `pairwise` subjects differ per client.
    #[serde(default, deserialize_with = "lenient::list")]
    pub subject_types_supported: Vec<String>,
}

/// A member of the wrong type is no reason to reject all logins: a list is read
/// as empty, and a flag, which may switch a feature off, as set.
mod lenient {
    use serde::{Deserialize, Deserializer};
    use serde_json::Value;

    pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        let value = Value::deserialize(from)?;
        let no = matches!(&value, Value::Null | Value::Bool(false)) || value == "false";
        Ok(!no)
    }

    pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        let value = Value::deserialize(from)?;
        let items = value.as_array().into_iter().flatten();
        Ok(items
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn metadata_members_of_wrong_type_are_tolerated() {
        let text = r#"{"issuer":"x","scopes_supported":null,"grant_types_supported":"all","code_challenge_methods_supported":["S256",1],"authorization_response_iss_parameter_supported":"true","client_id_metadata_document_supported":"false"}"#;
        let metadata: super::Metadata = serde_json::from_str(text).unwrap();
        assert!(metadata.scopes_supported.is_empty() && metadata.grant_types_supported.is_empty());
        assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
        assert!(metadata.authorization_response_iss_parameter_supported);
        assert!(!metadata.client_id_metadata_document_supported);
    }
}
