//! `undo_change`.

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
    description: "Take back a change that you made, while the records are as it left them: old \
                  values are written back, new records deleted, deleted ones made again as far as \
                  Odoo allows. Later changes first. May answer with a preview.",
    operation: Operation::Write,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `undo_change`.
    struct Arguments {
        /// Its name, from the answer of the tool that made it.
        change: String,
    }
}

impl WriteTool for Arguments {
    type Operation = UndoOperation;

    fn into_operation(self) -> Result<UndoOperation, ToolError> {
        UndoOperation::parse(&self.change).map_err(|error| {
            ToolError::InvalidArguments(format!("argument `change` does not fit: {error}"))
        })
    }
}
