//! Whether the models, fields and methods that rules name are there, for the
//! administrator: a mistyped name hides nothing, or closes a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    access::{Instance, OdooSession},
    audit::RequestAudit,
    gateway::Gateway,
    render::Documentation,
};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::{Caller, CheckStatus};
use gatepost_odoo::{Condition, Domain, FieldKind, ModelName, Operand, Operation, Schema, Term};
use gatepost_odoo_client::CallStats;
use gatepost_policy::{Pattern, Policy, Role, Rule, RuleRef};

/// Models that one Odoo user is asked about at most: every one that a rule names,
/// and those on the paths of domains.
const MAX_MODELS_PER_USER: usize = 300;

/// Something in a rule that an Odoo knows otherwise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PolicyFinding {
    /// Which rule.
    pub rule: RuleRef,
    /// Where in it, such as `hidden_fields` and `0`.
    pub path: Vec<String>,
    /// How bad it is.
    pub severity: CheckStatus,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

/// What an Odoo user may see of a model.
#[derive(Clone, Debug)]
enum ModelVisibility {
    Fields(Arc<Schema>),
    /// There is no such model, or none for this user.
    Missing,
    /// Nobody answered.
    Unknown,
}

/// An Odoo user in an instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct CheckedUser {
    instance: InstanceName,
    credential: Option<CredentialName>,
}

/// A field in a domain that is not there.
struct UnresolvedField {
    text: String,
    remedy: String,
    /// Whether it is of a related model: of the rule's own it would be noticed.
    in_related_model: bool,
}

/// What was asked so far.
struct PolicyCheck<'a> {
    gateway: &'a Gateway,
    visibility: BTreeMap<(CheckedUser, ModelName), ModelVisibility>,
    methods: BTreeMap<(CheckedUser, ModelName), Option<Arc<Documentation>>>,
    models: BTreeMap<CheckedUser, Vec<ModelName>>,
    findings: BTreeSet<PolicyFinding>,
}

/// A rule, and the Odoo users that calls by it act as.
struct CheckedRule<'a> {
    rule_ref: RuleRef,
    rule: &'a Rule,
    users: Vec<CheckedUser>,
}

impl Gateway {
    /// Asks every instance whether it has what the rules name there in full, as
    /// the Odoo users that the roles act as. What a pattern names is not looked at.
    pub async fn check_rules(&self) -> Vec<PolicyFinding> {
        let mut examination = PolicyCheck {
            gateway: self,
            visibility: BTreeMap::new(),
            methods: BTreeMap::new(),
            models: BTreeMap::new(),
            findings: BTreeSet::new(),
        };
        for place in self.checked_rules() {
            examination.check_rule(&place).await;
        }
        examination.findings.into_iter().collect()
    }

    fn checked_rules(&self) -> Vec<CheckedRule<'_>> {
        let mut places: BTreeMap<RuleRef, CheckedRule<'_>> = BTreeMap::new();
        for instance in self.routes.instances() {
            let name = instance.name();
            for role in self.policy.roles() {
                let roles = std::slice::from_ref(role);
                let user = CheckedUser {
                    instance: name.clone(),
                    credential: self.policy.credentials(roles, name).next().cloned(),
                };
                for (at, rule) in self.policy.rules_with_refs(roles, name) {
                    let place = places.entry(at.clone()).or_insert_with(|| CheckedRule {
                        rule_ref: at,
                        rule,
                        users: Vec::new(),
                    });
                    place.users.push(user.clone());
                }
            }
        }
        places.into_values().collect()
    }

    fn instance_of(&self, user: &CheckedUser) -> Option<&Instance> {
        self.routes
            .instances()
            .find(|instance| *instance.name() == user.instance)
            .map(|instance| &**instance)
    }
}

impl PolicyCheck<'_> {
    async fn check_rule(&mut self, place: &CheckedRule<'_>) {
        let mut schemas: Vec<(CheckedUser, ModelName, Arc<Schema>)> = Vec::new();
        // Whether all were asked, so that what was not found is nowhere.
        let mut whole = true;
        for (index, pattern) in place.rule.models.iter().enumerate() {
            let Some(model) = exact_model(pattern) else {
                whole = false;
                continue;
            };
            let seen = self.visibility_by_user(place, &model).await;
            whole &= !seen
                .iter()
                .any(|(_, seen)| matches!(seen, ModelVisibility::Unknown));
            if seen
                .iter()
                .all(|(_, seen)| matches!(seen, ModelVisibility::Missing))
            {
                let path = vec!["models".to_owned(), index.to_string()];
                self.report_missing_model(place, path, &model).await;
            }
            schemas.extend(seen.into_iter().filter_map(|(user, seen)| match seen {
                ModelVisibility::Fields(schema) => Some((user, model.clone(), schema)),
                ModelVisibility::Missing | ModelVisibility::Unknown => None,
            }));
        }
        self.check_fields(place, &schemas, whole);
        self.check_domain(place, &schemas).await;
        self.check_methods(place, &schemas, whole).await;
        self.check_arguments(place).await;
    }

    async fn report_missing_model(
        &mut self,
        place: &CheckedRule<'_>,
        path: Vec<String>,
        model: &ModelName,
    ) {
        let near = self.similar_model(place, model).await;
        self.report(
            place,
            path,
            CheckStatus::Warn,
            format!(
                "there is no model `{model}` for the Odoo user of this role in {}",
                instance_list(&place.users)
            ),
            near.map_or_else(
                || "leave it out, or say by `instances` where it is".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ),
        );
    }

    /// Looks whether the fields that a rule names are there in any of its models.
    fn check_fields(
        &mut self,
        place: &CheckedRule<'_>,
        schemas: &[(CheckedUser, ModelName, Arc<Schema>)],
        whole: bool,
    ) {
        if schemas.is_empty() {
            return;
        }
        let rule = place.rule;
        let none = Vec::new();
        let lists = [
            ("hidden_fields", &rule.hidden_fields, true),
            ("fields", &rule.fields, rule.deny),
            (
                "write_fields",
                rule.write_fields.as_ref().unwrap_or(&none),
                false,
            ),
        ];
        for (key, patterns, closes) in lists {
            for (index, pattern) in patterns.iter().enumerate() {
                let name = pattern.to_string();
                let known = |(_, _, schema): &(CheckedUser, ModelName, Arc<Schema>)| {
                    schema.field(&name).is_some()
                };
                if pattern.is_prefix() || name == "id" || schemas.iter().any(known) {
                    continue;
                }
                let models: BTreeSet<&str> =
                    schemas.iter().map(|(_, model, _)| model.as_str()).collect();
                let models: Vec<&str> = models.into_iter().collect();
                let stays = if closes {
                    ", so what was meant stays open"
                } else {
                    ""
                };
                self.report(
                    place,
                    vec![key.to_owned(), index.to_string()],
                    // A model that is not named in full may have it.
                    if closes && whole {
                        CheckStatus::Fail
                    } else {
                        CheckStatus::Warn
                    },
                    format!(
                        "the Odoo user of this role sees no field `{name}` of `{}`{stays}",
                        models.join("`, `")
                    ),
                    similar_field_hint(schemas.iter().map(|(_, _, schema)| &**schema), &name),
                );
            }
        }
    }

    /// Looks whether each model has what the domain asks of it.
    async fn check_domain(
        &mut self,
        place: &CheckedRule<'_>,
        schemas: &[(CheckedUser, ModelName, Arc<Schema>)],
    ) {
        let rule = place.rule;
        if rule.domain.is_empty() {
            return;
        }
        let mut wrong: BTreeMap<&ModelName, Vec<UnresolvedField>> = BTreeMap::new();
        let mut times: BTreeMap<&ModelName, usize> = BTreeMap::new();
        for (user, model, schema) in schemas {
            *times.entry(model).or_default() += 1;
            if let Some(found) = self
                .find_unresolved_field(place, user, (model, Arc::clone(schema)), &rule.domain)
                .await
            {
                wrong.entry(model).or_default().push(found);
            }
        }
        let does = if rule.deny {
            "denies everything"
        } else {
            "opens nothing"
        };
        for (model, found) in wrong {
            // It may be for an instance that has the field.
            let everywhere = times.get(model) == Some(&found.len());
            for UnresolvedField {
                text,
                remedy,
                in_related_model: inner,
            } in found
            {
                let so = if inner {
                    "so Odoo refuses all that this rule is about".to_owned()
                } else {
                    format!("so this rule {does} of `{model}` there")
                };
                let verdict = if everywhere {
                    CheckStatus::Fail
                } else {
                    CheckStatus::Warn
                };
                let path = vec!["domain".to_owned()];
                self.report(place, path, verdict, format!("{text}, {so}"), remedy);
            }
        }
    }

    /// The first field in the domain that is not there, and what may be meant.
    async fn find_unresolved_field(
        &mut self,
        place: &CheckedRule<'_>,
        user: &CheckedUser,
        (model, schema): (&ModelName, Arc<Schema>),
        domain: &Domain,
    ) -> Option<UnresolvedField> {
        // Not by recursion: each condition with the model that it is asked of.
        let mut open: Vec<(ModelName, Arc<Schema>, Condition, bool)> = Vec::new();
        let conditions = |domain: &Domain| -> Vec<Condition> {
            let terms = domain.terms().iter().filter_map(|term| match term {
                Term::Condition(condition) => Some(condition.clone()),
                Term::And | Term::Constant(_) | Term::Not | Term::Or => None,
            });
            terms.collect()
        };
        for condition in conditions(domain) {
            open.push((model.clone(), Arc::clone(&schema), condition, false));
        }
        while let Some((model, schema, condition, inner)) = open.pop() {
            let (first, rest) = condition.path.split_first();
            let Some(field) = schema.field(first) else {
                let text = format!(
                    "the Odoo user of this role in `{}` sees no field `{first}` of `{model}`",
                    user.instance
                );
                let remedy = similar_field_hint([&*schema], first);
                return Some(UnresolvedField {
                    text,
                    remedy,
                    in_related_model: inner,
                });
            };
            let Some(relation) = field.relation.clone() else {
                let parts = matches!(
                    field.kind,
                    FieldKind::Date | FieldKind::Datetime | FieldKind::Properties
                );
                if rest.is_some() && !parts {
                    let text = format!("`{first}` of `{model}` leads to no other model");
                    return Some(UnresolvedField {
                        text,
                        remedy: "end the path there".to_owned(),
                        in_related_model: true,
                    });
                }
                continue;
            };
            let beyond = match (rest, &condition.operand) {
                (Some(path), operand) => Domain::of(Condition {
                    path,
                    operator: condition.operator,
                    operand: operand.clone(),
                }),
                (None, Operand::Domain(inner)) => inner.clone(),
                (None, Operand::Value(_)) => continue,
            };
            // What this user may not see there, Odoo looks at all the same.
            if let ModelVisibility::Fields(schema) = self
                .model_visibility(&place.rule_ref.role, user, &relation)
                .await
            {
                for condition in conditions(&beyond) {
                    open.push((relation.clone(), Arc::clone(&schema), condition, true));
                }
            }
        }
        None
    }

    /// Looks whether the methods are there in any of the models.
    async fn check_methods(
        &mut self,
        place: &CheckedRule<'_>,
        schemas: &[(CheckedUser, ModelName, Arc<Schema>)],
        whole: bool,
    ) {
        let rule = place.rule;
        if rule.methods.is_empty() || schemas.is_empty() || !whole {
            return;
        }
        let mut pages = Vec::new();
        for (user, model, _) in schemas {
            match self.documentation(&place.rule_ref.role, user, model).await {
                Some(page) => pages.push(page),
                // Not every user may read them.
                None => return,
            }
        }
        for (index, method) in rule.methods.iter().enumerate() {
            if pages.iter().any(|page| page.method(method).is_some()) {
                continue;
            }
            let names = pages.iter().flat_map(|page| page.names());
            let near = closest_name(method.as_str(), names);
            self.report(
                place,
                vec!["methods".to_owned(), index.to_string()],
                CheckStatus::Warn,
                format!("none of these models has a method `{method}` that can be called"),
                near.map_or_else(
                    || "leave it out".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                ),
            );
        }
    }

    /// Looks whether the models are there whose records arguments name.
    async fn check_arguments(&mut self, place: &CheckedRule<'_>) {
        for (method, arguments) in &place.rule.arguments {
            for (name, argument) in arguments.iter() {
                let Some(model) = argument.model() else {
                    continue;
                };
                let seen = self.visibility_by_user(place, model).await;
                if seen
                    .iter()
                    .all(|(_, seen)| matches!(seen, ModelVisibility::Missing))
                {
                    let path = ["arguments", method.as_str(), name.as_str(), "ids_of"];
                    let path = path.map(str::to_owned).to_vec();
                    self.report_missing_model(place, path, model).await;
                }
            }
        }
    }

    async fn visibility_by_user(
        &mut self,
        place: &CheckedRule<'_>,
        model: &ModelName,
    ) -> Vec<(CheckedUser, ModelVisibility)> {
        let mut all = Vec::with_capacity(place.users.len());
        for user in &place.users {
            let seen = self
                .model_visibility(&place.rule_ref.role, user, model)
                .await;
            all.push((user.clone(), seen));
        }
        all
    }

    /// What an Odoo user may see of a model; asked once.
    async fn model_visibility(
        &mut self,
        role: &RoleName,
        user: &CheckedUser,
        model: &ModelName,
    ) -> ModelVisibility {
        let key = (user.clone(), model.clone());
        if let Some(seen) = self.visibility.get(&key) {
            return seen.clone();
        }
        let mut asked = self.visibility.iter().filter(|((of, _), _)| of == user);
        // Who did not answer once is not waited for again.
        let silent = asked.any(|(_, seen)| matches!(seen, ModelVisibility::Unknown));
        if silent
            || self.visibility.keys().filter(|(of, _)| of == user).count() >= MAX_MODELS_PER_USER
        {
            return ModelVisibility::Unknown;
        }
        let seen = match self.gateway.instance_of(user) {
            Some(instance) => {
                let asking = ModelProbe::new(self.gateway, role, user, model);
                match asking
                    .odoo_session(self.gateway, instance)
                    .unfiltered_schema(model)
                    .await
                {
                    Ok(schema) => ModelVisibility::Fields(schema),
                    Err(denied) if denied.is_model_unavailable() => ModelVisibility::Missing,
                    Err(_) => ModelVisibility::Unknown,
                }
            }
            None => ModelVisibility::Unknown,
        };
        self.visibility.insert(key, seen.clone());
        seen
    }

    async fn documentation(
        &mut self,
        role: &RoleName,
        user: &CheckedUser,
        model: &ModelName,
    ) -> Option<Arc<Documentation>> {
        let key = (user.clone(), model.clone());
        if let Some(page) = self.methods.get(&key) {
            return page.clone();
        }
        let instance = self.gateway.instance_of(user)?;
        let asking = ModelProbe::new(self.gateway, role, user, model);
        let access = asking.odoo_session(self.gateway, instance);
        let page = access.documentation(model).await;
        self.methods.insert(key, page.clone());
        page
    }

    /// The model that may be meant, of those that the first user has.
    async fn similar_model(
        &mut self,
        place: &CheckedRule<'_>,
        model: &ModelName,
    ) -> Option<String> {
        let user = place.users.first()?;
        if !self.models.contains_key(user) {
            let instance = self.gateway.instance_of(user)?;
            let asking = ModelProbe::new(self.gateway, &place.rule_ref.role, user, model);
            let access = asking.odoo_session(self.gateway, instance);
            let models = access.models().await.ok()?;
            let names = models.iter().map(|entry| entry.model.clone()).collect();
            self.models.insert(user.clone(), names);
        }
        let names = self.models.get(user)?.iter().map(ModelName::as_str);
        closest_name(model.as_str(), names).map(str::to_owned)
    }

    fn report(
        &mut self,
        place: &CheckedRule<'_>,
        path: Vec<String>,
        verdict: CheckStatus,
        text: String,
        remedy: String,
    ) {
        self.findings.insert(PolicyFinding {
            rule: place.rule_ref.clone(),
            path,
            severity: verdict,
            text,
            remedy,
        });
    }
}

/// One question of ours, of which nothing is counted or kept.
struct ModelProbe {
    policy: Policy,
    caller: Caller,
    tally: CallStats,
    trail: RequestAudit,
}

impl ModelProbe {
    /// What this Odoo user may see of a model.
    fn new(gateway: &Gateway, role: &RoleName, user: &CheckedUser, model: &ModelName) -> Self {
        let policy = read_only_policy(role, model);
        let caller = Caller {
            roles: vec![role.clone()],
            credential: user.credential.clone(),
            ..gateway.authenticator.local_caller(&policy, &user.instance)
        };
        Self {
            policy,
            caller,
            tally: CallStats::default(),
            trail: RequestAudit::disabled(),
        }
    }

    fn odoo_session<'a>(&'a self, gateway: &'a Gateway, instance: &'a Instance) -> OdooSession<'a> {
        gateway.odoo_session(
            instance,
            &self.policy,
            &self.caller,
            &self.tally,
            &self.trail,
        )
    }
}

/// A policy that lets this one model be read.
fn read_only_policy(role: &RoleName, model: &ModelName) -> Policy {
    let rule = Rule {
        instances: vec![Pattern::everything()],
        models: Pattern::parse(model.as_str()).into_iter().collect(),
        operations: vec![Operation::Read],
        ..Rule::default()
    };
    let only = Role {
        rules: vec![rule],
        ..Role::default()
    };
    Policy::new(BTreeMap::from([(role.clone(), only)]))
}

/// The model that a pattern names in full.
fn exact_model(pattern: &Pattern) -> Option<ModelName> {
    if pattern.is_prefix() {
        return None;
    }
    ModelName::try_from(pattern.to_string().as_str()).ok()
}

fn instance_list(users: &[CheckedUser]) -> String {
    let names: BTreeSet<String> = users
        .iter()
        .map(|user| format!("`{}`", user.instance))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn similar_field_hint<'a>(schemas: impl IntoIterator<Item = &'a Schema>, name: &str) -> String {
    let mut near = schemas
        .into_iter()
        .flat_map(|schema| schema.similar_names(name, 1));
    near.next().map_or_else(
        || "`describe_model` lists the fields of a model".to_owned(),
        |near| format!("did you mean `{near}`?"),
    )
}

fn closest_name<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(name, wanted), name));
    let near = scored.filter(|(distance, _)| *distance <= 1 + wanted.len() / 4);
    near.min().map(|(_, name)| name)
}
