//! One call of a method.

use serde_json::{Map, Value};

use super::{database::Database, error::FakeOdooError, session::Session, table::Table};

/// A call of a method; `ids` and `context` are taken out of its arguments.
pub(super) struct Invocation<'a> {
    /// The records as they were when the call began.
    pub(super) database: &'a Database,
    pub(super) session: &'a Session,
    pub(super) table: &'a Table,
    pub(super) ids: Vec<u32>,
    pub(super) arguments: &'a Map<String, Value>,
}

impl<'a> Invocation<'a> {
    /// An argument; `None` if it is missing or null.
    pub(super) fn argument(&self, name: &str) -> Option<&'a Value> {
        self.arguments.get(name).filter(|value| !value.is_null())
    }

    /// An argument that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.argument(name)?.as_str()
    }

    /// The id of its only record (`ensure_one`).
    pub(super) fn only_id(&self) -> Result<u32, FakeOdooError> {
        if let [id] = self.ids.as_slice() {
            return Ok(*id);
        }
        let shown: Vec<String> = self.ids.iter().map(u32::to_string).collect();
        Err(FakeOdooError::value_error(format!(
            "Expected singleton: {}({})",
            self.table.model,
            shown.join(", ")
        )))
    }
}
