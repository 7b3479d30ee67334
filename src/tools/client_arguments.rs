//! The arguments of a tool as clients really send them, brought into the form that
//! its schema describes.
//!
//! Only what has one meaning is changed: text that holds the JSON that is wanted, a
//! single item where a list is wanted, a whole number in another notation, a record
//! as our own tables show it (`Azure Interior [14]`), `null` for an optional argument,
//! and arguments that a known client adds to every call. Everything else stays, and
//! the typed arguments reject it. The values of a write are never inspected.

use std::{borrow::Cow, fmt};

use schemars::Schema;
use serde::{
    Deserialize,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::ToolError;

/// The most arguments of a call; no tool takes half as many.
const MAX_ARGUMENTS: usize = 64;
/// The most elements of a list that are inspected one by one; no tool takes more.
const MAX_ELEMENTS: usize = 1_000;

/// Arguments that clients add to the calls of every tool. Cline asks its model for
/// `task_progress` in each of them (cline/cline#8256). Names that begin with `_`,
/// such as `_meta`, are a client's own, too.
const STRAYS: [&str; 1] = ["task_progress"];

/// Returns the arguments, a JSON object, in the form of the schema.
///
/// # Errors
/// [`ToolError::InvalidArguments`] if they are a text that holds no object.
pub(super) fn normalize<'a>(schema: &Schema, sent: &'a str) -> Result<Cow<'a, str>, ToolError> {
    let object = unwrapped(sent)?;
    // What cannot be read here is reported by the typed arguments.
    let Ok(RawMembers(members)) = serde_json::from_str(&object) else {
        return Ok(object);
    };
    let known = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let mut changed = false;
    let mut text = String::from("{");
    for (name, raw) in members {
        let property = known.and_then(|known| known.get(&name));
        let is_stray = STRAYS.contains(&&*name) || name.starts_with('_');
        // Nothing was meant by an unknown argument without a value.
        if property.is_none() && (is_stray || is_absent(raw)) {
            changed = true;
            continue;
        }
        let is_optional = required.is_none_or(|all| !all.iter().any(|one| *one == *name));
        let new = match property {
            Some(_) if is_optional && is_absent(raw) => {
                changed = true;
                continue;
            }
            Some(property) => reshaped(&name, property, raw),
            None => None,
        };
        changed |= new.is_some();
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&Value::from(name).to_string());
        text.push(':');
        match new {
            Some(value) => text.push_str(&value.to_string()),
            None => text.push_str(raw.get()),
        }
    }
    text.push('}');
    Ok(if changed { Cow::Owned(text) } else { object })
}

/// The object itself, if it was sent as a text that holds it.
fn unwrapped(sent: &str) -> Result<Cow<'_, str>, ToolError> {
    if sent.starts_with('{') {
        return Ok(Cow::Borrowed(sent));
    }
    let text: Option<String> = serde_json::from_str(sent).map_err(|_no_text| not_an_object())?;
    let text = text.unwrap_or_default();
    let object = text.trim();
    if object.is_empty() {
        return Ok(Cow::Borrowed("{}"));
    }
    let is_object = object.starts_with('{') && serde_json::from_str::<&RawValue>(object).is_ok();
    if is_object {
        Ok(Cow::Owned(object.to_owned()))
    } else {
        Err(not_an_object())
    }
}

fn not_an_object() -> ToolError {
    ToolError::InvalidArguments(
        "`arguments` must be an object, such as `{\"model\":\"res.partner\"}`, or a text that holds one"
            .to_owned(),
    )
}

/// The members of an object in their order, each name once.
struct RawMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawMembers<'de>, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MAX_ARGUMENTS {
                        return Err(de::Error::custom("too many arguments"));
                    }
                    if members.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom("duplicate argument"));
                    }
                    members.push((name, raw));
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Whether the value of an optional argument means that it is absent.
fn is_absent(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// The argument in the form of its schema; `None` if it stays as it is.
fn reshaped(name: &str, property: &Value, raw: &RawValue) -> Option<Value> {
    let json = raw.get();
    let first = json.bytes().next()?;
    match (property.get("type")?.as_str()?, first) {
        ("array", b'[') => reshaped_elements(item_type(property)?, json),
        ("array", _) => as_list(item_type(property)?, json),
        ("boolean", b'"') => match text(json)?.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        ("integer", b'0'..=b'9' | b'-') if json.bytes().all(|byte| byte.is_ascii_digit()) => None,
        ("integer", _) => whole_number(&serde_json::from_str(json).ok()?),
        ("object", b'"') => {
            let inner: Value = serde_json::from_str(&text(json)?).ok()?;
            let inner = inner.is_object().then_some(inner)?;
            Some(reshaped_context(name, &inner).unwrap_or(inner))
        }
        ("object", b'[') => {
            let list: Vec<Value> = serde_json::from_str(json).ok()?;
            let [only @ Value::Object(_)] = list.as_slice() else {
                return None;
            };
            Some(only.clone())
        }
        ("object", b'{') if name == "context" => {
            reshaped_context(name, &serde_json::from_str(json).ok()?)
        }
        // An order, one field an item.
        ("string", b'[') if name == "order" => {
            let keys: Vec<String> = serde_json::from_str(json).ok()?;
            Some(keys.join(", ").into())
        }
        _ => None,
    }
}

fn item_type(property: &Value) -> Option<&str> {
    property.get("items")?.get("type")?.as_str()
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// The elements of a list in the form of its items; `None` if they stay as they are.
fn reshaped_elements(items: &str, json: &str) -> Option<Value> {
    let inside = json.get(1..)?;
    let may_differ = match items {
        "integer" => inside.contains(['"', '[', '{']),
        "object" => inside.trim_start().starts_with('"'),
        _ => false,
    };
    if !may_differ {
        return None;
    }
    let mut list: Vec<Value> = serde_json::from_str(json).ok()?;
    if list.len() > MAX_ELEMENTS {
        return None;
    }
    let mut changed = false;
    for element in &mut list {
        if let Some(new) = reshaped_element(items, element) {
            *element = new;
            changed = true;
        }
    }
    changed.then_some(Value::Array(list))
}

fn reshaped_element(items: &str, element: &Value) -> Option<Value> {
    match (items, element) {
        ("integer", Value::Array(_) | Value::Object(_) | Value::String(_)) => whole_number(element),
        ("object", Value::String(text)) => {
            let inner: Value = serde_json::from_str(text).ok()?;
            inner.is_object().then_some(inner)
        }
        _ => None,
    }
}

/// The list that is meant by a single item, or by a text that holds the list.
fn as_list(items: &str, json: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(json).ok()?;
    if let Value::String(text) = &value {
        let text = text.trim();
        if text.starts_with('[')
            && let Ok(list @ Value::Array(_)) = serde_json::from_str(text)
        {
            return Some(reshaped_elements(items, text).unwrap_or(list));
        }
        if text.is_empty() {
            return Some(Value::Array(Vec::new()));
        }
    }
    match (items, &value) {
        ("integer", Value::Number(_) | Value::Object(_)) => {
            Some(vec![whole_number(&value)?].into())
        }
        ("integer", Value::String(text)) => {
            whole_number(&value).map(|id| vec![id].into()).or_else(|| {
                let ids: Option<Vec<Value>> = text
                    .split(',')
                    .take(MAX_ELEMENTS + 1)
                    .map(|part| whole_number(&part.into()))
                    .collect();
                ids.map(Value::Array)
            })
        }
        ("object", Value::Object(_)) => Some(vec![value].into()),
        ("object", Value::String(text)) => {
            let inner: Value = serde_json::from_str(text).ok()?;
            inner.is_object().then(|| vec![inner].into())
        }
        ("string", Value::String(text)) => {
            let names = text.split(',').take(MAX_ELEMENTS + 1).map(str::trim);
            Some(names.map(Value::from).collect::<Vec<_>>().into())
        }
        _ => None,
    }
}

/// The whole number or the id that a value means: `10.0`, `"10"`, `[14, "Azure"]` and
/// `{"id": 14}` as Odoo returns a link, or `"Azure [14]"` as our tables show it.
fn whole_number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => whole(number.as_f64()?),
        Value::String(text) => {
            let text = text.trim();
            let shown = text
                .strip_suffix(']')
                .and_then(|text| text.rsplit_once(" ["));
            let digits = shown.map_or(text, |(_, id)| id);
            let plain = digits.strip_prefix('-').unwrap_or(digits);
            let plain = plain.strip_suffix(".0").unwrap_or(plain);
            let is_number = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok().and_then(whole))?
        }
        Value::Array(parts) => match parts.as_slice() {
            [id @ Value::Number(_), Value::String(_)] | [id @ Value::Number(_)] => Some(id.clone()),
            _ => None,
        },
        Value::Object(members) => {
            let named = ["display_name", "id", "name"];
            let is_link = members.keys().all(|name| named.contains(&&**name));
            members
                .get("id")
                .filter(|id| is_link && id.is_number())
                .cloned()
        }
        Value::Bool(_) | Value::Null => None,
    }
}

fn whole(number: f64) -> Option<Value> {
    let exact = number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX);
    let digits = exact.then(|| format!("{number:.0}"))?;
    Some(digits.parse::<i64>().ok()?.into())
}

/// The context with its companies as a list of ids.
fn reshaped_context(name: &str, context: &Value) -> Option<Value> {
    let companies = context.get("company_ids").filter(|_| name == "context")?;
    let json = companies.to_string();
    let list = if companies.is_array() {
        reshaped_elements("integer", &json)
    } else if companies.is_null() {
        None
    } else {
        as_list("integer", &json)
    }?;
    let mut members: Map<String, Value> = context.as_object()?.clone();
    members.insert("company_ids".to_owned(), list);
    Some(Value::Object(members))
}

/// The names under which models look for an argument, mostly Odoo's own.
const SYNONYMS: [(&str, &str); 25] = [
    (
        "archived",
        "active_test include_archived include_inactive with_archived",
    ),
    ("arguments", "args args_list kwargs kw parameters params"),
    ("as", "kind message_type subtype subtype_xmlid type"),
    ("body", "content html message text"),
    ("change", "change_id id undo undo_id"),
    (
        "company_ids",
        "allowed_company_ids companies company company_id",
    ),
    ("confirm", "confirm_token confirmation confirmed token"),
    (
        "context",
        "allowed_company_ids company_id company_ids ctx lang tz with_context",
    ),
    (
        "cursor",
        "next next_cursor offset page page_token skip start",
    ),
    (
        "domain",
        "args condition conditions criteria filter filters search_domain where",
    ),
    (
        "fields",
        "attributes columns field field_names headers select",
    ),
    (
        "group_by",
        "by dimensions groupby grouping groupings groups",
    ),
    ("id", "ids record_id res_id"),
    ("idempotency_key", "key request_id uuid"),
    ("ids", "args id record_id record_ids records res_id res_ids"),
    ("lang", "language locale"),
    ("limit", "count max max_results page_size per_page size top"),
    (
        "measures",
        "aggregate aggregates aggregations fields metrics values",
    ),
    ("method", "action button function method_name"),
    ("model", "entity model_name object res_model resource table"),
    ("name", "q query search term text"),
    ("order", "order_by orderby sort sort_by sorting"),
    ("query", "filter keyword name q search term"),
    ("rows", "data lines records values"),
    (
        "values",
        "args attributes data fields kwargs record records val vals vals_list value",
    ),
];

/// Whether an argument asks for groups of records, in Odoo's words.
pub(super) fn is_grouping(unknown: &str) -> bool {
    let names = [
        "aggregate",
        "aggregates",
        "group",
        "group_by",
        "groupby",
        "having",
    ];
    names.contains(&unknown)
}

/// The arguments among `taken` that a model may have meant by an unknown one.
pub(super) fn meant_arguments<'t>(unknown: &str, taken: &[&'t str]) -> Vec<&'t str> {
    let unknown = unknown.to_ascii_lowercase();
    let is_meant = |name: &str| {
        let mut entries = SYNONYMS.iter().filter(|(argument, _)| *argument == name);
        entries.any(|(_, others)| others.split(' ').any(|other| other == unknown))
    };
    let synonymous: Vec<&str> = taken
        .iter()
        .copied()
        .filter(|name| is_meant(name))
        .collect();
    if !synonymous.is_empty() || unknown.len() > 40 {
        return synonymous;
    }
    let near = taken
        .iter()
        .map(|name| (strsim::osa_distance(name, &unknown), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    near.map(|(_, name)| name).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_ARGUMENTS, meant_arguments, normalize};
    use crate::tools;

    /// The arguments of a tool after they were brought into the form of its schema.
    fn normalized(tool: &str, sent: &Value) -> Value {
        let schema = (tools::find(tool).unwrap().input_schema)();
        let sent = sent.to_string();
        serde_json::from_str(&normalize(&schema, &sent).unwrap()).unwrap()
    }

    #[test]
    fn null_of_optional_argument_is_as_if_it_were_left_out() {
        // BC-15.
        let all = json!({"model": "res.partner", "domain": null, "fields": null, "limit": null,
            "order": null, "cursor": null, "archived": null, "context": null});
        assert_eq!(
            normalized("search_records", &all),
            json!({"model": "res.partner"})
        );
        let required = json!({"model": null, "ids": null});
        assert_eq!(normalized("read_records", &required), required);
    }

    #[test]
    fn strays_of_known_clients_are_dropped() {
        // BC-16.
        let stray =
            json!({"model": "res.partner", "task_progress": "- [x] look", "_meta": {"a": 1}});
        for tool in ["search_records", "create_records", "delete_records"] {
            assert_eq!(
                normalized(tool, &stray),
                json!({"model": "res.partner"}),
                "{tool}"
            );
        }
        let nothing = json!({"model": "res.partner", "offset": null});
        assert_eq!(
            normalized("search_records", &nothing),
            json!({"model": "res.partner"})
        );
        let unknown = json!({"model": "res.partner", "progress": 1});
        assert_eq!(normalized("search_records", &unknown), unknown);
    }

    #[test]
    fn arguments_may_be_a_text_that_holds_the_object() {
        // BC-17.
        let text = json!("{\"model\":\"res.partner\"}");
        assert_eq!(
            normalized("count_records", &text),
            json!({"model": "res.partner"})
        );
        for nothing in [json!(""), json!("  "), json!(null)] {
            assert_eq!(normalized("list_models", &nothing), json!({}), "{nothing}");
        }
        let schema = (tools::find("list_models").unwrap().input_schema)();
        for other in ["7", "[]", "true", "\"x\"", "\"[]\"", "\"{\""] {
            assert!(normalize(&schema, other).is_err(), "{other}");
        }
    }

    #[test]
    fn single_items_and_json_text_become_lists() {
        // BC-22.
        for (sent, list) in [
            (json!("name"), json!(["name"])),
            (json!("name, email"), json!(["name", "email"])),
            (json!("[\"name\",\"email\"]"), json!(["name", "email"])),
            (json!(""), json!([])),
            (json!(["name"]), json!(["name"])),
            (json!({"name": 1}), json!({"name": 1})),
        ] {
            let sent = json!({"model": "res.partner", "fields": sent});
            assert_eq!(
                normalized("search_records", &sent)["fields"],
                list,
                "{sent}"
            );
        }
        for (sent, ids) in [
            (json!(1), json!([1])),
            (json!(1.0), json!([1])),
            (json!("1"), json!([1])),
            (json!("1.0"), json!([1])),
            (json!("1, 2"), json!([1, 2])),
            (json!("[1,2]"), json!([1, 2])),
            (json!("[\"1\",2]"), json!([1, 2])),
            (json!(["1", "2"]), json!([1, 2])),
            (json!([[1, "Azure"]]), json!([1])),
            (json!([{"id": 1, "display_name": "Azure"}]), json!([1])),
            (json!("Azure, Interior [14]"), json!([14])),
            (json!(["Azure [14]", 2]), json!([14, 2])),
            (json!([1, 2]), json!([1, 2])),
            (json!("Azure"), json!("Azure")),
            (json!("1;2"), json!("1;2")),
            (json!(1.5), json!(1.5)),
            (json!(["Azure"]), json!(["Azure"])),
            (
                json!([{"id": 1, "active": false}]),
                json!([{"id": 1, "active": false}]),
            ),
            (json!(true), json!(true)),
        ] {
            let sent = json!({"model": "res.partner", "ids": sent});
            assert_eq!(normalized("read_records", &sent)["ids"], ids, "{sent}");
        }
    }

    #[test]
    fn objects_may_be_json_text_or_stand_alone_but_values_stay_as_written() {
        let record =
            json!({"name": "X", "country_id": "Belgium [20]", "active": "true", "a": null});
        for sent in [
            record.clone(),
            json!([record]),
            json!(record.to_string()),
            json!(json!([record]).to_string()),
            json!([record.to_string()]),
        ] {
            let sent = json!({"model": "res.partner", "values": sent});
            assert_eq!(
                normalized("create_records", &sent)["values"],
                json!([record]),
                "{sent}"
            );
        }
        for sent in [record.clone(), json!(record.to_string()), json!([record])] {
            let sent = json!({"model": "res.partner", "ids": [1], "values": sent});
            assert_eq!(
                normalized("update_records", &sent)["values"],
                record,
                "{sent}"
            );
        }
        // Which of two records is meant is not clear.
        let two = json!({"model": "res.partner", "ids": [1], "values": [{"a": 1}, {"a": 2}]});
        assert_eq!(normalized("update_records", &two), two);
    }

    #[test]
    fn numbers_booleans_orders_and_contexts_are_read_in_other_notations() {
        let sent = json!({"model": "res.partner", "limit": "10", "archived": "True",
            "order": ["name desc", "id"], "context": "{\"company_ids\":\"1\"}"});
        assert_eq!(
            normalized("search_records", &sent),
            json!({"model": "res.partner", "limit": 10, "archived": true,
                "order": "name desc, id", "context": {"company_ids": [1]}})
        );
        let limit = |limit: Value| {
            normalized("search_records", &json!({"model": "a", "limit": limit}))["limit"].clone()
        };
        assert_eq!(limit(json!(10.0)), json!(10));
        assert_eq!(limit(json!(10.5)), json!(10.5));
        assert_eq!(limit(json!("ten")), json!("ten"));
        let context = json!({"model": "a", "context": {"company_ids": 1, "lang": null}});
        assert_eq!(
            normalized("search_records", &context)["context"],
            json!({"company_ids": [1], "lang": null})
        );
        let message = json!({"model": "a", "id": "Azure [14]", "body": "12", "partner_ids": 3});
        assert_eq!(
            normalized("post_message", &message),
            json!({"model": "a", "id": 14, "body": "12", "partner_ids": [3]})
        );
        let method = json!({"model": "a", "method": "b", "arguments": "{\"c\":\"1\"}"});
        assert_eq!(
            normalized("call_method", &method),
            json!({"model": "a", "method": "b", "arguments": {"c": "1"}})
        );
    }

    #[test]
    fn repeated_and_too_many_arguments_stay_for_the_typed_arguments_to_reject() {
        let schema = (tools::find("delete_records").unwrap().input_schema)();
        let twice = r#"{"model":"a","ids":[1],"ids":[2],"_x":1}"#;
        assert_eq!(normalize(&schema, twice).unwrap(), twice);
        let members: Vec<String> = (0..=MAX_ARGUMENTS)
            .map(|at| format!("\"_{at}\":1"))
            .collect();
        let many = format!("{{{}}}", members.join(","));
        assert_eq!(normalize(&schema, &many).unwrap(), many);
    }

    #[test]
    fn unchanged_arguments_are_not_copied() {
        let schema = (tools::find("search_records").unwrap().input_schema)();
        let sent = r#"{"model": "res.partner", "domain": [["id", "=", 1]], "limit": 5}"#;
        assert!(matches!(
            normalize(&schema, sent).unwrap(),
            std::borrow::Cow::Borrowed(_)
        ));
    }

    #[test]
    fn names_of_odoo_are_answered_with_the_argument_that_is_meant() {
        // BC-23.
        let search = [
            "model", "domain", "fields", "limit", "order", "cursor", "archived", "context",
        ];
        for (unknown, meant) in [
            ("offset", "cursor"),
            ("page", "cursor"),
            ("sort", "order"),
            ("filters", "domain"),
            ("args", "domain"),
            ("page_size", "limit"),
            ("active_test", "archived"),
            ("allowed_company_ids", "context"),
            ("feilds", "fields"),
            ("Domain", "domain"),
        ] {
            assert_eq!(meant_arguments(unknown, &search), [meant], "{unknown}");
        }
        assert!(meant_arguments("kwargs", &search).is_empty());
        assert!(meant_arguments(&"x".repeat(1 << 20), &search).is_empty());
        let create = ["model", "values", "context", "idempotency_key", "confirm"];
        for unknown in ["vals", "vals_list", "data", "kwargs"] {
            assert_eq!(meant_arguments(unknown, &create), ["values"], "{unknown}");
        }
        let method = ["model", "method", "ids", "arguments", "context"];
        assert_eq!(meant_arguments("args", &method), ["ids", "arguments"]);
        assert_eq!(meant_arguments("kwargs", &method), ["arguments"]);
        assert_eq!(meant_arguments("id", &method), ["ids"]);
        let context = ["company_ids", "lang", "tz"];
        assert_eq!(
            meant_arguments("allowed_company_ids", &context),
            ["company_ids"]
        );
    }
}
