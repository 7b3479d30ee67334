//! The arguments of `import_records`.

use tokio::sync::OnceCell;

use super::operation::ImportOperation;
use crate::{
    access::{ContextRequest, OdooSession},
    tools::{
        Tool, ToolError, ToolOutput,
        arguments::{TextCell, check_count, parse, schema_of, write_arguments},
        tool::execute_write,
    },
    writes::RequestFingerprint,
};
use gatepost_odoo::{Load, ModelName, Operation};

/// The maximum number of rows.
const MAX_ROWS: usize = 1_000;

pub(in crate::tools) const TOOL: Tool = Tool {
    name: "import_records",
    title: "Import records",
    description: "Create or update many records from a table, all or none, as Odoo's own import does. \
                  Rows with a known `id` (external id of your choice) or `.id` update that record. \
                  An empty cell clears the field. Further lines of a record are rows with only \
                  the cells of these lines. May return a preview first.",
    operation: Operation::Create,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: |tool, access, arguments| Box::pin(run(tool, access, arguments)),
};

write_arguments! {
    /// Arguments of `import_records`.
    struct Arguments {
        /// The model, such as `res.partner`.
        model: ModelName,
        /// Such as `["id","name","country_id/id","parent_id/.id","child_ids/name"]`.
        fields: Vec<String>,
        /// 1 to 1000 rows with a text for each column.
        #[schemars(with = "Vec<Vec<String>>", extend("minItems" = 1, "maxItems" = 1000))]
        rows: Vec<Vec<TextCell>>,
        /// Only test: Odoo checks all rows and rolls everything back.
        #[serde(default)]
        dry_run: bool,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

async fn run(
    tool: &'static Tool,
    access: &OdooSession<'_>,
    arguments: &str,
) -> Result<ToolOutput, ToolError> {
    let request = RequestFingerprint::of(tool.name, arguments);
    let arguments: Arguments = parse(arguments)?;
    check_count("rows", arguments.rows.len(), MAX_ROWS)?;
    let cells = |row: Vec<TextCell>| row.into_iter().map(|cell| cell.0).collect();
    let rows = arguments.rows.into_iter().map(cells).collect();
    let load = Load::new(&arguments.fields, rows)
        .map_err(|error| ToolError::InvalidArguments(format!("invalid table: {error}")))?;
    let import = ImportOperation {
        model: arguments.model,
        load,
        context: arguments.context,
        has_confirm_token: request.confirm_token.is_some(),
        dry_run_result: OnceCell::new(),
    };
    if arguments.dry_run {
        return Ok(import.dry_run(access).await?.into());
    }
    execute_write(access, &request, &import).await
}
