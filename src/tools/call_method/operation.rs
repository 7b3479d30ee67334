//! Plans and reports the call of a method, and finds out whether it was made.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use serde_json::Value;

use super::{
    arguments::{Arguments, MAX_RECORDS},
    render::{id_list, render_arguments, render_states, state_fields, target_phrase},
};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    tools::{answer_text, footer, read_back},
    writes::{
        self, Baseline, CompletedWrite, RecoveredOutcome, Report, WriteOperation, WritePlan,
        describe_result,
    },
};
use gatepost_base::text::one_line;
use gatepost_odoo::{Call, Context, FieldName, RecordId, Schema};

/// The maximum difference between Odoo's clock and the gateway's.
const MAX_CLOCK_SKEW_S: i64 = 300;

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        let Self {
            model, method, ids, ..
        } = self;
        access.may_call(model, method)?;
        if method.as_str() == "message_post" {
            return Err(OperationError::InvalidArgument(
                "use the tool post_message for `message_post`; nothing was changed".to_owned(),
            ));
        }
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let warning = if ids.is_empty() {
            self.empty_ids_warning(access).await?
        } else {
            None
        };
        let before = self.read_state(access, &context).await?;
        if let Some((before, _)) = &before {
            before.require_all(model, ids)?;
        }
        let language = answer_text::language_suffix(&context);
        let mut preview = format!(
            "Call {method} of {model} on {}{language}",
            target_phrase(ids)
        );
        let given = &self.given;
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
        if let Some(warning) = warning {
            footer::append_line(&mut preview, &warning);
        }
        footer::append_line(
            &mut preview,
            "Odoo decides what it does, and it cannot be undone here.",
        );
        let before = before.map(|(before, _)| before).unwrap_or_default();
        let call = Call::run(model.clone(), method.clone(), ids, given.clone());
        Ok(WritePlan {
            calls: vec![call.in_context(context)],
            preview,
            before,
            verification_hint: self.verification_hint(),
            ..WritePlan::default()
        })
    }

    /// Done, if this Odoo user changed the state of all records since. What else
    /// a method does cannot be seen.
    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let before = &since.before;
        let Self { ids, .. } = self;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let Some((now, schema)) = self.read_state(access, &context).await? else {
            return Ok(RecoveredOutcome::Unclear(self.unverifiable_hint()));
        };
        let user = access.user().await?;
        let began = writes::odoo_time(since.taken_at);
        let since = since
            .taken_at
            .checked_sub(MAX_CLOCK_SKEW_S.seconds())
            .unwrap_or(since.taken_at);
        let since = writes::odoo_time(since);
        let states = state_fields(&schema);
        let of = |snapshot: &RecordSnapshot, id: RecordId, name: &str| {
            snapshot.row(id).and_then(|row| row.get(name)).cloned()
        };
        let has_changed = |id: RecordId| {
            states.iter().any(|name| {
                let then = of(before, id, name.as_str());
                then.is_some() && then != of(&now, id, name.as_str())
            })
        };
        // Compared with the earlier value if it is known, because clocks differ.
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
        if !ids.is_empty() && ids.iter().all(|id| has_changed(*id) && ours(*id)) {
            return Ok(RecoveredOutcome::Done(ids.clone()));
        }
        let unchanged = ids.iter().all(|id| !has_changed(*id) && !ours(*id));
        let mut hint = format!(
            "the records are now:\n{}\n",
            render_states(&schema, ids, None, &now)
        );
        if unchanged && !ids.is_empty() {
            hint.push_str("This Odoo user has not written to them since: if the method changes these records, it was not done.");
        } else {
            hint.push_str("Compare this with what the method does.");
        }
        Ok(RecoveredOutcome::Unclear(hint))
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let Self {
            model, method, ids, ..
        } = self;
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let end = if ids.is_empty() { "." } else { ":\n" };
        let mut text = format!("Called {method} of {model} on {}{end}", target_phrase(ids));
        let after = self.read_state(access, &context).await;
        // The method was called, so this is no failure of the tool.
        let after = after.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "Failed to read records after a write");
            None
        });
        match &after {
            Some((after, schema)) => {
                let before = plan.map(|plan| &plan.before);
                let mut shown = ids.clone();
                shown.retain(|id| after.row(*id).is_some());
                text.push_str(&render_states(schema, &shown, before, after));
                read_back::append_missing_records(&mut text, ids, after);
            }
            None if ids.is_empty() => {}
            None => text.push_str(&writes::id_list(ids)),
        }
        footer::append_line(&mut text, &describe_result(&done.result));
        if ids.is_empty() && self.is_model_method(access).await.is_none() {
            footer::append_line(
                &mut text,
                "It was called without records: if it is a record method, it did nothing.",
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
    /// Reads the state of the records; `None` if the caller may call the method
    /// but not read the model.
    async fn read_state(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<Option<(RecordSnapshot, Schema)>, OperationError> {
        let Self { model, ids, .. } = self;
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
        let snapshot = RecordSnapshot::read(access, (model, ids), &fields, context).await?;
        Ok(Some((snapshot, schema)))
    }

    /// Checks a call without records. For a record method Odoo returns `true` and
    /// does nothing.
    async fn empty_ids_warning(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<Option<String>, OperationError> {
        let Self { model, method, .. } = self;
        match self.is_model_method(access).await {
            Some(true) => Ok(None),
            Some(false) => Err(OperationError::InvalidArgument(format!(
                "`{method}` of `{model}` is a record method and does nothing without records. Nothing was changed; name records in `ids`"
            ))),
            None => Ok(Some(format!(
                "Odoo does not document whether {method} is a method of the model itself: if it is a record method, it does nothing without records."
            ))),
        }
    }

    /// Whether it is a method of the model itself, if Odoo documents that.
    async fn is_model_method(&self, access: &OdooSession<'_>) -> Option<bool> {
        let Self { model, method, .. } = self;
        let documentation = access.documentation(model).await?;
        documentation
            .method(method)
            .map(|method| method.is_model_method)
    }

    /// Reads the names of records that arguments refer to, by argument.
    ///
    /// # Errors
    /// [`OperationError::InvalidArgument`] if one does not exist, because Odoo
    /// does not always report that.
    async fn linked_record_names(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<BTreeMap<String, Vec<String>>, OperationError> {
        let Self { model, method, .. } = self;
        let given = &self.given;
        let mut linked = BTreeMap::new();
        let open = access.methods(model);
        for accepted in open.get(method).into_iter().flatten() {
            for (name, relation, ids) in accepted.records(given) {
                let is_unusual = ids.is_empty() || ids.len() > MAX_RECORDS;
                if is_unusual
                    || linked.contains_key(name.as_str())
                    || access.may_read(relation).is_err()
                {
                    continue;
                }
                let snapshot =
                    RecordSnapshot::read_all(access, (relation, &ids), &[], context).await?;
                let names = ids
                    .iter()
                    .map(|id| format!("{} [{id}]", one_line(snapshot.name(*id), 80)));
                linked.insert(name.to_string(), names.collect());
            }
        }
        Ok(linked)
    }

    fn verification_hint(&self) -> String {
        let Self { model, ids, .. } = self;
        if ids.is_empty() {
            return self.unverifiable_hint();
        }
        let end = "shows their state, and in `write_date` when they were last changed";
        writes::read_hint(model, ids, end)
    }

    fn unverifiable_hint(&self) -> String {
        let Self { model, method, .. } = self;
        format!("check in Odoo what `{method}` of `{model}` did.")
    }
}
