//! `[[grants]]`: which callers have which roles.

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::{role::every_name, schema};
use gatepost_base::{CredentialName, ProviderName, RoleName};
use gatepost_identity::CallerKind;
use gatepost_policy::Pattern;

/// Callers that meet all the conditions of a grant have its roles. Several
/// grants add up.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["roles"]))]
pub struct GrantConfig {
    /// The roles.
    #[schemars(schema_with = "schema::role_names")]
    pub roles: Vec<RoleName>,
    /// Instances where it applies, by name or pattern. Default: every instance.
    #[default(every_name())]
    #[schemars(schema_with = "schema::patterns")]
    pub instances: Vec<Pattern>,
    /// The provider that issued the token. Default: any.
    #[schemars(schema_with = "schema::provider_name")]
    pub provider: Option<ProviderName>,
    /// A role or group in the token.
    pub provider_role: Option<String>,
    /// The organisation in which that role was given (Zitadel: its id).
    pub organization: Option<String>,
    /// A scope of the token.
    pub scope: Option<String>,
    /// The provider's id of the user (`sub`).
    pub subject: Option<String>,
    /// The client that the token was issued to.
    pub client_id: Option<String>,
    /// A person (`user`), or a program with its own account (`client`).
    #[schemars(schema_with = "schema::token_caller_kind")]
    pub kind: Option<CallerKind>,
    /// The id of an API key of the gateway, as `gatepost key list` prints it.
    pub api_key: Option<String>,
    /// The Odoo user that calls act as: a name from `credentials` of the
    /// instances. It overrides `credential` of a role.
    #[schemars(schema_with = "schema::credential_name")]
    pub credential: Option<CredentialName>,
}
