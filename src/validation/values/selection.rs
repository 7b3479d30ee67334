//! One of a few values.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::{Field, SelectionOption};

/// Choices that are told one by one.
const MAX_CHOICES: usize = 30;

/// The key of a choice; its label too, where only one choice is called so.
pub(crate) fn coerce(field: &Field, value: Value) -> Result<Coerced, String> {
    let written = match &value {
        Value::String(text) => text.trim().to_owned(),
        // Keys are text, also those that are numbers, such as those of a priority.
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
            return Err(invalid_choice(field, &value));
        }
    };
    if field.selection.iter().any(|choice| *choice.key == *written) {
        return Ok(Coerced::from_written(&value, written.into()));
    }
    if field.selection.is_empty() && value.is_string() {
        // Some are made on the go, and told to nobody.
        return Ok(Coerced::plain(value));
    }
    let wanted = written.to_lowercase();
    let mut meant = field.selection.iter().filter(|choice| {
        choice.key.to_lowercase() == wanted || choice.label.to_lowercase() == wanted
    });
    match (meant.next(), meant.next()) {
        (Some(choice), None) => Ok(Coerced::from_written(&value, (*choice.key).into())),
        (None | Some(_), _) => Err(invalid_choice(field, &value)),
    }
}

fn invalid_choice(field: &Field, value: &Value) -> String {
    format!(
        "takes {}, not {}",
        choice_list(&field.selection),
        quoted(value)
    )
}

/// The choices, as they are told.
pub(crate) fn choice_list(choices: &[SelectionOption]) -> String {
    let mut told: Vec<String> = choices
        .iter()
        .take(MAX_CHOICES)
        .map(|choice| format!("`{}` ({})", choice.key, choice.label))
        .collect();
    if choices.len() > MAX_CHOICES {
        told.push(format!("or one of {} more", choices.len() - MAX_CHOICES));
    }
    match told.as_slice() {
        [] => "the key of a choice".to_owned(),
        [only] => only.clone(),
        [..] => format!("one of {}", told.join(", ")),
    }
}
