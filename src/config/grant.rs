//! `[[grants]]`: who gets which roles.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use gatepost_base::{CredentialName, ProviderName, RoleName};
use gatepost_policy::Pattern;

/// Whoever meets all the conditions that stand here has the roles. Several
/// grants add up.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The roles it gives.
    #[schemars(schema_with = "schema::role_names")]
    pub roles: Vec<RoleName>,
    /// Where: instances by name or pattern. Default: every instance.
    #[serde(default = "everywhere")]
    #[schemars(schema_with = "schema::patterns")]
    pub instances: Vec<Pattern>,
    /// The provider that vouches. Default: any.
    #[serde(default)]
    #[schemars(schema_with = "schema::provider_name")]
    pub provider: Option<ProviderName>,
    /// A role or group that the provider tells of.
    #[serde(default)]
    pub provider_role: Option<String>,
    /// The organisation in which that role was given (Zitadel: its id).
    #[serde(default)]
    pub organization: Option<String>,
    /// A scope that the token has.
    #[serde(default)]
    pub scope: Option<String>,
    /// Who it is: the provider's id of the user (`sub`).
    #[serde(default)]
    pub subject: Option<String>,
    /// The client that the token was issued to.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What it is: a person (`user`), or a program on its own account (`client`).
    #[serde(default)]
    pub kind: Option<CallerKind>,
    /// The id of a key of ours, as `gatepost key list` shows it.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The Odoo user that calls act as: a name from `credentials` of the
    /// instances. It wins over what roles say.
    #[serde(default)]
    #[schemars(schema_with = "schema::credential_name")]
    pub credential: Option<CredentialName>,
}

/// What kind of caller a token speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// A program on its own account.
    Client,
    /// A person.
    User,
}

fn everywhere() -> Vec<Pattern> {
    Pattern::parse("*").into_iter().collect()
}
