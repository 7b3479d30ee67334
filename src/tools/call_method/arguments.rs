//! The arguments of `call_method`.

use serde_json::{Map, Value};

use crate::{
    access::ContextRequest,
    tools::{
        Tool, ToolError,
        arguments::{ObjectArgument, dedup_ids, schema_of, write_arguments},
        tool::{WriteTool, run_write},
    },
};
use gatepost_odoo::{MethodName, ModelName, Operation, RecordId};

/// The maximum number of records.
pub(super) const MAX_RECORDS: usize = 200;

/// The maximum number of arguments of a method.
const MAX_ARGUMENTS: usize = 100;

pub(in crate::tools) const TOOL: Tool = Tool {
    name: "call_method",
    title: "Call a method",
    description: "Call a method that does what a button does, such as action_confirm of sale.order; \
                  describe_model lists those open to you. Cannot be undone. May return a preview first.",
    operation: Operation::Call,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `call_method`.
    pub(super) struct Arguments {
        /// Such as `sale.order`.
        pub(super) model: ModelName,
        /// Such as `action_confirm`.
        pub(super) method: MethodName,
        /// The records, at most 200; none for a method of the model itself.
        #[serde(default)]
        #[schemars(extend("maxItems" = 200))]
        pub(super) ids: Vec<RecordId>,
        /// By name, such as `{"partner_ids":[14]}`.
        #[serde(default, rename = "arguments")]
        #[schemars(with = "ObjectArgument")]
        pub(super) given: Map<String, Value>,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        pub(super) context: Option<ContextRequest>,
    }
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(mut self) -> Result<Self, ToolError> {
        if self.ids.len() > MAX_RECORDS {
            return Err(ToolError::InvalidArguments(format!(
                "invalid argument `ids`: give at most {MAX_RECORDS}, not {}",
                self.ids.len()
            )));
        }
        if self.given.len() > MAX_ARGUMENTS {
            return Err(ToolError::InvalidArguments(format!(
                "invalid argument `arguments`: a method takes at most {MAX_ARGUMENTS} arguments, not {}",
                self.given.len()
            )));
        }
        dedup_ids(&mut self.ids);
        Ok(self)
    }
}
