//! `post_message`.

use gatepost_base::text;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Tool, ToolError,
    arguments::{schema_of, write_arguments},
    footer,
    tool::{WriteTool, run_write},
    write_support,
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, WriteOperation,
        WritePlan, describe_result,
    },
};
use gatepost_base::text::{html_to_text, one_line};
use gatepost_odoo::{
    Call, Context, Domain, FieldName, MethodName, ModelName, Operation, Order, RecordId,
};

/// Characters of a message.
const MAX_BODY_CHARS: usize = 20_000;
/// People who are named.
const MAX_PARTNERS: usize = 50;
/// Bytes of people who are shown.
const MAX_SHOWN_BYTES: usize = 16 << 10;
/// Models whose records have members, who get each message, notes too, and may be
/// customers (Odoo 19, `addons/mail/models/discuss`, `addons/mail_group`).
const CHANNEL_MODELS: [&str; 2] = ["discuss.channel", "mail.group"];
/// Messages that are looked through for one that was posted.
const MAX_SEARCHED_MESSAGES: u32 = 100;

pub(super) const TOOL: Tool = Tool {
    name: "post_message",
    title: "Post a message",
    description: "Write on an Odoo record: a note for colleagues, or a comment that its followers get \
                  by e-mail, customers too. Cannot be undone. May answer with a preview.",
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
        /// Plain text; lines stay lines.
        body: String,
        /// Default `note`.
        #[serde(default, rename = "as")]
        kind: MessageKind,
        /// Contacts (`res.partner`) who get it besides, a note too.
        #[serde(default)]
        #[schemars(extend("maxItems" = 50))]
        partner_ids: Vec<RecordId>,
        /// Such as `{"company_ids":[1]}`.
        context: Option<ContextRequest>,
    }
}

// No comments on these: they would make the list of words a union.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MessageKind {
    Comment,
    #[default]
    Note,
}

/// Who gets a message, as far as can be seen.
#[derive(Debug, Default, PartialEq)]
struct Recipients {
    /// People who have no user inside the company, each with a short address.
    external: Vec<String>,
    /// People of whom that cannot be seen.
    unclassified: Vec<String>,
    /// People who have one.
    internal: Vec<String>,
    /// Why not everybody can be told.
    incomplete_reason: Option<&'static str>,
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(mut self) -> Result<Self, ToolError> {
        self.validate()?;
        write_support::dedup_ids(&mut self.partner_ids);
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
            write_support::language_suffix(&context)
        );
        for line in self.body.trim().lines() {
            footer::append_line(
                &mut preview,
                &format!("> {}", one_line(line, MAX_BODY_CHARS)),
            );
        }
        footer::append_line(&mut preview, &recipients.describe(self.kind));
        footer::append_line(
            &mut preview,
            "A message that was sent cannot be taken back.",
        );
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

    /// A message with this text that our Odoo user wrote on the record since.
    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let on = Some((self.model.clone(), self.id));
        let which = (writes::after_baseline(since), MAX_SEARCHED_MESSAGES);
        let Some(made) = access.created_by_us(&message_model(), which, on).await? else {
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
            Err(OperationError::Forbidden(_)) => {
                return Ok(RecoveredOutcome::Unclear(self.manual_check_hint()));
            }
            Err(OperationError::Call(error)) if error.is_fault() => {
                return Ok(RecoveredOutcome::Unclear(self.manual_check_hint()));
            }
            Err(denied) => return Err(denied),
        };
        let messages: Vec<Map<String, Value>> = serde_json::from_slice(&answer)?;
        let ours = words(&self.body);
        let is_it = |message: &Map<String, Value>| {
            let body = message.get("body").and_then(Value::as_str);
            body.is_some_and(|body| words(&html_to_text(body)) == ours)
        };
        let equal = messages.iter().filter(|message| is_it(message)).count();
        Ok(if equal == 1 {
            RecoveredOutcome::Done(vec![self.id])
        } else {
            // Odoo may have put the text in a form of its own; and of two equal ones
            // one is somebody else's.
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
                    || "whom Odoo notified cannot be seen".to_owned(),
                    |count| format!("Odoo notified {count} by e-mail or in their inbox"),
                );
                footer::append_line(&mut text, &format!("It is the message {id}; {notified}."));
            }
            None => footer::append_line(&mut text, &describe_result(&done.result)),
        }
        Ok(Report { text, after: None })
    }
}

impl Arguments {
    /// Allows a message that has a text, and not too many people.
    ///
    /// # Errors
    /// [`ToolError::Arguments`].
    fn validate(&self) -> Result<(), ToolError> {
        let chars = self.body.chars().count();
        let wrong = |told: String| Err(ToolError::InvalidArguments(told));
        // What is not to be seen is no text either.
        let shows = |line: &str| !one_line(line, MAX_BODY_CHARS).is_empty();
        if !self.body.trim().lines().any(shows) {
            wrong(
                "argument `body` does not fit: it is empty, or nothing in it can be seen"
                    .to_owned(),
            )
        } else if chars > MAX_BODY_CHARS {
            wrong(format!(
                "argument `body` does not fit: it has {chars} characters, and may have {MAX_BODY_CHARS}"
            ))
        } else if self.partner_ids.len() > MAX_PARTNERS {
            wrong(format!(
                "argument `partner_ids` does not fit: name at most {MAX_PARTNERS}, not {}",
                self.partner_ids.len()
            ))
        } else {
            Ok(())
        }
    }

    /// What `message_post` is called with.
    fn to_odoo(&self) -> Map<String, Value> {
        let body = self.body.trim();
        let mut arguments = Map::new();
        let mut set = |name: &str, value: Value| {
            arguments.insert(name.to_owned(), value);
        };
        // Odoo makes HTML of a text, and its lines run into each other.
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

    /// The record with who follows it, as far as the caller may see it.
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
        let seen = self.kind == MessageKind::Comment && schema.field(followers.as_str()).is_some();
        let fields = if seen { vec![followers] } else { Vec::new() };
        RecordSnapshot::read_all(access, (&self.model, &[self.id]), &fields, context).await
    }

    /// Who would get it.
    async fn find_recipients(
        &self,
        access: &OdooSession<'_>,
        before: &RecordSnapshot,
        context: &Context,
    ) -> Result<Recipients, OperationError> {
        let mut recipients = Recipients::default();
        let mut people = self.partner_ids.clone();
        if self.kind == MessageKind::Comment {
            let row = before.row(self.id);
            let followers = row.and_then(|row| row.get("message_partner_ids")?.as_array());
            match followers {
                Some(followers) => people.extend(followers.iter().filter_map(RecordId::from_json)),
                None => {
                    recipients.incomplete_reason =
                        Some("Who follows this record cannot be seen from here");
                }
            }
        }
        write_support::dedup_ids(&mut people);
        if CHANNEL_MODELS.contains(&self.model.as_str()) {
            recipients.incomplete_reason = Some("All members of it get it");
        }
        if people.is_empty() {
            return Ok(recipients);
        }
        let partner = ModelName::known("res.partner");
        let unseen = "Who they are cannot be seen from here";
        if access.may_read(&partner).is_err() {
            recipients.incomplete_reason.get_or_insert(unseen);
            return Ok(recipients);
        }
        let schema = access.schema(&partner).await?;
        let fields = ["partner_share", "email"].map(FieldName::known);
        let fields = fields
            .into_iter()
            .filter(|name| schema.field(name.as_str()).is_some());
        let fields: Vec<FieldName> = fields.collect();
        let shot = match RecordSnapshot::read(access, (&partner, &people), &fields, context).await {
            Ok(shot) => {
                let absent = |id: &RecordId| shot.row(*id).is_none();
                let absent: Vec<RecordId> =
                    self.partner_ids.iter().copied().filter(absent).collect();
                if !absent.is_empty() {
                    return Err(OperationError::InvalidArgument(format!(
                        "these in `partner_ids` do not exist or may not be seen by this Odoo user: {}; find_by_name finds the right ids; nothing was posted",
                        write_support::id_list(&absent)
                    )));
                }
                shot
            }
            Err(OperationError::Call(error)) if error.is_fault() => RecordSnapshot::default(),
            Err(denied) => return Err(denied),
        };
        for id in people {
            let row = shot.row(id);
            let share = row.and_then(|row| row.get("partner_share")?.as_bool());
            match (row, share) {
                (Some(_), Some(false)) => {
                    let name = one_line(shot.name(id), 80);
                    recipients.internal.push(format!("{name} [{id}]"));
                }
                (Some(row), Some(true)) => {
                    let address = row.get("email").and_then(Value::as_str);
                    let address = address.map_or_else(String::new, mask_address);
                    let name = one_line(shot.name(id), 80);
                    recipients.external.push(format!("{name} [{id}]{address}"));
                }
                (Some(_), None) => {
                    let name = one_line(shot.name(id), 80);
                    recipients.unclassified.push(format!("{name} [{id}]"));
                }
                (None, _) => {
                    recipients.incomplete_reason.get_or_insert(unseen);
                }
            }
        }
        Ok(recipients)
    }

    fn verification_hint(&self) -> String {
        format!(
            "search_records of `mail.message` with `model` = \"{}\", `res_id` = {} shows whether it is there",
            self.model, self.id
        )
    }

    fn manual_check_hint(&self) -> String {
        format!(
            "look at the messages of the record {} of `{}` in Odoo.",
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

impl Recipients {
    fn describe(&self, kind: MessageKind) -> String {
        let mut parts = Vec::new();
        if !self.external.is_empty() {
            parts.push(format!(
                "OUTSIDE the company it goes to {}, by e-mail: {}",
                self.external.len(),
                join_bounded(&self.external)
            ));
        }
        if !self.unclassified.is_empty() {
            parts.push(format!(
                "To {} it goes perhaps OUTSIDE the company, for that cannot be seen from here: {}",
                self.unclassified.len(),
                join_bounded(&self.unclassified)
            ));
        }
        if !self.internal.is_empty() {
            parts.push(format!(
                "Inside the company it goes to {}: {}",
                self.internal.len(),
                join_bounded(&self.internal)
            ));
        }
        if let Some(unknown) = self.incomplete_reason {
            let unknown = format!("{unknown}: it may go OUTSIDE the company, to customers too");
            parts.insert(0, unknown);
        }
        if parts.is_empty() {
            return match kind {
                MessageKind::Comment => {
                    "Nobody follows this record, so nobody is notified.".to_owned()
                }
                MessageKind::Note => "Nobody is notified: a note stays with the record.".to_owned(),
            };
        }
        let mut text = parts.join(". ");
        if kind == MessageKind::Comment && self.incomplete_reason.is_none() {
            text.push_str(" (but for the author, and those who want no comments)");
        }
        text.push('.');
        text
    }
}

/// The model of which each message is a record.
fn message_model() -> ModelName {
    ModelName::known("mail.message")
}

fn message_post_method() -> MethodName {
    MethodName::known("message_post")
}

/// How many the message was sent to; none where that cannot be seen.
async fn notified_count(
    access: &OdooSession<'_>,
    message: RecordId,
    context: &Context,
) -> Option<usize> {
    let field = FieldName::known("notified_partner_ids");
    let messages = message_model();
    access.may_read(&messages).ok()?;
    let looked = RecordSnapshot::read(access, (&messages, &[message]), &[field], context).await;
    if let Err(error) = &looked {
        tracing::debug!(error = %error, "Failed to see whom a message went to");
    }
    let looked = looked.ok()?;
    let partners = looked.row(message)?.get("notified_partner_ids")?;
    partners.as_array().map(Vec::len)
}

/// A text as HTML, all of it escaped, lines as lines.
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

/// The words of a text, whatever is between them.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// All of a list, or how many of it are not shown.
fn join_bounded(people: &[String]) -> String {
    let mut text = String::new();
    for (at, one) in people.iter().enumerate() {
        if at > 0 && text.len() + one.len() > MAX_SHOWN_BYTES {
            let rest = people.len() - at;
            text::append(
                &mut text,
                format_args!(", and {rest} more who are NOT SHOWN: they are too many"),
            );
            break;
        }
        if at > 0 {
            text.push_str(", ");
        }
        text.push_str(one);
    }
    text
}

/// Enough of an address to know whose it is.
fn mask_address(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((name, domain)) => {
            let first = name.chars().next().map(String::from).unwrap_or_default();
            format!(" ({}…@{})", one_line(&first, 1), one_line(domain, 60))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Arguments, MessageKind, Recipients, mask_address, text_to_html, words};
    use gatepost_base::text::html_to_text;

    fn arguments(more: &Value) -> Arguments {
        let mut all = json!({"model": "sale.order", "id": 7, "body": "x"});
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn empty_or_oversized_message_is_rejected() {
        let told = |more: Value| {
            arguments(&more)
                .validate()
                .map_err(|error| error.to_string())
        };
        assert_eq!(told(json!({})), Ok(()));
        for odd in [
            json!({"body": ""}),
            json!({"body": " \n\t"}),
            json!({"body": "x".repeat(20_001)}),
            json!({"partner_ids": (1..=51).collect::<Vec<u32>>()}),
        ] {
            assert!(told(odd).is_err());
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

    #[test]
    fn external_recipients_are_listed_first() {
        let told = |recipients: &Recipients| {
            [MessageKind::Comment, MessageKind::Note]
                .map(|kind| recipients.describe(kind))
                .join("\n")
        };
        let some = Recipients {
            external: vec![format!("Azure [14]{}", mask_address("info@azure.example"))],
            internal: vec!["Marc [3]".to_owned(), "Mitchell [2]".to_owned()],
            ..Recipients::default()
        };
        let unclear = Recipients {
            unclassified: (1..=22).map(|id| format!("Azure [{id}]")).collect(),
            ..Recipients::default()
        };
        let unknown = Recipients {
            incomplete_reason: Some("Who follows this record cannot be seen from here"),
            ..Recipients::default()
        };
        let all = [&some, &unclear, &unknown, &Recipients::default()].map(told);
        insta::assert_snapshot!(all.join("\n"));
    }
}
