//! The tool `post_message`.

mod recipients;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Tool, ToolError, answer_text,
    arguments::{dedup_ids, schema_of, write_arguments},
    footer,
    tool::{WriteTool, run_write},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, WriteOperation,
        WritePlan, describe_result,
    },
};
use gatepost_base::text::{has_visible_text, html_to_text, visible_text};
use gatepost_odoo::{
    Call, Context, Domain, FieldName, MethodName, ModelName, Operation, Order, RecordId,
};

/// The maximum length of a message in characters.
const MAX_BODY_CHARS: usize = 20_000;
/// The maximum number of extra recipients.
const MAX_PARTNERS: usize = 50;
/// The maximum number of messages searched for one that was posted.
const MAX_SEARCHED_MESSAGES: u32 = 100;

pub(super) const TOOL: Tool = Tool {
    name: "post_message",
    title: "Post a message",
    description: "Post on an Odoo record: a note for colleagues, or a comment that its followers, \
                  including customers, get by e-mail. Cannot be undone. May return a preview first.",
    operation: Operation::Call,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `post_message`.
    struct Arguments {
        /// Such as `sale.order`.
        model: ModelName,
        /// The record.
        id: RecordId,
        /// Plain text; line breaks are preserved.
        body: String,
        /// Default `note`.
        #[serde(default, rename = "as")]
        kind: MessageKind,
        /// Contacts (`res.partner`) who also get it, even a note.
        #[serde(default)]
        #[schemars(extend("maxItems" = 50))]
        partner_ids: Vec<RecordId>,
        /// Such as `{"company_ids":[1]}`.
        context: Option<ContextRequest>,
    }
}

// No doc comments on the variants: they would make the schema a union.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MessageKind {
    Comment,
    #[default]
    Note,
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(mut self) -> Result<Self, ToolError> {
        self.validate()?;
        dedup_ids(&mut self.partner_ids);
        Ok(self)
    }
}

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
    /// Checks the text and the number of extra recipients.
    ///
    /// # Errors
    /// [`ToolError::InvalidArguments`].
    fn validate(&self) -> Result<(), ToolError> {
        let chars = self.body.chars().count();
        let invalid = |reason: String| Err(ToolError::InvalidArguments(reason));
        if !has_visible_text(&self.body) {
            invalid("invalid argument `body`: it is empty or has no visible character".to_owned())
        } else if chars > MAX_BODY_CHARS {
            invalid(format!(
                "invalid argument `body`: it has {chars} characters; the maximum is {MAX_BODY_CHARS}"
            ))
        } else if self.partner_ids.len() > MAX_PARTNERS {
            invalid(format!(
                "invalid argument `partner_ids`: give at most {MAX_PARTNERS}, not {}",
                self.partner_ids.len()
            ))
        } else {
            Ok(())
        }
    }

    /// The arguments of `message_post`.
    fn to_odoo(&self) -> Map<String, Value> {
        let body = self.body.trim();
        let mut arguments = Map::new();
        let mut set = |name: &str, value: Value| {
            arguments.insert(name.to_owned(), value);
        };
        // Odoo converts text to HTML and loses its line breaks.
        if body.contains(['\n', '\r']) {
            set("body", text_to_html(body).into());
            set("body_is_html", true.into());
        } else {
            set("body", body.into());
        }
        set("message_type", "comment".into());
        set("subtype_xmlid", self.kind.subtype_xmlid().into());
        if !self.partner_ids.is_empty() {
            let ids = self.partner_ids.iter().map(|id| id.get());
            set("partner_ids", ids.collect());
        }
        arguments
    }

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

impl MessageKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Note => "note",
        }
    }

    /// Odoo 19, `addons/mail/data/mail_message_subtype_data.xml`.
    fn subtype_xmlid(self) -> &'static str {
        match self {
            Self::Comment => "mail.mt_comment",
            Self::Note => "mail.mt_note",
        }
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

/// Converts text to HTML: escaped, with its line breaks.
fn text_to_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 64);
    html.push_str("<p>");
    for char in text.replace("\r\n", "\n").replace('\r', "\n").chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' => html.push_str("<br>"),
            plain => html.push(plain),
        }
    }
    html.push_str("</p>");
    html
}

/// The words of a text, without the white space between them.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Arguments, text_to_html, words};
    use gatepost_base::text::html_to_text;

    fn arguments(more: &Value) -> Arguments {
        let mut all = json!({"model": "sale.order", "id": 7, "body": "x"});
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn empty_or_oversized_message_is_rejected() {
        let validated = |more: Value| {
            arguments(&more)
                .validate()
                .map_err(|error| error.to_string())
        };
        assert_eq!(validated(json!({})), Ok(()));
        for odd in [
            json!({"body": ""}),
            json!({"body": " \n\t"}),
            json!({"body": "x".repeat(20_001)}),
            json!({"partner_ids": (1..=51).collect::<Vec<u32>>()}),
        ] {
            assert!(validated(odd).is_err());
        }
    }

    #[test]
    fn body_keeps_line_breaks_and_escapes_html() {
        let sent = |body: &str| Value::from(arguments(&json!({"body": body})).to_odoo());
        let note = json!({"message_type": "comment", "subtype_xmlid": "mail.mt_note"});
        let with = |more: Value| {
            let mut all = more;
            let fields = note.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(fields);
            all
        };
        assert_eq!(sent(" <b>a</b> "), with(json!({"body": "<b>a</b>"})));
        assert_eq!(
            sent("a <b>\r\n\"c\" & 'd'"),
            with(json!({
                "body": "<p>a &lt;b&gt;<br>&quot;c&quot; &amp; &#39;d&#39;</p>", "body_is_html": true
            }))
        );
        let comment = arguments(&json!({"as": "comment", "partner_ids": [14, 7]})).to_odoo();
        assert_eq!(
            Value::from(comment),
            json!({"body": "x", "message_type": "comment", "subtype_xmlid": "mail.mt_comment", "partner_ids": [14, 7]})
        );
    }

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
