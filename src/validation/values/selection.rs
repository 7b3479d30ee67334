//! Coerces the values of selections.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::{Field, SelectionOption};

/// Options that are shown.
const MAX_OPTIONS: usize = 30;

/// The key of an option, or its label if only one option has that label.
pub(crate) fn coerce(field: &Field, value: Value) -> Result<Coerced, String> {
    let written = match &value {
        Value::String(text) => text.trim().to_owned(),
        // Keys are text even if they look like numbers, such as those of a priority.
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => {
            return Err(invalid_option(field, &value));
        }
    };
    if field.selection.iter().any(|option| *option.key == *written) {
        return Ok(Coerced::from_written(&value, written.into()));
    }
    if field.selection.is_empty() && value.is_string() {
        // Some options are computed, and Odoo does not return them.
        return Ok(Coerced::plain(value));
    }
    let wanted = written.to_lowercase();
    let mut matching = field.selection.iter().filter(|option| {
        option.key.to_lowercase() == wanted || option.label.to_lowercase() == wanted
    });
    match (matching.next(), matching.next()) {
        (Some(option), None) => Ok(Coerced::from_written(&value, (*option.key).into())),
        (None | Some(_), _) => Err(invalid_option(field, &value)),
    }
}

fn invalid_option(field: &Field, value: &Value) -> String {
    format!(
        "takes {}, not {}",
        option_list(&field.selection),
        quoted(value)
    )
}

/// The options as text.
pub(crate) fn option_list(options: &[SelectionOption]) -> String {
    let mut texts: Vec<String> = options
        .iter()
        .take(MAX_OPTIONS)
        .map(|option| format!("`{}` ({})", option.key, option.label))
        .collect();
    if options.len() > MAX_OPTIONS {
        texts.push(format!("or one of {} more", options.len() - MAX_OPTIONS));
    }
    match texts.as_slice() {
        [] => "the key of an option".to_owned(),
        [only] => only.clone(),
        [..] => format!("one of {}", texts.join(", ")),
    }
}
