//! A value in the form that Odoo accepts.

use serde_json::Value;

use super::LinkTarget;
use gatepost_odoo::ModelName;

/// A value in the form that Odoo accepts.
#[derive(Debug, PartialEq)]
pub(crate) struct Coerced {
    pub(crate) value: Value,
    /// How it was understood; continues the path of the value.
    pub(crate) note: Option<String>,
    /// The record that it links to.
    pub(crate) link: Option<(ModelName, LinkTarget)>,
}

impl Coerced {
    /// The value as it was written.
    pub(crate) fn plain(value: Value) -> Self {
        Self {
            value,
            note: None,
            link: None,
        }
    }

    /// A value with a note.
    pub(crate) fn with_note(value: Value, note: String) -> Self {
        Self {
            note: Some(note),
            ..Self::plain(value)
        }
    }

    /// A value, with a note if it differs from what was written.
    pub(crate) fn from_written(written: &Value, value: Value) -> Self {
        if *written == value {
            return Self::plain(value);
        }
        let note = format!("was read as {}", super::error::quoted(&value));
        Self::with_note(value, note)
    }
}
