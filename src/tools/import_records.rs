//! `import_records`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{
    Answer, Tool, ToolError,
    arguments::{ObjectArgument, TextCell, count, parse, schema_of},
    changing, notes,
};
use crate::{
    access::{Access, ContextRequest, Denied, WayToAsk},
    changes::{self, Change, Done, Found, Proposal, Report, Shot, Show, Since, Undo, Wish},
};
use gatepost_base::text::counted;
use gatepost_odoo::{
    Call, Context, Domain, Effect, FieldKind, FieldName, Load, ModelName, Order, RecordId, Says,
    Schema, cell_of, ids_in, value_of,
};
use gatepost_state::limits::ToolClass;

/// Rows at the most.
const MAX_ROWS: usize = 1_000;
/// Records that are named once they are there; of the others the ids.
const MAX_SHOWN: usize = 10;
/// Columns by which records that were made are known again.
const MAX_COMPARED: usize = 12;

pub(super) const TOOL: Tool = Tool {
    name: "import_records",
    title: "Import records",
    description: "Make or update many records from a table, all or none, as Odoo's own import does. \
                  Rows with a known `id` (external id of your choice) or `.id` update that record. \
                  An empty cell empties the field. Further lines of a record are rows with nothing \
                  but cells of lines. May answer with a preview.",
    effect: Effect::Create,
    class: ToolClass::Write,
    input: schema_of::<Arguments>,
    run: |access, arguments| Box::pin(run(access, arguments)),
};

/// Arguments of `import_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// Such as `["id","name","country_id/id","parent_id/.id","child_ids/name"]`.
    fields: Vec<String>,
    /// A text for each column, 1 to 1000 rows.
    #[schemars(with = "Vec<Vec<String>>", extend("minItems" = 1, "maxItems" = 1000))]
    rows: Vec<Vec<TextCell>>,
    /// Only try: Odoo checks all rows and takes everything back.
    #[serde(default)]
    dry_run: bool,
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
    confirm: Option<String>,
}

/// An import: a table for a model.
struct Import {
    model: ModelName,
    load: Load,
    context: Option<ContextRequest>,
    /// Whether the model brought back what was given out with a preview.
    confirmed: bool,
    /// What the trial showed; one is enough for a call.
    trial: OnceCell<bool>,
}

impl Plan {
    /// How it can be taken back: where all records are new, or all are known and
    /// keep their lines.
    fn undo(&self, fields: Vec<FieldName>) -> Option<Undo> {
        if self.named > 0 {
            None
        } else if self.known.is_empty() {
            Some(Undo::Create)
        } else {
            (self.known.len() == self.records && !self.lines).then_some(Undo::Update(fields))
        }
    }

    /// Whether the same rows again make the same of the same records.
    fn is_repeatable(&self) -> bool {
        !self.lines && self.known.len() + self.named == self.records
    }
}

/// A table that fits.
struct Prepared {
    call: Call,
    plan: Plan,
    schema: Schema,
    /// Whether Odoo looks links up by their names.
    by_name: bool,
}

/// What becomes of the records of a table.
struct Plan {
    /// Records in all.
    records: usize,
    /// Records that are named by their ids.
    known: Vec<RecordId>,
    /// Records with an external id.
    named: usize,
    /// Whether lines come with them.
    lines: bool,
}

async fn run(access: &Access<'_>, arguments: &str) -> Result<Answer, ToolError> {
    let wish = Wish::of(TOOL.name, arguments);
    let arguments: Arguments = parse(arguments)?;
    count("rows", arguments.rows.len(), MAX_ROWS)?;
    let cells = |row: Vec<TextCell>| row.into_iter().map(|cell| cell.0).collect();
    let rows = arguments.rows.into_iter().map(cells).collect();
    let load = Load::new(&arguments.fields, rows)
        .map_err(|error| ToolError::Arguments(format!("the table does not fit: {error}")))?;
    let import = Import {
        model: arguments.model,
        load,
        context: arguments.context,
        confirmed: arguments.confirm.is_some_and(|id| !id.trim().is_empty()),
        trial: OnceCell::new(),
    };
    if arguments.dry_run {
        return Ok(import.only_try(access).await?.into());
    }
    changing::answer(access, &wish, &import).await
}

impl Change for Import {
    async fn propose(&self, access: &Access<'_>) -> Result<Proposal, Denied> {
        let Prepared {
            call,
            plan,
            schema,
            by_name,
        } = self.prepared(access).await?;
        let mode = access.permit_change(call.clone()).await?.mode();
        let agreed = self.confirmed
            || (access.asks.way() == WayToAsk::ByResult && access.asks.given().is_some());
        // Odoo takes the first of several records of one name, and says so only
        // when it is done.
        let mut tried = by_name || (mode.asks() && !agreed);
        if tried {
            let attempt = async || changes::try_table(access, &call, &schema).await;
            tried = *self.trial.get_or_try_init(attempt).await?;
            if by_name && !tried {
                return Err(untried());
            }
        }
        let fields = self.fields();
        let before = if plan.known.is_empty() {
            Shot::default()
        } else {
            let records = (&self.model, &*plan.known);
            Shot::of_all(access, records, &fields, call.context()).await?
        };
        // Nobody sees it where nobody is asked.
        let preview = if mode.asks() {
            self.preview(access, &call, (&plan, &schema), (&before, tried))
                .await?
        } else {
            String::new()
        };
        Ok(Proposal {
            undo: plan.undo(fields),
            makes: (!plan.is_repeatable()).then(|| self.model.clone()),
            look: self.look(&plan),
            calls: vec![call],
            preview,
            before,
            ..Proposal::default()
        })
    }

    async fn find(&self, access: &Access<'_>, since: &Since) -> Result<Found, Denied> {
        let schema = access.schema(&self.model).await?;
        let plan = self.plan(&schema);
        let unclear = Found::Unclear(format!("{}.", self.look(&plan)));
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        if !plan.known.is_empty() || plan.named > 0 {
            // Made again it would write over what others wrote since.
            return Ok(
                if self.is_untouched(access, &plan, since, &context).await? {
                    Found::Not
                } else {
                    unclear
                },
            );
        }
        self.find_new(access, &schema, since, &context, unclear)
            .await
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let schema = access.schema(&self.model).await?;
        let plan = self.plan(&schema);
        let (rows, count) = (self.load.rows().len(), done.ids.len());
        let mut text = format!(
            "Imported {} into {}: {}:\n",
            counted(rows, "row"),
            self.model,
            counted(count, "record")
        );
        let undone = plan.undo(self.fields());
        let some = done.ids.get(..MAX_SHOWN).unwrap_or(&done.ids);
        let (ids, after) = if undone.is_some() {
            let records = (&self.model, &*done.ids);
            let fields = self.fields();
            let after = if plan.known.is_empty() {
                changing::look_new(access, records, &fields, &context).await
            } else {
                changing::look_whole(access, records, &fields, &context).await
            };
            (records.1, after)
        } else {
            let after = changing::look(access, (&self.model, some), &[], &context).await;
            (some, after)
        };
        match &after {
            Some(after) => {
                text.push_str(&Show::titles(ids.get(..MAX_SHOWN).unwrap_or(ids), after));
                changing::missing(&mut text, ids, after);
            }
            None => text.push_str(&changing::numbers(ids)),
        }
        if count > MAX_SHOWN {
            notes::line(
                &mut text,
                &format!(
                    "All ids, in the order of the rows: {}",
                    changing::ranges(&done.ids)
                ),
            );
        }
        if let Some(warnings) = done.result.as_str() {
            notes::line(
                &mut text,
                &format!("Odoo warns, and did it all the same; check these:\n{warnings}"),
            );
        }
        if plan.named > 0 {
            notes::line(
                &mut text,
                "Importing these rows again updates the same records. It cannot be undone here: rows with external ids may have updated records.",
            );
        } else if undone.is_none() {
            notes::line(&mut text, "It cannot be undone here.");
        }
        notes::cover(&mut text, access, &self.model, &companies, true);
        Ok(Report {
            text,
            after: after.filter(|_| undone.is_some()),
        })
    }
}

impl Import {
    /// The call, once the table fits the fields.
    async fn prepared(&self, access: &Access<'_>) -> Result<Prepared, Denied> {
        let effect = if self.load.only_updates() {
            Effect::Write
        } else {
            Effect::Create
        };
        access.may_change(&self.model, effect)?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let by_name = changes::fit_table(access, &self.model, &self.load).await?;
        let schema = access.schema(&self.model).await?;
        let plan = self.plan(&schema);
        let call = Call::load(self.model.clone(), self.load.clone()).in_context(context);
        Ok(Prepared {
            call,
            plan,
            schema,
            by_name,
        })
    }

    /// Tries it and tells what it would do; nothing is left of it.
    async fn only_try(&self, access: &Access<'_>) -> Result<String, Denied> {
        let Prepared {
            call, plan, schema, ..
        } = self.prepared(access).await?;
        if !changes::try_table(access, &call, &schema).await? {
            return Err(untried());
        }
        let mut text = format!(
            "Nothing was imported, for this was a dry run; all rows fit. Without `dry_run`: {}",
            self.sentence(&plan)
        );
        let there = self.there(access).await?;
        text.push_str(&expected(&plan, &self.load, there.as_ref()));
        Ok(text)
    }

    fn plan(&self, schema: &Schema) -> Plan {
        let begins = self.load.beginnings(schema);
        let key = self.load.key();
        let mut plan = Plan {
            records: begins.len(),
            known: Vec::new(),
            named: 0,
            lines: self.load.columns().iter().any(|column| {
                let first = column.steps().first();
                first
                    .and_then(|step| schema.field(step.as_str()))
                    .is_some_and(|field| field.kind == FieldKind::One2many)
            }),
        };
        for row in begins.iter().filter_map(|at| self.load.rows().get(*at)) {
            let Some((at, column)) = key else { continue };
            let cell = cell_of(row, at);
            match column.says() {
                _ if cell.is_empty() => {}
                Says::DatabaseId => plan.known.extend(ids_in(cell).unwrap_or_default()),
                Says::ExternalId | Says::Value => plan.named += 1,
            }
        }
        plan
    }

    /// What would be done, for whoever agrees to it.
    async fn preview(
        &self,
        access: &Access<'_>,
        call: &Call,
        (plan, schema): (&Plan, &Schema),
        (before, tried): (&Shot, bool),
    ) -> Result<String, Denied> {
        let there = self.there(access).await?;
        let table = (&self.model, &self.load);
        let linked = changes::Links::of(access, table, call.context()).await?;
        let mut preview = self.sentence(plan);
        preview.push_str(&changing::language(call.context()));
        preview.push_str(&expected(plan, &self.load, there.as_ref()));
        preview.push('\n');
        let table = changes::Table {
            load: &self.load,
            schema,
            before,
            there: there.as_ref(),
            linked: &linked,
        };
        preview.push_str(&table.shown());
        if tried {
            notes::line(
                &mut preview,
                "Odoo tried it and took it back: all rows fit.",
            );
        }
        Ok(preview)
    }

    /// Those of the external ids that records have; nothing where that is not to
    /// be known.
    async fn there(
        &self,
        access: &Access<'_>,
    ) -> Result<Option<BTreeSet<(String, String)>>, Denied> {
        let ids = self.load.external_ids();
        if ids.is_empty() {
            return Ok(None);
        }
        access.external_ids(&self.model, ids).await
    }

    /// What is to be done, in one line.
    fn sentence(&self, plan: &Plan) -> String {
        format!(
            "Import {} into {}, {}",
            counted(self.load.rows().len(), "row"),
            self.model,
            counted(plan.records, "record")
        )
    }

    /// The fields of the records themselves.
    fn fields(&self) -> Vec<FieldName> {
        let firsts = self.load.columns().iter();
        let mut fields: Vec<FieldName> = firsts
            .filter_map(|column| column.steps().first().cloned())
            .collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// How to find out what came of it.
    fn look(&self, plan: &Plan) -> String {
        if plan.is_repeatable() {
            return "the very same rows can be imported again: they update the same records, and write over what others wrote into these fields since"
                .to_owned();
        }
        format!(
            "search_records of `{}` with `write_date` >= \"{}\" shows what was made or changed",
            self.model,
            changing::odoo_time(Since::moment(Timestamp::now()).earliest())
        )
    }

    /// Whether nobody wrote the records that are known since then, and those with
    /// external ids were never made.
    async fn is_untouched(
        &self,
        access: &Access<'_>,
        plan: &Plan,
        since: &Since,
        context: &Context,
    ) -> Result<bool, Denied> {
        // Other new records leave no trace that could be looked for here.
        if plan.known.len() + plan.named < plan.records {
            return Ok(false);
        }
        if plan.named > 0
            && !self
                .there(access)
                .await?
                .is_some_and(|there| there.is_empty())
        {
            return Ok(false);
        }
        let now = Shot::take(access, (&self.model, &plan.known), &[], context).await?;
        Ok(since.left_alone(&now, &plan.known))
    }

    /// New records that our Odoo user made since then, with these very values.
    async fn find_new(
        &self,
        access: &Access<'_>,
        schema: &Schema,
        since: &Since,
        context: &Context,
        unclear: Found,
    ) -> Result<Found, Denied> {
        // Twice as many: others may work as the same user.
        let limit = u32::try_from(MAX_ROWS * 2).unwrap_or(u32::MAX);
        let which = (changes::since_then(since), limit);
        let Some(made) = access.made(&self.model, which, None).await? else {
            return Ok(unclear);
        };
        if made.is_empty() {
            return Ok(Found::Not);
        }
        let made = Domain::of_ids(&made)?;
        let mut compared: Vec<(usize, FieldName)> = Vec::new();
        for (at, column) in self.load.columns().iter().enumerate() {
            if let ([name], Says::Value) = (column.steps(), column.says())
                && let Some(field) = schema.field(name.as_str())
                && changes::can_be_searched(field, &Value::from("x"))
                && field.relation.is_none()
                && compared.len() < MAX_COMPARED
            {
                compared.push((at, name.clone()));
            }
        }
        if compared.is_empty() {
            return Ok(unclear);
        }
        let names: Vec<FieldName> = compared.iter().map(|(_, name)| name.clone()).collect();
        let order = Order::by_id();
        let search = Call::search_read(self.model.clone(), &made, &names, &order, 0, limit);
        let answer = match access.call(search.in_context(context.clone())).await {
            Ok(answer) => answer,
            // Made is not seen.
            Err(Denied::Forbidden(_)) => return Ok(unclear),
            Err(denied) => return Err(denied),
        };
        let rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer)?;
        let mut there: BTreeMap<String, Vec<RecordId>> = BTreeMap::new();
        for row in rows.iter().rev() {
            let values = names.iter().map(|name| row.get(name.as_str()).cloned());
            let key: Value = values.map(Option::unwrap_or_default).collect();
            let id = row.get("id").and_then(Value::as_i64);
            if let Some(id) = id.and_then(|id| RecordId::try_from(id).ok()) {
                there.entry(key.to_string()).or_default().push(id);
            }
        }
        let begins = self.load.beginnings(schema);
        let (mut ids, mut used) = (Vec::new(), BTreeSet::new());
        for row in begins.iter().filter_map(|at| self.load.rows().get(*at)) {
            let wanted: Option<Value> = compared
                .iter()
                .map(|(at, name)| {
                    let field = schema.field(name.as_str())?;
                    value_of(field, Says::Value, cell_of(row, *at))
                })
                .collect();
            let Some(wanted) = wanted else {
                return Ok(unclear);
            };
            // Two of the same values are two records.
            let wanted = wanted.to_string();
            ids.extend(there.get_mut(&wanted).and_then(Vec::pop));
            used.insert(wanted);
        }
        // Just as many: of more nobody can say which they are.
        let left = used
            .iter()
            .any(|wanted| there.get(wanted).is_none_or(|left| !left.is_empty()));
        Ok(if ids.len() == begins.len() && !left {
            Found::Done(ids)
        } else {
            unclear
        })
    }
}

/// How many are made and how many are changed, where that can be known.
fn expected(plan: &Plan, load: &Load, there: Option<&BTreeSet<(String, String)>>) -> String {
    let updated = plan.known.len();
    let new = plan.records.saturating_sub(updated + plan.named);
    if plan.named == 0 {
        return format!(": {new} new, {updated} updated.");
    }
    match there {
        Some(there) => {
            let ids = load.external_ids();
            let there = ids.iter().filter(|id| there.contains(*id)).count();
            let new = new + plan.named.saturating_sub(there);
            format!(": {new} new, {} updated.", updated + there)
        }
        None => format!(
            ": {} with an external id are updated where there is one with it already, else made (Odoo does not tell this user which).",
            plan.named
        ),
    }
}

fn untried() -> Denied {
    Denied::Unfit(
        "nothing was imported: rows of this model that are named by `.id` cannot be tried here; name links by ids (columns such as `country_id/.id`) and call without `dry_run`, or use update_records".to_owned(),
    )
}
