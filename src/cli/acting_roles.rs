//! How calls with some roles act in an instance, beyond the rules: the write mode,
//! the Odoo user and the rate limits.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::{Config, Writes};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::Domain;
use gatepost_policy::{AccessQuery, Action, WriteMode};
use gatepost_state::limits::Rate;

/// Callers with these roles in one instance.
pub(super) struct ActingRoles<'a> {
    pub(super) config: &'a Config,
    pub(super) roles: &'a [RoleName],
    pub(super) instance: &'a InstanceName,
}

impl ActingRoles<'_> {
    /// Why a call is denied although the rules allow it: the instance or its
    /// credential does not allow writes. The second text is a reason that applies
    /// to some callers only.
    pub(super) fn denial_reason(&self, action: &Action) -> (Option<String>, Option<String>) {
        let instance = self.instance;
        let credentials = self.credentials();
        // A credential of a grant overrides those of the roles.
        let by_grant = self.grant_names_credential();
        let unless_granted = |why: String| {
            if by_grant {
                let caveat =
                    format!("only for callers whose grant names a credential; otherwise {why}");
                (None, Some(caveat))
            } else {
                (Some(why), None)
            }
        };
        if credentials.len() > 1 {
            let names: Vec<String> = credentials.iter().map(|name| format!("`{name}`")).collect();
            return unless_granted(format!(
                "the roles name several credentials ({}), so callers are rejected in `{instance}`",
                names.join(", ")
            ));
        }
        let Some(configured) = self
            .config
            .instances
            .get(instance)
            .filter(|_| is_write(action))
        else {
            return (None, None);
        };
        if configured.writes == Writes::ReadOnly {
            let why = format!("`{instance}` does not allow writes: its `writes` is `read_only`");
            return (Some(why), None);
        }
        if credentials.is_empty() && !configured.service_key_writes {
            return unless_granted(format!(
                "calls without a credential use the service key of `{instance}`, which is read-only (`service_key_writes`)"
            ));
        }
        (None, None)
    }

    /// The mode of the writes that a role allows.
    pub(super) fn write_mode(&self, role: &RoleName) -> WriteMode {
        let own = self.config.roles.get(role);
        let own = own.map_or(WriteMode::ReadOnly, |role| {
            role.writes.to_mode(role.approval)
        });
        own.min(self.max_mode())
    }

    /// Describes an allowed call, one fact a line.
    pub(super) fn describe(&self, question: &AccessQuery) -> Vec<String> {
        let mut lines = Vec::new();
        let modes = self.modes(question);
        for (mode, records) in &modes {
            let does = match mode {
                WriteMode::ReadOnly => "no writes",
                WriteMode::RequireHuman => "previewed, and made when the user approves it",
                WriteMode::Confirm => "previewed, and made by a second call that confirms it",
                WriteMode::Direct => "made at once",
            };
            let records = match (modes.len(), records.is_empty()) {
                (1, _) => String::new(),
                (_, true) => "; all other records".to_owned(),
                (_, false) => format!("; records {}", records.to_json()),
            };
            lines.push(format!("  mode     {}: {does}{records}", mode.as_str()));
        }
        lines.push(format!("  acts as  {}", self.describe_credential()));
        let limits = self.limits(&question.action).into_iter();
        let limits = limits.map(|(name, calls, allowance)| {
            let rate = allowance.refill_per_minute();
            match calls {
                Some(calls) => format!("{calls} {rate} a minute, {} at once", allowance.burst()),
                None => format!("{rate} {name} a minute"),
            }
        });
        let limits: Vec<String> = limits.collect();
        lines.push(format!("  limits   {}", limits.join("; ")));
        lines
    }

    pub(super) fn modes_as_json(&self, question: &AccessQuery) -> Value {
        let modes = self.modes(question).into_iter();
        modes
            .map(|(mode, records)| json!({ "mode": mode.as_str(), "records": records.to_json() }))
            .collect()
    }

    pub(super) fn credential_as_json(&self) -> Value {
        let configured = self.config.instances.get(self.instance);
        let credentials = self.credentials();
        let credentials: Vec<&str> = credentials.iter().map(CredentialName::as_str).collect();
        json!({
            "credentials": credentials,
            "service_key_writes": configured.is_some_and(|one| one.service_key_writes),
            "or_by_grant": self.grant_names_credential(),
        })
    }

    pub(super) fn limits_as_json(&self, action: &Action) -> Value {
        let limits = self.limits(action).into_iter().map(|(name, _, allowance)| {
            let numbers = json!({
                "per_minute": allowance.refill_per_minute(),
                "at_once": allowance.burst(),
            });
            (name.to_owned(), numbers)
        });
        Value::Object(limits.collect())
    }

    /// The least strict mode that the instance and its credential allow.
    fn max_mode(&self) -> WriteMode {
        let Some(configured) = self.config.instances.get(self.instance) else {
            return WriteMode::ReadOnly;
        };
        let read_only = !configured.service_key_writes && !self.grant_names_credential();
        if read_only && self.credentials().is_empty() {
            return WriteMode::ReadOnly;
        }
        configured.writes.to_mode(configured.approval)
    }

    /// The modes of a write, each with its records; none for a read.
    fn modes(&self, question: &AccessQuery) -> Vec<(WriteMode, Domain)> {
        if !is_write(&question.action) {
            return Vec::new();
        }
        let policy = self.config.policy();
        policy.write_modes(self.roles, self.instance, self.max_mode(), question)
    }

    fn credentials(&self) -> BTreeSet<CredentialName> {
        let policy = self.config.policy();
        let named = policy.credentials(self.roles, self.instance);
        named.cloned().collect()
    }

    /// Whether a grant may name the credential.
    fn grant_names_credential(&self) -> bool {
        self.config.grants.iter().any(|grant| {
            let mut instances = grant.instances.iter();
            grant.credential.is_some()
                && instances.any(|one| one.matches(self.instance.as_str()))
                && grant.roles.iter().any(|role| self.roles.contains(role))
        })
    }

    fn describe_credential(&self) -> String {
        let configured = self.config.instances.get(self.instance);
        let named: Vec<String> = self
            .credentials()
            .iter()
            .map(|name| format!("the credential `{name}`"))
            .collect();
        let key = match (named.is_empty(), configured) {
            (false, _) => named.join(" or "),
            (true, Some(one)) if one.service_key_writes => "the service key".to_owned(),
            (true, _) => "the service key, which is read-only".to_owned(),
        };
        if self.grant_names_credential() {
            format!("{key}; a grant may name another")
        } else {
            key
        }
    }

    /// The limits that such a call counts against: the name, which calls it counts if
    /// it is not an amount of data, and the rate.
    fn limits(&self, action: &Action) -> [(&'static str, Option<&'static str>, Rate); 5] {
        let rates = self.config.rates();
        let own = rates.for_roles(self.roles);
        let of_class = if is_write(action) {
            ("write", Some("changes"), own.write)
        } else {
            ("read", Some("reads"), own.read)
        };
        [
            of_class,
            ("caller", Some("all calls of a caller"), own.calls),
            ("rows", None, own.rows),
            ("bytes", None, own.bytes),
            ("instance", Some("all callers here"), rates.instance),
        ]
    }
}

fn is_write(action: &Action) -> bool {
    match action {
        Action::Method(_) => true,
        Action::Operation(operation) => !operation.is_read(),
    }
}
