//! Checks of the Odoo API keys, the identity providers and a token.

use std::sync::Arc;

use jiff::Timestamp;

use super::odoo_lookup::OdooProbe;
use crate::{
    access::{
        Instance, KeyExpiry, OdooUser, OperationError, is_key_rejected, key_holder,
        rejection_cause, renewal_help,
    },
    gateway::{Endpoint, Gateway},
};
use gatepost_base::{CredentialName, Diagnosis, InstanceName, ProviderName, RoleName};
use gatepost_identity::{
    Bearer, Caller, CheckResult, Now, Principal, Provider, TokenError, TokenRejected,
};
use gatepost_policy::Pattern;

/// The result of one Odoo API key in one instance.
#[derive(Debug)]
pub struct CredentialCheck {
    /// The instance.
    pub instance: InstanceName,
    /// The credential of the key; `None` for the service key.
    pub credential: Option<CredentialName>,
    /// The Odoo user, or why there is none.
    pub user: Result<Arc<OdooUser>, Diagnosis>,
    /// When the key expires, as far as Odoo says.
    pub expiry: Option<KeyExpiry>,
}

impl Gateway {
    /// Checks every API key of every instance: the service key first, then the
    /// credentials by name. An instance that does not answer has only the first.
    pub async fn check_credentials(&self) -> Vec<CredentialCheck> {
        let checks = self
            .routes
            .instances()
            .map(|instance| self.check_instance(instance));
        let results = futures_util::future::join_all(checks).await;
        results.into_iter().flatten().collect()
    }

    /// Checks that every identity provider works.
    pub async fn check_providers(&self) -> Vec<(ProviderName, Vec<CheckResult>)> {
        let now = Now::read();
        let checks = self.providers().into_iter().map(|provider| async move {
            let mut findings = provider.check(now).await;
            if let Some(facade) = &self.facade {
                findings.extend(facade.check(&provider, now).await);
            }
            (provider.name().clone(), findings)
        });
        futures_util::future::join_all(checks).await
    }

    /// What a token gives access to, by instance.
    pub async fn check_token(&self, token: &str) -> Vec<(InstanceName, Vec<CheckResult>)> {
        let mut all = Vec::new();
        for endpoint in self.routes.endpoints() {
            let findings = self.check_token_at(endpoint, token).await;
            all.push((endpoint.instance.name().clone(), findings));
        }
        all
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
                "this instance accepts no identity provider",
                "name one in `providers`",
            )];
        };
        let principal = match provider.check_token(bearer, Now::read()).await {
            Ok(principal) => principal,
            Err(error) => {
                let named = Provider::unverified_audiences(bearer);
                let is_for_others = !named.is_empty()
                    && !named
                        .iter()
                        .any(|one| endpoint.token_policy.audiences.contains(&**one));
                return vec![match error {
                    TokenError::Rejected(TokenRejected::Audience) if is_for_others => {
                        wrong_audience(endpoint, &named)
                    }
                    TokenError::Rejected(_) | TokenError::Unavailable(_) => {
                        provider.explain(&error, bearer)
                    }
                }];
            }
        };
        let mut findings = vec![CheckResult::pass(describe_token(&principal, provider))];
        if !principal.has_audience(&endpoint.token_policy.audiences) {
            findings.push(wrong_audience(endpoint, &principal.audiences));
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
                    "no grant gives it a role for this instance (its roles there: {})",
                    if roles.is_empty() { "none".to_owned() } else { roles.join(", ") }
                ),
                if principal.roles.is_empty() {
                    "the token has no roles or groups at `role_claims`: request the scope that adds them (`challenge_scopes`), correct `role_claims`, or grant by `scope`, `subject` or `client_id`"
                } else {
                    "add `[[grants]]` with a `provider_role` that the token has, or give the user the role at the provider"
                },
            ));
            return findings;
        }
        findings.push(CheckResult::pass(format!(
            "it has access with the roles {}",
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
                    "set `credential` in one grant, which overrides the roles",
                ),
            },
        );
        findings
    }

    async fn check_instance(&self, instance: &Instance) -> Vec<CredentialCheck> {
        let result = |credential, user, expiry| CredentialCheck {
            instance: instance.name().clone(),
            credential,
            user,
            expiry,
        };
        if let Err(error) = instance.ping().await {
            let failure = instance.client().diagnose(&error);
            return vec![result(None, Err(failure), None)];
        }
        let named = instance.credentials().cloned().map(Some);
        let mut all = Vec::new();
        // One after the other, to keep the load on Odoo low.
        for credential in std::iter::once(None).chain(named) {
            let (user, expiry) = self.check_key(instance, credential.clone()).await;
            all.push(result(credential, user, expiry));
        }
        all
    }

    /// The Odoo user of a credential, whatever roles there are, and when its key
    /// expires.
    async fn check_key(
        &self,
        instance: &Instance,
        credential: Option<CredentialName>,
    ) -> (Result<Arc<OdooUser>, Diagnosis>, Option<KeyExpiry>) {
        let now = Timestamp::now();
        let everything = vec![Pattern::everything()];
        let probe = OdooProbe::new(self, instance.name(), credential.clone(), everything);
        let session = probe.session(self, instance);
        let failure = match session.user().await {
            Ok(user) => return (Ok(user), session.refresh_key_expiry(now).await),
            Err(OperationError::Call(error)) if is_key_rejected(&error) => Diagnosis::new(
                "api_key",
                format!("Odoo rejects this API key: {}", rejection_cause(None, now)),
                renewal_help(&key_holder(instance.name(), credential.as_ref())),
            ),
            Err(OperationError::Call(error)) => instance.client().diagnose(&error),
            Err(error) => Diagnosis::new(
                "url",
                format!("Odoo's answer about the key's own user cannot be used ({error:?})"),
                "check that it is an Odoo 19 or later",
            ),
        };
        (Err(failure), None)
    }
}

/// The audiences of a token for something else, and what would accept them.
fn wrong_audience(endpoint: &Endpoint, audiences: &[Box<str>]) -> CheckResult {
    let required: Vec<&str> = endpoint
        .token_policy
        .audiences
        .iter()
        .map(String::as_str)
        .collect();
    CheckResult::fail(
        format!(
            "its audience is `{}`, and this instance requires `{}`",
            audiences.join("`, `"),
            required.join("`, `")
        ),
        endpoint.explain_audiences(audiences),
    )
}

/// The content of a token in one line.
fn describe_token(principal: &Principal, provider: &Provider) -> String {
    let list = |all: Vec<&str>| {
        if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(" ")
        }
    };
    format!(
        "the token is valid: {} `{}` of `{}`, client `{}`, scopes {}, roles or groups {}",
        principal.kind.as_str(),
        principal.subject,
        provider.name(),
        principal.client_id.as_deref().unwrap_or("-"),
        list(principal.scopes.iter().map(|scope| &**scope).collect()),
        list(principal.roles.keys().map(|role| &**role).collect()),
    )
}
