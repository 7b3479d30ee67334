//! The commands on lists of records.

use serde_json::{Map, Value};

use super::{error::quoted, number::whole};
use gatepost_odoo::RecordId;

/// A command with everything that it needs.
pub(crate) enum X2manyCommand {
    Clear,
    Create(Map<String, Value>),
    /// Deletes (2), unlinks (3) or links (4) one record.
    Existing(u8, RecordId),
    Set(Vec<Value>),
    Update(RecordId, Map<String, Value>),
}

impl X2manyCommand {
    /// The command, if it is one and has nothing that Odoo would ignore.
    pub(crate) fn parse(command: &Value) -> Option<Self> {
        let parts = command.as_array().filter(|parts| parts.len() <= 3)?;
        let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
        let integer = |value: &Value| match value {
            Value::Number(number) => whole(number),
            Value::Array(_) | Value::Bool(_) | Value::Null => None,
            Value::Object(_) | Value::String(_) => None,
        };
        let id = || RecordId::try_from(i64::from(integer(part(1))?)).ok();
        let values = || part(2).as_object().cloned();
        match integer(part(0))? {
            // The web client puts virtual ids in the second place.
            0 if is_unused_part(part(1)) || part(1).is_string() => values().map(Self::Create),
            1 => Some(Self::Update(id()?, values()?)),
            2 if is_unused_part(part(2)) => Some(Self::Existing(2, id()?)),
            3 if is_unused_part(part(2)) => Some(Self::Existing(3, id()?)),
            4 if is_unused_part(part(2)) => Some(Self::Existing(4, id()?)),
            5 if is_unused_part(part(1)) && is_unused_part(part(2)) => Some(Self::Clear),
            6 if is_unused_part(part(1)) => part(2).as_array().cloned().map(Self::Set),
            _ => None,
        }
    }
}

/// Whether a value fills a part of a command that is not used.
fn is_unused_part(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => !truth,
        Value::Null => true,
        Value::Number(number) => whole(number) == Some(0),
        Value::Array(_) | Value::Object(_) | Value::String(_) => false,
    }
}

pub(crate) fn invalid_command_error(command: &Value) -> String {
    format!(
        "is not a command: {}; write `[0, 0, {{…}}]` to create, `[1, id, {{…}}]` to change, `[2, id]` to \
         delete, `[3, id]` to unlink, `[4, id]` to link, `[5]` to empty, `[6, 0, [ids]]` to set",
        quoted(command)
    )
}
