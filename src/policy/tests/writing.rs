//! What may be changed.

use serde_json::{Value, json};

use super::{
    super::{Forbidden, Rule, Schemas, Undecided},
    instance, pattern, policy, rule,
};
use crate::odoo::{Effect, ModelName, RecordId};

const READ: Effect = Effect::Read;
const CREATE: Effect = Effect::Create;
const WRITE: Effect = Effect::Write;
const DELETE: Effect = Effect::Delete;

fn name(model: &str) -> ModelName {
    ModelName::try_from(model).unwrap()
}

/// What these values do, in the order in which it is found.
fn done(
    rules: Vec<Rule>,
    model: &str,
    effect: Effect,
    values: &Value,
) -> Result<Vec<String>, Undecided> {
    let (policy, roles) = policy(rules);
    let schemas: Schemas = super::seeing::schemas();
    let model = name(model);
    let (instance, values) = (instance("a"), values.as_object().into_iter().flatten());
    let values = values
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let touched = policy.allow_values(&roles, &instance, (&model, effect), &values, &schemas)?;
    let told = touched.iter().map(|touch| {
        let ids = if touch.ids.is_empty() {
            String::new()
        } else {
            format!(" {:?}", touch.ids)
        };
        format!("{} {}{ids}", touch.effect.as_str(), touch.model)
    });
    Ok(told.collect())
}

#[test]
fn only_the_fields_that_a_rule_opens_are_written() {
    let writes = || Rule {
        write_fields: Some(vec![pattern("email"), pattern("access_*"), pattern("id")]),
        hidden_fields: vec![pattern("salary")],
        ..rule("*", "res.partner", &[READ, WRITE])
    };
    let write = |rules, field: &str| done(rules, "res.partner", WRITE, &json!({field: 1}));
    assert!(write(vec![writes()], "email").is_ok());
    for field in ["name", "salary", "access_token", "id", "nothing"] {
        let refused = write(vec![writes()], field);
        let expected = |one| matches!(one, Undecided::Forbidden(Forbidden::Writing { .. }));
        assert!(refused.is_err_and(expected), "{field}");
    }
    let create = done(
        vec![writes()],
        "res.partner",
        CREATE,
        &json!({"email": "x"}),
    );
    assert!(create.is_err());
    let denied = Rule {
        fields: vec![pattern("em*")],
        deny: true,
        ..rule("*", "*", &[WRITE])
    };
    assert!(write(vec![writes(), denied], "email").is_err());
}

#[test]
fn a_command_is_what_it_does_where_it_does_it() {
    let all = || {
        vec![
            rule("*", "res.partner", &[WRITE]),
            rule("*", "sale.order", &[READ, CREATE, WRITE, DELETE]),
        ]
    };
    let told = |commands: Value| done(all(), "res.partner", WRITE, &json!({"order_ids": commands}));
    for (commands, effects) in [
        (json!([[0, 0, {"name": "x"}]]), vec!["create sale.order"]),
        (
            json!([[1, 5, {"name": "x"}]]),
            vec!["update sale.order", "update sale.order [5]"],
        ),
        (json!([[2, 5, 0]]), vec!["delete sale.order [5]"]),
        (
            json!([[3, 5]]),
            vec!["update sale.order [5]", "delete sale.order [5]"],
        ),
        (json!([[4, 5, 0]]), vec!["update sale.order [5]"]),
        (json!([[5]]), vec!["update sale.order", "delete sale.order"]),
        (
            json!([[6, 0, [1, 2]]]),
            vec![
                "update sale.order",
                "delete sale.order",
                "update sale.order [1, 2]",
            ],
        ),
    ] {
        let mut expected: Vec<String> = effects.iter().map(ToString::to_string).collect();
        expected.push("update res.partner".to_owned());
        assert_eq!(told(commands.clone()), Ok(expected), "{commands}");
    }
    for odd in [
        json!(5),
        json!("x"),
        json!({}),
        json!([5]),
        json!([[]]),
        json!([[7, 1]]),
        json!([[-1, 1]]),
        json!([["0", 0, {}]]),
        json!([[0, 0]]),
        json!([[1, 0, {}]]),
        json!([[1, "5", {}]]),
        json!([[6, 0, 5]]),
        json!([[6, 0, ["x"]]]),
        json!([[4]]),
    ] {
        let refused = told(odd.clone());
        assert!(
            matches!(
                refused,
                Err(Undecided::Forbidden(Forbidden::Commands { .. }))
            ),
            "{odd}: {refused:?}"
        );
    }
}

#[test]
fn what_a_command_does_must_be_open_on_the_model_that_it_touches() {
    let commands = [
        (json!([[0, 0, {"name": "x"}]]), CREATE),
        (json!([[1, 5, {"name": "x"}]]), WRITE),
        (json!([[2, 5]]), DELETE),
        (json!([[3, 5]]), DELETE),
        (json!([[5]]), DELETE),
    ];
    for (command, needed) in commands {
        let others: Vec<Effect> = [READ, CREATE, WRITE, DELETE]
            .into_iter()
            .filter(|effect| *effect != needed)
            .collect();
        let rules = vec![
            rule("*", "res.partner", &[WRITE]),
            rule("*", "sale.order", &others),
        ];
        let refused = done(rules, "res.partner", WRITE, &json!({"order_ids": command}));
        assert!(refused.is_err(), "{command}");
    }
    // Also in the values of the values.
    let rules = vec![
        rule("*", "res.partner", &[WRITE]),
        Rule {
            hidden_fields: vec![pattern("amount")],
            ..rule("*", "sale.order", &[CREATE])
        },
    ];
    let inner = json!({"order_ids": [[0, 0, {"amount": 1}]]});
    assert!(done(rules, "res.partner", WRITE, &inner).is_err());
}

#[test]
fn a_field_of_a_parent_is_written_where_it_may_be_written_there() {
    let write = |rules| done(rules, "res.users", WRITE, &json!({"name": "x"}));
    let users = || rule("*", "res.users", &[READ, WRITE]);
    assert!(write(vec![users()]).is_err());
    assert!(write(vec![users(), rule("*", "res.partner", &[READ])]).is_err());
    assert!(write(vec![users(), rule("*", "res.partner", &[READ, WRITE])]).is_ok());
}

#[test]
fn the_records_of_a_change_are_checked_by_a_search() {
    let some = Rule {
        domain: crate::odoo::Domain::parse(&json!([["company_id", "=", 1]])).unwrap(),
        ..rule("*", "res.partner", &[WRITE])
    };
    let (policy, roles) = policy(vec![rule("*", "res.partner", &[READ]), some]);
    let ids = [RecordId::try_from(7).unwrap()];
    let within = |effect| {
        let what = (
            &name("res.partner"),
            &ids[..],
            &std::collections::BTreeSet::new(),
        );
        let place = instance("a");
        policy.within(&roles, &place, effect, what, &super::seeing::schemas())
    };
    let search = within(WRITE).unwrap();
    assert_eq!(search.get().effect(), READ);
    assert_eq!(
        search.get().arguments()["domain"],
        json!(["&", ["id", "in", [7]], ["company_id", "=", 1]])
    );
    assert!(within(DELETE).is_err());
}
