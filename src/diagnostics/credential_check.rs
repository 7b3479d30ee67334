//! Whether the keys to Odoo are good, for the administrator.

use crate::{
    access::Instance,
    audit::RequestAudit,
    gateway::{Endpoint, Gateway},
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName, error_chain};
use gatepost_identity::{Bearer, Caller, CheckResult, Now, Principal, Provider};
use gatepost_odoo::RecordId;
use gatepost_odoo_client::CallStats;

/// What one instance says to one of its keys, for the administrator.
#[derive(Debug)]
pub struct CredentialCheck {
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
    pub async fn check_credentials(&self) -> Vec<CredentialCheck> {
        let asked = self
            .routes
            .instances()
            .map(|instance| self.check_instance(instance));
        let examined = futures_util::future::join_all(asked).await;
        examined.into_iter().flatten().collect()
    }

    /// Asks every identity provider whether it does what we need of it.
    pub async fn check_providers(&self) -> Vec<(ProviderName, Vec<CheckResult>)> {
        let now = Now::read();
        let asked = self.providers().into_iter().map(|provider| async move {
            let mut findings = provider.check(now).await;
            if let Some(desk) = &self.facade {
                findings.extend(desk.check(&provider, now).await);
            }
            (provider.name().clone(), findings)
        });
        futures_util::future::join_all(asked).await
    }

    /// What a token would open, by instance.
    pub async fn check_token(&self, token: &str) -> Vec<(InstanceName, Vec<CheckResult>)> {
        let mut told = Vec::new();
        for endpoint in self.routes.endpoints() {
            let findings = self.check_token_at(endpoint, token).await;
            told.push((endpoint.instance.name().clone(), findings));
        }
        told
    }

    async fn check_token_at(&self, endpoint: &Endpoint, token: &str) -> Vec<CheckResult> {
        let instance = endpoint.instance.name();
        let bearer = match Bearer::parse(token) {
            Ok(bearer) => bearer,
            Err(error) => {
                let remedy = "paste one token and nothing else";
                return vec![CheckResult::fail(error.to_string(), remedy)];
            }
        };
        let Some(provider) = endpoint.token_policy.provider_for(bearer) else {
            return vec![CheckResult::fail(
                "no identity provider vouches for this instance",
                "name one in `providers`",
            )];
        };
        let principal = match provider.check_token(bearer, Now::read()).await {
            Ok(principal) => principal,
            Err(finding) => return vec![finding],
        };
        let mut findings = vec![CheckResult::pass(describe_token(&principal, provider))];
        let audiences: Vec<&str> = endpoint
            .token_policy
            .audiences
            .iter()
            .map(String::as_str)
            .collect();
        if !principal.has_audience(&endpoint.token_policy.audiences) {
            findings.push(CheckResult::fail(
                format!(
                    "it is meant for `{}`, and this instance is `{}`",
                    principal.audiences.join("`, `"),
                    audiences.join("`, `")
                ),
                "have the client ask for the right audience (`challenge_scopes`, RFC 8707 `resource`), or set `audiences` of the instance",
            ));
            return findings;
        }
        let granted =
            self.authenticator
                .grants
                .for_principal(&principal, provider.name(), instance);
        let roles: Vec<&str> = granted.roles.iter().map(RoleName::as_str).collect();
        if self
            .policy
            .allow_instance(&granted.roles, instance)
            .is_err()
        {
            findings.push(CheckResult::fail(
                format!(
                    "no grant gives it a role that opens this instance (roles it has there: {})",
                    if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }
                ),
                "give the person the role at the provider, or add `[[grants]]` that fits what the token says",
            ));
            return findings;
        }
        findings.push(CheckResult::pass(format!(
            "it is let in with the roles {}",
            roles.join(", ")
        )));
        for line in self.policy.summary(&granted.roles, instance) {
            findings.push(CheckResult::pass(line));
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
            match self.with_odoo_credential(caller, &granted.credentials, instance) {
                Ok(caller) => CheckResult::pass(caller.credential.map_or_else(
                    || "its calls act as the Odoo user of the service key".to_owned(),
                    |name| format!("its calls act as the Odoo user of the credential `{name}`"),
                )),
                Err(ambiguous) => CheckResult::fail(
                    format!(
                        "its {} name the credentials `{}` and `{}`",
                        ambiguous.named_by.as_str(),
                        ambiguous.first,
                        ambiguous.second
                    ),
                    "let one grant say which, for grants win over roles",
                ),
            },
        );
        findings
    }

    async fn check_instance(&self, instance: &Instance) -> Vec<CredentialCheck> {
        let examined = |credential, user| CredentialCheck {
            instance: instance.name().clone(),
            credential,
            user,
        };
        if let Err(error) = instance.ping().await {
            return vec![examined(None, Err(error_with_causes(&error)))];
        }
        let named = instance.credentials().cloned().map(Some);
        let mut all = Vec::new();
        // One after the other: Odoo has other work to do.
        for credential in std::iter::once(None).chain(named) {
            let user = self.odoo_user_id(instance, credential.clone()).await;
            all.push(examined(credential, user));
        }
        all
    }

    /// Who Odoo takes the one with this credential for.
    async fn odoo_user_id(
        &self,
        instance: &Instance,
        credential: Option<CredentialName>,
    ) -> Result<RecordId, String> {
        let caller = Caller {
            credential,
            ..self
                .authenticator
                .local_caller(&self.policy, instance.name())
        };
        let (call_stats, audit) = (CallStats::default(), RequestAudit::disabled());
        let session = self.odoo_session(instance, &self.policy, &caller, &call_stats, &audit);
        match session.user().await {
            Ok(user) => Ok(user.id),
            Err(denied) => Err(error_with_causes(&denied)),
        }
    }
}

/// An error with all its causes.
fn error_with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = error_chain::sources(error);
    causes.map_or_else(|| error.to_string(), |causes| format!("{error}: {causes}"))
}

/// Who a token speaks of, in one line.
fn describe_token(principal: &Principal, provider: &Provider) -> String {
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
