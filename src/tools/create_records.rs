//! `create_records`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

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
use gatepost_odoo::{Call, Effect, FieldName, ModelName};
use gatepost_state::limits::ToolClass;

/// Records at the most.
const MAX_RECORDS: usize = 500;

pub(super) const TOOL: Tool = Tool {
    name: "create_records",
    title: "Create records",
    description: "Make new records of an Odoo model, all or none. Links take an id, or the name \
                  of exactly one record; lists of lines take objects. May answer with a preview.",
    effect: Effect::Create,
    class: ToolClass::Write,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async move {
            let wish = Wish::of(TOOL.name, arguments);
            let arguments: Arguments = parse(arguments)?;
            count("values", arguments.values.len(), MAX_RECORDS)?;
            changing::answer(access, &wish, &arguments).await
        })
    },
};

/// Arguments of `create_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `crm.lead`.
    model: ModelName,
    /// The values of each new record, such as `[{"name":"Azure: chairs","partner_id":14}]`; 1 to 500.
    #[schemars(with = "Vec<ObjectArgument>", extend("minItems" = 1, "maxItems" = 500))]
    values: Vec<Map<String, Value>>,
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
        access.may_change(&self.model, Effect::Create)?;
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let what = (&self.model, Effect::Create);
        let prepared = changes::prepare(access, what, self.values.clone(), &context).await?;
        let schema = access.schema(&self.model).await?;
        let show = Show {
            schema: &schema,
            names: &prepared.names,
        };
        let count = prepared.values.len();
        let records = counted(count, "record");
        // The first is where Odoo puts what says nothing else.
        let place = match companies.as_slice() {
            [company, _, ..] => format!(" (company {company} where the values name none)"),
            [] | [_] => String::new(),
        };
        let language = changing::language(&context);
        let mut preview = format!("Create {records} of {}{place}{language}:\n", self.model);
        preview.push_str(&show.new_records(&prepared.values));
        changing::add_notes(&mut preview, &prepared.notes);
        let look = format!(
            "search_records of `{}` with `create_date` >= \"{}\" shows whether they are there",
            self.model,
            changing::odoo_time(Since::moment(Timestamp::now()).earliest())
        );
        let (notes, beside) = (prepared.understood(), prepared.names.looked_at());
        Ok(Proposal {
            calls: vec![Call::create(self.model.clone(), prepared.values).in_context(context)],
            preview,
            notes,
            beside,
            before: Shot::default(),
            undo: Some(Undo::Create),
            makes: Some(self.model.clone()),
            look,
        })
    }

    async fn find(&self, access: &Access<'_>, since: &Since) -> Result<Found, Denied> {
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let what = (&self.model, Effect::Create);
        let prepared = changes::prepare(access, what, self.values.clone(), &context).await?;
        changes::made_since(access, &self.model, &prepared.values, &context, since).await
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let count = done.ids.len();
        let records = counted(count, "record");
        let mut text = format!("Created {records} of {}:\n", self.model);
        let records = (&self.model, &*done.ids);
        let after = changing::look_new(access, records, &self.fields(), &context).await;
        match &after {
            Some(after) => {
                text.push_str(&Show::some_titles(&done.ids, after));
                changing::missing(&mut text, &done.ids, after);
            }
            None => text.push_str(&changing::ranges(&done.ids)),
        }
        notes::cover(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

impl Arguments {
    /// The fields that the values name.
    fn fields(&self) -> Vec<FieldName> {
        changing::field_names(self.values.iter().flat_map(Map::keys))
    }
}
