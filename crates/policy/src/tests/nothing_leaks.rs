//! Properties of the whole policy: hidden values cannot be inferred from any
//! response.
//!
//! A small fake Odoo with two models answers the calls that the policy permits.
//! For all rules and calls, every value in the response is visible, and the
//! response does not change when a hidden value changes.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{Permitted, Policy, PolicyFacts, Role, Rule},
    instance, pattern, policy, rule,
};
use gatepost_base::RoleName;
use gatepost_odoo::{
    Aggregate, Aggregation, Call, Condition, Domain, FieldName, FieldPath, GroupKey, GroupOrder,
    Grouping, Measure, ModelName, Operand, Operation, Operator, Order, Request, Schema, Term,
};

/// One record: its fields by name.
type Record = BTreeMap<&'static str, Value>;
/// The records of each model, in the order of their ids.
type Dataset = BTreeMap<&'static str, Vec<Record>>;

const ORDER: &str = "sale.order";
const PARTNER: &str = "res.partner";
/// The fields whose values may change, by model. The domains of the rules use
/// `company_id`, and `branch`, which only orders have.
const FIELDS: [(&str, &[&str]); 2] = [
    (ORDER, &["amount", "partner_id", "state"]),
    (PARTNER, &["name", "email", "salary"]),
];
/// A field of orders that is related to a field of their partner.
const SHOWS: (&str, &str) = ("partner_salary", "salary");

fn schemas() -> PolicyFacts {
    let mut schemas = PolicyFacts::default();
    let common = json!({"id": {"type": "integer"}, "display_name": {"type": "char"}, "company_id": {"type": "integer"}});
    for (model, own) in [
        (
            ORDER,
            json!({"amount": {"type": "integer"}, "state": {"type": "integer"}, "branch": {"type": "integer"},
                "partner_id": {"type": "many2one", "relation": PARTNER},
                "partner_salary": {"type": "integer", "related": "partner_id.salary"}}),
        ),
        (
            PARTNER,
            json!({"name": {"type": "char"}, "email": {"type": "char"}, "salary": {"type": "integer"}}),
        ),
    ] {
        let mut fields = common.as_object().unwrap().clone();
        fields.extend(own.as_object().unwrap().clone());
        let schema = Schema::parse(Value::Object(fields).to_string().as_bytes()).unwrap();
        schemas.add_schema(ModelName::try_from(model).unwrap(), schema);
    }
    schemas
}

/// The value of a field, which may be related to another.
fn value(world: &Dataset, record: &Record, field: &str) -> Value {
    if field == SHOWS.0 {
        return partner(world, record).map_or(json!(false), |one| one[SHOWS.1].clone());
    }
    record.get(field).cloned().unwrap_or(json!(false))
}

fn partner<'w>(world: &'w Dataset, record: &Record) -> Option<&'w Record> {
    let id = record.get("partner_id")?;
    world[PARTNER].iter().find(|one| one["id"] == *id)
}

/// Whether a record matches, by Odoo's semantics.
fn matches(world: &Dataset, record: &Record, domain: &Domain) -> bool {
    let mut stack: Vec<bool> = Vec::new();
    for term in domain.terms().iter().rev() {
        let truth = match term {
            Term::And => stack.pop().unwrap() & stack.pop().unwrap(),
            Term::Or => stack.pop().unwrap() | stack.pop().unwrap(),
            Term::Not => !stack.pop().unwrap(),
            Term::Constant(truth) => *truth,
            Term::Condition(condition) => holds(world, record, condition),
        };
        stack.push(truth);
    }
    stack.into_iter().all(|truth| truth)
}

fn holds(world: &Dataset, record: &Record, condition: &Condition) -> bool {
    let (first, rest) = condition.path.split_first();
    if let Some(rest) = rest {
        let inner = Domain::of(Condition {
            path: rest,
            ..condition.clone()
        });
        return partner(world, record).is_some_and(|one| matches(world, one, &inner));
    }
    let own = value(world, record, first);
    match (&condition.operand, condition.operator) {
        (Operand::Domain(inner), operator) => {
            let any = partner(world, record).is_some_and(|one| matches(world, one, inner));
            any == (operator == Operator::Any)
        }
        // Names are searched in every field that could be one.
        (Operand::Value(Value::String(text)), operator)
            if matches!(first, "partner_id" | "display_name") =>
        {
            let named = if first == "partner_id" {
                partner(world, record)
            } else {
                Some(record)
            };
            let found = named.is_some_and(|one| {
                ["name", "email", "salary"]
                    .iter()
                    .any(|field| one.get(field) == Some(&json!(text)))
            });
            found == (operator == Operator::Ilike)
        }
        (Operand::Value(wanted), Operator::Equal | Operator::Ilike) => own == *wanted,
        (Operand::Value(wanted), Operator::NotEqual | Operator::NotIlike) => own != *wanted,
        (Operand::Value(Value::Array(all)), Operator::In) => all.contains(&own),
        (Operand::Value(wanted), Operator::Greater) => own
            .as_i64()
            .zip(wanted.as_i64())
            .is_some_and(|(own, wanted)| own > wanted),
        other => panic!("{other:?}"),
    }
}

/// The value at the end of a path.
fn path_value(world: &Dataset, record: &Record, path: &FieldPath) -> Value {
    match path.split_first() {
        (first, None) => value(world, record, first),
        (_, Some(rest)) => {
            partner(world, record).map_or(json!(false), |one| path_value(world, one, &rest))
        }
    }
}

/// Odoo's groups: the values of the groupings and the measures, in the requested
/// order. A relation sorts by all fields of the linked record.
fn groups(world: &Dataset, rows: &[&Record], aggregation: &Aggregation) -> Vec<Vec<Value>> {
    let mut groups: BTreeMap<String, (Vec<Value>, Vec<&Record>)> = BTreeMap::new();
    for record in rows {
        let values = aggregation.groupings.iter();
        let values: Vec<Value> = values
            .map(|one| path_value(world, record, &one.path))
            .collect();
        let group = groups.entry(format!("{values:?}"));
        group.or_insert_with(|| (values, Vec::new())).1.push(record);
    }
    let measured = |measure: &Measure, rows: &[&Record]| -> Value {
        let values = |field: &FieldName| -> Vec<String> {
            let values = rows.iter().map(|one| value(world, one, field.as_str()));
            values.map(|value| value.to_string()).collect()
        };
        match measure {
            Measure::Count => json!(rows.len()),
            Measure::Of(field, Aggregate::Max) => json!(values(field).iter().max()),
            Measure::Of(field, _) => {
                let numbers = values(field);
                json!(
                    numbers
                        .iter()
                        .filter_map(|one| one.parse::<i64>().ok())
                        .sum::<i64>()
                )
            }
        }
    };
    let key = |values: &[Value], rows: &[&Record], order: &GroupOrder| match &order.key {
        GroupKey::Measure(measure) => measured(measure, rows).to_string(),
        GroupKey::LinkedId(field) => {
            let at = aggregation.groupings.iter();
            let at = at.clone().position(|one| *one == Grouping::by(field));
            values[at.unwrap()].to_string()
        }
        GroupKey::Grouping(grouping) => {
            let at = aggregation.groupings.iter();
            let own = &values[at.clone().position(|one| one == grouping).unwrap()];
            let mut linked = world[PARTNER].iter().filter(|one| one["id"] == *own);
            match linked
                .next()
                .filter(|_| grouping.path.as_str() == "partner_id")
            {
                Some(linked) => format!("{linked:?}"),
                None => own.to_string(),
            }
        }
    };
    let mut groups: Vec<(Vec<Value>, Vec<&Record>)> = groups.into_values().collect();
    groups.sort_by_key(|(values, rows)| {
        let keys = aggregation.order.iter();
        keys.map(|order| key(values, rows, order))
            .collect::<Vec<_>>()
    });
    let row = |(mut values, rows): (Vec<Value>, Vec<&Record>)| {
        let measures = aggregation.measures.iter();
        values.extend(measures.map(|measure| measured(measure, &rows)));
        values
    };
    groups.into_iter().map(row).collect()
}

/// Odoo's response: rows with the requested fields, in the requested order, or
/// sorted by all fields if no order is requested.
fn answer(world: &Dataset, call: &Call) -> Vec<Vec<Value>> {
    let records = &world[call.model().as_str()];
    let found = |domain: &Domain| -> Vec<&Record> {
        records
            .iter()
            .filter(|record| matches(world, record, domain))
            .collect()
    };
    match call.request() {
        Request::Aggregate(aggregation) => groups(world, &found(&aggregation.domain), aggregation),
        Request::Count(domain) => vec![vec![json!(found(domain).len())]],
        Request::Search(search) => {
            let mut rows = found(&search.domain);
            rows.sort_by_key(|record| {
                if search.order.is_empty() {
                    return format!("{record:?}");
                }
                let keys = search.order.fields();
                let keys: Vec<Value> = keys
                    .map(|field| value(world, record, field.as_str()))
                    .collect();
                format!("{keys:?}")
            });
            let row = |record: &Record| {
                let fields = search.fields.iter();
                fields
                    .map(|field| value(world, record, field.as_str()))
                    .collect()
            };
            rows.into_iter().map(row).collect()
        }
        Request::NameSearch { name, domain, .. } => found(domain)
            .into_iter()
            .filter(|record| record.values().any(|own| *own == json!(name)))
            .map(|record| vec![record["id"].clone()])
            .collect(),
        Request::Create(_)
        | Request::Defaults(_)
        | Request::Delete(_)
        | Request::Documentation
        | Request::Fields
        | Request::Load(_)
        | Request::Models
        | Request::Read { .. }
        | Request::Run { .. }
        | Request::WhoAmI
        | Request::Write { .. } => panic!("{call:?}"),
    }
}

/// Whether the rules show the field of the record, computed without domains: some
/// rule allows both, none denies it, and the related field is visible too.
fn visible(rules: &[Rule], world: &Dataset, model: &str, record: &Record, field: &str) -> bool {
    let name = ModelName::try_from(model).unwrap();
    // A rule whose domain uses missing fields allows nothing, and denies
    // everything.
    let fits = |rule: &Rule| rule.domain.fields().all(|one| record.contains_key(one));
    let about = |rule: &Rule| {
        rule.covers(&name, Operation::Read)
            && if fits(rule) {
                matches(world, record, &rule.domain)
            } else {
                rule.deny
            }
    };
    let opened = |field: &str| {
        rules
            .iter()
            .any(|rule| !rule.deny && about(rule) && rule.exposes(field))
    };
    let denied = |field: &str| {
        rules.iter().any(|rule| {
            let whole = rule.denies_all(Operation::Read);
            rule.deny && about(rule) && (whole || (field != "id" && rule.denies_field(field)))
        })
    };
    let own = opened("id") && !denied("id") && opened(field) && !denied(field);
    if field != SHOWS.0 {
        return own;
    }
    own && visible(rules, world, model, record, "partner_id")
        && (partner(world, record).is_none_or(|one| visible(rules, world, PARTNER, one, SHOWS.1)))
}

fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
    let field = prop::sample::select(vec![
        "*",
        "amount",
        "state",
        "partner_id",
        "partner_*",
        "name",
        "email",
        "salary",
        "display_name",
    ]);
    let fields = || prop::collection::vec(field.clone(), 0..3);
    let one = (
        prop::sample::select(vec!["*", ORDER, PARTNER, "sale.*", "res.*"]),
        prop_oneof![Just(vec!["*"]), Just(vec!["*"]), fields()],
        prop_oneof![1 => Just(vec![]), 1 => fields()],
        prop_oneof![
            3 => Just(None),
            1 => (prop::sample::select(vec!["company_id", "branch"]), 0..3).prop_map(Some),
        ],
        prop::bool::weighted(0.2),
    )
        .prop_map(|(model, fields, hidden, only, deny)| {
            let patterns = |texts: Vec<&str>| texts.into_iter().map(pattern).collect();
            let domain = only.map_or_else(Domain::default, |(field, number)| {
                Domain::parse(&json!([[field, "=", number]])).unwrap()
            });
            Rule {
                fields: patterns(fields),
                hidden_fields: if deny { Vec::new() } else { patterns(hidden) },
                domain,
                deny,
                ..rule("*", model, &[Operation::Read])
            }
        });
    prop::collection::vec(one, 1..5)
}

fn any_dataset() -> impl Strategy<Value = Dataset> {
    let orders = prop::collection::vec((0..3, 0..3, 0..3, 0..4), 3);
    let partners = prop::collection::vec((0..3_i32, 0..3_i32, 0..3_i32, 0..3_i32), 3);
    (orders, partners).prop_map(|(orders, partners)| {
        let orders = orders
            .into_iter()
            .zip(1..)
            .map(|((company, amount, state, partner), id)| {
                let partner = if partner == 0 {
                    json!(false)
                } else {
                    json!(partner)
                };
                Record::from([
                    ("id", json!(id)),
                    ("company_id", json!(company)),
                    ("branch", json!(company % 2)),
                    ("amount", json!(amount)),
                    ("state", json!(state)),
                    ("partner_id", partner),
                ])
            });
        let partners = partners
            .into_iter()
            .zip(1..)
            .map(|((company, name, email, salary), id)| {
                Record::from([
                    ("id", json!(id)),
                    ("company_id", json!(company)),
                    ("name", json!(name.to_string())),
                    ("email", json!(email.to_string())),
                    ("salary", json!(salary)),
                ])
            });
        Dataset::from([(ORDER, orders.collect()), (PARTNER, partners.collect())])
    })
}

/// A domain on orders, or on partners.
fn some_domain(model: &'static str) -> BoxedStrategy<Vec<Value>> {
    let number = 0..3_i32;
    let condition = if model == ORDER {
        let inner = some_domain(PARTNER);
        prop_oneof![
            (
                prop::sample::select(vec!["amount", "state", "partner_salary"]),
                prop::sample::select(vec!["=", "!=", ">"]),
                number.clone()
            )
                .prop_map(|(field, operator, value)| json!([field, operator, value])),
            (0..4).prop_map(|id| json!(["partner_id", "=", id])),
            (
                prop::sample::select(vec!["name", "email"]),
                prop::sample::select(vec!["=", "!="]),
                number.clone()
            )
                .prop_map(|(field, operator, value)| json!([
                    format!("partner_id.{field}"),
                    operator,
                    value.to_string()
                ])),
            (prop::sample::select(vec!["=", "!=", ">"]), number.clone())
                .prop_map(|(operator, value)| json!(["partner_id.salary", operator, value])),
            (prop::sample::select(vec!["ilike", "not ilike"]), number)
                .prop_map(|(operator, value)| json!(["partner_id", operator, value.to_string()])),
            (prop::sample::select(vec!["any", "not any"]), inner)
                .prop_map(|(operator, inner)| json!(["partner_id", operator, inner])),
        ]
        .boxed()
    } else {
        prop_oneof![
            (
                prop::sample::select(vec!["name", "email"]),
                prop::sample::select(vec!["=", "!="]),
                number.clone()
            )
                .prop_map(|(field, operator, value)| json!([
                    field,
                    operator,
                    value.to_string()
                ])),
            (prop::sample::select(vec!["=", "!=", ">"]), number.clone())
                .prop_map(|(operator, value)| json!(["salary", operator, value])),
            (prop::sample::select(vec!["ilike", "not ilike"]), number)
                .prop_map(|(operator, value)| json!(["display_name", operator, value.to_string()])),
        ]
        .boxed()
    };
    let term = condition.prop_map(|one| vec![one]);
    let tree = term.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|one| [vec![json!("!")], one].concat()),
            (prop::sample::select(vec!["&", "|"]), inner.clone(), inner)
                .prop_map(|(sign, one, other)| [vec![json!(sign)], one, other].concat()),
        ]
    });
    prop_oneof![1 => Just(Vec::new()), 4 => tree].boxed()
}

fn some_call() -> impl Strategy<Value = Call> {
    prop::sample::select(vec![ORDER, PARTNER]).prop_flat_map(|model| {
        let known: Vec<&str> = if model == ORDER {
            vec!["amount", "state", "partner_id", "partner_salary"]
        } else {
            vec!["name", "email", "salary"]
        };
        let fields = prop::sample::subsequence(known.clone(), 0..=known.len());
        let orders = if model == ORDER {
            vec!["", "", "amount", "partner_salary, id", "id"]
        } else {
            vec!["", "", "salary", "name, id"]
        };
        let orders = prop::sample::select(orders);
        let aggregation = some_aggregation(model);
        (
            some_domain(model),
            fields,
            orders,
            0..8_u8,
            0..3_i32,
            aggregation,
        )
            .prop_map(move |(domain, fields, order, kind, text, aggregation)| {
                let name = ModelName::try_from(model).unwrap();
                let domain = Domain::parse(&Value::Array(domain)).unwrap();
                let fields: Vec<FieldName> = fields
                    .into_iter()
                    .map(|field| FieldName::try_from(field).unwrap())
                    .collect();
                match kind {
                    0 => Call::search_count(name, &domain),
                    1 => Call::name_search(name, &text.to_string(), &domain, 9),
                    2..=4 => Call::aggregate(
                        name,
                        Aggregation {
                            domain,
                            ..aggregation
                        },
                    ),
                    _ => {
                        let order = Order::parse(order).unwrap();
                        Call::search_read(name, &domain, &fields, &order, 0, 9)
                    }
                }
            })
    })
}

fn some_aggregation(model: &'static str) -> impl Strategy<Value = Aggregation> {
    let (paths, fields) = if model == ORDER {
        (
            vec![
                "amount",
                "state",
                "partner_id",
                "partner_salary",
                "partner_id.email",
                "partner_id.salary",
            ],
            vec!["amount", "partner_salary"],
        )
    } else {
        (vec!["name", "email", "salary"], vec!["salary"])
    };
    let groupings = prop::sample::subsequence(paths, 0..3);
    let functions = prop::sample::select(vec![Aggregate::Max, Aggregate::Sum]);
    let measures = prop::collection::vec((prop::sample::select(fields), functions), 0..3);
    let order = prop::option::of((prop::bool::ANY, 0..3_usize));
    (groupings, measures, order).prop_map(|(groupings, measures, order)| {
        let groupings: Vec<Grouping> = groupings
            .into_iter()
            .map(|path| Grouping::parse(path).unwrap())
            .collect();
        let mut measures: Vec<Measure> = measures
            .into_iter()
            .map(|(field, function)| Measure::Of(FieldName::known(field), function))
            .collect();
        measures.push(Measure::Count);
        let key = order.and_then(|(by_grouping, at)| {
            let grouping = groupings.get(at).cloned().map(GroupKey::Grouping);
            let measure = measures.get(at).cloned().map(GroupKey::Measure);
            if by_grouping { grouping } else { measure }
        });
        let order = key.map(|key| GroupOrder {
            key,
            descending: false,
        });
        Aggregation {
            domain: Domain::default(),
            order: order
                .filter(|_| !groupings.is_empty())
                .into_iter()
                .collect(),
            groupings,
            measures,
            having: Vec::new(),
            offset: 0,
            limit: 9,
        }
    })
}

fn permitted(rules: &[Rule], call: &Call) -> Option<Permitted<Call>> {
    let (policy, roles) = policy(rules.to_vec());
    policy
        .permit(&roles, &instance("a"), call.clone(), &schemas())
        .ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn response_contains_only_visible_values_and_ignores_hidden_ones(
        rules in some_rules(), world in any_dataset(), call in some_call(),
    ) {
        let Some(permitted) = permitted(&rules, &call) else { return Ok(()); };
        let call = permitted.get();
        let before = answer(&world, call);
        if let Request::Search(search) = call.request() {
            let model = call.model().as_str();
            for record in world[model].iter().filter(|one| matches(&world, one, &search.domain)) {
                for field in search.fields.iter().chain(search.order.fields()) {
                    let seen = visible(&rules, &world, model, record, field.as_str());
                    prop_assert!(seen, "{field} of {record:?} in {:?}", search.domain.to_json());
                }
            }
        }
        if let Request::Aggregate(aggregation) = call.request() {
            let model = call.model().as_str();
            for record in world[model].iter().filter(|one| matches(&world, one, &aggregation.domain)) {
                let paths = aggregation.groupings.iter().map(|one| one.path.clone());
                let fields = aggregation.used_measures().filter_map(Measure::field);
                for path in paths.chain(fields.map(FieldPath::from)) {
                    let (first, rest) = path.split_first();
                    let behind = rest.zip(partner(&world, record)).is_none_or(|(rest, one)| {
                        visible(&rules, &world, PARTNER, one, rest.as_str())
                    });
                    let seen = visible(&rules, &world, model, record, first) && behind;
                    prop_assert!(seen, "{path} of {record:?} in {:?}", aggregation.domain.to_json());
                }
            }
        }
        for (model, fields) in FIELDS {
            for at in 0..3 {
                for field in fields {
                    let record = &world[model][at];
                    if visible(&rules, &world, model, record, field) {
                        continue;
                    }
                    // A value that is also visible elsewhere is not secret.
                    let shown = *field == SHOWS.1 && world[ORDER].iter().any(|order| {
                        partner(&world, order) == Some(record)
                            && visible(&rules, &world, ORDER, order, SHOWS.0)
                    });
                    prop_assert!(!shown, "{field} of {record:?} is shown by another field");
                    for other in 0..4 {
                        let mut changed = world.clone();
                        let other = match *field {
                            "name" | "email" => json!(other.to_string()),
                            "partner_id" if other == 0 => json!(false),
                            _ => json!(other),
                        };
                        changed.get_mut(model).unwrap()[at].insert(field, other);
                        prop_assert_eq!(
                            &before, &answer(&changed, call),
                            "{} of {:?} is revealed by {:?}", field, record, call.arguments()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn read_access_that_was_decided_before_changes_no_decision(
        rules in some_rules(), call in some_call(),
    ) {
        let (policy, roles) = policy(rules);
        let mut facts = schemas();
        let permit = |facts: &PolicyFacts| policy.permit(&roles, &instance("a"), call.clone(), facts);
        let afresh = permit(&facts);
        for (model, _) in FIELDS {
            let model = ModelName::known(model);
            let Ok(access) = policy.read_access(&roles, &instance("a"), &model, &facts) else { continue };
            facts.set_read_access(Arc::new(access));
            prop_assert_eq!(&permit(&facts), &afresh);
        }
    }

    #[test]
    fn more_deny_or_fewer_allow_rules_never_permit_more_reads(
        rules in some_rules(), more in some_rules(), world in any_dataset(), call in some_call(),
    ) {
        let mut all = rules.clone();
        all.extend(more.into_iter().map(|rule| Rule { deny: false, ..rule }));
        let denied: Vec<Rule> = all.iter().skip(rules.len()).map(|rule| Rule {
            deny: true, hidden_fields: Vec::new(), ..rule.clone()
        }).chain(rules.clone()).collect();
        for (less, more) in [(&rules, &all), (&denied, &rules)] {
            if permitted(less, &call).is_some() {
                prop_assert!(permitted(more, &call).is_some());
            }
            for (model, fields) in FIELDS {
                for record in &world[model] {
                    for field in fields.iter().chain(&["id"]) {
                        if visible(less, &world, model, record, field) {
                            prop_assert!(visible(more, &world, model, record, field));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn read_access_of_other_roles_or_another_instance_is_not_used() {
    let everywhere = rule("*", "*", &[Operation::Read]);
    let without_names = Rule {
        hidden_fields: vec![pattern("name")],
        ..rule("a", "*", &[Operation::Read])
    };
    let [admin, reader] = ["admin", "reader"].map(|name| RoleName::try_from(name).unwrap());
    let role = |rules: Vec<Rule>| Role {
        rules,
        ..Role::default()
    };
    let elsewhere = rule("b", "*", &[Operation::Read]);
    let policy = Policy::new(BTreeMap::from([
        (admin.clone(), role(vec![everywhere])),
        (reader.clone(), role(vec![without_names, elsewhere])),
    ]));
    let fields = [FieldName::known("name")];
    let (order, all) = (Order::default(), Domain::default());
    let model = ModelName::known(PARTNER);
    let call = Call::search_read(model.clone(), &all, &fields, &order, 0, 1);
    for (role, place) in [(&admin, "a"), (&reader, "b")] {
        let mut facts = schemas();
        let roles = std::slice::from_ref(role);
        let access = policy.read_access(roles, &instance(place), &model, &facts);
        facts.set_read_access(Arc::new(access.unwrap()));
        let permitted = policy.permit(roles, &instance(place), call.clone(), &facts);
        assert!(permitted.is_ok());
        let reader = std::slice::from_ref(&reader);
        let permitted = policy.permit(reader, &instance("a"), call.clone(), &facts);
        assert!(permitted.is_err(), "{role} in {place}");
    }
}

/// Once, a rule for all models whose domain names a field that only orders have
/// closed the other models.
#[test]
fn allow_rule_on_field_of_another_model_does_not_revoke_reads() {
    let limited = |field: &str| Rule {
        domain: Domain::parse(&json!([[field, "=", 0]])).unwrap(),
        ..rule("*", "*", &[Operation::Read])
    };
    let by_partner = Domain::parse(&json!([["partner_id.name", "=", "0"]])).unwrap();
    let call = Call::search_count(ModelName::known(ORDER), &by_partner);
    let less = [limited("company_id")];
    let more = [limited("company_id"), limited("branch")];
    assert!(permitted(&less, &call).is_some());
    assert!(permitted(&more, &call).is_some());
}
