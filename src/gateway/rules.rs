//! Whether the models, fields and methods that rules name are there, for the
//! administrator: a mistyped name hides nothing, or closes a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Gateway;
use crate::{
    access::{Access, Asks, Instance, Tally},
    audit::Trail,
    shape::Documentation,
};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::{Caller, Verdict};
use gatepost_odoo::{Condition, Domain, Effect, FieldKind, ModelName, Operand, Schema, Term};
use gatepost_policy::{Pattern, Policy, Role, Rule, RuleAt};

/// Models that one Odoo user is asked about at most: every one that a rule names,
/// and those on the paths of domains.
const MAX_MODELS: usize = 300;

/// Something in a rule that an Odoo knows otherwise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleFinding {
    /// Which rule.
    pub at: RuleAt,
    /// Where in it, such as `hidden_fields` and `0`.
    pub path: Vec<String>,
    /// How bad it is.
    pub verdict: Verdict,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

/// What an Odoo user may see of a model.
#[derive(Clone, Debug)]
enum Seen {
    Fields(Arc<Schema>),
    /// There is no such model, or none for this user.
    Nothing,
    /// Nobody answered.
    Unknown,
}

/// An Odoo user in an instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct User {
    instance: InstanceName,
    credential: Option<CredentialName>,
}

/// A field in a domain that is not there.
struct Misfit {
    text: String,
    remedy: String,
    /// Whether it is of a related model: of the rule's own it would be noticed.
    inner: bool,
}

/// What was asked so far.
struct Examination<'a> {
    gateway: &'a Gateway,
    seen: BTreeMap<(User, ModelName), Seen>,
    methods: BTreeMap<(User, ModelName), Option<Arc<Documentation>>>,
    models: BTreeMap<User, Vec<ModelName>>,
    found: BTreeSet<RuleFinding>,
}

/// A rule, and the Odoo users that calls by it act as.
struct Place<'a> {
    at: RuleAt,
    rule: &'a Rule,
    users: Vec<User>,
}

impl Gateway {
    /// Asks every instance whether it has what the rules name there in full, as
    /// the Odoo users that the roles act as. What a pattern names is not looked at.
    pub async fn examine_rules(&self) -> Vec<RuleFinding> {
        let mut examination = Examination {
            gateway: self,
            seen: BTreeMap::new(),
            methods: BTreeMap::new(),
            models: BTreeMap::new(),
            found: BTreeSet::new(),
        };
        for place in self.places() {
            examination.rule(&place).await;
        }
        examination.found.into_iter().collect()
    }

    fn places(&self) -> Vec<Place<'_>> {
        let mut places: BTreeMap<RuleAt, Place<'_>> = BTreeMap::new();
        for instance in self.routes.instances() {
            let name = instance.name();
            for role in self.policy.roles() {
                let roles = std::slice::from_ref(role);
                let user = User {
                    instance: name.clone(),
                    credential: self.policy.credentials(roles, name).next().cloned(),
                };
                for (at, rule) in self.policy.rules_at(roles, name) {
                    let place = places.entry(at.clone()).or_insert_with(|| Place {
                        at,
                        rule,
                        users: Vec::new(),
                    });
                    place.users.push(user.clone());
                }
            }
        }
        places.into_values().collect()
    }

    fn instance_of(&self, user: &User) -> Option<&Instance> {
        self.routes
            .instances()
            .find(|instance| *instance.name() == user.instance)
            .map(|instance| &**instance)
    }
}

impl Examination<'_> {
    async fn rule(&mut self, place: &Place<'_>) {
        let mut schemas: Vec<(User, ModelName, Arc<Schema>)> = Vec::new();
        // Whether all were asked, so that what was not found is nowhere.
        let mut whole = true;
        for (index, pattern) in place.rule.models.iter().enumerate() {
            let Some(model) = exactly(pattern) else {
                whole = false;
                continue;
            };
            let seen = self.everywhere(place, &model).await;
            whole &= !seen.iter().any(|(_, seen)| matches!(seen, Seen::Unknown));
            if seen.iter().all(|(_, seen)| matches!(seen, Seen::Nothing)) {
                let path = vec!["models".to_owned(), index.to_string()];
                self.no_model(place, path, &model).await;
            }
            schemas.extend(seen.into_iter().filter_map(|(user, seen)| match seen {
                Seen::Fields(schema) => Some((user, model.clone(), schema)),
                Seen::Nothing | Seen::Unknown => None,
            }));
        }
        self.fields(place, &schemas, whole);
        self.domain(place, &schemas).await;
        self.methods(place, &schemas, whole).await;
        self.arguments(place).await;
    }

    async fn no_model(&mut self, place: &Place<'_>, path: Vec<String>, model: &ModelName) {
        let near = self.near_model(place, model).await;
        self.tell(
            place,
            path,
            Verdict::Doubtful,
            format!(
                "there is no model `{model}` for the Odoo user of this role in {}",
                instances(&place.users)
            ),
            near.map_or_else(
                || "leave it out, or say by `instances` where it is".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ),
        );
    }

    /// Looks whether the fields that a rule names are there in any of its models.
    fn fields(
        &mut self,
        place: &Place<'_>,
        schemas: &[(User, ModelName, Arc<Schema>)],
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
                let known =
                    |(_, _, schema): &(User, ModelName, Arc<Schema>)| schema.field(&name).is_some();
                if pattern.is_open() || name == "id" || schemas.iter().any(known) {
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
                self.tell(
                    place,
                    vec![key.to_owned(), index.to_string()],
                    // A model that is not named in full may have it.
                    if closes && whole {
                        Verdict::Bad
                    } else {
                        Verdict::Doubtful
                    },
                    format!(
                        "the Odoo user of this role sees no field `{name}` of `{}`{stays}",
                        models.join("`, `")
                    ),
                    near_field(schemas.iter().map(|(_, _, schema)| &**schema), &name),
                );
            }
        }
    }

    /// Looks whether each model has what the domain asks of it.
    async fn domain(&mut self, place: &Place<'_>, schemas: &[(User, ModelName, Arc<Schema>)]) {
        let rule = place.rule;
        if rule.domain.is_empty() {
            return;
        }
        let mut wrong: BTreeMap<&ModelName, Vec<Misfit>> = BTreeMap::new();
        let mut times: BTreeMap<&ModelName, usize> = BTreeMap::new();
        for (user, model, schema) in schemas {
            *times.entry(model).or_default() += 1;
            if let Some(found) = self
                .misfit(place, user, (model, Arc::clone(schema)), &rule.domain)
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
            for Misfit {
                text,
                remedy,
                inner,
            } in found
            {
                let so = if inner {
                    "so Odoo refuses all that this rule is about".to_owned()
                } else {
                    format!("so this rule {does} of `{model}` there")
                };
                let verdict = if everywhere {
                    Verdict::Bad
                } else {
                    Verdict::Doubtful
                };
                let path = vec!["domain".to_owned()];
                self.tell(place, path, verdict, format!("{text}, {so}"), remedy);
            }
        }
    }

    /// The first field in the domain that is not there, and what may be meant.
    async fn misfit(
        &mut self,
        place: &Place<'_>,
        user: &User,
        (model, schema): (&ModelName, Arc<Schema>),
        domain: &Domain,
    ) -> Option<Misfit> {
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
                let remedy = near_field([&*schema], first);
                return Some(Misfit {
                    text,
                    remedy,
                    inner,
                });
            };
            let Some(relation) = field.relation.clone() else {
                let parts = matches!(
                    field.kind,
                    FieldKind::Date | FieldKind::Datetime | FieldKind::Properties
                );
                if rest.is_some() && !parts {
                    let text = format!("`{first}` of `{model}` leads to no other model");
                    return Some(Misfit {
                        text,
                        remedy: "end the path there".to_owned(),
                        inner: true,
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
            if let Seen::Fields(schema) = self.look(&place.at.role, user, &relation).await {
                for condition in conditions(&beyond) {
                    open.push((relation.clone(), Arc::clone(&schema), condition, true));
                }
            }
        }
        None
    }

    /// Looks whether the methods are there in any of the models.
    async fn methods(
        &mut self,
        place: &Place<'_>,
        schemas: &[(User, ModelName, Arc<Schema>)],
        whole: bool,
    ) {
        let rule = place.rule;
        if rule.methods.is_empty() || schemas.is_empty() || !whole {
            return;
        }
        let mut pages = Vec::new();
        for (user, model, _) in schemas {
            match self.documentation(&place.at.role, user, model).await {
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
            let near = nearest(method.as_str(), names);
            self.tell(
                place,
                vec!["methods".to_owned(), index.to_string()],
                Verdict::Doubtful,
                format!("none of these models has a method `{method}` that can be called"),
                near.map_or_else(
                    || "leave it out".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                ),
            );
        }
    }

    /// Looks whether the models are there whose records arguments name.
    async fn arguments(&mut self, place: &Place<'_>) {
        for (method, arguments) in &place.rule.arguments {
            for (name, argument) in arguments.iter() {
                let Some(model) = argument.model() else {
                    continue;
                };
                let seen = self.everywhere(place, model).await;
                if seen.iter().all(|(_, seen)| matches!(seen, Seen::Nothing)) {
                    let path = ["arguments", method.as_str(), name.as_str(), "ids_of"];
                    let path = path.map(str::to_owned).to_vec();
                    self.no_model(place, path, model).await;
                }
            }
        }
    }

    async fn everywhere(&mut self, place: &Place<'_>, model: &ModelName) -> Vec<(User, Seen)> {
        let mut all = Vec::with_capacity(place.users.len());
        for user in &place.users {
            let seen = self.look(&place.at.role, user, model).await;
            all.push((user.clone(), seen));
        }
        all
    }

    /// What an Odoo user may see of a model; asked once.
    async fn look(&mut self, role: &RoleName, user: &User, model: &ModelName) -> Seen {
        let key = (user.clone(), model.clone());
        if let Some(seen) = self.seen.get(&key) {
            return seen.clone();
        }
        let mut asked = self.seen.iter().filter(|((of, _), _)| of == user);
        // Who did not answer once is not waited for again.
        let silent = asked.any(|(_, seen)| matches!(seen, Seen::Unknown));
        if silent || self.seen.keys().filter(|(of, _)| of == user).count() >= MAX_MODELS {
            return Seen::Unknown;
        }
        let seen = match self.gateway.instance_of(user) {
            Some(instance) => {
                let asking = Asking::about(self.gateway, role, user, model);
                match asking
                    .access(self.gateway, instance)
                    .all_fields(model)
                    .await
                {
                    Ok(schema) => Seen::Fields(schema),
                    Err(denied) if denied.is_no_model() => Seen::Nothing,
                    Err(_) => Seen::Unknown,
                }
            }
            None => Seen::Unknown,
        };
        self.seen.insert(key, seen.clone());
        seen
    }

    async fn documentation(
        &mut self,
        role: &RoleName,
        user: &User,
        model: &ModelName,
    ) -> Option<Arc<Documentation>> {
        let key = (user.clone(), model.clone());
        if let Some(page) = self.methods.get(&key) {
            return page.clone();
        }
        let instance = self.gateway.instance_of(user)?;
        let asking = Asking::about(self.gateway, role, user, model);
        let access = asking.access(self.gateway, instance);
        let page = access.documentation(model).await;
        self.methods.insert(key, page.clone());
        page
    }

    /// The model that may be meant, of those that the first user has.
    async fn near_model(&mut self, place: &Place<'_>, model: &ModelName) -> Option<String> {
        let user = place.users.first()?;
        if !self.models.contains_key(user) {
            let instance = self.gateway.instance_of(user)?;
            let asking = Asking::about(self.gateway, &place.at.role, user, model);
            let access = asking.access(self.gateway, instance);
            let models = access.models().await.ok()?;
            let names = models.iter().map(|entry| entry.model.clone()).collect();
            self.models.insert(user.clone(), names);
        }
        let names = self.models.get(user)?.iter().map(ModelName::as_str);
        nearest(model.as_str(), names).map(str::to_owned)
    }

    fn tell(
        &mut self,
        place: &Place<'_>,
        path: Vec<String>,
        verdict: Verdict,
        text: String,
        remedy: String,
    ) {
        self.found.insert(RuleFinding {
            at: place.at.clone(),
            path,
            verdict,
            text,
            remedy,
        });
    }
}

/// One question of ours, of which nothing is counted or kept.
struct Asking {
    policy: Policy,
    caller: Caller,
    tally: Tally,
    trail: Trail,
}

impl Asking {
    /// What this Odoo user may see of a model.
    fn about(gateway: &Gateway, role: &RoleName, user: &User, model: &ModelName) -> Self {
        let policy = reading(role, model);
        let caller = Caller {
            roles: vec![role.clone()],
            credential: user.credential.clone(),
            ..gateway.door.local(&policy, &user.instance)
        };
        Self {
            policy,
            caller,
            tally: Tally::default(),
            trail: Trail::none(),
        }
    }

    fn access<'a>(&'a self, gateway: &'a Gateway, instance: &'a Instance) -> Access<'a> {
        Access {
            instance,
            policy: &self.policy,
            caller: &self.caller,
            tally: &self.tally,
            trail: &self.trail,
            listener: None,
            asks: Asks::by_id(),
            ledger: &gateway.ledger,
            sent: &gateway.sent,
        }
    }
}

/// A policy that lets this one model be read.
fn reading(role: &RoleName, model: &ModelName) -> Policy {
    let rule = Rule {
        instances: vec![Pattern::everything()],
        models: Pattern::parse(model.as_str()).into_iter().collect(),
        operations: vec![Effect::Read],
        ..Rule::default()
    };
    let only = Role {
        rules: vec![rule],
        ..Role::default()
    };
    Policy::new(BTreeMap::from([(role.clone(), only)]))
}

/// The model that a pattern names in full.
fn exactly(pattern: &Pattern) -> Option<ModelName> {
    if pattern.is_open() {
        return None;
    }
    ModelName::try_from(pattern.to_string().as_str()).ok()
}

fn instances(users: &[User]) -> String {
    let names: BTreeSet<String> = users
        .iter()
        .map(|user| format!("`{}`", user.instance))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn near_field<'a>(schemas: impl IntoIterator<Item = &'a Schema>, name: &str) -> String {
    let mut near = schemas.into_iter().flat_map(|schema| schema.near(name, 1));
    near.next().map_or_else(
        || "`describe_model` lists the fields of a model".to_owned(),
        |near| format!("did you mean `{near}`?"),
    )
}

fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(name, wanted), name));
    let near = scored.filter(|(distance, _)| *distance <= 1 + wanted.len() / 4);
    near.min().map(|(_, name)| name)
}
