//! Permissions of writes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{
        Argument, ArgumentKind, Arguments, DenialHint, Forbidden, Incomplete, NumberRange,
        PolicyFacts, Rule, WriteMode,
    },
    instance, pattern, policy, rule,
};
use gatepost_odoo::{
    ArgumentName, Call, Domain, FieldName, FieldPath, MethodName, ModelName, Operation, RecordId,
    Schema,
};

const READ: Operation = Operation::Read;
const CREATE: Operation = Operation::Create;
const WRITE: Operation = Operation::Write;
const DELETE: Operation = Operation::Delete;

fn name(model: &str) -> ModelName {
    ModelName::try_from(model).unwrap()
}

/// The operations that these values perform, in the order in which they are
/// found.
fn permit_values(
    rules: Vec<Rule>,
    model: &str,
    effect: Operation,
    values: &Value,
) -> Result<Vec<String>, Incomplete> {
    let values = values.as_object().unwrap().clone();
    let call = if effect == CREATE {
        Call::create(name(model), vec![values])
    } else {
        Call::write(name(model), &[], values)
    };
    permit(rules, &call, &super::reads::schemas())
}

/// The operations that the call performs, if it is permitted.
fn permit(rules: Vec<Rule>, call: &Call, schemas: &PolicyFacts) -> Result<Vec<String>, Incomplete> {
    let (policy, roles) = policy(rules);
    let place = instance("a");
    let allowed = policy.permit_write(&roles, &place, WriteMode::Direct, call, schemas)?;
    let operations = allowed.1.iter().map(|touch| {
        let ids: Vec<u32> = touch.ids.iter().map(|id| id.get()).collect();
        let ids = if ids.is_empty() {
            String::new()
        } else {
            format!(" {ids:?}")
        };
        format!("{} {}{ids}", touch.operation.as_str(), touch.model)
    });
    Ok(operations.collect())
}

/// The same, if Odoo finds the requested records with these domains and no
/// records with any other.
fn permit_with_matching_domains(
    rules: &[Rule],
    call: &Call,
    true_domains: &[Value],
) -> Result<(), Forbidden> {
    permit_with_search_results(rules, call, super::reads::schemas(), |asked| {
        true_domains.contains(asked)
    })
}

/// The same with other models. The closure returns whether a domain finds 7 and
/// 8.
pub(super) fn permit_with_search_results(
    rules: &[Rule],
    call: &Call,
    mut schemas: PolicyFacts,
    finds: impl Fn(&Value) -> bool,
) -> Result<(), Forbidden> {
    loop {
        match permit(rules.to_vec(), call, &schemas) {
            Ok(_) => return Ok(()),
            Err(Incomplete::Denied(forbidden)) => return Err(forbidden),
            Err(Incomplete::NeedsSchema(model)) => panic!("{model} is not known"),
            Err(Incomplete::NeedsRecords(searches)) => {
                for search in searches {
                    let asked = search.call().get().arguments();
                    let found: &[i64] = if finds(&asked["domain"]) {
                        &[7, 8]
                    } else {
                        &[]
                    };
                    schemas.add_memberships(search, &found.iter().copied().collect());
                }
            }
        }
    }
}

fn ids(numbers: &[i64]) -> Vec<RecordId> {
    let made = numbers.iter().map(|id| RecordId::try_from(*id).unwrap());
    made.collect()
}

#[test]
fn number_in_properties_requires_unrestricted_read_access() {
    let write = |rules, value: Value| {
        permit_values(
            rules,
            "res.partner",
            WRITE,
            &json!({ "lead_properties": value }),
        )
    };
    let all = || vec![rule("*", "*", &[READ, WRITE])];
    let some = || vec![rule("*", "res.partner", &[READ, WRITE])];
    for link in [
        json!({"a": 7}),
        json!({"a": [7, 8]}),
        json!([{"name": "a", "type": "char", "value": [[7, "x"]]}]),
        json!([{"name": "a", "type": "many2one", "default": 7}]),
        json!("[{}]"),
    ] {
        let refused = write(some(), link.clone());
        let expected = |one| matches!(one, Incomplete::Denied(Forbidden::LinkingUntyped { .. }));
        assert!(refused.is_err_and(expected), "{link}");
        assert!(write(all(), link).is_ok());
    }
    for value in [
        json!({"a": "x", "b": true, "c": ["tag"]}),
        json!([{"name": "a", "type": "char", "value": "x"}]),
        json!(false),
    ] {
        assert!(write(some(), value.clone()).is_ok(), "{value}");
    }
}

#[test]
fn json_links_only_records_that_the_caller_may_read() {
    let fields = json!({
        "id": {"type": "integer"},
        "name": {"type": "char"},
        "analytic_distribution": {"type": "json"},
        "settings": {"type": "json"},
        "novelty": {"type": "hologram"},
    });
    let schema = |fields: &Value| Schema::parse(fields.to_string().as_bytes()).unwrap();
    let facts = || {
        let mut facts = PolicyFacts::default();
        facts.add_schema(name("account.move.line"), schema(&fields));
        let account = json!({"id": {"type": "integer"}, "name": {"type": "char"}});
        facts.add_schema(name("account.analytic.account"), schema(&account));
        facts
    };
    let lines = || rule("*", "account.move.line", &[READ, WRITE]);
    let write = |rules: &[Rule], values: Value, finds: bool| {
        let values = values.as_object().unwrap().clone();
        let call = Call::write(name("account.move.line"), &[], values);
        permit_with_search_results(rules, &call, facts(), |_| finds)
    };
    let distribution = json!({"analytic_distribution": {"7,8": 50.0, "__update__": ["x"]}});
    let as_text = json!({"analytic_distribution": "{\"7,8\": 50.0}"});
    let some = Rule {
        domain: Domain::parse(&json!([["name", "=", "ours"]])).unwrap(),
        ..rule("*", "account.analytic.account", &[READ])
    };
    let all = rule("*", "account.analytic.account", &[READ]);
    for values in [&distribution, &as_text] {
        let refused = write(&[lines()], values.clone(), true);
        assert!(
            matches!(refused, Err(Forbidden::Linking { .. })),
            "{refused:?}"
        );
        let refused = write(&[lines(), some.clone()], values.clone(), false);
        assert!(
            matches!(refused, Err(Forbidden::Linking { .. })),
            "{refused:?}"
        );
        assert_eq!(
            write(&[lines(), some.clone()], values.clone(), true),
            Ok(())
        );
        assert_eq!(write(&[lines(), all.clone()], values.clone(), true), Ok(()));
    }
    let unreadable = json!({"analytic_distribution": {"seven": 1}});
    assert!(write(&[rule("*", "*", &[READ, WRITE])], unreadable, true).is_err());
    for values in [
        json!({"settings": {"7": "x"}}),
        json!({"settings": {"a": [7]}}),
        json!({"settings": {"a": "res.partner,7"}}),
        json!({"novelty": "x"}),
    ] {
        let refused = write(&[lines()], values.clone(), true);
        assert!(
            matches!(refused, Err(Forbidden::LinkingUntyped { .. })),
            "{values}: {refused:?}"
        );
        let everything = rule("*", "*", &[READ, WRITE]);
        assert_eq!(write(&[everything], values, true), Ok(()));
    }
    for values in [
        json!({"settings": {"color": "red", "bold": true}}),
        json!({"settings": false}),
    ] {
        assert_eq!(write(&[lines()], values, true), Ok(()));
    }
}

#[test]
fn field_not_writable_by_any_rule_is_rejected() {
    let writes = || Rule {
        write_fields: Some(vec![pattern("email"), pattern("access_*"), pattern("id")]),
        hidden_fields: vec![pattern("salary")],
        ..rule("*", "res.partner", &[READ, WRITE])
    };
    let write = |rules, field: &str| permit_values(rules, "res.partner", WRITE, &json!({field: 1}));
    assert!(write(vec![writes()], "email").is_ok());
    for field in ["name", "salary", "access_token", "id", "nothing"] {
        let refused = write(vec![writes()], field);
        let expected = |one| matches!(one, Incomplete::Denied(Forbidden::Writing { .. }));
        assert!(refused.is_err_and(expected), "{field}");
    }
    let create = permit_values(
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
fn x2many_commands_map_to_operations_on_related_model() {
    let all = || {
        vec![
            rule("*", "res.partner", &[WRITE]),
            rule("*", "sale.order", &[READ, CREATE, WRITE, DELETE]),
        ]
    };
    let decide = |commands: Value| {
        permit_values(all(), "res.partner", WRITE, &json!({"order_ids": commands}))
    };
    for (commands, effects) in [
        (json!([[0, 0, {"name": "x"}]]), vec!["create sale.order"]),
        (json!([[1, 5, {"name": "x"}]]), vec!["write sale.order [5]"]),
        (json!([[2, 5, 0]]), vec!["delete sale.order [5]"]),
        (
            json!([[3, 5]]),
            vec!["write sale.order [5]", "delete sale.order [5]"],
        ),
        (json!([[4, 5, 0]]), vec!["write sale.order [5]"]),
        (json!([[5]]), vec!["write sale.order", "delete sale.order"]),
        (
            json!([[6, 0, [1, 2]]]),
            vec![
                "write sale.order",
                "delete sale.order",
                "write sale.order [1, 2]",
            ],
        ),
    ] {
        let mut expected: Vec<String> = effects.iter().map(ToString::to_string).collect();
        expected.push("write res.partner".to_owned());
        assert_eq!(decide(commands.clone()), Ok(expected), "{commands}");
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
        let refused = decide(odd.clone());
        assert!(
            matches!(refused, Err(Incomplete::Denied(Forbidden::Commands { .. }))),
            "{odd}: {refused:?}"
        );
    }
}

#[test]
fn x2many_command_requires_its_operation_on_related_model() {
    let commands = [
        (json!([[0, 0, {"name": "x"}]]), CREATE),
        (json!([[1, 5, {"name": "x"}]]), WRITE),
        (json!([[2, 5]]), DELETE),
        (json!([[3, 5]]), DELETE),
        (json!([[5]]), DELETE),
    ];
    for (command, needed) in commands {
        let others: Vec<Operation> = [READ, CREATE, WRITE, DELETE]
            .into_iter()
            .filter(|effect| *effect != needed)
            .collect();
        let rules = vec![
            rule("*", "res.partner", &[WRITE]),
            rule("*", "sale.order", &others),
        ];
        let refused = permit_values(rules, "res.partner", WRITE, &json!({"order_ids": command}));
        assert!(refused.is_err(), "{command}");
    }
    // Also in nested values.
    let rules = vec![
        rule("*", "res.partner", &[WRITE]),
        Rule {
            hidden_fields: vec![pattern("amount")],
            ..rule("*", "sale.order", &[CREATE])
        },
    ];
    let inner = json!({"order_ids": [[0, 0, {"amount": 1}]]});
    assert!(permit_values(rules, "res.partner", WRITE, &inner).is_err());
}

#[test]
fn related_field_write_requires_write_access_to_target_model() {
    let write = |rules| permit_values(rules, "res.users", WRITE, &json!({"name": "x"}));
    let users = || rule("*", "res.users", &[READ, WRITE]);
    assert!(write(vec![users()]).is_err());
    assert!(write(vec![users(), rule("*", "res.partner", &[READ])]).is_err());
    assert!(write(vec![users(), rule("*", "res.partner", &[READ, WRITE])]).is_ok());
}

fn read_all_and_limited(effects: &[Operation], domain: &Value) -> Vec<Rule> {
    let some = Rule {
        domain: Domain::parse(domain).unwrap(),
        ..rule("*", "res.partner", effects)
    };
    vec![rule("*", "*", &[READ]), some]
}

#[test]
fn write_requires_every_record_to_match_row_filter() {
    let rules = read_all_and_limited(&[WRITE, DELETE], &json!([["company_id", "=", 1]]));
    let partner = || name("res.partner");
    let covered = json!(["&", ["id", "in", [7, 8]], ["company_id", "=", 1]]);
    for call in [
        Call::delete(partner(), &ids(&[7, 8])),
        Call::write(
            partner(),
            &ids(&[7, 8]),
            json!({"email": "x"}).as_object().unwrap().clone(),
        ),
    ] {
        assert_eq!(
            permit_with_matching_domains(&rules, &call, std::slice::from_ref(&covered)),
            Ok(())
        );
        let refused = permit_with_matching_domains(&rules, &call, &[]).unwrap_err();
        assert!(
            matches!(&refused, Forbidden::Records { ids, .. } if ids.len() == 2),
            "{refused}"
        );
    }
    let of_nobody = Call::delete(partner(), &[]);
    assert!(permit_with_matching_domains(&rules, &of_nobody, &[]).is_err());
}

#[test]
fn record_must_match_row_filter_after_write() {
    let write = |domain: Value, values: Value, truths: &[Value]| {
        let call = Call::write(
            name("res.partner"),
            &ids(&[7]),
            values.as_object().unwrap().clone(),
        );
        let mut truths = truths.to_vec();
        truths.push(json!(["&", ["id", "in", [7]], domain[0]]));
        permit_with_matching_domains(&read_all_and_limited(&[WRITE], &domain), &call, &truths)
    };
    let outside =
        |result: Result<(), Forbidden>| matches!(result, Err(Forbidden::OutsideAfterWrite { .. }));
    let unjudged =
        |result: Result<(), Forbidden>| matches!(result, Err(Forbidden::Undecidable { .. }));
    let by = |operator: &str, value: Value| json!([["company_id", operator, value]]);
    assert_eq!(
        write(by("=", json!(1)), json!({"company_id": 1}), &[]),
        Ok(())
    );
    assert!(outside(write(
        by("=", json!(1)),
        json!({"company_id": 2}),
        &[]
    )));
    assert_eq!(
        write(by("in", json!([1, 2])), json!({"company_id": 2}), &[]),
        Ok(())
    );
    assert!(outside(write(
        by("not in", json!([1, 2])),
        json!({"company_id": 2}),
        &[]
    )));
    assert_eq!(
        write(by("<", json!(5)), json!({"company_id": 2}), &[]),
        Ok(())
    );
    assert!(outside(write(
        by("!=", json!(false)),
        json!({"company_id": false}),
        &[]
    )));
    // Only Odoo knows whether 0 means empty.
    assert!(unjudged(write(
        by("!=", json!(false)),
        json!({"company_id": 0}),
        &[]
    )));
    assert!(unjudged(write(
        json!([["email", "ilike", "@us"]]),
        json!({"email": "a@us"}),
        &[]
    )));
    // A linked record is checked itself.
    let beyond = json!([["parent_id.company_id", "=", 1]]);
    let linked = json!(["&", ["id", "in", [8]], ["company_id", "=", 1]]);
    assert_eq!(
        write(beyond.clone(), json!({"parent_id": 8}), &[linked]),
        Ok(())
    );
    assert!(outside(write(beyond.clone(), json!({"parent_id": 8}), &[])));
    assert!(unjudged(write(beyond, json!({"parent_id": false}), &[])));
    // Fields that are not written are checked on the stored record.
    let both = json!(["&", ["company_id", "=", 1], ["kind", "=", 2]]);
    let before = json!([
        "&",
        ["id", "in", [7]],
        "&",
        ["company_id", "=", 1],
        ["kind", "=", 2]
    ]);
    let after = json!(["&", ["id", "in", [7]], ["kind", "=", 2]]);
    let call = |company: i64| {
        let values = json!({"company_id": company});
        Call::write(
            name("res.partner"),
            &ids(&[7]),
            values.as_object().unwrap().clone(),
        )
    };
    let rules = read_all_and_limited(&[WRITE], &both);
    assert_eq!(
        permit_with_matching_domains(&rules, &call(1), &[before.clone(), after]),
        Ok(())
    );
    assert!(outside(permit_with_matching_domains(
        &rules,
        &call(2),
        &[before]
    )));
}

#[test]
fn new_record_must_set_fields_that_decide_row_filter() {
    let create = |values: Value| {
        let call = Call::create(
            name("res.partner"),
            vec![values.as_object().unwrap().clone()],
        );
        permit_with_matching_domains(
            &read_all_and_limited(
                &[CREATE],
                &json!(["|", ["company_id", "=", 1], ["kind", "=", 2]]),
            ),
            &call,
            &[],
        )
    };
    assert_eq!(create(json!({"company_id": 1})), Ok(()));
    assert_eq!(create(json!({"kind": 2})), Ok(()));
    for unsaid in [json!({"name": "x"}), json!({"company_id": 2})] {
        let refused = create(unsaid).unwrap_err();
        assert!(
            matches!(refused, Forbidden::Undecidable { .. }),
            "{refused}"
        );
    }
    let refused = create(json!({"company_id": 2, "kind": 1})).unwrap_err();
    assert!(
        matches!(refused, Forbidden::OutsideAfterWrite { .. }),
        "{refused}"
    );
}

/// Orders with lines, as `sale.order` has them.
pub(super) fn orders() -> PolicyFacts {
    let mut schemas = PolicyFacts::default();
    for (model, fields) in [
        (
            "sale.order",
            json!({
                "id": {"type": "integer"}, "name": {"type": "char"},
                "company_id": {"type": "many2one", "relation": "res.company"},
                "team": {"type": "integer"},
                "team_kind": {"type": "char", "store": false, "depends": ["team"]},
                "line_ids": {"type": "one2many", "relation": "sale.line", "relation_field": "order_id"},
                "shown_ids": {"type": "one2many", "relation": "sale.line", "relation_field": "order_id", "related": "parent_id.line_ids"},
                "parent_id": {"type": "many2one", "relation": "sale.order"},
            }),
        ),
        (
            "sale.line",
            json!({
                "id": {"type": "integer"}, "name": {"type": "char"}, "quantity": {"type": "integer"},
                "order_id": {"type": "many2one", "relation": "sale.order"},
                "company_id": {"type": "many2one", "relation": "res.company", "related": "order_id.company_id", "readonly": true},
                "part_ids": {"type": "one2many", "relation": "sale.part", "relation_field": "line_id"},
            }),
        ),
        (
            "sale.part",
            json!({
                "id": {"type": "integer"}, "name": {"type": "char"},
                "line_id": {"type": "many2one", "relation": "sale.line"},
                "worked_out": {"type": "integer", "readonly": true, "store": false},
                "order_id": {"type": "many2one", "relation": "sale.order", "related": "line_id.order_id"},
                "team": {"type": "integer", "related": "order_id.team"},
            }),
        ),
    ] {
        let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
        schemas.add_schema(name(model), schema);
    }
    schemas
}

/// The decision about values of orders, if this domain allows new lines and all
/// orders are allowed. Odoo finds the orders 7 and 8 with one of these domains.
fn permit_order_lines(
    line: &Value,
    (effect, numbers): (Operation, &[i64]),
    values: Value,
    true_domains: &[Value],
) -> Result<(), Forbidden> {
    let of = |model, domain: &Value| Rule {
        domain: Domain::parse(domain).unwrap(),
        ..rule("*", model, &[READ, CREATE, WRITE])
    };
    let rules = [
        rule("*", "sale.order", &[READ, CREATE, WRITE]),
        rule("*", "res.company", &[READ]),
        of("sale.line", line),
        of("sale.part", line),
    ];
    let Value::Object(values) = values else {
        panic!("no values")
    };
    let call = if effect == CREATE {
        Call::create(name("sale.order"), vec![values])
    } else {
        Call::write(name("sale.order"), &ids(numbers), values)
    };
    permit_with_search_results(&rules, &call, orders(), |asked| {
        true_domains.contains(asked)
    })
}

const NEW: (Operation, &[i64]) = (CREATE, &[]);

#[test]
fn new_line_is_evaluated_against_values_of_its_new_order() {
    for domain in [
        json!([["order_id.company_id", "=", 1]]),
        // `company_id` is related to the order's.
        json!([["company_id", "=", 1]]),
        json!([["order_id", "any", [["company_id", "=", 1]]]]),
        json!([["order_id", "not any", [["company_id", "!=", 1]]]]),
        json!([
            "&",
            ["order_id", "!=", false],
            ["order_id.company_id", "in", [1, 3]]
        ]),
    ] {
        let create = |values| permit_order_lines(&domain, NEW, values, &[]);
        let line = json!([[0, 0, {"name": "x"}]]);
        assert_eq!(
            create(json!({"company_id": 1, "line_ids": line})),
            Ok(()),
            "{domain}"
        );
        let other = create(json!({"company_id": 2, "line_ids": line})).unwrap_err();
        assert!(
            matches!(other, Forbidden::OutsideAfterWrite { .. }),
            "{domain}: {other}"
        );
        // Odoo's default values are not known.
        let unsaid = create(json!({"line_ids": line})).unwrap_err();
        assert!(
            matches!(unsaid, Forbidden::Undecidable { .. }),
            "{domain}: {unsaid}"
        );
        // Odoo ignores the order that the line names.
        let lying = json!({"company_id": 2, "line_ids": [[0, 0, {"order_id": 7}]]});
        assert!(create(lying).is_err(), "{domain}");
    }
}

#[test]
fn new_line_is_evaluated_against_its_existing_order() {
    let line = || json!([[0, 0, {"name": "x"}]]);
    let of = |numbers: &[i64], domain: &Value| json!(["&", ["id", "in", numbers], domain]);
    let one = json!(["company_id", "=", 1]);
    for domain in [
        json!([["order_id.company_id", "=", 1]]),
        json!([["company_id", "=", 1]]),
    ] {
        let write = |numbers: &[i64], values, truths: &[Value]| {
            permit_order_lines(&domain, (WRITE, numbers), values, truths)
        };
        let lines = || json!({"line_ids": line()});
        assert_eq!(write(&[7], lines(), &[of(&[7], &one)]), Ok(()));
        assert_eq!(write(&[7, 8], lines(), &[of(&[7, 8], &one)]), Ok(()));
        let outside = write(&[7], lines(), &[]).unwrap_err();
        assert!(
            matches!(outside, Forbidden::OutsideAfterWrite { .. }),
            "{outside}"
        );
        // Only one of them matches: 9 is not found.
        let mixed = write(&[7, 9], lines(), &[of(&[7, 9], &one)]).unwrap_err();
        assert!(matches!(mixed, Forbidden::Undecidable { .. }), "{mixed}");
        // The order's new values count, not its stored ones.
        let moved = json!({"company_id": 2, "line_ids": line()});
        assert!(write(&[7], moved, &[of(&[7], &one)]).is_err());
        let moved = json!({"company_id": 1, "line_ids": line()});
        assert_eq!(write(&[7], moved, &[]), Ok(()));
    }
    let own = json!([["order_id", "in", [7, 8]]]);
    assert_eq!(
        permit_order_lines(&own, (WRITE, &[7]), json!({"line_ids": line()}), &[]),
        Ok(())
    );
    assert!(permit_order_lines(&own, (WRITE, &[9]), json!({"line_ids": line()}), &[]).is_err());
    assert!(permit_order_lines(&own, (WRITE, &[7, 9]), json!({"line_ids": line()}), &[]).is_err());
    assert!(permit_order_lines(&own, NEW, json!({"line_ids": line()}), &[]).is_err());
}

#[test]
fn moved_line_must_match_row_filter_in_its_new_order() {
    let domain = json!([["order_id.company_id", "=", 1]]);
    let as_it_is = json!(["&", ["id", "in", [7]], ["order_id.company_id", "=", 1]]);
    let there = json!(["&", ["id", "in", [8]], ["company_id", "=", 1]]);
    for command in [json!([4, 7]), json!([1, 7, {"order_id": 8}])] {
        let write = |truths: &[Value]| {
            let values = json!({"line_ids": [command]});
            permit_order_lines(&domain, (WRITE, &[8]), values, truths)
        };
        assert_eq!(write(&[as_it_is.clone(), there.clone()]), Ok(()));
        assert!(
            matches!(
                write(std::slice::from_ref(&as_it_is)),
                Err(Forbidden::OutsideAfterWrite { .. })
            ),
            "{command}"
        );
        assert!(write(std::slice::from_ref(&there)).is_err());
    }
    // A write to the line itself is checked as well.
    let rules = [
        rule("*", "sale.order", &[READ]),
        Rule {
            domain: Domain::parse(&json!([["company_id", "=", 1]])).unwrap(),
            ..rule("*", "sale.line", &[READ, WRITE])
        },
    ];
    let values = json!({"order_id": 8});
    let call = Call::write(
        name("sale.line"),
        &ids(&[7]),
        values.as_object().unwrap().clone(),
    );
    let mine = json!(["&", ["id", "in", [7]], ["company_id", "=", 1]]);
    let moved = |truths: &[Value]| {
        permit_with_search_results(&rules, &call, orders(), |asked| truths.contains(asked))
    };
    assert!(moved(std::slice::from_ref(&mine)).is_err());
    assert_eq!(moved(&[mine, there]), Ok(()));
}

#[test]
fn nested_lines_are_evaluated_against_their_grandparent() {
    let domain = json!([["line_id.order_id.company_id", "=", 1]]);
    let rules = [
        rule("*", "sale.order", &[READ, CREATE, WRITE]),
        rule("*", "sale.line", &[READ, CREATE, WRITE]),
        rule("*", "res.company", &[READ]),
        Rule {
            domain: Domain::parse(&domain).unwrap(),
            ..rule("*", "sale.part", &[READ, CREATE])
        },
    ];
    let create = |company: i64| {
        let values =
            json!({"company_id": company, "line_ids": [[0, 0, {"part_ids": [[0, 0, {}]]}]]});
        let call = Call::create(
            name("sale.order"),
            vec![values.as_object().unwrap().clone()],
        );
        permit_with_search_results(&rules, &call, orders(), |_| false)
    };
    assert_eq!(create(1), Ok(()));
    assert!(matches!(
        create(2),
        Err(Forbidden::OutsideAfterWrite { .. })
    ));
    // For a line of an existing line, the existing one is checked.
    let line = json!(["&", ["id", "in", [7]], ["order_id.company_id", "=", 1]]);
    let values = json!({"line_ids": [[1, 7, {"part_ids": [[0, 0, {}]]}]]});
    let call = Call::write(
        name("sale.order"),
        &ids(&[8]),
        values.as_object().unwrap().clone(),
    );
    let write = |truths: &[Value]| {
        permit_with_search_results(&rules, &call, orders(), |asked| truths.contains(asked))
    };
    assert_eq!(write(&[line]), Ok(()));
    assert!(write(&[]).is_err());
}

#[test]
fn chained_related_field_is_evaluated_with_its_new_value() {
    let rules = [
        rule("*", "sale.order", &[READ]),
        rule("*", "sale.line", &[READ]),
        Rule {
            domain: Domain::parse(&json!([["team", "=", 1]])).unwrap(),
            ..rule("*", "sale.part", &[READ, WRITE])
        },
    ];
    let values = json!({"line_id": 8});
    let call = Call::write(
        name("sale.part"),
        &ids(&[7]),
        values.as_object().unwrap().clone(),
    );
    let mine = json!(["&", ["id", "in", [7]], ["team", "=", 1]]);
    let there = json!(["&", ["id", "in", [8]], ["order_id.team", "=", 1]]);
    let moved = |truths: &[Value]| {
        permit_with_search_results(&rules, &call, orders(), |asked| truths.contains(asked))
    };
    assert!(moved(std::slice::from_ref(&mine)).is_err());
    assert_eq!(moved(&[mine, there]), Ok(()));
}

#[test]
fn linking_into_related_one2many_is_rejected_under_row_filter() {
    let rules = [
        rule("*", "sale.order", &[READ, CREATE, WRITE]),
        rule("*", "res.company", &[READ]),
        Rule {
            domain: Domain::parse(&json!([["order_id.company_id", "=", 1]])).unwrap(),
            ..rule("*", "sale.line", &[READ, CREATE, WRITE, DELETE])
        },
    ];
    let open = [
        rule("*", "sale.order", &[READ, CREATE, WRITE]),
        rule("*", "sale.line", &[READ, CREATE, WRITE, DELETE]),
    ];
    for commands in [
        json!([[4, 20]]),
        json!([[6, 0, [20]]]),
        json!([[0, 0, {"order_id": 7}]]),
    ] {
        let values = json!({ "shown_ids": commands });
        let values = values.as_object().unwrap().clone();
        let call = Call::write(name("sale.order"), &ids(&[8]), values);
        assert!(permit_with_search_results(&rules, &call, orders(), |_| true).is_err());
        assert_eq!(
            permit_with_search_results(&open, &call, orders(), |_| true),
            Ok(())
        );
    }
}

#[test]
fn undecidable_line_error_suggests_an_alternative() {
    let create = |domain: &Value, values| permit_order_lines(domain, NEW, values, &[]).unwrap_err();
    let line = || json!({"company_id": 1, "line_ids": [[0, 0, {}]]});
    let undecidable = |model: &str, field: &str, hint: DenialHint| Forbidden::Undecidable {
        model: name(model),
        operation: CREATE,
        field: FieldPath::try_from(field).unwrap(),
        hint,
    };
    let afterwards = || DenialHint::SeparateCall(FieldName::known("order_id"));
    assert_eq!(
        create(&json!([["order_id.team", "=", 1]]), line()),
        undecidable("sale.line", "order_id.team", afterwards())
    );
    assert_eq!(
        create(&json!([["quantity", "=", 1]]), line()),
        undecidable("sale.line", "quantity", afterwards())
    );
    assert_eq!(
        create(
            &json!([["company_id", "=", 1]]),
            json!({"company_id": 2, "line_ids": [[0, 0, {}]]})
        ),
        Forbidden::OutsideAfterWrite {
            model: name("sale.line"),
            operation: CREATE,
            field: FieldPath::try_from("order_id.company_id").unwrap(),
        }
    );
    // Lines in another order's list are not in this one's, whatever order they
    // name.
    for line in [json!({}), json!({"order_id": 7})] {
        assert_eq!(
            create(
                &json!([["order_id.company_id", "=", 1]]),
                json!({"company_id": 1, "shown_ids": [[0, 0, line]]})
            ),
            undecidable("sale.line", "order_id", DenialHint::OwningList)
        );
    }
    let alone = |model, domain: &Value| {
        let rules = [Rule {
            domain: Domain::parse(domain).unwrap(),
            ..rule("*", model, &[READ, CREATE])
        }];
        let call = Call::create(name(model), vec![serde_json::Map::new()]);
        permit_with_search_results(&rules, &call, orders(), |_| false).unwrap_err()
    };
    assert_eq!(
        alone("sale.line", &json!([["company_id", "=", 1]])),
        undecidable("sale.line", "order_id.company_id", DenialHint::Value)
    );
    assert_eq!(
        alone("sale.part", &json!([["worked_out", "=", 1]])),
        undecidable("sale.part", "worked_out", DenialHint::None)
    );
}

#[test]
fn computed_field_counts_as_writing_the_field_of_the_filter() {
    let rules = [Rule {
        domain: Domain::parse(&json!([["team", "=", 1]])).unwrap(),
        ..rule("*", "sale.order", &[READ, CREATE, WRITE])
    }];
    let values = |values: Value| values.as_object().unwrap().clone();
    let order = || name("sale.order");
    let permit = |call| permit_with_search_results(&rules, &call, orders(), |_| true);
    let refused = |operation| {
        Err(Forbidden::Undecidable {
            model: order(),
            operation,
            field: FieldPath::known("team"),
            hint: DenialHint::LeaveOut(FieldName::known("team_kind")),
        })
    };
    let both = values(json!({"team": 1, "team_kind": "x"}));
    let kind = values(json!({"team_kind": "x"}));
    let team = values(json!({"team": 1}));
    assert_eq!(permit(Call::create(order(), vec![both])), refused(CREATE));
    assert_eq!(
        permit(Call::write(order(), &ids(&[7]), kind)),
        refused(WRITE)
    );
    assert_eq!(permit(Call::create(order(), vec![team])), Ok(()));
}

#[test]
fn reparented_record_is_undecidable_for_hierarchy_filter() {
    let rules = read_all_and_limited(&[WRITE], &json!([["id", "child_of", [5]]]));
    let values = json!({"parent_id": 8});
    let call = Call::write(
        name("res.partner"),
        &ids(&[7]),
        values.as_object().unwrap().clone(),
    );
    let before = json!(["&", ["id", "in", [7]], ["id", "child_of", [5]]]);
    let all = json!(["id", "in", [8]]);
    let refused = permit_with_matching_domains(&rules, &call, &[before, all]).unwrap_err();
    assert!(
        matches!(refused, Forbidden::Undecidable { .. }),
        "{refused}"
    );
}

#[test]
fn linking_requires_read_access_to_linked_record() {
    let link = |rules: Vec<Rule>, truths: &[Value]| {
        let values = json!({"partner_id": 7});
        let call = Call::create(
            name("sale.order"),
            vec![values.as_object().unwrap().clone()],
        );
        permit_with_matching_domains(&rules, &call, truths)
    };
    let orders = || rule("*", "sale.order", &[READ, CREATE]);
    assert!(matches!(
        link(vec![orders()], &[]),
        Err(Forbidden::Linking { .. })
    ));
    assert_eq!(
        link(vec![orders(), rule("*", "res.partner", &[READ])], &[]),
        Ok(())
    );
    let some = || Rule {
        domain: Domain::parse(&json!([["company_id", "=", 1]])).unwrap(),
        ..rule("*", "res.partner", &[READ])
    };
    assert!(matches!(
        link(vec![orders(), some()], &[]),
        Err(Forbidden::Linking { .. })
    ));
    let found = json!(["&", ["id", "in", [7]], ["company_id", "=", 1]]);
    assert_eq!(link(vec![orders(), some()], &[found]), Ok(()));
}

#[test]
fn method_is_allowed_only_on_covered_records() {
    let method = MethodName::known("action_confirm");
    let rules = vec![
        rule("*", "sale.order", &[READ]),
        Rule {
            methods: vec![method.clone()],
            domain: Domain::parse(&json!([["amount", "<", 1000]])).unwrap(),
            ..rule("*", "sale.order", &[Operation::Call])
        },
    ];
    let call = |numbers: &[i64]| {
        Call::run(
            name("sale.order"),
            method.clone(),
            &ids(numbers),
            serde_json::Map::new(),
        )
    };
    let covered = json!(["&", ["id", "in", [7]], ["amount", "<", 1000]]);
    assert_eq!(
        permit_with_matching_domains(&rules, &call(&[7]), &[covered]),
        Ok(())
    );
    assert!(permit_with_matching_domains(&rules, &call(&[7]), &[]).is_err());
    // Without ids, the records that a method affects are not known.
    assert!(permit_with_matching_domains(&rules, &call(&[]), &[]).is_err());
    let other = Call::run(
        name("sale.order"),
        MethodName::known("action_cancel"),
        &ids(&[7]),
        serde_json::Map::new(),
    );
    assert!(matches!(
        permit_with_matching_domains(&rules, &other, &[]),
        Err(Forbidden::Method { .. })
    ));
}

#[test]
fn mistyped_method_error_suggests_allowed_method() {
    let lists = |methods: &[&str]| Rule {
        methods: methods
            .iter()
            .map(|method| MethodName::try_from(*method).unwrap())
            .collect(),
        ..rule("*", "sale.order", &[Operation::Call])
    };
    let denied = Rule {
        deny: true,
        ..lists(&["action_cancel"])
    };
    let (policy, roles) = policy(vec![lists(&["action_confirm", "action_cancel"]), denied]);
    let suggested = |method: &str| {
        let method = MethodName::try_from(method).unwrap();
        let refused = policy.allow_method(&roles, &instance("a"), &name("sale.order"), &method);
        let Forbidden::Method { near, .. } = refused.unwrap_err() else {
            panic!("not a refusal of the method");
        };
        near.map(|near| near.to_string())
    };
    assert_eq!(
        suggested("action_confrm").as_deref(),
        Some("action_confirm")
    );
    // A denied method is not suggested.
    for other in ["action_cancl", "action_cancel", "write"] {
        assert_eq!(suggested(other), None, "{other}");
    }
}

#[test]
fn method_rule_on_missing_field_allows_nothing_and_denies_all() {
    let method = MethodName::known("action_archive");
    // Orders have an amount, contacts have none.
    let by_amount = |deny| Rule {
        methods: vec![method.clone()],
        domain: Domain::parse(&json!([["amount", "<", 1000]])).unwrap(),
        deny,
        ..rule("*", "*", &[Operation::Call])
    };
    let plain = || Rule {
        methods: vec![method.clone()],
        ..rule("*", "res.partner", &[Operation::Call])
    };
    let call = Call::run(
        name("res.partner"),
        method.clone(),
        &ids(&[7]),
        serde_json::Map::new(),
    );
    let refused = |rules: &[Rule]| {
        let decision = permit_with_matching_domains(rules, &call, &[]);
        assert!(decision.is_ok() || matches!(decision, Err(Forbidden::Method { .. })));
        decision.is_err()
    };
    assert!(refused(&[by_amount(false)]));
    assert!(!refused(&[by_amount(false), plain()]));
    assert!(refused(&[by_amount(true), plain()]));
}

#[test]
fn allow_rules_follow_role_write_mode_and_deny_rules_always_apply() {
    use std::collections::BTreeMap;

    use super::super::{Policy, Role};
    use gatepost_base::RoleName;

    let role = |text: &str| RoleName::try_from(text).unwrap();
    let emails = Rule {
        write_fields: Some(vec![pattern("email")]),
        ..rule("*", "res.partner", &[READ, WRITE])
    };
    let denying = Rule {
        fields: vec![pattern("vip")],
        deny: true,
        ..rule("*", "*", &[WRITE])
    };
    let policy = Policy::new(BTreeMap::from([
        (
            role("free"),
            Role {
                rules: vec![emails.clone()],
                ..Role::default()
            },
        ),
        (
            role("asked"),
            Role {
                rules: vec![rule("*", "res.partner", &[READ, WRITE]), denying],
                write_mode: WriteMode::Confirm,
                ..Role::default()
            },
        ),
        (
            role("reader"),
            Role {
                rules: vec![emails],
                write_mode: WriteMode::ReadOnly,
                ..Role::default()
            },
        ),
    ]));
    let allowed = |roles: &[&str], mode, field: &str| {
        let roles: Vec<_> = roles.iter().map(|text| role(text)).collect();
        let values = json!({field: 1});
        let call = Call::write(
            name("res.partner"),
            &ids(&[7]),
            values.as_object().unwrap().clone(),
        );
        let schemas = super::reads::schemas();
        policy
            .permit_write(&roles, &instance("a"), mode, &call, &schemas)
            .is_ok()
    };
    let both = ["free", "asked"];
    assert!(allowed(&both, WriteMode::Direct, "email"));
    assert!(!allowed(&both, WriteMode::Direct, "name"));
    assert!(allowed(&both, WriteMode::Confirm, "name"));
    assert!(!allowed(&both, WriteMode::Confirm, "vip"));
    assert!(!allowed(&["reader"], WriteMode::RequireHuman, "email"));
    assert!(!policy.allows_any(&[role("reader")], &instance("a"), WRITE));
    assert!(policy.allows_any(&[role("asked")], &instance("a"), WRITE));
}

/// A rule that lists a method with rules for its arguments.
fn method_rule(method: &MethodName, domain: &Value, arguments: &[(&str, Argument)]) -> Rule {
    let named = arguments.iter().map(|(name, argument)| {
        let name = ArgumentName::try_from(*name).unwrap();
        (name, argument.clone())
    });
    Rule {
        methods: vec![method.clone()],
        arguments: [(method.clone(), Arguments::new(named.collect()))].into(),
        domain: Domain::parse(domain).unwrap(),
        ..rule("*", "sale.order", &[Operation::Call])
    }
}

fn partners() -> Argument {
    Argument::of(ArgumentKind::Ids {
        model: name("res.partner"),
        max_length: None,
    })
}

fn one_of(words: &[&str]) -> Argument {
    Argument {
        allowed: Some(words.iter().map(|word| json!(word)).collect()),
        ..Argument::of(ArgumentKind::Text { max_length: None })
    }
}

fn subscribe(arguments: &Value) -> Call {
    let arguments = arguments.as_object().unwrap().clone();
    let method = MethodName::known("message_subscribe");
    Call::run(name("sale.order"), method, &ids(&[7]), arguments)
}

#[test]
fn method_with_argument_rules_accepts_only_those_arguments() {
    let method = MethodName::known("message_subscribe");
    let rules = vec![
        rule("*", "*", &[READ]),
        method_rule(
            &method,
            &json!([]),
            &[("partner_ids", partners()), ("kind", one_of(&["a"]))],
        ),
    ];
    let decide =
        |arguments: Value| permit_with_matching_domains(&rules, &subscribe(&arguments), &[]);
    assert_eq!(decide(json!({})), Ok(()));
    assert_eq!(decide(json!({"partner_ids": [7], "kind": "a"})), Ok(()));
    for odd in [
        json!({"partner_ids": "7"}),
        json!({"partner_ids": [[6, 0, [7]]]}),
        json!({"kind": "b"}),
        json!({"kind": null}),
        json!({"kind": {"name": "a"}}),
        json!({"name": "x"}),
    ] {
        let refused = decide(odd.clone()).unwrap_err();
        assert!(
            matches!(refused, Forbidden::Arguments { .. }),
            "{odd}: {refused}"
        );
    }
    let Forbidden::Arguments { why, .. } = decide(json!({"kind": "b", "name": 1})).unwrap_err()
    else {
        panic!("not a refusal of the arguments");
    };
    insta::assert_snapshot!(why, @r#"`kind` must be one of "a"; `name` is not permitted, so leave it out"#);
}

#[test]
fn reserved_json2_argument_is_rejected_for_every_method() {
    let method = MethodName::known("message_subscribe");
    let anything = Rule {
        methods: vec![method],
        ..rule("*", "sale.order", &[Operation::Call])
    };
    let decide = |arguments: Value| {
        permit_with_matching_domains(std::slice::from_ref(&anything), &subscribe(&arguments), &[])
    };
    assert_eq!(decide(json!({"anything": [{"a": 1}]})), Ok(()));
    for kept in ["ids", "context", "self", "_x"] {
        let refused = decide(json!({kept: [8]})).unwrap_err();
        assert!(
            matches!(refused, Forbidden::Arguments { .. }),
            "{kept}: {refused}"
        );
    }
}

#[test]
fn records_named_in_arguments_must_be_readable() {
    let method = MethodName::known("message_subscribe");
    let listed = || method_rule(&method, &json!([]), &[("partner_ids", partners())]);
    let call = subscribe(&json!({"partner_ids": [7, 8]}));
    let refused = permit_with_matching_domains(&[listed()], &call, &[]).unwrap_err();
    assert!(matches!(refused, Forbidden::Arguments { .. }), "{refused}");
    let rules = [
        listed(),
        read_all_and_limited(&[READ], &json!([["company_id", "=", 1]])).remove(1),
    ];
    let asked = json!(["&", ["id", "in", [7, 8]], ["company_id", "=", 1]]);
    assert_eq!(
        permit_with_matching_domains(&rules, &call, &[asked]),
        Ok(())
    );
    let refused = permit_with_matching_domains(&rules, &call, &[]).unwrap_err();
    assert!(matches!(refused, Forbidden::Arguments { .. }), "{refused}");
}

#[test]
fn row_filter_comes_from_rules_that_accept_the_arguments() {
    let method = MethodName::known("message_subscribe");
    let (some, others) = (json!([["amount", "<", 10]]), json!([["amount", ">", 20]]));
    let rules = [
        method_rule(&method, &some, &[("kind", one_of(&["a", "b"]))]),
        method_rule(&method, &others, &[("kind", one_of(&["b", "c"]))]),
    ];
    let decide = |kind: &str, truths: &[Value]| {
        permit_with_matching_domains(&rules, &subscribe(&json!({"kind": kind})), truths)
    };
    let with = |domain: &Value| json!(["&", ["id", "in", [7]], domain[0]]);
    assert_eq!(decide("a", &[with(&some)]), Ok(()));
    assert!(decide("a", &[with(&others)]).is_err());
    assert_eq!(decide("c", &[with(&others)]), Ok(()));
    let both = json!(["&", ["id", "in", [7]], "|", some[0], others[0]]);
    assert_eq!(decide("b", &[both]), Ok(()));
    assert!(matches!(decide("d", &[]), Err(Forbidden::Arguments { .. })));
}

/// An argument of any kind.
fn any_argument() -> impl Strategy<Value = Argument> {
    let kind = prop_oneof![
        Just(partners().kind),
        Just(ArgumentKind::Boolean),
        Just(ArgumentKind::Text {
            max_length: Some(1)
        }),
        Just(ArgumentKind::Integer(NumberRange {
            min: Some(1),
            max: None
        })),
    ];
    let allowed = proptest::option::of(proptest::collection::vec(any_value(), 0..3));
    (kind, allowed, any::<bool>()).prop_map(|(kind, allowed, required)| Argument {
        kind,
        allowed,
        required,
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        json!(1),
        json!(7),
        json!(true),
        json!("a"),
        json!("ab"),
        json!([7]),
        json!([7, 8]),
        json!({"a": 1}),
        json!(null),
    ])
}

fn any_listing() -> impl Strategy<Value = Rule> {
    let arguments = proptest::collection::vec(
        (
            proptest::sample::select(vec!["a", "b", "c"]),
            any_argument(),
        ),
        0..3,
    );
    let domain = proptest::sample::select(vec![
        json!([]),
        json!([["amount", "<", 10]]),
        json!([["name", "=", "x"]]),
    ]);
    (arguments, domain, any::<bool>()).prop_map(|(arguments, domain, bound)| {
        let method = MethodName::known("message_subscribe");
        let mut rule = method_rule(&method, &domain, &arguments);
        if !bound {
            rule.arguments.clear();
        }
        rule
    })
}

proptest! {
    #[test]
    fn removing_a_rule_never_allows_more_method_calls(
        rules in proptest::collection::vec(any_listing(), 1..4),
        given in proptest::collection::btree_map(
            proptest::sample::select(vec!["a", "b", "c", "ids"]), any_value(), 0..3),
        finds in proptest::sample::subsequence(vec!["amount", "name"], 0..=2),
        without in 0_usize..4,
    ) {
        let call = subscribe(&json!(given));
        // Odoo finds both orders if only these fields are checked.
        let allowed = |rules: &[Rule]| {
            let mut schemas = super::reads::schemas();
            loop {
                match permit(rules.to_vec(), &call, &schemas) {
                    Ok(_) => return true,
                    Err(Incomplete::Denied(_)) => return false,
                    Err(Incomplete::NeedsSchema(model)) => panic!("{model} is not known"),
                    Err(Incomplete::NeedsRecords(searches)) => {
                        for search in searches {
                            let asked = search.call().get().arguments();
                            let domain = Domain::parse(&asked["domain"]).unwrap();
                            // Whether one of the two conditions is true: they are
                            // only ever or-ed.
                            let found = domain.fields().any(|field| finds.contains(&field));
                            let found: &[i64] = if found { &[7, 8] } else { &[] };
                            schemas.add_memberships(search, &found.iter().copied().collect());
                        }
                    }
                }
            }
        };
        let readable = || rule("*", "res.partner", &[READ]);
        let all: Vec<Rule> = rules.iter().cloned().chain([readable()]).collect();
        let mut fewer = all.clone();
        fewer.remove(without.min(all.len() - 1));
        prop_assert!(allowed(&all) || !allowed(&fewer));
        // An allowed call satisfies at least one rule completely.
        if allowed(&all) {
            prop_assert!(!given.contains_key("ids"));
            let fits = rules.iter().any(|rule| rule.arguments.values().all(|taken| {
                taken.mismatches(&json!(given).as_object().unwrap().clone()).is_empty()
            }));
            prop_assert!(fits);
        }
    }
}

#[test]
fn users_are_linked_without_a_rule_only_if_they_are_active_and_internal() {
    let users = Domain::parse(&json!([["active", "=", true], ["share", "=", false]])).unwrap();
    let found = |found: bool| {
        let users = users.clone();
        move |asked: &Value| {
            let asked = Domain::parse(asked).unwrap();
            found && asked.implies(&users)
        }
    };
    let schemas = || {
        let mut schemas = super::reads::schemas();
        for model in ["project.task", "res.company"] {
            let fields = json!({"id": {"type": "integer"},
                "user_ids": {"type": "many2many", "relation": "res.users"}});
            let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
            schemas.add_schema(name(model), schema);
        }
        schemas
    };
    let link = |rules: &[Rule], model: &str, values: &Value, active: bool| {
        let values = values.as_object().unwrap().clone();
        let call = Call::write(name(model), &ids(&[7]), values);
        permit_with_search_results(rules, &call, schemas(), found(active)).is_ok()
    };
    let all = || rule("*", "*", &[READ, WRITE]);
    let denies = |model: &str, fields: &str| Rule {
        deny: true,
        fields: vec![pattern(fields)],
        ..rule("*", model, &[READ])
    };
    let one = json!({"user_id": 7});
    assert!(link(&[all()], "res.partner", &one, true));
    assert!(!link(&[all()], "res.partner", &one, false));
    assert!(!link(
        &[all(), denies("res.users", "*")],
        "res.partner",
        &one,
        true
    ));
    assert!(!link(
        &[all(), denies("res.*", "name")],
        "res.partner",
        &one,
        true
    ));
    assert!(link(
        &[all(), denies("res.*", "email")],
        "res.partner",
        &one,
        true
    ));
    for (command, needs_search) in [
        (json!([[4, 7]]), true),
        (json!([[6, 0, [7, 8]]]), true),
        (json!([[3, 7]]), false),
        (json!([[5]]), false),
    ] {
        let many = json!({ "user_ids": command });
        assert!(link(&[all()], "project.task", &many, true), "{many}");
        assert_eq!(
            link(&[all()], "project.task", &many, false),
            !needs_search,
            "{many}"
        );
        // It would give the user access to the company.
        assert!(!link(&[all()], "res.company", &many, true), "{many}");
    }
    for command in [
        json!([[0, 0, {"login": "x"}]]),
        json!([[1, 7, {"login": "x"}]]),
        json!([[2, 7]]),
    ] {
        let many = json!({ "user_ids": command });
        assert!(!link(&[all()], "project.task", &many, true), "{many}");
    }
}
