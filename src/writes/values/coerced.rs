//! A value that a field takes.

use serde_json::Value;

use super::LinkTarget;
use gatepost_odoo::ModelName;

/// A value in the form that Odoo takes, with what there is to say of it.
#[derive(Debug, PartialEq)]
pub(super) struct Coerced {
    pub(super) value: Value,
    /// How it was understood; reads on from the name of its place.
    pub(super) note: Option<String>,
    /// The record that it names.
    pub(super) link: Option<(ModelName, LinkTarget)>,
}

impl Coerced {
    /// The value as it was written.
    pub(super) fn plain(value: Value) -> Self {
        Self {
            value,
            note: None,
            link: None,
        }
    }

    /// A value that something was understood as.
    pub(super) fn with_note(value: Value, note: String) -> Self {
        Self {
            note: Some(note),
            ..Self::plain(value)
        }
    }

    /// A value with a note, if it is another than was written.
    pub(super) fn from_written(written: &Value, value: Value) -> Self {
        if *written == value {
            return Self::plain(value);
        }
        let note = format!("was read as {}", super::error::quoted(&value));
        Self::with_note(value, note)
    }
}
