//! What the Odoo users of the roles can see, each thing requested once.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    access::{Instance, OdooSession},
    audit::RequestAudit,
    gateway::Gateway,
    render::Documentation,
};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::Caller;
use gatepost_odoo::{ModelName, Operation, Schema};
use gatepost_odoo_client::CallStats;
use gatepost_policy::{Pattern, Policy, Role, Rule};

/// How many models are requested for one Odoo user: those that rules name, and
/// those on the paths of domains.
const MAX_MODELS_PER_USER: usize = 300;

/// What an Odoo user can see of a model.
#[derive(Clone, Debug)]
pub(super) enum ModelVisibility {
    Fields(Schema),
    /// The model does not exist, or not for this user.
    Missing,
    /// Odoo did not answer.
    Unknown,
}

impl ModelVisibility {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// An Odoo user in an instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct CheckedUser {
    pub(super) instance: InstanceName,
    pub(super) credential: Option<CredentialName>,
}

/// Reads models, fields and methods of Odoo as the users of the roles.
pub(super) struct OdooLookup<'a> {
    gateway: &'a Gateway,
    visibility: BTreeMap<(CheckedUser, ModelName), ModelVisibility>,
    methods: BTreeMap<(CheckedUser, ModelName), Option<Arc<Documentation>>>,
    models: BTreeMap<CheckedUser, Vec<ModelName>>,
}

impl<'a> OdooLookup<'a> {
    pub(super) fn new(gateway: &'a Gateway) -> Self {
        Self {
            gateway,
            visibility: BTreeMap::new(),
            methods: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }

    /// What a user can see of a model.
    pub(super) async fn visibility(
        &mut self,
        user: &CheckedUser,
        model: &ModelName,
    ) -> ModelVisibility {
        let key = (user.clone(), model.clone());
        if let Some(seen) = self.visibility.get(&key) {
            return seen.clone();
        }
        let of_user = || self.visibility.iter().filter(|((of, _), _)| of == user);
        // After one failure Odoo is not asked again because each could time out.
        let failed = of_user().any(|(_, seen)| seen.is_unknown());
        if failed || of_user().count() >= MAX_MODELS_PER_USER {
            return ModelVisibility::Unknown;
        }
        let Some(instance) = self.instance(user) else {
            return ModelVisibility::Unknown;
        };
        let probe = OdooProbe::of_model(self.gateway, user, model);
        let session = probe.session(self.gateway, instance);
        let seen = match session.unfiltered_schema(model).await {
            Ok(schema) => ModelVisibility::Fields(schema),
            Err(denied) if denied.is_model_unavailable() => ModelVisibility::Missing,
            Err(_) => ModelVisibility::Unknown,
        };
        self.visibility.insert(key, seen.clone());
        seen
    }

    /// The documentation of a model, if the user can read it.
    pub(super) async fn documentation(
        &mut self,
        user: &CheckedUser,
        model: &ModelName,
    ) -> Option<Arc<Documentation>> {
        let key = (user.clone(), model.clone());
        if let Some(page) = self.methods.get(&key) {
            return page.clone();
        }
        let instance = self.instance(user)?;
        let probe = OdooProbe::of_model(self.gateway, user, model);
        let session = probe.session(self.gateway, instance);
        let page = session.documentation(model).await;
        self.methods.insert(key, page.clone());
        page
    }

    /// The user's model with the most similar name.
    pub(super) async fn similar_model(
        &mut self,
        user: &CheckedUser,
        model: &ModelName,
    ) -> Option<String> {
        if !self.models.contains_key(user) {
            let instance = self.instance(user)?;
            let probe = OdooProbe::of_model(self.gateway, user, model);
            let models = probe.session(self.gateway, instance).models().await.ok()?;
            let names = models.iter().map(|entry| entry.model.clone()).collect();
            self.models.insert(user.clone(), names);
        }
        let names = self.models.get(user)?.iter().map(ModelName::as_str);
        closest_name(model.as_str(), names).map(str::to_owned)
    }

    fn instance(&self, user: &CheckedUser) -> Option<&'a Instance> {
        let mut instances = self.gateway.routes.instances();
        let found = instances.find(|instance| *instance.name() == user.instance);
        found.map(|instance| &**instance)
    }
}

/// The most similar name, if it is likely what was meant.
pub(super) fn closest_name<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(name, wanted), name));
    let near = scored.filter(|(distance, _)| *distance <= 1 + wanted.len() / 4);
    near.min().map(|(_, name)| name)
}

/// Reads as one Odoo user, which are neither counted nor audited.
pub(super) struct OdooProbe {
    policy: Policy,
    caller: Caller,
    call_stats: CallStats,
    audit: RequestAudit,
}

impl OdooProbe {
    /// Reads of one model.
    fn of_model(gateway: &Gateway, user: &CheckedUser, model: &ModelName) -> Self {
        // Named in full, because a pattern does not open protected models.
        let models = Pattern::parse(model.as_str()).into_iter().collect();
        Self::new(gateway, &user.instance, user.credential.clone(), models)
    }

    /// Reads with a credential, whatever roles are configured: what Odoo has is
    /// tried, not the administrator's policy.
    pub(super) fn new(
        gateway: &Gateway,
        instance: &InstanceName,
        credential: Option<CredentialName>,
        models: Vec<Pattern>,
    ) -> Self {
        let policy = read_only_policy(models);
        let caller = Caller {
            roles: policy.roles().cloned().collect(),
            credential,
            ..gateway.authenticator.local_caller(&policy, instance)
        };
        Self {
            policy,
            caller,
            call_stats: CallStats::default(),
            audit: RequestAudit::disabled(),
        }
    }

    pub(super) fn session<'a>(
        &'a self,
        gateway: &'a Gateway,
        instance: &'a Instance,
    ) -> OdooSession<'a> {
        gateway.odoo_session(
            instance,
            &self.policy,
            &self.caller,
            &self.call_stats,
            &self.audit,
        )
    }
}

/// A policy of one role that may read these models.
fn read_only_policy(models: Vec<Pattern>) -> Policy {
    let rule = Rule {
        instances: vec![Pattern::everything()],
        models,
        operations: vec![Operation::Read],
        ..Rule::default()
    };
    let only = Role {
        rules: vec![rule],
        ..Role::default()
    };
    let roles = RoleName::try_from("check").map(|name| (name, only));
    Policy::new(roles.into_iter().collect())
}
