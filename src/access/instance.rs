//! One Odoo instance and the users we are there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::odoo_account::{OdooAccount, UnknownCredential};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_odoo_client::{ApiKey, CallError, ClientStats, OdooClient};
use gatepost_policy::WriteMode;

/// What an instance is made of.
#[derive(Debug)]
pub struct InstanceSettings {
    /// Its name.
    pub name: InstanceName,
    /// The way there.
    pub client: OdooClient,
    /// The key of the Odoo user that calls act as where nothing names another.
    pub service_key: ApiKey,
    /// Whether that key may do more than read, as far as policy lets it.
    pub service_key_may_write: bool,
    /// The keys of further Odoo users.
    pub credentials: BTreeMap<CredentialName, ApiKey>,
    /// How freely records may be changed.
    pub write_mode: WriteMode,
    /// The address of its web client, without a slash at the end.
    pub web_url: Box<str>,
    /// How long what Odoo says of its models and fields is believed.
    pub schema_ttl: Duration,
}

/// One Odoo instance: the way there, and a login for each user we are there.
#[derive(Debug)]
pub struct Instance {
    name: InstanceName,
    client: Arc<OdooClient>,
    write_mode: WriteMode,
    web_url: Box<str>,
    service_account: OdooAccount,
    named_accounts: BTreeMap<CredentialName, OdooAccount>,
}

impl Instance {
    /// An instance of which nothing is known yet.
    pub fn new(settings: InstanceSettings) -> Self {
        let InstanceSettings {
            name,
            client: link,
            service_key,
            service_key_may_write: service_key_writes,
            credentials,
            write_mode,
            web_url,
            schema_ttl,
        } = settings;
        let client = Arc::new(link);
        let login = |key, writes| OdooAccount::new(Arc::clone(&client), key, writes, schema_ttl);
        Self {
            name,
            write_mode,
            web_url,
            service_account: login(service_key, service_key_writes),
            named_accounts: credentials
                .into_iter()
                // Somebody's own: what they may is between policy and Odoo.
                .map(|(name, key)| (name, login(key, true)))
                .collect(),
            client,
        }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// How freely records may be changed.
    pub fn write_mode(&self) -> WriteMode {
        self.write_mode
    }

    /// The address of its web client.
    pub fn web_url(&self) -> &str {
        &self.web_url
    }

    /// The names of the further Odoo users.
    pub fn credentials(&self) -> impl Iterator<Item = &CredentialName> {
        self.named_accounts.keys()
    }

    /// The login of this name; without a name that of the service key.
    ///
    /// # Errors
    /// [`UnknownCredential`]. Never the service key instead: it may see more.
    pub fn account(
        &self,
        credential: Option<&CredentialName>,
    ) -> Result<&OdooAccount, UnknownCredential> {
        let Some(credential) = credential else {
            return Ok(&self.service_account);
        };
        self.named_accounts
            .get(credential)
            .ok_or_else(|| UnknownCredential {
                instance: self.name.clone(),
                credential: credential.clone(),
            })
    }

    /// Whether Odoo answers at all.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ping(&self) -> Result<(), CallError> {
        self.client.ping().await
    }

    /// How long a call may take until something is known of it.
    pub fn call_timeout(&self) -> Duration {
        self.client.max_call_time()
    }

    /// How busy the way there is.
    pub fn client_stats(&self) -> ClientStats {
        self.client.stats()
    }
}
