//! Plans and reports a message, and finds out whether it was posted.

use serde_json::{Map, Value};

use super::arguments::{Arguments, MAX_BODY_CHARS, MessageKind};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    tools::{answer_text, footer},
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, WriteOperation,
        WritePlan, describe_result,
    },
};
use gatepost_base::text::{html_to_text, visible_text};
use gatepost_odoo::{Call, Context, Domain, FieldName, MethodName, ModelName, Order, RecordId};

/// The maximum number of messages searched for one that was posted.
const MAX_SEARCHED_MESSAGES: u32 = 100;

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        access.may_call(&self.model, &message_post_method())?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let before = self.read_record(access, &context).await?;
        let recipients = self.find_recipients(access, &before, &context).await?;
        let mut preview = format!(
            "Post a {} on {} of {}{}:\n",
            self.kind.as_str(),
            PreviewRenderer::titles(&[self.id], &before),
            self.model,
            answer_text::language_suffix(&context)
        );
        for line in self.body.trim().lines() {
            footer::append_line(
                &mut preview,
                &format!("> {}", visible_text(line, MAX_BODY_CHARS).0),
            );
        }
        footer::append_line(&mut preview, &recipients.describe(self.kind));
        footer::append_line(&mut preview, "A message cannot be undone.");
        let call = Call::run(
            self.model.clone(),
            message_post_method(),
            &[self.id],
            self.to_odoo(),
        );
        Ok(WritePlan {
            calls: vec![call.in_context(context)],
            preview,
            before,
            undo: None,
            created_model: Some(message_model()),
            verification_hint: self.verification_hint(),
            ..WritePlan::default()
        })
    }

    /// Searches for a message with this text that this Odoo user posted since.
    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let record = Some((self.model.clone(), self.id));
        let which = (writes::after_baseline(since), MAX_SEARCHED_MESSAGES);
        let Some(made) = access
            .created_by_us(&message_model(), which, record)
            .await?
        else {
            return Ok(RecoveredOutcome::Unclear(self.manual_check_hint()));
        };
        if made.is_empty() {
            return Ok(RecoveredOutcome::NotDone);
        }
        let domain = Domain::of_ids(&made)?;
        let search = Call::search_read(
            message_model(),
            &domain,
            &[FieldName::known("body")],
            &Order::by_id_descending(),
            0,
            MAX_SEARCHED_MESSAGES,
        );
        let answer = match access.call(search.in_context(context)).await {
            Ok(answer) => answer,
            Err(error) if error.is_fault() || matches!(error, OperationError::Forbidden(_)) => {
                return Ok(RecoveredOutcome::Unclear(self.manual_check_hint()));
            }
            Err(error) => return Err(error),
        };
        let messages: Vec<Map<String, Value>> = serde_json::from_slice(&answer)?;
        let ours = words(&self.body);
        let is_equal = |message: &Map<String, Value>| {
            let body = message.get("body").and_then(Value::as_str);
            // Every character may have become a reference or an element.
            body.filter(|body| body.len() <= 4_096 + 16 * self.body.len())
                .is_some_and(|body| words(&html_to_text(body)) == ours)
        };
        let equal = messages.iter().filter(|message| is_equal(message)).count();
        Ok(if equal == 1 {
            RecoveredOutcome::Done(vec![self.id])
        } else {
            // Odoo may have rewritten the text, and one of two equal messages is
            // not this one.
            RecoveredOutcome::Unclear(self.manual_check_hint())
        })
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let message = done.result.get(0).and_then(Value::as_i64);
        let mut text = format!(
            "Posted a {} on [{}] of {}.",
            self.kind.as_str(),
            self.id,
            self.model
        );
        match message.and_then(|id| RecordId::try_from(id).ok()) {
            Some(id) => {
                let notified = notified_count(access, id, &context).await;
                let notified = notified.map_or_else(
                    || "you cannot see whom Odoo notified".to_owned(),
                    |count| format!("Odoo notified {count} by e-mail or in their inbox"),
                );
                footer::append_line(&mut text, &format!("Message {id}; {notified}."));
            }
            None => footer::append_line(&mut text, &describe_result(&done.result)),
        }
        Ok(Report { text, after: None })
    }
}

impl Arguments {
    /// Reads the record with its followers, as far as the caller may see them.
    async fn read_record(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<RecordSnapshot, OperationError> {
        if access.may_read(&self.model).is_err() {
            return Ok(RecordSnapshot::default());
        }
        let followers = FieldName::known("message_partner_ids");
        let schema = access.schema(&self.model).await?;
        let is_read =
            self.kind == MessageKind::Comment && schema.field(followers.as_str()).is_some();
        let fields = if is_read { vec![followers] } else { Vec::new() };
        RecordSnapshot::read_all(access, (&self.model, &[self.id]), &fields, context).await
    }

    fn verification_hint(&self) -> String {
        format!(
            "search_records of `mail.message` with `model` = \"{}\", `res_id` = {} shows whether it exists",
            self.model, self.id
        )
    }

    fn manual_check_hint(&self) -> String {
        format!(
            "check the messages of the record {} of `{}` in Odoo.",
            self.id, self.model
        )
    }
}

/// The model of messages.
fn message_model() -> ModelName {
    ModelName::known("mail.message")
}

fn message_post_method() -> MethodName {
    MethodName::known("message_post")
}

/// The number of people notified of a message; `None` if it cannot be read.
async fn notified_count(
    access: &OdooSession<'_>,
    message: RecordId,
    context: &Context,
) -> Option<usize> {
    let field = FieldName::known("notified_partner_ids");
    let messages = message_model();
    access.may_read(&messages).ok()?;
    let read = RecordSnapshot::read(access, (&messages, &[message]), &[field], context).await;
    if let Err(error) = &read {
        tracing::debug!(error = %error, "Failed to read the recipients of a message");
    }
    let read = read.ok()?;
    let partners = read.row(message)?.get("notified_partner_ids")?;
    partners.as_array().map(Vec::len)
}

/// The words of a text, without the white space between them.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::{super::arguments::text_to_html, words};
    use gatepost_base::text::html_to_text;

    #[test]
    fn message_is_recognized_by_its_words() {
        for body in ["a <b>\n\"c\" & 'd'", "one", "x < y\n\n\ny > z"] {
            assert_eq!(
                words(&html_to_text(&text_to_html(body))),
                words(body),
                "{body}"
            );
        }
        // As Odoo 19 stored a text of one line.
        let stored = "<p>line &lt;b&gt;two&lt;/b&gt; &amp; 'three'</p>";
        assert_eq!(
            words(&html_to_text(stored)),
            words("line <b>two</b> & 'three'")
        );
    }
}
