//! Whether the keys to Odoo are good, for the administrator.

use super::Gateway;
use crate::{
    access::{Access, Instance, Tally},
    identity::Caller,
    names::{CredentialName, InstanceName},
    odoo::RecordId,
};

/// What one instance says to one of its keys, for the administrator.
#[derive(Debug)]
pub struct Examined {
    /// The instance.
    pub instance: InstanceName,
    /// Whose key it was; none for the service key.
    pub credential: Option<CredentialName>,
    /// The id of the Odoo user, or all that there is to tell of the failure,
    /// addresses too.
    pub user: Result<RecordId, String>,
}

impl Gateway {
    /// Asks every instance who we are there, with each of its keys, for
    /// `gatepost check --live`: the service key first, then the others by name.
    /// Of an instance that does not answer at all there is only the first.
    pub async fn examine(&self) -> Vec<Examined> {
        let asked = self
            .routes
            .instances()
            .map(|instance| self.examine_one(instance));
        let examined = futures_util::future::join_all(asked).await;
        examined.into_iter().flatten().collect()
    }

    async fn examine_one(&self, instance: &Instance) -> Vec<Examined> {
        let examined = |credential, user| Examined {
            instance: instance.name().clone(),
            credential,
            user,
        };
        if let Err(error) = instance.ping().await {
            return vec![examined(None, Err(told(&error)))];
        }
        let named = instance.credentials().cloned().map(Some);
        let mut all = Vec::new();
        // One after the other: Odoo has other work to do.
        for credential in std::iter::once(None).chain(named) {
            let user = self.user(instance, credential.clone()).await;
            all.push(examined(credential, user));
        }
        all
    }

    /// Who Odoo takes the one with this credential for.
    async fn user(
        &self,
        instance: &Instance,
        credential: Option<CredentialName>,
    ) -> Result<RecordId, String> {
        let caller = Caller {
            credential,
            ..self.door.local(&self.policy, instance.name())
        };
        let access = Access {
            instance,
            policy: &self.policy,
            caller: &caller,
            tally: &Tally::default(),
            listener: None,
        };
        match access.user().await {
            Ok(user) => Ok(user.id),
            Err(denied) => Err(told(&denied)),
        }
    }
}

/// An error with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
