mod loading;
mod nothing_leaks;
mod seeing;
mod writing;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Pattern, Policy, Role, Rule, Schemas};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::{Call, Domain, Effect, Inquiry, ModelName};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn rule(instance: &str, model: &str, operations: &[Effect]) -> Rule {
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

fn counting(model: &str) -> Call {
    Call::search_count(ModelName::try_from(model).unwrap(), &Domain::default())
}

fn instance(name: &str) -> InstanceName {
    InstanceName::try_from(name).unwrap()
}

#[test]
fn counting_needs_a_rule_that_allows_reading_the_model() {
    let (policy, roles) = policy(vec![rule("production", "sale.*", &[Effect::Read])]);
    let permit = |place: &str, model: &str| {
        policy.permit(
            &roles,
            &instance(place),
            counting(model),
            &Schemas::default(),
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
                counting("sale.order"),
                &Schemas::default()
            )
            .is_err()
    );
}

#[test]
fn no_star_opens_a_secret_model() {
    let (by_star, roles) = policy(vec![rule("*", "*", &[Effect::Read])]);
    assert!(
        by_star
            .permit(
                &roles,
                &instance("a"),
                counting("res.users"),
                &Schemas::default()
            )
            .is_err()
    );
    assert!(
        by_star
            .permit(
                &roles,
                &instance("a"),
                counting("res.users.apikeys"),
                &Schemas::default()
            )
            .is_err()
    );
    let (by_name, roles) = policy(vec![rule("*", "res.users", &[Effect::Read])]);
    assert!(
        by_name
            .permit(
                &roles,
                &instance("a"),
                counting("res.users"),
                &Schemas::default()
            )
            .is_ok()
    );
    assert!(
        by_name
            .permit(
                &roles,
                &instance("a"),
                counting("res.users.apikeys"),
                &Schemas::default()
            )
            .is_err()
    );
}

#[test]
fn fields_may_be_asked_only_of_a_model_that_may_be_read() {
    let (policy, roles) = policy(vec![rule("*", "sale.order", &[Effect::Read])]);
    let ask = |model: &str| {
        let inquiry = Inquiry::Fields(ModelName::try_from(model).unwrap());
        policy.permit_inquiry(&roles, &instance("a"), &inquiry)
    };
    assert!(ask("sale.order").is_ok());
    assert!(ask("res.partner").is_err());
    assert!(
        policy
            .permit_inquiry(&roles, &instance("a"), &Inquiry::WhoAmI)
            .is_ok()
    );
    assert!(
        policy
            .permit_inquiry(&[], &instance("a"), &Inquiry::WhoAmI)
            .is_err()
    );
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let effects = prop::sample::subsequence(
        vec![
            Effect::Read,
            Effect::Create,
            Effect::Write,
            Effect::Delete,
            Effect::Run,
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
                for effect in [Effect::Read, Effect::Create, Effect::Write, Effect::Delete, Effect::Run] {
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
fn a_role_names_its_credential_only_where_it_opens_something() {
    let sales = CredentialName::try_from("sales").unwrap();
    let role = |credential: Option<&CredentialName>, instance: &str| Role {
        rules: vec![rule(instance, "*", &[Effect::Read])],
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
