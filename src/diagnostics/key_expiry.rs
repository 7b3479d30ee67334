//! Asking Odoo in the background when its API keys expire.

use jiff::Timestamp;

use super::odoo_lookup::OdooProbe;
use crate::{
    access::{Instance, KeyExpiry, key_holder, renewal_help},
    gateway::Gateway,
};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_policy::Pattern;

impl Gateway {
    /// Asks Odoo when the next API key expires about which it has not been asked
    /// today, and logs a warning if that is soon. One key at a time, to keep the load on
    /// Odoo low.
    pub async fn refresh_next_key_expiry(&self) {
        let due = self.routes.instances().find_map(|instance| {
            let mut accounts = instance.accounts();
            let (credential, _) = accounts.find(|(_, account)| account.is_key_expiry_due())?;
            Some((instance, credential.cloned()))
        });
        if let Some((instance, credential)) = due {
            self.refresh_key_expiry(instance, credential).await;
        }
    }

    /// The same, only for the key that the calls of the local user act with.
    pub async fn refresh_local_key_expiry(&self, name: &InstanceName) {
        let mut instances = self.routes.instances();
        let Some(instance) = instances.find(|instance| instance.name() == name) else {
            return;
        };
        let credential = self
            .authenticator
            .local_caller(&self.policy, name)
            .credential;
        if let Ok(account) = instance.account(credential.as_ref())
            && account.is_key_expiry_due()
        {
            self.refresh_key_expiry(instance, credential).await;
        }
    }

    async fn refresh_key_expiry(&self, instance: &Instance, credential: Option<CredentialName>) {
        let now = Timestamp::now();
        // No caller asks, so there is no audit record, and no role is needed.
        let everything = vec![Pattern::everything()];
        let probe = OdooProbe::new(self, instance.name(), credential.clone(), everything);
        let expiry = probe.session(self, instance).refresh_key_expiry(now).await;
        if let Some(near) = expiry.filter(|expiry| expiry.is_near(now)) {
            warn_of_expiry(instance, credential.as_ref(), &near, now);
        }
    }
}

fn warn_of_expiry(
    instance: &Instance,
    credential: Option<&CredentialName>,
    expiry: &KeyExpiry,
    now: Timestamp,
) {
    let holder = key_holder(instance.name(), credential);
    let (key, help) = (expiry.describe(now), renewal_help(&holder));
    tracing::warn!(
        instance.name = %instance.name(),
        credential.name = credential.map(tracing::field::display),
        key.expires_at = expiry.first().map(tracing::field::display),
        key,
        help,
        "Found an Odoo API key that expires soon"
    );
}
