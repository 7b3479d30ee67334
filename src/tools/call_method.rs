//! `call_method`.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use serde_json::{Map, Value};

use super::{
    Tool, ToolError,
    arguments::{ObjectArgument, schema_of, write_arguments},
    footer,
    tool::{WriteTool, run_write},
    write_support,
};
use crate::{
    access::{ContextRequest, DisplayNames, OdooSession, OperationError, RecordSnapshot},
    writes::{
        Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, WriteOperation,
        WritePlan, describe_result,
    },
};
use gatepost_base::text::one_line;
use gatepost_odoo::{Call, Context, FieldName, MethodName, ModelName, Operation, RecordId, Schema};

/// Records at the most.
const MAX_RECORDS: usize = 200;
/// Bytes of records that are shown, and of arguments.
const MAX_SHOWN_BYTES: usize = 20 << 10;
/// Characters of one argument that are shown.
const MAX_ARGUMENT_CHARS: usize = 4_000;
/// How far Odoo's clock may be from ours.
const MAX_CLOCK_SKEW_S: i64 = 300;
/// The fields that tell where a record stands, of those that its model has.
const STATE_FIELDS: [&str; 6] = [
    "active",
    "kanban_state",
    "payment_state",
    "stage_id",
    "state",
    "status",
];

pub(super) const TOOL: Tool = Tool {
    name: "call_method",
    title: "Call a method",
    description: "Call a method that does what a button does, such as action_confirm of sale.order; \
                  describe_model names those open to you. Cannot be undone. May answer with a preview.",
    operation: Operation::Call,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `call_method`.
    struct Arguments {
        /// Such as `sale.order`.
        model: ModelName,
        /// Such as `action_confirm`.
        method: MethodName,
        /// The records, at most 200; none for a method of the model itself.
        #[serde(default)]
        #[schemars(extend("maxItems" = 200))]
        ids: Vec<RecordId>,
        /// By name, such as `{"partner_ids":[14]}`.
        #[serde(default, rename = "arguments")]
        #[schemars(with = "ObjectArgument")]
        method_arguments: Map<String, Value>,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(mut self) -> Result<Self, ToolError> {
        if self.ids.len() > MAX_RECORDS {
            return Err(ToolError::InvalidArguments(format!(
                "argument `ids` does not fit: name at most {MAX_RECORDS}, not {}",
                self.ids.len()
            )));
        }
        write_support::dedup_ids(&mut self.ids);
        Ok(self)
    }
}

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        let Arguments {
            model, method, ids, ..
        } = self;
        access.may_call(model, method)?;
        if method.as_str() == "message_post" {
            return Err(OperationError::InvalidArgument(
                "`message_post` is what the tool post_message does; nothing was changed, call that"
                    .to_owned(),
            ));
        }
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let caution = if ids.is_empty() {
            self.empty_ids_warning(access).await?
        } else {
            None
        };
        let before = self.read_state(access, &context).await?;
        if let Some((before, _)) = &before {
            require_all_exist(model, ids, before)?;
        }
        let language = write_support::language_suffix(&context);
        let mut preview = format!(
            "Call {method} of {model} on {}{language}",
            target_phrase(ids)
        );
        let given = &self.method_arguments;
        if given.is_empty() {
            preview.push_str(", without arguments");
        } else {
            preview.push_str(", with\n");
            let linked = self.linked_record_names(access, &context).await?;
            preview.push_str(&render_arguments(given, &linked));
            preview.push_str("\non");
        }
        preview.push_str(if ids.is_empty() { "." } else { ":\n" });
        match &before {
            Some((before, schema)) => preview.push_str(&render_states(schema, ids, None, before)),
            None if ids.is_empty() => {}
            None => preview.push_str(&id_list(ids)),
        }
        if let Some(caution) = caution {
            footer::append_line(&mut preview, &caution);
        }
        footer::append_line(
            &mut preview,
            "What it does is decided by Odoo, and cannot be undone here.",
        );
        let before = before.map(|(before, _)| before).unwrap_or_default();
        let call = Call::run(model.clone(), method.clone(), ids, given.clone());
        Ok(WritePlan {
            calls: vec![call.in_context(context)],
            preview,
            before,
            undo: None,
            created_model: None,
            verification_hint: self.verification_hint(),
            ..WritePlan::default()
        })
    }

    /// Done, where all the records stand elsewhere than before and our Odoo user
    /// brought them there since. What a method does besides, nobody can see.
    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let before = &since.before;
        let Arguments { ids, .. } = self;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let Some((now, schema)) = self.read_state(access, &context).await? else {
            return Ok(RecoveredOutcome::Unclear(self.unverifiable_hint()));
        };
        let user = access.user().await?;
        let began = write_support::odoo_time(since.taken_at);
        let since = since
            .taken_at
            .checked_sub(MAX_CLOCK_SKEW_S.seconds())
            .unwrap_or(since.taken_at);
        let since = write_support::odoo_time(since);
        let states = state_fields(&schema);
        let of = |shot: &RecordSnapshot, id: RecordId, name: &str| {
            shot.row(id).and_then(|row| row.get(name)).cloned()
        };
        let moved = |id: RecordId| {
            states.iter().any(|name| {
                let then = of(before, id, name.as_str());
                then.is_some() && then != of(&now, id, name.as_str())
            })
        };
        // By how it was, where that is known, for clocks differ.
        let written_since = |id: RecordId, at: &str| match of(before, id, "write_date") {
            Some(then) => then.as_str() != Some(at) || *at >= *began,
            None => *at >= *since,
        };
        let ours = |id: RecordId| {
            let by = of(&now, id, "write_uid");
            let by = by.as_ref().and_then(|by| by.get(0)).and_then(Value::as_i64);
            let at = of(&now, id, "write_date");
            by == Some(i64::from(user.id.get()))
                && at
                    .as_ref()
                    .and_then(Value::as_str)
                    .is_some_and(|at| written_since(id, at))
        };
        if !ids.is_empty() && ids.iter().all(|id| moved(*id) && ours(*id)) {
            return Ok(RecoveredOutcome::Done(ids.clone()));
        }
        let still = ids.iter().all(|id| !moved(*id) && !ours(*id));
        let mut told = format!(
            "as they are now:\n{}\n",
            render_states(&schema, ids, None, &now)
        );
        if still && !ids.is_empty() {
            told.push_str("Nothing was written to them by this Odoo user since: if the method changes these records, it was not done.");
        } else {
            told.push_str("Compare that with what the method does.");
        }
        Ok(RecoveredOutcome::Unclear(told))
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let Arguments {
            model, method, ids, ..
        } = self;
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let end = if ids.is_empty() { "." } else { ":\n" };
        let mut text = format!("Called {method} of {model} on {}{end}", target_phrase(ids));
        let after = match self.read_state(access, &context).await {
            Ok(after) => after,
            // What was done stays done.
            Err(error) => {
                tracing::warn!(error = %error, "Failed to look at records after a change");
                None
            }
        };
        match &after {
            Some((after, schema)) => {
                let before = plan.map(|plan| &plan.before);
                let shown: Vec<RecordId> = existing_ids(ids, after);
                text.push_str(&render_states(schema, &shown, before, after));
                write_support::append_missing_records(&mut text, ids, after);
            }
            None if ids.is_empty() => {}
            None => text.push_str(&write_support::id_list(ids)),
        }
        footer::append_line(&mut text, &describe_result(&done.result));
        if ids.is_empty() && self.is_model_method(access).await.is_none() {
            footer::append_line(
                &mut text,
                "It was called without records: if it is a method of records, it did nothing.",
            );
        }
        footer::append_footer(&mut text, access, model, &companies, true);
        Ok(Report {
            text,
            after: after.map(|(after, _)| after),
        })
    }
}

impl Arguments {
    /// The records as they are, with their fields; none where the caller may
    /// call the method, but not read the model.
    async fn read_state(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<Option<(RecordSnapshot, Schema)>, OperationError> {
        let Arguments { model, ids, .. } = self;
        if access.may_read(model).is_err() {
            return Ok(None);
        }
        let schema = access.schema(model).await?;
        if ids.is_empty() {
            return Ok(Some((RecordSnapshot::default(), schema)));
        }
        let mut fields = state_fields(&schema);
        if schema.field("write_uid").is_some() {
            fields.push(FieldName::known("write_uid"));
        }
        let shot = RecordSnapshot::read(access, (model, ids), &fields, context).await?;
        Ok(Some((shot, schema)))
    }

    /// What is to be known where no records are named. Of a method of records
    /// Odoo says `true` then, and does nothing.
    async fn empty_ids_warning(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<Option<String>, OperationError> {
        let Arguments { model, method, .. } = self;
        match self.is_model_method(access).await {
            Some(true) => Ok(None),
            Some(false) => Err(OperationError::InvalidArgument(format!(
                "`{method}` of `{model}` is a method of records, and without any it does nothing; nothing was changed, name them in `ids`"
            ))),
            None => Ok(Some(format!(
                "Odoo does not say whether {method} is a method of the model itself: if it is one of records, it does nothing without them."
            ))),
        }
    }

    /// Whether it is a method of the model itself, where Odoo says so.
    async fn is_model_method(&self, access: &OdooSession<'_>) -> Option<bool> {
        let Arguments { model, method, .. } = self;
        let documentation = access.documentation(model).await?;
        documentation
            .method(method)
            .map(|method| method.is_model_method)
    }

    /// The names of the records that arguments are known to name, by argument.
    ///
    /// # Errors
    /// [`Denied::Unfit`] where one is not there: Odoo does not always say so.
    async fn linked_record_names(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<BTreeMap<String, Vec<String>>, OperationError> {
        let Arguments { model, method, .. } = self;
        let given = &self.method_arguments;
        let mut linked = BTreeMap::new();
        let open = access.methods(model);
        for taken in open.get(method).into_iter().flatten() {
            for (name, relation, ids) in taken.records(given) {
                let many = ids.is_empty() || ids.len() > MAX_RECORDS;
                if many || linked.contains_key(name.as_str()) || access.may_read(relation).is_err()
                {
                    continue;
                }
                let shot = RecordSnapshot::read_all(access, (relation, &ids), &[], context).await?;
                let names = ids
                    .iter()
                    .map(|id| format!("{} [{id}]", one_line(shot.name(*id), 80)));
                linked.insert(name.to_string(), names.collect());
            }
        }
        Ok(linked)
    }

    fn verification_hint(&self) -> String {
        let Arguments { model, ids, .. } = self;
        if ids.is_empty() {
            return self.unverifiable_hint();
        }
        format!(
            "read_records of `{model}` with ids {} shows how they stand, and in `write_date` when they were last changed",
            write_support::id_list(ids)
        )
    }

    fn unverifiable_hint(&self) -> String {
        let Arguments { model, method, .. } = self;
        format!("what `{method}` of `{model}` did is to be looked up in Odoo.")
    }
}

/// The fields that tell where a record stands.
fn state_fields(schema: &Schema) -> Vec<FieldName> {
    let there = |name: &&&str| schema.field(name).is_some();
    let there = STATE_FIELDS.iter().filter(there);
    there.map(|name| FieldName::known(name)).collect()
}

/// Those of the records that are there.
fn existing_ids(ids: &[RecordId], shot: &RecordSnapshot) -> Vec<RecordId> {
    let there = |id: &RecordId| shot.row(*id).is_some();
    ids.iter().copied().filter(there).collect()
}

/// Allows records that are all there.
///
/// # Errors
/// [`Denied::Unfit`] names those that are not.
fn require_all_exist(
    model: &ModelName,
    ids: &[RecordId],
    shot: &RecordSnapshot,
) -> Result<(), OperationError> {
    let absent = |id: &RecordId| shot.row(*id).is_none();
    let missing: Vec<RecordId> = ids.iter().copied().filter(absent).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(OperationError::InvalidArgument(format!(
        "these records of `{model}` do not exist or may not be seen by this Odoo user: {}; search_records finds the right ids; nothing was changed",
        write_support::id_list(&missing)
    )))
}

fn target_phrase(ids: &[RecordId]) -> String {
    match ids.len() {
        0 => "the model itself".to_owned(),
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

/// Where the records stand, one a line; with where they stood before.
fn render_states(
    schema: &Schema,
    ids: &[RecordId],
    before: Option<&RecordSnapshot>,
    now: &RecordSnapshot,
) -> String {
    let names = DisplayNames::new();
    let show = PreviewRenderer {
        schema,
        names: &names,
    };
    let mut text = String::new();
    for (at, id) in ids.iter().enumerate() {
        let value = |shot: &RecordSnapshot, name: &FieldName| {
            let value = shot.row(*id)?.get(name.as_str())?;
            Some(show.value(schema.field(name.as_str()), value))
        };
        let parts = state_fields(schema).into_iter().filter_map(|name| {
            let new = value(now, &name)?;
            Some(match before.and_then(|before| value(before, &name)) {
                Some(old) if old != new => format!("{name}: {old} -> {new}"),
                Some(_) => format!("{name}: {new} (as it was)"),
                None => format!("{name}: {new}"),
            })
        });
        let parts: Vec<String> = parts.collect();
        let title = PreviewRenderer::titles(&[*id], now);
        let line = if parts.is_empty() {
            title
        } else {
            format!("{title}: {}", parts.join("; "))
        };
        if at > 0 && text.len() + line.len() > MAX_SHOWN_BYTES {
            let rest = ids.get(at..).unwrap_or_default();
            let told = format!(
                "and {} more, of which only the ids are shown: {}",
                rest.len(),
                id_list(rest)
            );
            footer::append_line(&mut text, &told);
            break;
        }
        footer::append_line(&mut text, &line);
    }
    text
}

/// The arguments, one a line: whoever agrees must know each of them.
fn render_arguments(given: &Map<String, Value>, linked: &BTreeMap<String, Vec<String>>) -> String {
    let lines = given.iter().map(|(name, value)| {
        let value = match linked.get(name) {
            Some(names) => names.join(", "),
            None => one_line(&value.to_string(), MAX_ARGUMENT_CHARS),
        };
        format!("- {}: {value}", one_line(name, 60))
    });
    let mut lines: Vec<String> = lines.collect();
    let size: usize = lines.iter().map(String::len).sum();
    if size > MAX_SHOWN_BYTES {
        // So that a long one does not keep the others from being seen.
        lines.sort_by_key(String::len);
    }
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 && text.len() + line.len() > MAX_SHOWN_BYTES {
            let rest = lines.len() - at;
            let told = format!("and {rest} more arguments that are NOT SHOWN: there is too much");
            footer::append_line(&mut text, &told);
            break;
        }
        footer::append_line(&mut text, line);
    }
    text
}

/// All ids as a list: whoever agrees agrees to each.
fn id_list(ids: &[RecordId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(", "))
}
