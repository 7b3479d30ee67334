//! Roles and calls, from the bytes of an input.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use gatepost_base::RoleName;
use gatepost_odoo::{Call, Domain, FieldName, MethodName, ModelName, Operation, Order, RecordId};
use gatepost_policy::{Pattern, Role, Rule, WriteMode};
use serde_json::{Map, Value, json};

use super::Roles;

const MODEL_PATTERNS: [&str; 8] = [
    "*",
    "*",
    "sale.*",
    "res.*",
    "sale.order",
    "sale.order.line",
    "res.partner",
    "res.users",
];
const FIELD_PATTERNS: [&str; 12] = [
    "*",
    "*",
    "name",
    "amount",
    "state",
    "partner_*",
    "partner_id",
    "order_line",
    "salary",
    "child_ids",
    "company_id",
    "display_name",
];
const METHODS: [&str; 3] = ["action_confirm", "message_post", "action_cancel"];

/// Whether a call reads, or the mode in which it changes something.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallMode {
    Read,
    Write(WriteMode),
}

/// One to three roles.
pub(super) fn some_roles(input: &mut Unstructured<'_>) -> Result<Roles> {
    let mut roles = BTreeMap::new();
    for number in 0..input.int_in_range(1..=3)? {
        let mut rules = Vec::new();
        for _ in 0..input.int_in_range(1..=3)? {
            rules.push(some_rule(input)?);
        }
        let role = Role {
            rules,
            credential: None,
            closes_user_search: false,
            write_mode: *input.choose(&[
                WriteMode::Direct,
                WriteMode::Confirm,
                WriteMode::RequireHuman,
                WriteMode::ReadOnly,
            ])?,
        };
        roles.insert(
            RoleName::try_from(format!("role{number}").as_str()).unwrap(),
            role,
        );
    }
    Ok(roles)
}

/// A rule as a configuration may have it.
pub(super) fn some_rule(input: &mut Unstructured<'_>) -> Result<Rule> {
    let deny = input.ratio(1, 4)?;
    let operations = Operation::ALL.into_iter();
    let mut chosen = Vec::new();
    for operation in operations {
        if input.ratio(2, 3)? {
            chosen.push(operation);
        }
    }
    let methods = if input.ratio(1, 3)? {
        vec![MethodName::try_from(*input.choose(&METHODS)?).unwrap()]
    } else {
        Vec::new()
    };
    let whole = input.ratio(1, 2)?;
    Ok(Rule {
        instances: vec![Pattern::everything()],
        models: patterns(input, &MODEL_PATTERNS, 1)?,
        operations: chosen,
        methods,
        arguments: BTreeMap::new(),
        fields: if whole {
            vec![Pattern::everything()]
        } else {
            patterns(input, &FIELD_PATTERNS, 1)?
        },
        hidden_fields: if deny {
            Vec::new()
        } else {
            patterns(input, &FIELD_PATTERNS, 0)?
        },
        write_fields: if !deny && input.ratio(1, 3)? {
            Some(patterns(input, &FIELD_PATTERNS, 1)?)
        } else {
            None
        },
        domain: rule_domain(input)?,
        deny,
    })
}

fn patterns(input: &mut Unstructured<'_>, of: &[&str], least: usize) -> Result<Vec<Pattern>> {
    let mut chosen = Vec::new();
    for _ in 0..input.int_in_range(least..=2)? {
        chosen.push(Pattern::parse(input.choose(of)?).unwrap());
    }
    Ok(chosen)
}

fn rule_domain(input: &mut Unstructured<'_>) -> Result<Domain> {
    let number: u8 = input.int_in_range(0..=3)?;
    let domain = match input.int_in_range(0..=6)? {
        0 => json!([["company_id", "=", number]]),
        1 => json!([["state", "!=", number]]),
        2 => json!([["id", "in", [number, 4]]]),
        3 => json!(["|", ["company_id", "=", number], ["name", "=", "1"]]),
        _ => json!([]),
    };
    Ok(Domain::parse(&domain).unwrap())
}

/// A call, and how it is made.
pub(super) fn some_call(input: &mut Unstructured<'_>) -> Result<(Call, CallMode)> {
    let model = ModelName::try_from(*input.choose(&[
        "sale.order",
        "res.partner",
        "sale.order.line",
        "res.users",
    ])?)
    .unwrap();
    let domain = some_domain(input, model.as_str(), 2)?;
    let mut fields = Vec::new();
    for _ in 0..input.int_in_range(0..=3)? {
        fields.push(FieldName::try_from(*input.choose(fields_of(model.as_str()))?).unwrap());
    }
    let mut ids = Vec::new();
    for _ in 0..input.int_in_range(1..=2)? {
        ids.push(RecordId::try_from(i64::from(input.int_in_range(1_u8..=5)?)).unwrap());
    }
    let mode = CallMode::Write(*input.choose(&WriteMode::WRITING)?);
    Ok(match input.int_in_range(0..=7)? {
        0 => (Call::search_count(model, &domain), CallMode::Read),
        1 => (Call::read(model, &ids, &fields), CallMode::Read),
        2 => {
            let name = *input.choose(&["", "1", "2"])?;
            (Call::name_search(model, name, &domain, 5), CallMode::Read)
        }
        3 => (
            Call::create(model.clone(), vec![some_values(input, model.as_str(), 2)?]),
            mode,
        ),
        4 => (
            Call::write(model.clone(), &ids, some_values(input, model.as_str(), 2)?),
            mode,
        ),
        5 => (Call::delete(model, &ids), mode),
        6 => {
            let method = MethodName::try_from(*input.choose(&METHODS)?).unwrap();
            let arguments = Map::from_iter([("body".to_owned(), json!("x"))]);
            (Call::run(model, method, &ids, arguments), mode)
        }
        _ => {
            let order = Order::parse(input.choose(&["", "name", "id desc", "partner_id, name"])?);
            let call = Call::search_read(model, &domain, &fields, &order.unwrap_or_default(), 0, 5);
            (call, CallMode::Read)
        }
    })
}

fn fields_of(model: &str) -> &'static [&'static str] {
    match model {
        "sale.order" => &[
            "name",
            "amount",
            "state",
            "company_id",
            "partner_id",
            "order_line",
            "partner_salary",
            "display_name",
            "id",
        ],
        "sale.order.line" => &["name", "amount", "order_id", "company_id", "display_name"],
        _ => &[
            "name",
            "salary",
            "state",
            "company_id",
            "parent_id",
            "child_ids",
            "display_name",
        ],
    }
}

fn some_domain(input: &mut Unstructured<'_>, model: &str, depth: usize) -> Result<Domain> {
    if input.ratio(1, 4)? {
        return Ok(Domain::default());
    }
    let condition = some_condition(input, model, depth)?;
    let other = some_condition(input, model, depth)?;
    let whole = match input.int_in_range(0..=4)? {
        0 => json!(["!", condition]),
        1 => json!(["|", condition, other]),
        2 => json!(["&", "!", condition, other]),
        _ => json!([condition]),
    };
    Ok(Domain::parse(&whole).unwrap())
}

fn some_condition(input: &mut Unstructured<'_>, model: &str, depth: usize) -> Result<Value> {
    let number: u8 = input.int_in_range(0..=4)?;
    let relations: &[(&str, &str)] = match model {
        "sale.order" => &[
            ("partner_id", "res.partner"),
            ("order_line", "sale.order.line"),
        ],
        "sale.order.line" => &[("order_id", "sale.order")],
        _ => &[("parent_id", "res.partner"), ("child_ids", "res.partner")],
    };
    let (link, relation) = *input.choose(relations)?;
    Ok(match input.int_in_range(0..=6)? {
        0 if depth > 0 => {
            let operator = *input.choose(&["any", "not any"])?;
            json!([
                link,
                operator,
                some_domain(input, relation, depth - 1)?.to_json()
            ])
        }
        1 => json!([
            format!("{link}.name"),
            input.choose(&["=", "!="])?,
            number.to_string()
        ]),
        2 => json!([link, input.choose(&["in", "not in"])?, [number]]),
        3 => json!([
            link,
            input.choose(&["ilike", "not ilike"])?,
            number.to_string()
        ]),
        4 => json!([
            "name",
            input.choose(&["ilike", "=", "!="])?,
            number.to_string()
        ]),
        5 => json!([format!("{link}.company_id"), "=", number]),
        _ => json!(["company_id", input.choose(&["=", "!=", ">"])?, number]),
    })
}

/// Values to write, with commands on related records.
fn some_values(
    input: &mut Unstructured<'_>,
    model: &str,
    depth: usize,
) -> Result<Map<String, Value>> {
    let mut values = Map::new();
    for _ in 0..input.int_in_range(0..=2)? {
        let field = *input.choose(fields_of(model))?;
        let number: u8 = input.int_in_range(1..=4)?;
        let value = match field {
            "order_line" | "child_ids" if depth > 0 => {
                let inner = if field == "order_line" {
                    "sale.order.line"
                } else {
                    "res.partner"
                };
                let values = Value::Object(some_values(input, inner, depth - 1)?);
                match input.int_in_range(0..=5)? {
                    0 => json!([[0, 0, values]]),
                    1 => json!([[1, number, values]]),
                    2 => json!([[2, number, 0]]),
                    3 => json!([[3, number, 0]]),
                    4 => json!([[4, number, 0]]),
                    _ => json!([[6, 0, [number]]]),
                }
            }
            "order_line" | "child_ids" => json!([[4, number, 0]]),
            "name" | "display_name" => json!(number.to_string()),
            _ => json!(number),
        };
        values.insert(field.to_owned(), value);
    }
    Ok(values)
}
