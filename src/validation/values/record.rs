//! Coerces values that link to one record.

use serde_json::{Map, Value};

use super::{LinkTarget, coerced::Coerced, error::quoted, number::whole, selection};
use gatepost_odoo::{Field, ModelName, RecordId};

/// The most characters of a name that is looked up.
const MAX_NAME: usize = 500;

/// A many2one: an id, also in the forms in which Odoo returns it, or a name.
pub(crate) fn coerce_many2one(field: &Field, value: &Value) -> Result<Coerced, String> {
    let relation = field.relation.clone().ok_or_else(unknown_relation)?;
    let inside = match value {
        Value::Array(parts) => pair(parts),
        Value::Object(members) => reference(members),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Some(value),
    };
    let wrong = || {
        format!(
            "takes the id of one record of `{relation}`, such as `7`, or its name, not {}",
            quoted(value)
        )
    };
    parse_record(&relation, inside.ok_or_else(wrong)?)
        .map_err(|_no_record| wrong())
        .map(|coerced| with_conversion_note(value, coerced))
}

/// The id or the name of a record of the model.
pub(crate) fn parse_record(relation: &ModelName, value: &Value) -> Result<Coerced, NotARecord> {
    let (value, target) = match value {
        Value::Number(number) => parse_id(whole(number).ok_or(NotARecord)?)?,
        Value::String(text) => {
            let text = text.trim();
            if text.is_empty() || text.contains('\0') || text.chars().count() > MAX_NAME {
                return Err(NotARecord);
            }
            // Digits alone are an id, as in a domain.
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                parse_id(text.parse().map_err(|_too_large| NotARecord)?)?
            } else {
                (text.into(), LinkTarget::Name(text.to_owned()))
            }
        }
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
            return Err(NotARecord);
        }
    };
    Ok(Coerced {
        value,
        note: None,
        link: Some((relation.clone(), target)),
    })
}

/// The value is neither an id nor a name.
#[derive(Debug)]
pub(crate) struct NotARecord;

fn parse_id(number: i32) -> Result<(Value, LinkTarget), NotARecord> {
    let id = RecordId::try_from(i64::from(number)).map_err(|_no_id| NotARecord)?;
    Ok((id.get().into(), LinkTarget::Id(id)))
}

fn with_conversion_note(written: &Value, mut coerced: Coerced) -> Coerced {
    if let Some((model, LinkTarget::Id(id))) = &coerced.link
        && *written != coerced.value
    {
        coerced.note = Some(format!("was read as the id {id} of `{model}`"));
    }
    coerced
}

/// The id in `[id, name]`, as Odoo returns a many2one, or in `[id]`.
fn pair(parts: &[Value]) -> Option<&Value> {
    match parts {
        [id @ Value::Number(_)] | [id @ Value::Number(_), Value::String(_)] => Some(id),
        _ => None,
    }
}

/// The id in `{"id": 7}`, as `web_read` returns a many2one.
fn reference(members: &Map<String, Value>) -> Option<&Value> {
    let only_names = members
        .keys()
        .all(|key| matches!(key.as_str(), "display_name" | "id" | "name"));
    members.get("id").filter(|id| only_names && id.is_number())
}

fn unknown_relation() -> String {
    "is a link, and Odoo does not say to which model".to_owned()
}

/// A reference: `model,id`. Odoo empties the field if there is no such record.
pub(crate) fn coerce_reference(field: &Field, value: &Value) -> Result<Coerced, String> {
    let wrong = || {
        format!(
            "takes a record as `model,id`, such as `\"res.partner,7\"`, not {}",
            quoted(value)
        )
    };
    let (model, number) = value
        .as_str()
        .and_then(|text| text.split_once(','))
        .ok_or_else(wrong)?;
    let model = ModelName::try_from(model.trim()).map_err(|_no_model| wrong())?;
    let number: i64 = number.trim().parse().map_err(|_no_number| wrong())?;
    let id = RecordId::try_from(number).map_err(|_no_id| wrong())?;
    let mut options = field.selection.iter();
    if !field.selection.is_empty() && !options.any(|option| *option.key == *model.as_str()) {
        return Err(format!(
            "takes records of {}, not of `{model}`",
            selection::option_list(&field.selection)
        ));
    }
    let mut coerced = Coerced::from_written(value, format!("{model},{id}").into());
    coerced.link = Some((model, LinkTarget::Id(id)));
    Ok(coerced)
}

/// The id of a record whose model is in another field; `model` is known if that
/// field is among the same values.
pub(crate) fn coerce_many2one_reference(
    model: Option<&ModelName>,
    value: &Value,
) -> Result<Coerced, String> {
    let number = match value {
        Value::Number(number) => whole(number),
        Value::String(text) => text.trim().parse().ok(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    };
    let id = number.and_then(|number| RecordId::try_from(i64::from(number)).ok());
    let id = id.ok_or_else(|| {
        format!(
            "takes the id of a record, such as `7`, not {}",
            quoted(value)
        )
    })?;
    let mut coerced = Coerced::from_written(value, id.get().into());
    coerced.link = model.map(|model| (model.clone(), LinkTarget::Id(id)));
    Ok(coerced)
}
