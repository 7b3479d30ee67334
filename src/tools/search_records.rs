//! The tool `search_records`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::{parse_limit, schema_of},
    footer,
    tool::{ReadTool, run_read},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError},
    render::{self, Detail, Rows, SearchPage},
    validation::{fields_to_show, validate_order},
};
use gatepost_base::text::CUT_MARK;
use gatepost_odoo::{Call, Domain, FieldName, ModelName, Operation, Order};

/// The default for `limit`.
const DEFAULT_LIMIT: u32 = 20;
/// The maximum for `limit`.
const MAX_LIMIT: u32 = 200;

pub(super) const TOOL: Tool = Tool {
    name: "search_records",
    title: "Search records",
    description: "Find records of an Odoo model and show them as a table, 20 at a time. \
                  Name the fields you need; by default the most useful ones are shown. \
                  If there are more records, the result ends with a cursor.",
    operation: Operation::Read,
    destructive: false,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `search_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// Odoo domain, such as `[["is_company","=",true],["name","ilike","azure"]]`; "|", "&", "!" precede what they combine. Default: all records.
    #[serde(default)]
    #[schemars(with = "Vec<Vec<String>>")]
    domain: Domain,
    /// Technical names of fields, such as `["name","email"]`; without dots.
    #[serde(default)]
    fields: Vec<FieldName>,
    /// How many records, 1 to 200. Default 20.
    #[schemars(extend("minimum" = 1, "maximum" = 200))]
    limit: Option<i64>,
    /// Such as `date_order desc, id`.
    #[serde(default)]
    #[schemars(with = "String")]
    order: Order,
    /// The cursor of the previous page, with all other arguments unchanged.
    cursor: Option<String>,
    /// Whether to include archived records.
    #[serde(default)]
    archived: bool,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    context: Option<ContextRequest>,
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            domain,
            fields,
            limit,
            order,
            cursor,
            archived,
            context,
        } = self;
        let limit = parse_limit(limit, DEFAULT_LIMIT, MAX_LIMIT)?;
        let model_access = access.model_access(&model).await?;
        let columns = fields_to_show(&model_access, &model, &fields)?;
        let schema = model_access.visible();
        validate_order(schema, &model, &order, |model| access.may_read(model))?;
        let order = order.with_id_tiebreaker();
        let domain = access.validate_domain(&model, domain).await?;
        let (context, companies) = access.context(context.as_ref(), archived).await?;

        // What a cursor is bound to.
        let search = || {
            let domain = domain.to_json();
            format!("{model}\n{domain}\n{order}\n{columns:?}\n{context:?}")
        };
        let page = match cursor.as_deref() {
            Some(cursor) if !cursor.is_empty() => SearchPage::parse(cursor, search().as_bytes())?,
            _ => SearchPage::start(),
        };
        // One more than shown reveals whether there is a next page, without a count.
        let reading = access
            .read_tolerantly(&columns, |fields| {
                Call::search_read(
                    model.clone(),
                    &domain,
                    fields,
                    &order,
                    page.offset,
                    limit + 1,
                )
                .in_context(context.clone())
            })
            .await?;
        let shown = without_unreadable(&columns, &reading.unreadable_fields);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (found, more, rendered) = render::off_worker(reading.size(), || {
            let mut rows = merge_responses(&reading.responses)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let rendered = render::table(&rows, schema, &shown, Detail::List, MAX_OUTPUT_BYTES);
            Ok::<_, OperationError>((rows.len(), more, rendered))
        })?;

        let mut text = String::new();
        if found == 0 {
            footer::append_line(
                &mut text,
                if page.offset == 0 {
                    "No record matches."
                } else {
                    "There are no more records."
                },
            );
        } else {
            let plural = if rendered.shown == 1 {
                "record"
            } else {
                "records"
            };
            text = rendered.text;
            let is_cut = text.contains(CUT_MARK);
            if more || rendered.shown < found {
                let cut = if rendered.shown < found {
                    " (result too long; name fewer fields to see more)"
                } else {
                    ""
                };
                footer::append_line(
                    &mut text,
                    &format!(
                        "{} {plural} shown{cut}, there are more; next page: cursor `{}`",
                        rendered.shown,
                        page.next_cursor(rendered.shown, search().as_bytes())
                    ),
                );
            } else {
                footer::append_line(&mut text, &format!("{} {plural}, no more.", rendered.shown));
            }
            if is_cut {
                footer::append_line(&mut text, "Long texts are cut; read_records shows more.");
            }
        }
        footer::append_unreadable_fields(&mut text, &reading.unreadable_fields);
        if found == 0 {
            footer::append_coverage(&mut text, &companies, archived);
        } else {
            footer::append_footer(&mut text, access, &model, &companies, archived);
        }
        Ok(text)
    }
}

/// Merges the rows of several responses about the same records.
pub(super) fn merge_responses(answers: &[bytes::Bytes]) -> Result<Rows<'_>, OperationError> {
    let mut answers = answers.iter();
    let Some(first) = answers.next() else {
        return Ok(Rows::parse(b"[]")?);
    };
    let mut rows = Rows::parse(first)?;
    for other in answers {
        rows.merge(Rows::parse(other)?);
    }
    Ok(rows)
}

/// The columns that could be read.
pub(super) fn without_unreadable(
    columns: &[FieldName],
    unreadable: &[FieldName],
) -> Vec<FieldName> {
    columns
        .iter()
        .filter(|name| !unreadable.contains(name))
        .cloned()
        .collect()
}
