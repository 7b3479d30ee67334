//! `post_message`.

use gatepost_base::text;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Tool, ToolError,
    arguments::{ObjectArgument, parse, schema_of},
    changing, notes,
};
use crate::{
    access::{Access, ContextRequest, Denied},
    changes::{self, Change, Done, Found, Proposal, Report, Shot, Show, Since, Wish, returned},
};
use gatepost_base::text::{one_line, plain};
use gatepost_odoo::{
    Call, Context, Domain, Effect, FieldName, MethodName, ModelName, Order, RecordId,
};
use gatepost_state::limits::ToolClass;

/// Characters of a message.
const MAX_CHARS: usize = 20_000;
/// People who are named.
const MAX_PARTNERS: usize = 50;
/// Bytes of people who are shown.
const MAX_SHOWN_BYTES: usize = 16 << 10;
/// Models whose records have members, who get each message, notes too, and may be
/// customers (Odoo 19, `addons/mail/models/discuss`, `addons/mail_group`).
const MEETING_PLACES: [&str; 2] = ["discuss.channel", "mail.group"];
/// Messages that are looked through for one that was posted.
const MAX_LOOKED_THROUGH: u32 = 100;

pub(super) const TOOL: Tool = Tool {
    name: "post_message",
    title: "Post a message",
    description: "Write on an Odoo record: a note for colleagues, or a comment that its followers get \
                  by e-mail, customers too. Cannot be undone. May answer with a preview.",
    effect: Effect::Run,
    class: ToolClass::Write,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async move {
            let wish = Wish::of(TOOL.name, arguments);
            let mut arguments: Arguments = parse(arguments)?;
            arguments.check()?;
            changing::once_each(&mut arguments.partner_ids);
            changing::answer(access, &wish, &arguments).await
        })
    },
};

/// Arguments of `post_message`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Such as `sale.order`.
    model: ModelName,
    /// The record.
    id: RecordId,
    /// Plain text; lines stay lines.
    body: String,
    /// Default `note`.
    #[serde(default, rename = "as")]
    kind: Kind,
    /// Contacts (`res.partner`) who get it besides, a note too.
    #[serde(default)]
    #[schemars(extend("maxItems" = 50))]
    partner_ids: Vec<RecordId>,
    /// Such as `{"company_ids":[1]}`.
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

// No comments on these: they would make the list of words a union.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Comment,
    #[default]
    Note,
}

/// Who gets a message, as far as can be seen.
#[derive(Debug, Default, PartialEq)]
struct Recipients {
    /// People who have no user inside the company, each with a short address.
    outside: Vec<String>,
    /// People of whom that cannot be seen.
    unclear: Vec<String>,
    /// People who have one.
    inside: Vec<String>,
    /// Why not everybody can be told.
    unknown: Option<&'static str>,
}

impl Change for Arguments {
    async fn propose(&self, access: &Access<'_>) -> Result<Proposal, Denied> {
        access.may_call(&self.model, &message_post())?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let before = self.record(access, &context).await?;
        let recipients = self.recipients(access, &before, &context).await?;
        let mut preview = format!(
            "Post a {} on {} of {}{}:\n",
            self.kind.word(),
            Show::titles(&[self.id], &before),
            self.model,
            changing::language(&context)
        );
        for line in self.body.trim().lines() {
            notes::line(&mut preview, &format!("> {}", one_line(line, MAX_CHARS)));
        }
        notes::line(&mut preview, &recipients.told(self.kind));
        notes::line(
            &mut preview,
            "A message that was sent cannot be taken back.",
        );
        let call = Call::run(
            self.model.clone(),
            message_post(),
            &[self.id],
            self.to_odoo(),
        );
        Ok(Proposal {
            calls: vec![call.in_context(context)],
            preview,
            before,
            undo: None,
            makes: Some(messages()),
            look: self.where_to_look(),
            ..Proposal::default()
        })
    }

    /// A message with this text that our Odoo user wrote on the record since.
    async fn find(&self, access: &Access<'_>, since: &Since) -> Result<Found, Denied> {
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let on = Some((self.model.clone(), self.id));
        let which = (changes::since_then(since), MAX_LOOKED_THROUGH);
        let Some(made) = access.made(&messages(), which, on).await? else {
            return Ok(Found::Unclear(self.look_in_odoo()));
        };
        if made.is_empty() {
            return Ok(Found::Not);
        }
        let domain = Domain::of_ids(&made)?;
        let search = Call::search_read(
            messages(),
            &domain,
            &[FieldName::known("body")],
            &Order::by_id(),
            0,
            MAX_LOOKED_THROUGH,
        );
        let answer = match access.call(search.in_context(context)).await {
            Ok(answer) => answer,
            Err(Denied::Forbidden(_)) => return Ok(Found::Unclear(self.look_in_odoo())),
            Err(Denied::Call(error)) if error.is_fault() => {
                return Ok(Found::Unclear(self.look_in_odoo()));
            }
            Err(denied) => return Err(denied),
        };
        let messages: Vec<Map<String, Value>> = serde_json::from_slice(&answer)?;
        let ours = words(&self.body);
        let is_it = |message: &Map<String, Value>| {
            let body = message.get("body").and_then(Value::as_str);
            body.is_some_and(|body| words(&plain(body)) == ours)
        };
        let equal = messages.iter().filter(|message| is_it(message)).count();
        Ok(if equal == 1 {
            Found::Done(vec![self.id])
        } else {
            // Odoo may have put the text in a form of its own; and of two equal ones
            // one is somebody else's.
            Found::Unclear(self.look_in_odoo())
        })
    }

    async fn report(&self, access: &Access<'_>, done: &Done) -> Result<Report, Denied> {
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let message = done.result.get(0).and_then(Value::as_i64);
        let mut text = format!(
            "Posted a {} on [{}] of {}.",
            self.kind.word(),
            self.id,
            self.model
        );
        match message.and_then(|id| RecordId::try_from(id).ok()) {
            Some(id) => {
                let notified = notified(access, id, &context).await;
                let notified = notified.map_or_else(
                    || "whom Odoo notified cannot be seen".to_owned(),
                    |count| format!("Odoo notified {count} by e-mail or in their inbox"),
                );
                notes::line(&mut text, &format!("It is the message {id}; {notified}."));
            }
            None => notes::line(&mut text, &returned(&done.result)),
        }
        Ok(Report { text, after: None })
    }
}

impl Arguments {
    /// Allows a message that has a text, and not too many people.
    ///
    /// # Errors
    /// [`ToolError::Arguments`].
    fn check(&self) -> Result<(), ToolError> {
        let chars = self.body.chars().count();
        let wrong = |told: String| Err(ToolError::Arguments(told));
        // What is not to be seen is no text either.
        let shows = |line: &str| !one_line(line, MAX_CHARS).is_empty();
        if !self.body.trim().lines().any(shows) {
            wrong(
                "argument `body` does not fit: it is empty, or nothing in it can be seen"
                    .to_owned(),
            )
        } else if chars > MAX_CHARS {
            wrong(format!(
                "argument `body` does not fit: it has {chars} characters, and may have {MAX_CHARS}"
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
            set("body", paragraphs(body).into());
            set("body_is_html", true.into());
        } else {
            set("body", body.into());
        }
        set("message_type", "comment".into());
        set("subtype_xmlid", self.kind.subtype().into());
        if !self.partner_ids.is_empty() {
            let ids = self.partner_ids.iter().map(|id| id.get());
            set("partner_ids", ids.collect());
        }
        arguments
    }

    /// The record with who follows it, as far as the caller may see it.
    async fn record(&self, access: &Access<'_>, context: &Context) -> Result<Shot, Denied> {
        if access.may_read(&self.model).is_err() {
            return Ok(Shot::default());
        }
        let followers = FieldName::known("message_partner_ids");
        let schema = access.schema(&self.model).await?;
        let seen = self.kind == Kind::Comment && schema.field(followers.as_str()).is_some();
        let fields = if seen { vec![followers] } else { Vec::new() };
        Shot::of_all(access, (&self.model, &[self.id]), &fields, context).await
    }

    /// Who would get it.
    async fn recipients(
        &self,
        access: &Access<'_>,
        before: &Shot,
        context: &Context,
    ) -> Result<Recipients, Denied> {
        let mut recipients = Recipients::default();
        let mut people = self.partner_ids.clone();
        if self.kind == Kind::Comment {
            let row = before.row(self.id);
            let followers = row.and_then(|row| row.get("message_partner_ids")?.as_array());
            match followers {
                Some(followers) => people.extend(followers.iter().filter_map(RecordId::from_json)),
                None => {
                    recipients.unknown = Some("Who follows this record cannot be seen from here");
                }
            }
        }
        changing::once_each(&mut people);
        if MEETING_PLACES.contains(&self.model.as_str()) {
            recipients.unknown = Some("All members of it get it");
        }
        if people.is_empty() {
            return Ok(recipients);
        }
        let partner = ModelName::known("res.partner");
        let unseen = "Who they are cannot be seen from here";
        if access.may_read(&partner).is_err() {
            recipients.unknown.get_or_insert(unseen);
            return Ok(recipients);
        }
        let schema = access.schema(&partner).await?;
        let fields = ["partner_share", "email"].map(FieldName::known);
        let fields = fields
            .into_iter()
            .filter(|name| schema.field(name.as_str()).is_some());
        let fields: Vec<FieldName> = fields.collect();
        let shot = match Shot::take(access, (&partner, &people), &fields, context).await {
            Ok(shot) => {
                let absent = |id: &RecordId| shot.row(*id).is_none();
                let absent: Vec<RecordId> =
                    self.partner_ids.iter().copied().filter(absent).collect();
                if !absent.is_empty() {
                    return Err(Denied::Unfit(format!(
                        "these in `partner_ids` do not exist or may not be seen by this Odoo user: {}; find_by_name finds the right ids; nothing was posted",
                        changing::numbers(&absent)
                    )));
                }
                shot
            }
            Err(Denied::Call(error)) if error.is_fault() => Shot::default(),
            Err(denied) => return Err(denied),
        };
        for id in people {
            let row = shot.row(id);
            let share = row.and_then(|row| row.get("partner_share")?.as_bool());
            match (row, share) {
                (Some(_), Some(false)) => {
                    let name = one_line(shot.name(id), 80);
                    recipients.inside.push(format!("{name} [{id}]"));
                }
                (Some(row), Some(true)) => {
                    let address = row.get("email").and_then(Value::as_str);
                    let address = address.map_or_else(String::new, short);
                    let name = one_line(shot.name(id), 80);
                    recipients.outside.push(format!("{name} [{id}]{address}"));
                }
                (Some(_), None) => {
                    let name = one_line(shot.name(id), 80);
                    recipients.unclear.push(format!("{name} [{id}]"));
                }
                (None, _) => {
                    recipients.unknown.get_or_insert(unseen);
                }
            }
        }
        Ok(recipients)
    }

    fn where_to_look(&self) -> String {
        format!(
            "search_records of `mail.message` with `model` = \"{}\", `res_id` = {} shows whether it is there",
            self.model, self.id
        )
    }

    fn look_in_odoo(&self) -> String {
        format!(
            "look at the messages of the record {} of `{}` in Odoo.",
            self.id, self.model
        )
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Note => "note",
        }
    }

    /// Odoo 19, `addons/mail/data/mail_message_subtype_data.xml`.
    fn subtype(self) -> &'static str {
        match self {
            Self::Comment => "mail.mt_comment",
            Self::Note => "mail.mt_note",
        }
    }
}

impl Recipients {
    fn told(&self, kind: Kind) -> String {
        let mut parts = Vec::new();
        if !self.outside.is_empty() {
            parts.push(format!(
                "OUTSIDE the company it goes to {}, by e-mail: {}",
                self.outside.len(),
                listed(&self.outside)
            ));
        }
        if !self.unclear.is_empty() {
            parts.push(format!(
                "To {} it goes perhaps OUTSIDE the company, for that cannot be seen from here: {}",
                self.unclear.len(),
                listed(&self.unclear)
            ));
        }
        if !self.inside.is_empty() {
            parts.push(format!(
                "Inside the company it goes to {}: {}",
                self.inside.len(),
                listed(&self.inside)
            ));
        }
        if let Some(unknown) = self.unknown {
            let unknown = format!("{unknown}: it may go OUTSIDE the company, to customers too");
            parts.insert(0, unknown);
        }
        if parts.is_empty() {
            return match kind {
                Kind::Comment => "Nobody follows this record, so nobody is notified.".to_owned(),
                Kind::Note => "Nobody is notified: a note stays with the record.".to_owned(),
            };
        }
        let mut text = parts.join(". ");
        if kind == Kind::Comment && self.unknown.is_none() {
            text.push_str(" (but for the author, and those who want no comments)");
        }
        text.push('.');
        text
    }
}

/// The model of which each message is a record.
fn messages() -> ModelName {
    ModelName::known("mail.message")
}

fn message_post() -> MethodName {
    MethodName::known("message_post")
}

/// How many the message was sent to; none where that cannot be seen.
async fn notified(access: &Access<'_>, message: RecordId, context: &Context) -> Option<usize> {
    let field = FieldName::known("notified_partner_ids");
    let messages = messages();
    access.may_read(&messages).ok()?;
    let looked = Shot::take(access, (&messages, &[message]), &[field], context).await;
    if let Err(error) = &looked {
        tracing::debug!(error = %error, "Failed to see whom a message went to");
    }
    let looked = looked.ok()?;
    let partners = looked.row(message)?.get("notified_partner_ids")?;
    partners.as_array().map(Vec::len)
}

/// A text as HTML, all of it escaped, lines as lines.
fn paragraphs(text: &str) -> String {
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
fn listed(people: &[String]) -> String {
    let mut text = String::new();
    for (at, one) in people.iter().enumerate() {
        if at > 0 && text.len() + one.len() > MAX_SHOWN_BYTES {
            let rest = people.len() - at;
            text::add(
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
fn short(address: &str) -> String {
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

    use super::{Arguments, Kind, Recipients, paragraphs, short, words};
    use gatepost_base::text::plain;

    fn arguments(more: &Value) -> Arguments {
        let mut all = json!({"model": "sale.order", "id": 7, "body": "x"});
        let more = more.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_message_without_words_or_too_long_is_refused() {
        let told = |more: Value| arguments(&more).check().map_err(|error| error.to_string());
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
    fn lines_stay_lines_and_nothing_in_a_text_is_a_tag() {
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
    fn a_message_is_known_again_by_its_words() {
        for body in ["a <b>\n\"c\" & 'd'", "one", "x < y\n\n\ny > z"] {
            assert_eq!(words(&plain(&paragraphs(body))), words(body), "{body}");
        }
        // As Odoo 19 stored a text of one line.
        let stored = "<p>line &lt;b&gt;two&lt;/b&gt; &amp; 'three'</p>";
        assert_eq!(words(&plain(stored)), words("line <b>two</b> & 'three'"));
    }

    #[test]
    fn who_outside_gets_it_is_said_first() {
        let told = |recipients: &Recipients| {
            [Kind::Comment, Kind::Note]
                .map(|kind| recipients.told(kind))
                .join("\n")
        };
        let some = Recipients {
            outside: vec![format!("Azure [14]{}", short("info@azure.example"))],
            inside: vec!["Marc [3]".to_owned(), "Mitchell [2]".to_owned()],
            ..Recipients::default()
        };
        let unclear = Recipients {
            unclear: (1..=22).map(|id| format!("Azure [{id}]")).collect(),
            ..Recipients::default()
        };
        let unknown = Recipients {
            unknown: Some("Who follows this record cannot be seen from here"),
            ..Recipients::default()
        };
        let all = [&some, &unclear, &unknown, &Recipients::default()].map(told);
        insta::assert_snapshot!(all.join("\n"));
    }
}
