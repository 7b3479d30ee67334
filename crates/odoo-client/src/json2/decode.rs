//! Decodes responses to results or errors.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::super::{
    CallError, WireResponse,
    foreign_response::{ForeignResponse, is_compressed},
};
use gatepost_base::text;
use gatepost_odoo::{AccessKind, OdooError, reveals_internals};

/// The longest message of Odoo that is passed to the client, in characters.
const MAX_MESSAGE_CHARS: usize = 1_000;
/// Bytes of a message, which may be HTML, that are read for it.
const MAX_MESSAGE_BYTES: usize = 32 << 10;

/// Odoo's error object; `debug` and `context` are never read.
#[derive(Deserialize)]
struct ErrorObject {
    name: String,
    message: Value,
    #[serde(default)]
    arguments: Value,
}

pub(super) fn decode(response: &WireResponse) -> Result<Bytes, CallError> {
    let is_json = response.media == "application/json";
    // Odoo uses these statuses in no answer of its own.
    let is_refused_before_odoo = matches!(response.status, 300..=399 | 413 | 429 | 502..=504);
    if !is_json || is_refused_before_odoo || is_compressed(&response.headers) {
        return Err(not_json(response));
    }
    if response.status == 200 {
        let body =
            parse_complete(&response.body).map_err(|error| CallError::CutOff(error.into()))?;
        if is_identity_check(&body) {
            return Err(OdooError::IdentityCheck.into());
        }
        return Ok(body);
    }
    match serde_json::from_slice::<ErrorObject>(&response.body) {
        Ok(error) => Err(classify(&error).into()),
        Err(_) => Err(CallError::NotOdoo(ForeignResponse::new(response))),
    }
}

/// Checks in one pass that the JSON is complete; the caller parses it. Python also
/// writes `NaN` and `Infinity`, which are no JSON: they become texts.
fn parse_complete(body: &Bytes) -> Result<Bytes, serde_json::Error> {
    let Err(error) = serde_json::from_slice::<&RawValue>(body) else {
        return Ok(body.clone());
    };
    let Some(quoted) = quote_non_finite(body) else {
        return Err(error);
    };
    serde_json::from_slice::<&RawValue>(&quoted)?;
    Ok(quoted.into())
}

/// The JSON with `NaN`, `Infinity` and `-Infinity` in quotes; `None` if there are none.
fn quote_non_finite(body: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut quoted = Vec::with_capacity(body.len());
    let (mut rest, mut in_text, mut found) = (body, false, false);
    while let Some((&byte, after)) = rest.split_first() {
        let word = WORDS.iter().find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            found = true;
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        quoted.push(byte);
        rest = after;
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                let (escaped, after) = rest.split_first()?;
                quoted.push(*escaped);
                rest = after;
            }
            _ => {}
        }
    }
    found.then_some(quoted)
}

/// Whether the result is an action that asks for a password instead of running.
fn is_identity_check(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct WindowAction {
        #[serde(default)]
        res_model: Option<String>,
    }
    answer.starts_with(b"{")
        && answer.len() < 10_000
        && serde_json::from_slice::<WindowAction>(answer)
            .is_ok_and(|action| action.res_model.as_deref() == Some("res.users.identitycheck"))
}

fn not_json(response: &WireResponse) -> CallError {
    let page = String::from_utf8_lossy(&response.body);
    if response.status == 404 && page.contains("No database is selected") {
        return OdooError::UnknownDatabase.into();
    }
    CallError::NotOdoo(ForeignResponse::new(response))
}

/// Classifies an error by its name.
fn classify(error: &ErrorObject) -> OdooError {
    let message = error.message.as_str().unwrap_or_default();
    let name = error.name.as_str();
    match name {
        "odoo.exceptions.AccessError" => OdooError::Access(access_kind(message)),
        "odoo.exceptions.AccessDenied" => OdooError::Access(AccessKind::Model),
        "odoo.exceptions.UserError" | "odoo.exceptions.ValidationError" => business_rule(message),
        // Its message is all four arguments joined; the first is the text.
        "odoo.exceptions.RedirectWarning" => business_rule(
            error
                .arguments
                .get(0)
                .and_then(Value::as_str)
                .unwrap_or(message),
        ),
        "odoo.exceptions.MissingError" => OdooError::MissingRecord,
        "odoo.exceptions.LockError" => OdooError::Conflict,
        "werkzeug.exceptions.Unauthorized" => OdooError::KeyRejected,
        "werkzeug.exceptions.UnprocessableEntity" => OdooError::Arguments(safe_first_line(message)),
        "werkzeug.exceptions.BadRequest" => OdooError::Invalid(safe_first_line(message)),
        "werkzeug.exceptions.NotFound" if message.starts_with("the model ") => {
            OdooError::UnknownModel
        }
        "werkzeug.exceptions.NotFound" => OdooError::UnknownMethod,
        "builtins.KeyError" => OdooError::Invalid(format!(
            "it does not know `{}`",
            safe_first_line(message.trim_matches('\''))
        )),
        "builtins.ValueError" | "builtins.TypeError" => {
            OdooError::Invalid(safe_first_line(message))
        }
        _ if [
            "SerializationFailure",
            "DeadlockDetected",
            "LockNotAvailable",
        ]
        .iter()
        .any(|class| name.ends_with(class)) =>
        {
            OdooError::Conflict
        }
        _ if name.starts_with("psycopg2.") => OdooError::Database,
        _ => OdooError::Unknown,
    }
}

/// Which rule denied access. Odoo's text names users, ids, groups and companies, so
/// only the name of a field is passed on.
fn access_kind(message: &str) -> AccessKind {
    if message.contains("unauthorized or invalid companies") {
        return AccessKind::Company;
    }
    if message.starts_with("Private methods") {
        return AccessKind::Private;
    }
    if message.contains("enough rights to access the field") {
        let field = message.split('"').nth(1).filter(|name| is_name(name));
        return field.map_or(AccessKind::Model, |name| AccessKind::Field(name.to_owned()));
    }
    if message.starts_with("Uh-oh!") {
        return AccessKind::Record;
    }
    AccessKind::Model
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A business rule in Odoo's own words, which are written for users.
fn business_rule(message: &str) -> OdooError {
    if reveals_internals(message) {
        return OdooError::Unknown;
    }
    // A hostile Odoo may send megabytes.
    let whole = message;
    let message = text::truncated(whole, MAX_MESSAGE_BYTES);
    let formatted = ["</", "<br", "/>"]
        .iter()
        .any(|sign| message.contains(sign));
    let message = if formatted {
        Cow::from(text::html_to_text(message))
    } else {
        Cow::from(message.trim())
    };
    let mut text: String = text::without_hidden(&message)
        .take(MAX_MESSAGE_CHARS)
        .collect();
    if message.len() < whole.len() && whole.len() > MAX_MESSAGE_BYTES
        || message.chars().count() > MAX_MESSAGE_CHARS
    {
        text.push('…');
    }
    OdooError::RuleViolation(text)
}

/// The first line of a technical message, unless it reveals internals of Odoo.
fn safe_first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    if line.is_empty() || reveals_internals(message) {
        return "the details are in Odoo's log".to_owned();
    }
    text::without_hidden(line).take(300).collect()
}
