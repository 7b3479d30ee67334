mod forbidden;
mod imports;
mod nothing_leaks;
mod reads;
mod writes;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Pattern, Policy, PolicyFacts, Role, Rule};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::{Call, Domain, ModelName, Operation, SystemQuery};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn rule(instance: &str, model: &str, operations: &[Operation]) -> Rule {
    Rule {
        instances: vec![pattern(instance)],
        models: vec![pattern(model)],
        operations: operations.to_vec(),
        ..Rule::default()
    }
}

fn policy(rules: Vec<Rule>) -> (Policy, Vec<RoleName>) {
    let name = RoleName::try_from("reader").unwrap();
    (
        Policy::new(BTreeMap::from([(
            name.clone(),
            Role {
                rules,
                ..Role::default()
            },
        )])),
        vec![name],
    )
}

fn count_call(model: &str) -> Call {
    Call::search_count(ModelName::try_from(model).unwrap(), &Domain::default())
}

fn instance(name: &str) -> InstanceName {
    InstanceName::try_from(name).unwrap()
}

#[test]
fn count_requires_read_rule_for_model() {
    let (policy, roles) = policy(vec![rule("production", "sale.*", &[Operation::Read])]);
    let permit = |place: &str, model: &str| {
        policy.permit(
            &roles,
            &instance(place),
            count_call(model),
            &PolicyFacts::default(),
        )
    };
    assert!(permit("production", "sale.order").is_ok());
    assert!(permit("production", "res.partner").is_err());
    assert!(permit("staging", "sale.order").is_err());
    assert!(
        policy
            .permit(
                &[],
                &instance("production"),
                count_call("sale.order"),
                &PolicyFacts::default()
            )
            .is_err()
    );
}

#[test]
fn wildcard_does_not_allow_protected_model() {
    let (by_star, roles) = policy(vec![rule("*", "*", &[Operation::Read])]);
    assert!(
        by_star
            .permit(
                &roles,
                &instance("a"),
                count_call("res.users"),
                &PolicyFacts::default()
            )
            .is_err()
    );
    assert!(
        by_star
            .permit(
                &roles,
                &instance("a"),
                count_call("res.users.apikeys"),
                &PolicyFacts::default()
            )
            .is_err()
    );
    let (by_name, roles) = policy(vec![rule("*", "res.users", &[Operation::Read])]);
    assert!(
        by_name
            .permit(
                &roles,
                &instance("a"),
                count_call("res.users"),
                &PolicyFacts::default()
            )
            .is_ok()
    );
    assert!(
        by_name
            .permit(
                &roles,
                &instance("a"),
                count_call("res.users.apikeys"),
                &PolicyFacts::default()
            )
            .is_err()
    );
}

#[test]
fn fields_query_requires_read_rule_for_model() {
    let (policy, roles) = policy(vec![rule("*", "sale.order", &[Operation::Read])]);
    let ask = |model: &str| {
        let inquiry = SystemQuery::Fields(ModelName::try_from(model).unwrap());
        policy.permit_system_query(&roles, &instance("a"), &inquiry)
    };
    assert!(ask("sale.order").is_ok());
    assert!(ask("res.partner").is_err());
    assert!(
        policy
            .permit_system_query(&roles, &instance("a"), &SystemQuery::WhoAmI)
            .is_ok()
    );
    assert!(
        policy
            .permit_system_query(&[], &instance("a"), &SystemQuery::WhoAmI)
            .is_err()
    );
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let effects = prop::sample::subsequence(
        vec![
            Operation::Read,
            Operation::Create,
            Operation::Write,
            Operation::Delete,
            Operation::Call,
        ],
        0..=5,
    );
    let one = (
        prop::sample::select(vec!["*", "a", "a*", "b"]),
        prop::sample::select(vec!["*", "sale.*", "sale.order", "res.users", "res.*"]),
        effects,
    )
        .prop_map(|(place, model, effects)| rule(place, model, &effects));
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn removing_a_rule_never_allows_more(all in rules(), gone in 0_usize..6) {
        let mut fewer = all.clone();
        if gone < fewer.len() {
            fewer.remove(gone);
        }
        let ((more, roles), (less, _)) = (policy(all), policy(fewer));
        for place in ["a", "ab", "b", "c"] {
            for model in ["sale.order", "res.users", "res.partner", "res.users.apikeys"] {
                for effect in [Operation::Read, Operation::Create, Operation::Write, Operation::Delete, Operation::Call] {
                    let model = ModelName::try_from(model).unwrap();
                    if less.allow(&roles, &instance(place), &model, effect).is_ok() {
                        prop_assert!(more.allow(&roles, &instance(place), &model, effect).is_ok());
                    }
                }
            }
        }
    }
}

#[test]
fn role_credential_applies_only_in_instances_with_allow_rules() {
    let sales = CredentialName::try_from("sales").unwrap();
    let role = |credential: Option<&CredentialName>, instance: &str| Role {
        rules: vec![rule(instance, "*", &[Operation::Read])],
        credential: credential.cloned(),
        ..Role::default()
    };
    let names =
        ["empty", "elsewhere", "here", "plain"].map(|name| RoleName::try_from(name).unwrap());
    let [empty, elsewhere, here, plain] = names.clone();
    let nothing = Role {
        credential: Some(sales.clone()),
        ..Role::default()
    };
    let policy = Policy::new(BTreeMap::from([
        (empty, nothing),
        (elsewhere, role(Some(&sales), "staging")),
        (here.clone(), role(Some(&sales), "prod*")),
        (plain, role(None, "*")),
    ]));
    let named =
        |roles: &[RoleName], place: &str| policy.credentials(roles, &instance(place)).count();
    assert_eq!(named(&names, "production"), 1);
    assert_eq!(named(&[here], "staging"), 0);
    assert_eq!(named(&[], "production"), 0);
    let stranger = RoleName::try_from("stranger").unwrap();
    assert_eq!(named(&[stranger], "production"), 0);
}
