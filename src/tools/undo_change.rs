//! `undo_change`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Tool, ToolError,
    arguments::{parse, schema_of},
    write_support,
};
use crate::writes::{RequestFingerprint, UndoOperation};
use gatepost_odoo::Operation;
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "undo_change",
    title: "Undo a change",
    description: "Take back a change that you made, while the records are as it left them: old \
                  values are written back, new records deleted, deleted ones made again as far as \
                  Odoo allows. Later changes first. May answer with a preview.",
    operation: Operation::Write,
    rate_class: ToolClass::Write,
    input_schema: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async move {
            let wish = RequestFingerprint::of(TOOL.name, arguments);
            let arguments: Arguments = parse(arguments)?;
            let change = UndoOperation::parse(&arguments.change).map_err(|error| {
                ToolError::InvalidArguments(format!("argument `change` does not fit: {error}"))
            })?;
            write_support::run_write(access, &wish, &change).await
        })
    },
};

/// Arguments of `undo_change`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Its name, from the answer of the tool that made it.
    change: String,
    /// Your name for this call, to repeat it.
    #[serde(default, rename = "idempotency_key")]
    #[schemars(with = "String")]
    _idempotency_key: Option<String>,
    /// From the preview.
    #[serde(default, rename = "confirm")]
    #[schemars(with = "String")]
    _confirm: Option<String>,
}
