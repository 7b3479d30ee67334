//! The secrets of a configuration, as read from it and its files.

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::audit::ChainKey;
use gatepost_base::{CredentialName, InstanceName, ProviderName};
use gatepost_identity::{ApiKeyStore, ClientAuth};
use gatepost_odoo_client::OdooApiKey;
use gatepost_state::redis::RedisPassword;

/// The secrets that a configuration holds or names.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The Odoo API key of every instance.
    pub service_keys: BTreeMap<InstanceName, OdooApiKey>,
    /// The Odoo API keys of the credentials of every instance.
    pub credentials: BTreeMap<InstanceName, BTreeMap<CredentialName, OdooApiKey>>,
    /// The gateway's own keys; `None` if no file is configured or it does not exist yet.
    pub keyring: Option<ApiKeyStore>,
    /// How the gateway authenticates to each identity provider.
    pub client_auths: BTreeMap<ProviderName, Arc<ClientAuth>>,
    /// The header fields for the trace collector.
    pub otlp_headers: HeaderMap,
    /// The password of Redis, if it needs one.
    pub redis_password: Option<RedisPassword>,
    /// The key of the audit journal's hash chain.
    pub audit_key: Option<ChainKey>,
}

/// A secret that is written in the configuration itself.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct InlineSecret(String);

impl Deref for InlineSecret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for InlineSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"..\"")
    }
}
