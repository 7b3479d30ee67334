//! One of a few values.

use serde_json::Value;

use super::{problem::quoted, taken::Taken};
use gatepost_odoo::{Choice, Field};

/// Choices that are told one by one.
const TOLD: usize = 30;

/// The key of a choice; its label too, where only one choice is called so.
pub(super) fn fit(field: &Field, value: Value) -> Result<Taken, String> {
    let written = match &value {
        Value::String(text) => text.trim().to_owned(),
        // Keys are text, also those that are numbers, such as those of a priority.
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
            return Err(refusal(field, &value));
        }
    };
    if field.choices.iter().any(|choice| *choice.key == *written) {
        return Ok(Taken::read_from(&value, written.into()));
    }
    if field.choices.is_empty() && value.is_string() {
        // Some are made on the go, and told to nobody.
        return Ok(Taken::plain(value));
    }
    let wanted = written.to_lowercase();
    let mut meant = field.choices.iter().filter(|choice| {
        choice.key.to_lowercase() == wanted || choice.label.to_lowercase() == wanted
    });
    match (meant.next(), meant.next()) {
        (Some(choice), None) => Ok(Taken::read_from(&value, (*choice.key).into())),
        (None | Some(_), _) => Err(refusal(field, &value)),
    }
}

fn refusal(field: &Field, value: &Value) -> String {
    format!("takes {}, not {}", told(&field.choices), quoted(value))
}

/// The choices, as they are told.
pub(super) fn told(choices: &[Choice]) -> String {
    let mut told: Vec<String> = choices
        .iter()
        .take(TOLD)
        .map(|choice| format!("`{}` ({})", choice.key, choice.label))
        .collect();
    if choices.len() > TOLD {
        told.push(format!("or one of {} more", choices.len() - TOLD));
    }
    match told.as_slice() {
        [] => "the key of a choice".to_owned(),
        [only] => only.clone(),
        [..] => format!("one of {}", told.join(", ")),
    }
}
