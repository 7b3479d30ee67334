//! Random roles and calls.
//!
//! What the policy permits is never more than the rules open, as an independent
//! reading of them says; and with one rule less that opens, or one more that denies,
//! it permits nothing that it did not permit before.

mod generate;
mod world;

use std::{collections::BTreeMap, sync::Arc};

use arbitrary::Unstructured;
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Call, FieldName, ModelName, Operation, Request};
use gatepost_policy::{Incomplete, Permitted, Policy, PolicyFacts, Role, Rule, WriteMode};

use generate::{CallMode, some_call, some_roles, some_rule};
use world::{Record, World};

/// The most times that policy may ask for facts before it decides.
const MAX_QUESTIONS: usize = 64;

/// The roles of a caller.
type Roles = BTreeMap<RoleName, Role>;

pub(crate) fn run(data: &[u8]) {
    check(&mut Unstructured::new(data)).expect("a short input is continued with zeros");
}

fn check(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut roles = some_roles(input)?;
    let (call, mode) = some_call(input)?;
    let world = World::some(input)?;
    let permitted = decide(&roles, &call, mode, &world);
    if let Some(permitted) = &permitted {
        let visibility = Visibility {
            roles: &roles,
            world: &world,
            mode,
        };
        visibility.check(&call, permitted.get());
    }
    // Less is allowed now.
    let last = roles.values_mut().next_back().expect("there is a role");
    if input.arbitrary()? {
        let rule = some_rule(input)?;
        last.rules.push(Rule {
            deny: true,
            hidden_fields: Vec::new(),
            write_fields: None,
            ..rule
        });
    } else if let Some(opening) = last.rules.iter().position(|rule| !rule.deny) {
        last.rules.remove(opening);
    }
    if permitted.is_none() {
        let now = decide(&roles, &call, mode, &world);
        assert!(now.is_none(), "{call:?} became {now:?} by {roles:#?}");
    }
    Ok(())
}

/// What the policy permits, with all facts about the world; the same with what the
/// roles may read decided before.
fn decide(roles: &Roles, call: &Call, mode: CallMode, world: &World) -> Option<Permitted<Call>> {
    let policy = Policy::new(roles.clone());
    let names: Vec<RoleName> = roles.keys().cloned().collect();
    let instance = InstanceName::try_from("demo").unwrap();
    let mut facts = PolicyFacts::default();
    let permit = |facts: &PolicyFacts| match mode {
        CallMode::Read => policy.permit(&names, &instance, call.clone(), facts),
        CallMode::Write(mode) => policy
            .permit_write(&names, &instance, mode, call, facts)
            .map(|(permitted, _)| permitted),
    };
    let afresh = with_facts(&mut facts, world, &permit);
    for model in world.models() {
        let read_access =
            |facts: &PolicyFacts| policy.read_access(&names, &instance, &model, facts);
        if let Some(access) = with_facts(&mut facts, world, &read_access) {
            facts.set_read_access(Arc::new(access));
            let decided_before = with_facts(&mut facts, world, &permit);
            assert_eq!(decided_before, afresh, "{call:?} of {model}: {roles:#?}");
        }
    }
    afresh
}

/// A decision, once every fact that it asks for is there; `None` if it denies.
fn with_facts<T>(
    facts: &mut PolicyFacts,
    world: &World,
    decision: &dyn Fn(&PolicyFacts) -> Result<T, Incomplete>,
) -> Option<T> {
    for _ in 0..MAX_QUESTIONS {
        match decision(facts) {
            Ok(decided) => return Some(decided),
            Err(Incomplete::Denied(_)) => return None,
            Err(Incomplete::NeedsSchema(model)) => {
                let schema = world.schema(&model)?;
                facts.add_schema(model, schema);
            }
            Err(Incomplete::NeedsRecords(searches)) => {
                for search in searches {
                    let found = world.found_ids(search.call().get());
                    facts.add_memberships(search, &found);
                }
            }
        }
    }
    panic!("policy asks for facts again and again");
}

/// An independent reading of rules.
struct Visibility<'a> {
    roles: &'a Roles,
    world: &'a World,
    mode: CallMode,
}

impl Visibility<'_> {
    /// Asserts that the rules open everything that the permitted call does.
    fn check(&self, asked: &Call, permitted: &Call) {
        let (model, operation) = (asked.model(), asked.operation());
        let used = used_fields(asked);
        for field in &used {
            let opened = self.opens_somewhere(model, operation, field);
            assert!(
                opened,
                "{operation:?} of {model}.{field}: {:#?}",
                self.roles
            );
        }
        let records: Vec<&Record> = match (self.mode, asked.request()) {
            // Only the records are checked that exist already.
            (CallMode::Write(_), Request::Write { .. } | Request::Delete(_)) => {
                let ids = asked.ids().iter().map(|id| id.get());
                ids.filter_map(|id| self.world.record(model, id)).collect()
            }
            (CallMode::Write(_), _) => Vec::new(),
            (CallMode::Read, _) => self.world.found(permitted),
        };
        for record in records {
            for field in &used {
                let opened = self.opens(model, operation, field, record);
                assert!(
                    opened,
                    "{operation:?} of {model}.{field} of {record:?} by {permitted:?}: {:#?}",
                    self.roles
                );
            }
        }
    }

    fn rules(&self, model: &ModelName, operation: Operation, deny: bool) -> Vec<&Rule> {
        let least = match self.mode {
            CallMode::Read => WriteMode::ReadOnly,
            CallMode::Write(mode) => mode,
        };
        let roles = self.roles.values();
        roles
            .filter(|role| deny || role.write_mode >= least)
            .flat_map(|role| &role.rules)
            .filter(|rule| rule.deny == deny && rule.operations.contains(&operation))
            .filter(|rule| rule.models.iter().any(|one| one.matches(model.as_str())))
            .collect()
    }

    /// Whether a rule opens the field on some records, and none denies it on all.
    fn opens_somewhere(&self, model: &ModelName, operation: Operation, field: &FieldName) -> bool {
        let opened = self.rules(model, operation, false);
        let denied = self.rules(model, operation, true);
        opened
            .iter()
            .any(|rule| opens_field(rule, operation, field))
            && !denied
                .iter()
                .any(|rule| rule.domain.is_empty() && denies_field(rule, field))
    }

    /// The same for one record.
    fn opens(
        &self,
        model: &ModelName,
        operation: Operation,
        field: &FieldName,
        record: &Record,
    ) -> bool {
        let is_within = |rule: &Rule, unknown: bool| {
            let fits = rule.domain.fields().all(|one| record.has(one));
            if fits {
                self.world.matches(record, &rule.domain)
            } else {
                unknown
            }
        };
        let opened = self.rules(model, operation, false);
        let denied = self.rules(model, operation, true);
        opened
            .iter()
            .any(|rule| opens_field(rule, operation, field) && is_within(rule, false))
            && !denied
                .iter()
                .any(|rule| denies_field(rule, field) && is_within(rule, true))
    }
}

fn opens_field(rule: &Rule, operation: Operation, field: &FieldName) -> bool {
    let name = field.as_str();
    let any = |patterns: &[gatepost_policy::Pattern]| patterns.iter().any(|one| one.matches(name));
    let shown = name == "id"
        || (!any(&rule.hidden_fields) && (name == "display_name" || any(&rule.fields)));
    let written = match &rule.write_fields {
        Some(fields) if operation.writes_values() && name != "id" => any(fields),
        _ => true,
    };
    shown && written
}

/// Whether a rule that denies is about the field, or about everything.
fn denies_field(rule: &Rule, field: &FieldName) -> bool {
    let whole = rule
        .fields
        .iter()
        .any(gatepost_policy::Pattern::is_everything);
    let named = rule.fields.iter().any(|one| one.matches(field.as_str()));
    // Denying the id alone would deny nothing but a number that the caller knows.
    (whole && rule.methods.is_empty()) || (named && field.as_str() != "id")
}

/// The fields of its own model that a call reads, searches, sorts by or writes, and
/// the id.
fn used_fields(call: &Call) -> Vec<FieldName> {
    let mut used = vec![FieldName::try_from("id").unwrap()];
    let domain_fields = |domain: &gatepost_odoo::Domain| {
        let fields = domain
            .fields()
            .map(|field| FieldName::try_from(field).unwrap());
        fields.collect::<Vec<_>>()
    };
    match call.request() {
        Request::Count(domain) | Request::NameSearch { domain, .. } => {
            used.extend(domain_fields(domain));
        }
        Request::Read { fields, .. } => used.extend(fields.iter().cloned()),
        Request::Search(search) => {
            used.extend(domain_fields(&search.domain));
            used.extend(search.fields.iter().cloned());
            used.extend(search.order.fields().cloned());
        }
        Request::Write { values, .. } => {
            used.extend(
                values
                    .keys()
                    .map(|name| FieldName::try_from(&**name).unwrap()),
            );
        }
        Request::Create(list) => {
            let names = list.iter().flat_map(serde_json::Map::keys);
            used.extend(names.map(|name| FieldName::try_from(&**name).unwrap()));
        }
        _ => {}
    }
    used
}
