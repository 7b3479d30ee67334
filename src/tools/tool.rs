//! What a tool is: data for the listing, and a function that runs it.

use std::{borrow::Cow, collections::BTreeMap, future::Future, pin::Pin, sync::LazyLock};

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::{
    ALL, MAX_READ_BYTES, ToolError, ToolOutput, arguments::parse, client_arguments, post_message,
};
use crate::{
    access::OdooSession,
    telemetry::ChangeOutcome,
    writes::{RequestFingerprint, WriteOperation, WriteOutcome, execute},
};
use gatepost_base::text::bounded;
use gatepost_odoo::{MethodName, Operation};
use gatepost_state::limits::ToolClass;

/// A tool that a model can call.
#[derive(Debug)]
pub struct Tool {
    /// Its name, which is also the name of its file.
    pub name: &'static str,
    /// The name shown to people.
    pub title: &'static str,
    /// The description from which a model decides when to call it.
    pub description: &'static str,
    /// The most that it does. It is unknown to callers who may do this nowhere.
    pub operation: Operation,
    /// Whether it may change or delete what exists already (MCP, schema,
    /// `destructiveHint`).
    pub destructive: bool,
    /// Whether its response contains records, which count towards the caller's
    /// record budget. Tools that only count or describe stay available when
    /// that budget is spent, because they help to spend less. Write tools show
    /// existing records in their previews.
    pub returns_records: bool,
    /// The JSON Schema of its arguments.
    pub input_schema: fn() -> Schema,
    /// Runs it with its arguments in JSON; called by [`Tool::run`].
    pub(super) handler: for<'a> fn(&'static Self, &'a OdooSession<'a>, &'a str) -> ToolFuture<'a>,
}

/// A running tool.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = Result<ToolOutput, ToolError>> + Send + 'a>>;

impl Tool {
    /// The arguments as the client sent them, in the form of the tool's schema.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`] if they are no object.
    pub fn normalize<'a>(&self, arguments: &'a str) -> Result<Cow<'a, str>, ToolError> {
        static SCHEMAS: LazyLock<BTreeMap<&str, Schema>> = LazyLock::new(|| {
            let schemas = ALL.iter().map(|tool| (tool.name, (tool.input_schema)()));
            schemas.collect()
        });
        match SCHEMAS.get(self.name) {
            Some(schema) => client_arguments::normalize(schema, arguments),
            None => Ok(Cow::Borrowed(arguments)),
        }
    }

    /// Runs the tool with its arguments in JSON, as [`Tool::normalize`] returns them.
    pub fn run<'a>(
        &'static self,
        access: &'a OdooSession<'a>,
        arguments: &'a str,
    ) -> ToolFuture<'a> {
        (self.handler)(self, access, arguments)
    }

    /// The one method that it calls, if it is for one.
    pub fn only_method(&self) -> Option<MethodName> {
        (self.name == post_message::TOOL.name).then(|| MethodName::known("message_post"))
    }

    /// Whether it can call the method, if it is a tool that calls methods at all.
    pub fn calls(&self, method: &MethodName) -> bool {
        (method.as_str() == "message_post") == (self.name == post_message::TOOL.name)
    }

    /// The rate limit that its calls count towards.
    pub fn rate_class(&self) -> ToolClass {
        if self.operation.is_read() {
            ToolClass::Read
        } else {
            ToolClass::Write
        }
    }
}

/// The arguments of a tool that only reads.
pub(super) trait ReadTool: DeserializeOwned + JsonSchema + Send + 'static {
    /// Reads, and renders what was read for the model.
    fn read(
        self,
        access: &OdooSession<'_>,
    ) -> impl Future<Output = Result<String, ToolError>> + Send;
}

/// The arguments of a tool that changes records.
pub(super) trait WriteTool: DeserializeOwned + JsonSchema + Send + 'static {
    /// The change.
    type Operation: WriteOperation + Send;

    /// Checks the arguments as far as that is possible without Odoo.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`].
    fn into_operation(self) -> Result<Self::Operation, ToolError>;
}

/// The handler of a tool that only reads.
pub(super) fn run_read<'a, T: ReadTool>(
    _: &'static Tool,
    access: &'a OdooSession<'a>,
    arguments: &'a str,
) -> ToolFuture<'a> {
    Box::pin(async move {
        // Boxed: some of these futures are large.
        let text = Box::pin(parse::<T>(arguments)?.read(access)).await?;
        Ok(ToolOutput::Text(bounded(text, MAX_READ_BYTES)))
    })
}

/// The handler of a tool that changes records.
pub(super) fn run_write<'a, T: WriteTool>(
    tool: &'static Tool,
    access: &'a OdooSession<'a>,
    arguments: &'a str,
) -> ToolFuture<'a> {
    Box::pin(async move {
        let request = RequestFingerprint::of(tool.name, arguments);
        let operation = parse::<T>(arguments)?.into_operation()?;
        execute_write(access, &request, &operation).await
    })
}

/// Executes a change, or returns its preview.
pub(super) async fn execute_write(
    access: &OdooSession<'_>,
    request: &RequestFingerprint,
    operation: &impl WriteOperation,
) -> Result<ToolOutput, ToolError> {
    Ok(match execute(access, request, operation).await? {
        WriteOutcome::NeedsApproval(question) => ToolOutput::InputRequired(question),
        WriteOutcome::Applied(text) => ToolOutput::Change(ChangeOutcome::Applied, text),
        WriteOutcome::Previewed(text) => ToolOutput::Change(ChangeOutcome::Previewed, text),
        WriteOutcome::Unchanged(text) => ToolOutput::Change(ChangeOutcome::Unchanged, text),
        WriteOutcome::Repeated(text) => ToolOutput::Change(ChangeOutcome::Repeated, text),
    })
}
