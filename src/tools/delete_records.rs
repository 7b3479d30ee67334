//! `delete_records`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Tool,
    arguments::{ObjectArgument, count, parse, schema_of},
    changing, notes,
};
use crate::{
    access::{Access, ContextRequest, Denied},
    changes::{self, Change, Done, Found, Proposal, Report, Shot, Show, Since, Undo, Wish},
};
use gatepost_base::text::counted;
use gatepost_odoo::{Call, Effect, ModelName, RecordId};
use gatepost_state::limits::ToolClass;

/// Records at the most.
const MAX_RECORDS: usize = 200;

pub(super) const TOOL: Tool = Tool {
    name: "delete_records",
    title: "Delete records",
    description: "Delete Odoo records for good, with the lines that belong to them, all or none. \
                  Often archiving is better: update_records with `active` false. May answer with a preview.",
    effect: Effect::Delete,
    class: ToolClass::Write,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async move {
            let wish = Wish::of(TOOL.name, arguments);
            let mut arguments: Arguments = parse(arguments)?;
            count("ids", arguments.ids.len(), MAX_RECORDS)?;
            changing::once_each(&mut arguments.ids);
            changing::answer(access, &wish, &arguments).await
        })
    },
};

/// Arguments of `delete_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `crm.lead`.
    model: ModelName,
    /// Such as `[7, 12]`; 1 to 200.
    #[schemars(extend("minItems" = 1, "maxItems" = 200))]
    ids: Vec<RecordId>,
    /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
    #[serde(default)]
    #[schemars(with = "ObjectArgument")]
    context: Option<ContextRequest>,
    /// Your name for this call, to repeat it.
    #[serde(default, rename = "idempotency_key")]
    #[schemars(with = "String")]
    _idempotency_key: Option<String>,
    /// From the preview.
    #[serde(default, rename = "confirm")]
    #[schemars(with = "String")]
    _confirm: Option<String>,
}

impl Change for Arguments {
    async fn propose(&self, access: &Access<'_>) -> Result<Proposal, Denied> {
        access.may_change(&self.model, Effect::Delete)?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let schema = access.schema_of_all(&self.model).await?;
        let records = (&self.model, &*self.ids);
        let before = Shot::of_all(access, records, &changes::looked_at(&schema), &context).await?;
        let count = self.ids.len();
        let records = counted(count, "record");
        let mut preview = format!("Delete {records} of {} for good:\n", self.model);
        preview.push_str(&Show::titles(&self.ids, &before));
        for told in changes::dependants(access, &schema, &before, &context).await? {
            notes::line(&mut preview, &told);
        }
        let look = format!(
            "read_records of `{}` with ids {} shows whether they are still there",
            self.model,
            changing::numbers(&self.ids)
        );
        Ok(Proposal {
            calls: vec![Call::delete(self.model.clone(), &self.ids).in_context(context)],
            preview,
            before,
            undo: Some(Undo::Delete),
            makes: None,
            look,
            ..Proposal::default()
        })
    }

    async fn find(&self, access: &Access<'_>, _: &Since) -> Result<Found, Denied> {
        changes::gone(access, &self.model, &self.ids).await
    }

    async fn report(&self, _: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let count = done.ids.len();
        let records = counted(count, "record");
        Ok(Report {
            text: format!(
                "Deleted {records} of {}: {}",
                self.model,
                changing::ranges(&done.ids)
            ),
            after: None,
        })
    }
}
