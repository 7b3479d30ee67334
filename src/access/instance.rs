//! One Odoo instance and its accounts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{error::UnknownCredential, odoo_account::OdooAccount};
use gatepost_base::{CredentialName, Diagnosis, InstanceName};
use gatepost_odoo_client::{CallError, ClientStats, OdooApiKey, OdooClient};
use gatepost_policy::WriteMode;

/// The configuration of an instance.
#[derive(Debug)]
pub struct InstanceSettings {
    /// Its name.
    pub name: InstanceName,
    /// The HTTP client.
    pub client: OdooClient,
    /// The API key of the Odoo user that calls without a credential act as.
    pub service_key: OdooApiKey,
    /// Whether that user may write what the policy permits, or only read.
    pub service_key_may_write: bool,
    /// The API keys of further Odoo users.
    pub credentials: BTreeMap<CredentialName, OdooApiKey>,
    /// The least restrictive mode in which records may be written.
    pub write_mode: WriteMode,
    /// The address of its web client, without a trailing slash.
    pub web_url: Box<str>,
    /// How long models, fields and users are cached.
    pub schema_ttl: Duration,
}

/// One Odoo instance: its HTTP client, and an account for each Odoo user.
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
    /// An instance with empty caches.
    pub fn new(settings: InstanceSettings) -> Self {
        let InstanceSettings {
            name,
            client,
            service_key,
            service_key_may_write,
            credentials,
            write_mode,
            web_url,
            schema_ttl,
        } = settings;
        let client = Arc::new(client);
        let account =
            |key, may_write| OdooAccount::new(Arc::clone(&client), key, may_write, schema_ttl);
        Self {
            name,
            write_mode,
            web_url,
            service_account: account(service_key, service_key_may_write),
            named_accounts: credentials
                .into_iter()
                // The policy and Odoo decide what these users may write.
                .map(|(name, key)| (name, account(key, true)))
                .collect(),
            client,
        }
    }

    /// Its name.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The least restrictive mode in which records may be written.
    pub fn write_mode(&self) -> WriteMode {
        self.write_mode
    }

    /// The address of its web client.
    pub fn web_url(&self) -> &str {
        &self.web_url
    }

    /// The names of the credentials.
    pub fn credentials(&self) -> impl Iterator<Item = &CredentialName> {
        self.named_accounts.keys()
    }

    /// The accounts, the service account first.
    pub fn accounts(&self) -> impl Iterator<Item = (Option<&CredentialName>, &OdooAccount)> {
        let named = self.named_accounts.iter();
        std::iter::once((None, &self.service_account))
            .chain(named.map(|(name, account)| (Some(name), account)))
    }

    /// Returns the account of this credential; without one, the service account.
    ///
    /// # Errors
    /// [`UnknownCredential`]. Never falls back to the service account, which may
    /// see more.
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

    /// Its HTTP client.
    pub(crate) fn client(&self) -> &OdooClient {
        &self.client
    }

    /// Checks that Odoo responds.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ping(&self) -> Result<(), CallError> {
        self.client.ping().await
    }

    /// What an error means for the administrator.
    pub fn diagnose(&self, error: &CallError) -> Diagnosis {
        self.client.diagnose(error)
    }

    /// The longest time that a call takes to succeed or fail.
    pub fn call_timeout(&self) -> Duration {
        self.client.max_call_time()
    }

    /// The load of the HTTP client.
    pub fn client_stats(&self) -> ClientStats {
        self.client.stats()
    }
}
