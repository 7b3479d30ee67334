//! The tool `undo_change`.

use super::{
    Tool, ToolError,
    arguments::{schema_of, write_arguments},
    tool::{WriteTool, run_write},
};
use crate::writes::UndoOperation;
use gatepost_odoo::Operation;

pub(super) const TOOL: Tool = Tool {
    name: "undo_change",
    title: "Undo a change",
    description: "Undo a change that you made, if its records have not changed since: old \
                  values are restored, new records deleted, deleted ones created again as far as \
                  Odoo allows. Undo later changes first. May return a preview first.",
    operation: Operation::Write,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `undo_change`.
    struct Arguments {
        /// The change ID from the result of the tool that made it.
        change: String,
    }
}

impl WriteTool for Arguments {
    type Operation = UndoOperation;

    fn into_operation(self) -> Result<UndoOperation, ToolError> {
        UndoOperation::parse(&self.change).map_err(|error| {
            ToolError::InvalidArguments(format!("invalid argument `change`: {error}"))
        })
    }
}
