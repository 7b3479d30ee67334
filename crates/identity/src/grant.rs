//! Grants: which roles a principal or API key has.

use std::collections::BTreeSet;

use super::{ApiKeyId, CallerKind, Principal};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName, Subject};

/// One grant: a caller that meets all conditions has the roles.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The granted roles.
    pub roles: Vec<RoleName>,
    /// The Odoo user that calls act as.
    pub credential: Option<CredentialName>,
    /// The instances where it applies.
    pub instances: BTreeSet<InstanceName>,
    /// The provider of the token.
    pub provider: Option<ProviderName>,
    /// A role or group in the provider's claims.
    pub provider_role: Option<Box<str>>,
    /// The organization in which that role was granted.
    pub organization: Option<Box<str>>,
    /// A scope of the token.
    pub scope: Option<Box<str>>,
    /// The subject.
    pub subject: Option<Subject>,
    /// The client that the token was issued to.
    pub client_id: Option<Box<str>>,
    /// The kind of caller.
    pub kind: Option<CallerKind>,
    /// The API key.
    pub api_key: Option<ApiKeyId>,
}

/// All grants.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<Grant>);

/// What a caller is granted in one instance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Granted {
    /// Sorted, no duplicates.
    pub roles: Vec<RoleName>,
    /// Odoo users that the grants name; sorted, no duplicates.
    pub credentials: Vec<CredentialName>,
}

impl Grants {
    /// These grants.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self(grants)
    }

    /// What the holder of a token is granted.
    pub fn for_principal(
        &self,
        principal: &Principal,
        provider: &ProviderName,
        instance: &InstanceName,
    ) -> Granted {
        // Linear; grants have tens of entries.
        Granted::combine(self.0.iter().filter(|grant| {
            grant.matches_ignoring_scope(principal, provider, instance)
                && grant.has_scope(principal)
        }))
    }

    /// What the holder of an API key is granted in addition to the key's own
    /// roles.
    pub fn for_key(&self, id: &ApiKeyId, instance: &InstanceName) -> Granted {
        Granted::combine(self.0.iter().filter(|grant| {
            grant.api_key.as_ref() == Some(id) && grant.instances.contains(instance)
        }))
    }

    /// The scopes that a token of the same principal needs so that its roles are
    /// `enough`, including the needed ones that it has; `None` if no scope
    /// helps.
    pub fn sufficient_scopes(
        &self,
        principal: &Principal,
        provider: &ProviderName,
        instance: &InstanceName,
        enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<BTreeSet<Box<str>>> {
        let (held, missing): (Vec<&Grant>, Vec<&Grant>) = self
            .0
            .iter()
            .filter(|grant| grant.matches_ignoring_scope(principal, provider, instance))
            .partition(|grant| grant.has_scope(principal));
        let scopes_of = |grants: &[&Grant]| -> BTreeSet<Box<str>> {
            grants
                .iter()
                .filter_map(|grant| grant.scope.clone())
                .collect()
        };
        let more = missing.iter().find(|one| {
            let with = held.iter().chain([*one]);
            enough(&Granted::combine(with.copied()).roles)
        })?;
        let mut scopes = scopes_of(&held);
        scopes.extend(more.scope.clone());
        Some(scopes)
    }
}

impl Grant {
    /// Whether all conditions except the scope are met.
    fn matches_ignoring_scope(
        &self,
        principal: &Principal,
        provider: &ProviderName,
        instance: &InstanceName,
    ) -> bool {
        let role = self.provider_role.as_ref().is_none_or(|role| {
            principal.roles.get(role).is_some_and(|organizations| {
                self.organization
                    .as_ref()
                    .is_none_or(|wanted| organizations.contains(wanted))
            })
        });
        role && self.api_key.is_none()
            && self.instances.contains(instance)
            && is_satisfied(self.provider.as_ref(), Some(provider))
            && is_satisfied(self.subject.as_ref(), Some(&principal.subject))
            && is_satisfied(self.client_id.as_ref(), principal.client_id.as_ref())
            && is_satisfied(self.kind.as_ref(), Some(&principal.kind))
    }

    fn has_scope(&self, principal: &Principal) -> bool {
        let scope = self.scope.as_ref();
        scope.is_none_or(|scope| principal.scopes.contains(scope))
    }
}

/// Whether the condition, if there is one, is met.
fn is_satisfied<T: PartialEq>(condition: Option<&T>, actual: Option<&T>) -> bool {
    condition.is_none_or(|condition| actual == Some(condition))
}

impl Granted {
    fn combine<'a>(grants: impl Iterator<Item = &'a Grant>) -> Self {
        let (mut roles, mut credentials) = (BTreeSet::new(), BTreeSet::new());
        for grant in grants {
            roles.extend(grant.roles.iter().cloned());
            credentials.extend(grant.credential.iter().cloned());
        }
        Self {
            roles: roles.into_iter().collect(),
            credentials: credentials.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Grant, Grants};
    use crate::{CallerKind, Principal};
    use gatepost_base::{InstanceName, ProviderName, RoleName, Subject};

    fn instance(name: &str) -> InstanceName {
        InstanceName::try_from(name).unwrap()
    }

    fn company() -> ProviderName {
        ProviderName::try_from("company").unwrap()
    }

    fn role(name: &str) -> RoleName {
        RoleName::try_from(name).unwrap()
    }

    fn grant(role_name: &str) -> Grant {
        Grant {
            roles: vec![role(role_name)],
            instances: [instance("production")].into(),
            ..Grant::default()
        }
    }

    fn alice() -> Principal {
        Principal {
            issuer: "https://id.example.com".into(),
            kind: CallerKind::User,
            subject: Subject::verified("alice"),
            client_id: Some("claude".into()),
            scopes: ["odoo:read".into()].into(),
            roles: [("writer".into(), ["acme".into()].into())].into(),
            audiences: vec!["production".into()],
            expires: None,
        }
    }

    fn roles(grants: Vec<Grant>, at: &str) -> Vec<String> {
        let granted = Grants::new(grants).for_principal(&alice(), &company(), &instance(at));
        granted.roles.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn grant_applies_only_if_all_conditions_match() {
        type Change = fn(&mut Grant);
        let rows: [(Change, bool); 16] = [
            (|_| {}, true),
            (|grant| grant.provider_role = Some("writer".into()), true),
            (|grant| grant.provider_role = Some("admin".into()), false),
            (
                |grant| {
                    grant.provider_role = Some("writer".into());
                    grant.organization = Some("acme".into());
                },
                true,
            ),
            (
                |grant| {
                    grant.provider_role = Some("writer".into());
                    grant.organization = Some("beta".into());
                },
                false,
            ),
            (|grant| grant.scope = Some("odoo:read".into()), true),
            (|grant| grant.scope = Some("odoo:write".into()), false),
            (
                |grant| grant.subject = Some(Subject::configured("alice")),
                true,
            ),
            (
                |grant| grant.subject = Some(Subject::configured("Alice")),
                false,
            ),
            (|grant| grant.client_id = Some("claude".into()), true),
            (|grant| grant.client_id = Some("other".into()), false),
            (|grant| grant.kind = Some(CallerKind::User), true),
            (|grant| grant.kind = Some(CallerKind::Client), false),
            (|grant| grant.provider = Some(company()), true),
            (
                |grant| grant.provider = Some(ProviderName::try_from("other").unwrap()),
                false,
            ),
            (|grant| grant.instances = BTreeSet::new(), false),
        ];
        for (index, (change, holds)) in rows.iter().enumerate() {
            let mut grant = grant("reader");
            change(&mut grant);
            assert_eq!(
                !roles(vec![grant], "production").is_empty(),
                *holds,
                "row {index}"
            );
        }
    }

    #[test]
    fn grants_combine_and_apply_only_to_their_instances() {
        let both = vec![grant("writer"), grant("reader"), grant("reader")];
        assert_eq!(roles(both.clone(), "production"), ["reader", "writer"]);
        assert!(roles(both, "staging").is_empty());
    }

    #[test]
    fn scope_is_suggested_only_if_all_other_conditions_match() {
        let write = Grant {
            scope: Some("odoo:write".into()),
            ..grant("writer")
        };
        let read = Grant {
            scope: Some("odoo:read".into()),
            ..grant("reader")
        };
        let admin = Grant {
            provider_role: Some("admin".into()),
            ..write.clone()
        };
        let helps = |grants: &[&Grant]| {
            let grants = Grants::new(grants.iter().map(|grant| (*grant).clone()).collect());
            let enough = |roles: &[RoleName]| roles.contains(&role("writer"));
            let scopes =
                grants.sufficient_scopes(&alice(), &company(), &instance("production"), enough)?;
            Some(scopes.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            helps(&[&read, &write]).as_deref(),
            Some("odoo:read odoo:write")
        );
        assert_eq!(helps(&[&read, &admin]), None);
        assert_eq!(helps(&[&read]), None);
    }
}
