//! `update_records`.

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
    changes::{
        self, Change, Done, Found, Prepared, Proposal, Report, Shot, Show, Since, Undo, Wish,
        can_be_given_back, not_as_written,
    },
};
use gatepost_base::text::counted;
use gatepost_odoo::{Call, Effect, FieldName, ModelName, RecordId};
use gatepost_state::limits::ToolClass;

/// Records at the most.
const MAX_RECORDS: usize = 500;
/// Records of which it is told what Odoo did not take.
const MAX_TOLD: usize = 20;

pub(super) const TOOL: Tool = Tool {
    name: "update_records",
    title: "Update records",
    description: "Change fields of Odoo records, the same values for all ids, all or none. \
                  May answer with a preview.",
    effect: Effect::Write,
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

/// Arguments of `update_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `crm.lead`.
    model: ModelName,
    /// Such as `[7, 12]`; 1 to 500.
    #[schemars(extend("minItems" = 1, "maxItems" = 500))]
    ids: Vec<RecordId>,
    /// The new values, such as `{"user_id":6,"date_deadline":"2026-12-24"}`; `null` empties a field.
    #[schemars(with = "ObjectArgument")]
    values: Map<String, Value>,
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
        access.may_change(&self.model, Effect::Write)?;
        if self.values.is_empty() {
            return Err(Denied::Unfit(
                "argument `values` does not fit: it names no field".to_owned(),
            ));
        }
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let (before, mut prepared) = self.prepared(access, &context).await?;
        let schema = access.schema(&self.model).await?;
        let values = prepared.values.pop().unwrap_or_default();
        let mut names = std::mem::take(&mut prepared.names);
        let listed = (&values, &before);
        changes::name_listed(access, &schema, listed, &mut names, &context).await?;
        let show = Show {
            schema: &schema,
            names: &names,
        };
        let count = self.ids.len();
        let records = counted(count, "record");
        let language = changing::language(&context);
        let mut preview = format!("Update {records} of {}{language}:\n", self.model);
        preview.push_str(&show.updates(&self.ids, &before, &values));
        let fields = self.fields();
        let undo = fields.iter().any(|name| {
            let field = schema.field(name.as_str());
            let value = values.get(name.as_str());
            field
                .zip(value)
                .is_some_and(|(field, value)| can_be_given_back(field, value))
        });
        let mut notes = prepared.understood();
        if !undo {
            notes.push("what this changes cannot be undone here".to_owned());
        }
        changing::add_notes(&mut preview, &notes);
        let look = format!(
            "read_records of `{}` with ids {} and fields {} shows whether it was done",
            self.model,
            changing::numbers(&self.ids),
            changing::quoted(&fields)
        );
        Ok(Proposal {
            calls: vec![Call::write(self.model.clone(), &self.ids, values).in_context(context)],
            preview,
            notes,
            before,
            beside: names.looked_at(),
            undo: undo.then_some(Undo::Update(fields)),
            makes: None,
            look,
        })
    }

    async fn find(&self, access: &Access<'_>, since: &Since) -> Result<Found, Denied> {
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let (now, prepared) = match self.prepared(access, &context).await {
            Ok(known) => known,
            // It may have deleted what its commands name.
            Err(Denied::Unfit(_)) => {
                return Ok(Found::Unclear(format!(
                    "what it was to write does not fit the records as they are now, which may be its own doing. read_records of `{}` with ids {} shows them.",
                    self.model,
                    changing::numbers(&self.ids)
                )));
            }
            Err(denied) => return Err(denied),
        };
        let values = prepared.values.into_iter().next().unwrap_or_default();
        let schema = access.schema(&self.model).await?;
        let as_wished = self.ids.iter().all(|id| {
            now.row(*id)
                .is_some_and(|row| not_as_written(&schema, &values, row).is_empty())
        });
        if as_wished && changing::can_be_compared(&schema, &values) {
            return Ok(Found::Done(self.ids.clone()));
        }
        // Other values prove nothing: Odoo puts some in a form of its own, and
        // others may have written since. What nobody wrote was not written.
        let untouched = since.left_alone(&now, &self.ids);
        if untouched {
            return Ok(Found::Not);
        }
        Ok(Found::Unclear(format!(
            "read_records of `{}` with ids {} and fields {} shows how they are now.",
            self.model,
            changing::numbers(&self.ids),
            changing::quoted(&self.fields())
        )))
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let count = done.ids.len();
        let records = counted(count, "record");
        let mut text = format!("Updated {records} of {}:\n", self.model);
        let records = (&self.model, &*done.ids);
        let after = changing::look_whole(access, records, &self.fields(), &context).await;
        match &after {
            Some(after) => {
                text.push_str(&Show::some_titles(&done.ids, after));
                changing::missing(&mut text, &done.ids, after);
                self.tell_what_odoo_did_not_take(access, &mut text, after, &context)
                    .await?;
            }
            None => text.push_str(&changing::ranges(&done.ids)),
        }
        notes::cover(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

impl Arguments {
    fn fields(&self) -> Vec<FieldName> {
        changing::field_names(self.values.keys())
    }

    /// How the records are, and the values as they would be written.
    async fn prepared(
        &self,
        access: &Access<'_>,
        context: &gatepost_odoo::Context,
    ) -> Result<(Shot, Prepared), Denied> {
        let records = (&self.model, &*self.ids);
        let values = self.values.clone();
        let prepared = changes::prepare_update(access, records, values, context).await?;
        let now = Shot::of_all(access, records, &self.fields(), context).await?;
        Ok((now, prepared))
    }

    /// Odoo answers `true` also where it keeps what it had.
    async fn tell_what_odoo_did_not_take(
        &self,
        access: &Access<'_>,
        text: &mut String,
        after: &Shot,
        context: &gatepost_odoo::Context,
    ) -> Result<(), Denied> {
        let what = (&self.model, Effect::Write);
        let schema = access.schema(&self.model).await?;
        let mut values = self.values.clone();
        // Commands may name records that they deleted.
        values.retain(|name, _| {
            let field = schema.field(name);
            field.is_none_or(|field| !field.kind.is_x2many())
        });
        let prepared = changes::prepare(access, what, vec![values], context).await?;
        let Some(values) = prepared.values.first() else {
            return Ok(());
        };
        let mut told = 0;
        for (id, row) in after.rows() {
            let other = not_as_written(&schema, values, row);
            if !other.is_empty() {
                told += 1;
                if told > MAX_TOLD {
                    continue;
                }
                let show = Show {
                    schema: &schema,
                    names: &prepared.names,
                };
                let now: Vec<String> = other
                    .iter()
                    .filter_map(|name| {
                        let value = show.value(schema.field(name), row.get(*name)?);
                        Some(format!("{name} is {value}"))
                    })
                    .collect();
                notes::line(
                    text,
                    &format!(
                        "Odoo did not take all of it: of [{id}] {}. Another rule of Odoo sets it, or somebody changed it at the same moment; tell the user.",
                        now.join(", ")
                    ),
                );
            }
        }
        if told > MAX_TOLD {
            let rest = told - MAX_TOLD;
            notes::line(text, &format!("and of {rest} more records neither."));
        }
        Ok(())
    }
}
