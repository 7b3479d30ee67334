//! Whether the keys to Odoo are good, for the administrator.

use super::{Endpoint, Gateway, door};
use crate::{
    access::{Access, Asks, Instance, Tally},
    audit::Trail,
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName, error_chain};
use gatepost_identity::{Bearer, Caller, Finding, Now, Principal, Provider};
use gatepost_odoo::RecordId;

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

    /// Asks every identity provider whether it does what we need of it.
    pub async fn examine_providers(&self) -> Vec<(ProviderName, Vec<Finding>)> {
        let now = Now::read();
        let asked = self.providers().into_iter().map(|provider| async move {
            let mut findings = provider.examine(now).await;
            if let Some(desk) = &self.facade {
                findings.extend(desk.examine(&provider, now).await);
            }
            (provider.name().clone(), findings)
        });
        futures_util::future::join_all(asked).await
    }

    /// What a token would open, by instance.
    pub async fn examine_token(&self, token: &str) -> Vec<(InstanceName, Vec<Finding>)> {
        let mut told = Vec::new();
        for endpoint in self.routes.endpoints() {
            let findings = self.examine_token_at(endpoint, token).await;
            told.push((endpoint.instance.name().clone(), findings));
        }
        told
    }

    async fn examine_token_at(&self, endpoint: &Endpoint, token: &str) -> Vec<Finding> {
        let instance = endpoint.instance.name();
        let bearer = match Bearer::parse(token) {
            Ok(bearer) => bearer,
            Err(error) => {
                let remedy = "paste one token and nothing else";
                return vec![Finding::bad(error.to_string(), remedy)];
            }
        };
        let Some(provider) = endpoint.admission.provider_for(bearer) else {
            return vec![Finding::bad(
                "no identity provider vouches for this instance",
                "name one in `providers`",
            )];
        };
        let principal = match provider.examine_token(bearer, Now::read()).await {
            Ok(principal) => principal,
            Err(finding) => return vec![finding],
        };
        let mut findings = vec![Finding::good(described(&principal, provider))];
        let audiences: Vec<&str> = endpoint
            .admission
            .audiences
            .iter()
            .map(String::as_str)
            .collect();
        if !principal.is_for(&endpoint.admission.audiences) {
            findings.push(Finding::bad(
                format!(
                    "it is meant for `{}`, and this instance is `{}`",
                    principal.audiences.join("`, `"),
                    audiences.join("`, `")
                ),
                "have the client ask for the right audience (`challenge_scopes`, RFC 8707 `resource`), or set `audiences` of the instance",
            ));
            return findings;
        }
        let granted = self
            .door
            .grants
            .of_principal(&principal, provider.name(), instance);
        let roles: Vec<&str> = granted.roles.iter().map(RoleName::as_str).collect();
        if self.policy.admit(&granted.roles, instance).is_err() {
            findings.push(Finding::bad(
                format!(
                    "no grant gives it a role that opens this instance (roles it has there: {})",
                    if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }
                ),
                "give the person the role at the provider, or add `[[grants]]` that fits what the token says",
            ));
            return findings;
        }
        findings.push(Finding::good(format!(
            "it is let in with the roles {}",
            roles.join(", ")
        )));
        for line in self.policy.summary(&granted.roles, instance) {
            findings.push(Finding::good(line));
        }
        let caller = Caller {
            issuer: provider.issuer().to_owned(),
            kind: principal.kind,
            subject: principal.subject.clone(),
            name: None,
            roles: granted.roles,
            credential: None,
        };
        findings.push(
            match door::acting(caller, &granted.credentials, &self.policy, instance) {
                Ok(caller) => Finding::good(caller.credential.map_or_else(
                    || "its calls act as the Odoo user of the service key".to_owned(),
                    |name| format!("its calls act as the Odoo user of the credential `{name}`"),
                )),
                Err(ambiguous) => Finding::bad(
                    format!(
                        "its {} name the credentials `{}` and `{}`",
                        ambiguous.rank.as_str(),
                        ambiguous.one,
                        ambiguous.other
                    ),
                    "let one grant say which, for grants win over roles",
                ),
            },
        );
        findings
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
            trail: &Trail::none(),
            listener: None,
            asks: Asks::by_id(),
            ledger: &self.ledger,
            sent: &self.sent,
        };
        match access.user().await {
            Ok(user) => Ok(user.id),
            Err(denied) => Err(told(&denied)),
        }
    }
}

/// An error with all its causes.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = error_chain::behind(error);
    causes.map_or_else(|| error.to_string(), |causes| format!("{error}: {causes}"))
}

/// Who a token speaks of, in one line.
fn described(principal: &Principal, provider: &Provider) -> String {
    let list = |all: Vec<&str>| {
        if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(" ")
        }
    };
    format!(
        "the token is good: {} `{}` of `{}`, client `{}`, scopes {}, roles or groups {}",
        principal.kind.as_str(),
        principal.subject,
        provider.name(),
        principal.client_id.as_deref().unwrap_or("-"),
        list(principal.scopes.iter().map(|scope| &**scope).collect()),
        list(principal.roles.keys().map(|role| &**role).collect()),
    )
}
