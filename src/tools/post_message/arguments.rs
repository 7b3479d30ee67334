//! The arguments of `post_message`, and those of Odoo's `message_post`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    access::ContextRequest,
    tools::{
        Tool, ToolError,
        arguments::{dedup_ids, schema_of, write_arguments},
        tool::{WriteTool, run_write},
    },
};
use gatepost_base::text::has_visible_text;
use gatepost_odoo::{ModelName, Operation, RecordId};

/// The maximum length of a message in characters.
pub(super) const MAX_BODY_CHARS: usize = 20_000;

/// The maximum number of extra recipients.
const MAX_PARTNERS: usize = 50;

pub(in crate::tools) const TOOL: Tool = Tool {
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
    pub(super) struct Arguments {
        /// Such as `sale.order`.
        pub(super) model: ModelName,
        /// The record.
        pub(super) id: RecordId,
        /// Plain text; line breaks are preserved.
        pub(super) body: String,
        /// Default `note`.
        #[serde(default, rename = "as")]
        pub(super) kind: MessageKind,
        /// Contacts (`res.partner`) who also get it, even a note.
        #[serde(default)]
        #[schemars(extend("maxItems" = 50))]
        pub(super) partner_ids: Vec<RecordId>,
        /// Such as `{"company_ids":[1]}`.
        pub(super) context: Option<ContextRequest>,
    }
}

// No doc comments on the variants: they would make the schema a union.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MessageKind {
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
        } else if self.body.contains('\0') {
            invalid(
                "invalid argument `body`: it contains a NUL character, which Odoo cannot store; leave it out"
                    .to_owned(),
            )
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
    pub(super) fn to_odoo(&self) -> Map<String, Value> {
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
}

impl MessageKind {
    pub(super) fn as_str(self) -> &'static str {
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

/// Converts text to HTML: escaped, with its line breaks.
pub(super) fn text_to_html(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Arguments;

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
            json!({"body": "a\0b"}),
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
}
