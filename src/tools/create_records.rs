//! `create_records`.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Tool,
    arguments::{ObjectArgument, count, parse, schema_of},
    changing, notes,
};
use crate::{
    access::{Access, ContextRequest, Denied},
    changes::{self, Change, Done, Found, Proposal, Report, Shot, Show, Undo, Wish},
    limits::ToolClass,
    odoo::{
        Call, Condition, Domain, Effect, FieldName, FieldPath, ModelName, Operand, Operator, Order,
        RecordId, Schema,
    },
};

/// Records at the most.
const MAX_RECORDS: usize = 500;
/// How far Odoo's clock may be from ours.
const CLOCKS_APART_MIN: i64 = 5;
/// How long after it was begun a record may have been made: the clocks, the wait
/// for a turn, and Odoo at work.
const UNTIL_MIN: i64 = 10;

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
        let plural = if count == 1 { "record" } else { "records" };
        // The first is where Odoo puts what says nothing else.
        let place = match companies.as_slice() {
            [company, _, ..] => format!(" (company {company} where the values name none)"),
            [] | [_] => String::new(),
        };
        let mut preview = format!("Create {count} {plural} of {}{place}:\n", self.model);
        preview.push_str(&show.new_records(&prepared.values));
        changing::add_notes(&mut preview, &prepared.notes);
        let look = format!(
            "search_records of `{}` with `create_date` >= \"{}\" shows whether they are there",
            self.model,
            changing::odoo_time(Timestamp::now())
        );
        Ok(Proposal {
            calls: vec![Call::create(self.model.clone(), prepared.values).in_context(context)],
            preview,
            before: Shot::default(),
            undo: Some(Undo::Create),
            look,
        })
    }

    /// Records that our Odoo user made around then. With these very values, and
    /// just as many, they are those; where there is none at all, none was made.
    /// All else is unclear: Odoo may have put a value in a form of its own, and
    /// others may act as the same Odoo user.
    async fn find(&self, access: &Access<'_>, begun: Timestamp) -> Result<Found, Denied> {
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let user = access.user().await?;
        let around = |minutes: i64| {
            let moment = begun.checked_add(minutes.minutes());
            changing::odoo_time(moment.unwrap_or(begun))
        };
        let made_by_us = Domain::parse(&json!([
            ["create_uid", "=", user.id.get()],
            ["create_date", ">=", around(-CLOCKS_APART_MIN)],
            ["create_date", "<=", around(UNTIL_MIN)],
        ]))
        .map_err(|error| Denied::Unfit(error.to_string()))?;
        let fields = [FieldName::known("id"), FieldName::known("create_date")];
        let search = |domain: &Domain| {
            let most = u32::try_from(MAX_RECORDS + 1).unwrap_or(u32::MAX);
            Call::search_read(
                self.model.clone(),
                domain,
                &fields,
                &Order::by_id(),
                0,
                most,
            )
            .in_context(context.clone())
        };
        let made = candidates(&access.call(search(&made_by_us)).await?)?;
        if made.is_empty() {
            return Ok(Found::Not);
        }
        let ids: Vec<RecordId> = made.keys().copied().collect();
        let unclear = Found::Unclear(format!(
            "these records of `{}` were made around then by the same Odoo user: {}. Read them.",
            self.model,
            changing::numbers(&ids)
        ));
        let what = (&self.model, Effect::Create);
        let prepared = changes::prepare(access, what, self.values.clone(), &context).await?;
        let schema = access.schema(&self.model).await?;
        let mut found = BTreeMap::new();
        for values in &prepared.values {
            let Some(domain) = with_values(&schema, values, made_by_us.clone()) else {
                return Ok(unclear);
            };
            let theirs = candidates(&access.call(search(&domain)).await?)?;
            if theirs.is_empty() {
                return Ok(unclear);
            }
            found.extend(theirs);
        }
        // An equal one from just before is another's, or of another call.
        let began = begun
            .checked_sub(2.seconds())
            .map(changing::odoo_time)
            .unwrap_or_default();
        let earlier = found.values().any(|created| *created < began);
        if earlier || found.len() != prepared.values.len() {
            return Ok(unclear);
        }
        Ok(Found::Done(found.into_keys().collect()))
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let count = done.ids.len();
        let plural = if count == 1 { "record" } else { "records" };
        let mut text = format!("Created {count} {plural} of {}:\n", self.model);
        let records = (&self.model, &*done.ids);
        let after = changing::look_whole(access, records, &self.fields(), &context).await;
        match &after {
            Some(after) => {
                text.push_str(&Show::titles(&done.ids, after));
                changing::missing(&mut text, &done.ids, after);
            }
            None => text.push_str(&changing::numbers(&done.ids)),
        }
        notes::cover(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

/// The records in an answer, each with when it was made.
fn candidates(answer: &[u8]) -> Result<BTreeMap<RecordId, String>, Denied> {
    #[derive(Deserialize)]
    struct Row {
        id: RecordId,
        create_date: String,
    }
    let rows: Vec<Row> = serde_json::from_slice(answer)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.create_date))
        .collect())
}

/// The domain, and that the records have these values; none where no value can
/// be searched for.
fn with_values(schema: &Schema, values: &Map<String, Value>, mut domain: Domain) -> Option<Domain> {
    let mut told = false;
    for (name, value) in values {
        if let Some(field) = schema.field(name)
            && changes::can_be_searched(field, value)
            && let Ok(path) = FieldPath::try_from(name.as_str())
        {
            told = true;
            domain = domain.and(Domain::of(Condition {
                path,
                operator: Operator::Equal,
                operand: Operand::Value(value.clone()),
            }));
        }
    }
    told.then_some(domain)
}

impl Arguments {
    /// The fields that the values name.
    fn fields(&self) -> Vec<FieldName> {
        changing::field_names(self.values.iter().flat_map(Map::keys))
    }
}
