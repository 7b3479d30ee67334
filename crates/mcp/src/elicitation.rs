//! Elicitation on the wire: asking the user for approval (MCP, client features,
//! "Elicitation").
//!
//! The form is the same in all revisions: a text and one checkbox. The older revisions
//! send it as a request to the client, 2026-07-28 as a result that requires input.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{
    ProtocolError,
    jsonrpc::{json_string, parse_object},
};

/// The key of the elicitation among the input requests of a result.
const INPUT_KEY: &str = "approval";

const ELICITATION_METHOD: &str = "elicitation/create";

/// A question to the user, returned as the result of a call. The client repeats the
/// call with the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElicitRequest {
    /// The text for the user.
    pub message: String,
    /// The state that the client returns with the answer. The client can read and
    /// change it, so it must be sealed.
    pub state: String,
}

gatepost_base::words! {
    /// The answer of the user.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ElicitAction {
        /// The user approved.
        Accepted = "accepted",
        /// The user closed the form without an answer.
        Cancelled = "cancelled",
        /// The user declined, or did not clearly approve.
        Declined = "declined",
    }

    /// The value in logs.
    pub fn as_str(self);
}

/// The answer to an [`ElicitRequest`] that an earlier call returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputResponse {
    /// The answer.
    pub action: ElicitAction,
    /// The state as the client returned it.
    pub state: String,
}

/// The id of an elicitation request on the stream of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElicitationId(u128);

/// A client's response to an elicitation request.
#[derive(Debug)]
pub struct ElicitationResponse<'a> {
    /// The request it answers; `None` if the id is not one of the gateway's own.
    pub id: Option<ElicitationId>,
    /// The result or the error.
    pub result: Result<&'a RawValue, &'a RawValue>,
}

/// The capabilities of a client that the gateway uses.
#[derive(Deserialize)]
struct ElicitationCapabilities<'a> {
    #[serde(borrow, default)]
    elicitation: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ElicitationCapability<'a> {
    #[serde(borrow, default)]
    form: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ElicitResult<'a> {
    action: ElicitResultAction,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ElicitResultAction {
    Accept,
    Cancel,
    Decline,
}

#[derive(Deserialize)]
struct ApprovalForm {
    approve: bool,
}

/// Whether a client with these capabilities supports forms. It does if it names no
/// mode (2025-11-25, "Elicitation", "Capabilities").
pub(super) fn supports_form_elicitation(capabilities: Option<&RawValue>) -> bool {
    let elicitation = capabilities
        .and_then(parse_object::<ElicitationCapabilities<'_>>)
        .and_then(|capabilities| {
            parse_object::<ElicitationCapability<'_>>(capabilities.elicitation?)
        });
    elicitation.is_some_and(|elicitation| match (elicitation.form, elicitation.url) {
        (Some(form), _) => form.get().starts_with('{'),
        (None, url) => url.is_none(),
    })
}

/// Parses `inputResponses` and `requestState`. An answer without its state, or a state
/// alone, is ignored; then the user is asked again (2026-07-28, "Multi Round-Trip
/// Requests", "Error Handling").
///
/// # Errors
/// [`ProtocolError::InvalidParams`] if they are malformed.
pub(super) fn parse_input_response(
    responses: Option<&RawValue>,
    state: Option<&RawValue>,
) -> Result<Option<InputResponse>, ProtocolError> {
    let state = match state {
        None => None,
        Some(raw) => Some(json_string(raw).ok_or_else(|| {
            ProtocolError::InvalidParams(
                "`requestState` must be the string that the server sent".to_owned(),
            )
        })?),
    };
    let Some(responses) = responses else {
        return Ok(None);
    };
    let invalid =
        || ProtocolError::InvalidParams("`inputResponses` must be an object of results".to_owned());
    let responses = parse_object::<BTreeMap<String, &RawValue>>(responses).ok_or_else(invalid)?;
    let Some(response) = responses.get(INPUT_KEY) else {
        return Ok(None);
    };
    let action = ElicitAction::from_result(response).ok_or_else(|| {
        ProtocolError::InvalidParams(format!(
            "`inputResponses.{INPUT_KEY}` must have an `action` of `accept`, `decline` or `cancel`"
        ))
    })?;
    Ok(state.map(|state| InputResponse {
        action,
        state: state.into_owned(),
    }))
}

/// The request that asks on the stream of a call.
pub fn create_request(id: ElicitationId, message: &str) -> Bytes {
    let request = json!({
        "jsonrpc": "2.0",
        "id": id.to_string(),
        "method": ELICITATION_METHOD,
        "params": form_params(message),
    });
    request.to_string().into()
}

/// The notification that cancels an elicitation (MCP, utilities, "Cancellation"), so
/// that the user need not answer it.
pub fn cancelled_notification(id: ElicitationId) -> Bytes {
    let notification = json!({
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": { "requestId": id.to_string(), "reason": "the request is no longer pending" },
    });
    notification.to_string().into()
}

/// The form, without a `mode`: the oldest revision has none, and the default of the
/// others is a form.
fn form_params(message: &str) -> Value {
    json!({
        "message": message,
        "requestedSchema": {
            "type": "object",
            "properties": {
                "approve": {
                    "type": "boolean",
                    "title": "Approve",
                    "description": "Whether this may be done as it is described.",
                },
            },
            "required": ["approve"],
        },
    })
}

impl ElicitAction {
    /// Parses the result of an elicitation; `None` if it is malformed.
    pub fn from_result(result: &RawValue) -> Option<Self> {
        let result = parse_object::<ElicitResult<'_>>(result)?;
        Some(match result.action {
            ElicitResultAction::Accept => {
                match result.content.and_then(parse_object::<ApprovalForm>) {
                    Some(ApprovalForm { approve: true }) => Self::Accepted,
                    Some(ApprovalForm { approve: false }) | None => Self::Declined,
                }
            }
            ElicitResultAction::Cancel => Self::Cancelled,
            ElicitResultAction::Decline => Self::Declined,
        })
    }
}

impl ElicitationId {
    /// The id of this number, which must be unpredictable.
    pub fn new(random: u128) -> Self {
        Self(random)
    }

    /// Parses an id; `None` if it is not one of the gateway's own.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("gp-")?;
        let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if digits.len() != 32 || !digits.bytes().all(plain) {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for ElicitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gp-{:032x}", self.0)
    }
}

// The id allows answering, so it must not be logged.
impl fmt::Debug for ElicitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ElicitationId(…)")
    }
}

/// Serialized as the members of a result that requires input (2026-07-28, schema,
/// `InputRequiredResult`).
impl Serialize for ElicitRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = json!({
            "inputRequests": { INPUT_KEY: { "method": ELICITATION_METHOD, "params": form_params(&self.message) } },
            "requestState": self.state,
        });
        members.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{
        ElicitAction, ElicitationId, InputResponse, cancelled_notification, create_request,
        parse_input_response, supports_form_elicitation,
    };

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    // MCP 2025-11-25, "Elicitation", "Capabilities".
    #[test]
    fn form_support_is_assumed_unless_only_another_mode_is_declared() {
        for (declared, expected) in [
            (r#"{"elicitation":{}}"#, true),
            (r#"{"elicitation":{"form":{}}}"#, true),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true),
            (r#"{"elicitation":{"later":{}}}"#, true),
            (r#"{"elicitation":{"url":{}}}"#, false),
            (r#"{"elicitation":{"form":false}}"#, false),
            (r#"{"elicitation":null}"#, false),
            (r#"{"elicitation":true}"#, false),
            (r#"{"elicitation":[{},null]}"#, false),
            (r#"{"sampling":{}}"#, false),
            ("[{}]", false),
            ("{}", false),
            ("7", false),
        ] {
            assert_eq!(
                supports_form_elicitation(Some(&raw(declared))),
                expected,
                "{declared}"
            );
        }
        assert!(!supports_form_elicitation(None));
    }

    #[test]
    fn only_an_explicit_approval_is_accepted() {
        let said = |json: &str| ElicitAction::from_result(&raw(json)).map(ElicitAction::as_str);
        for (result, expected) in [
            (
                r#"{"action":"accept","content":{"approve":true}}"#,
                Some("accepted"),
            ),
            (
                r#"{"action":"accept","content":{"approve":true,"more":[1]},"_meta":{}}"#,
                Some("accepted"),
            ),
            (
                r#"{"action":"accept","content":{"approve":false}}"#,
                Some("declined"),
            ),
            (
                r#"{"action":"accept","content":{"approve":"true"}}"#,
                Some("declined"),
            ),
            (
                r#"{"action":"accept","content":{"approve":1}}"#,
                Some("declined"),
            ),
            (
                r#"{"action":"accept","content":{"approve":true,"approve":true}}"#,
                Some("declined"),
            ),
            (r#"{"action":"accept","content":{}}"#, Some("declined")),
            (r#"{"action":"accept","content":[true]}"#, Some("declined")),
            (r#"{"action":"accept","content":null}"#, Some("declined")),
            (r#"{"action":"accept"}"#, Some("declined")),
            (
                r#"{"action":"decline","content":{"approve":true}}"#,
                Some("declined"),
            ),
            (
                r#"{"action":"cancel","content":{"approve":true}}"#,
                Some("cancelled"),
            ),
            (r#"{"action":"Accept","content":{"approve":true}}"#, None),
            (r#"{"action":"accept","action":"cancel"}"#, None),
            (r#"{"content":{"approve":true}}"#, None),
            (r#"["accept",{"approve":true}]"#, None),
            ("{}", None),
            ("true", None),
        ] {
            assert_eq!(said(result), expected, "{result}");
        }
    }

    // MCP 2026-07-28, "Multi Round-Trip Requests", "Error Handling".
    #[test]
    fn missing_response_is_none_and_malformed_response_is_rejected() {
        let yes = r#"{"approval":{"action":"accept","content":{"approve":true}}}"#;
        let brought = |responses: Option<&str>, state: Option<&str>| {
            let (responses, state) = (responses.map(raw), state.map(raw));
            parse_input_response(responses.as_deref(), state.as_deref())
                .map_err(|error| error.code())
        };
        let consent = InputResponse {
            action: ElicitAction::Accepted,
            state: "s\"1".to_owned(),
        };
        assert_eq!(brought(Some(yes), Some(r#""s\"1""#)), Ok(Some(consent)));
        for (responses, state) in [
            (None, None),
            (None, Some("\"s\"")),
            (Some(yes), None),
            (Some("{}"), Some("\"s\"")),
            (Some(r#"{"other":7}"#), Some("\"s\"")),
        ] {
            assert_eq!(
                brought(responses, state),
                Ok(None),
                "{responses:?} {state:?}"
            );
        }
        for (responses, state) in [
            (Some(yes), Some("7")),
            (Some(yes), Some("null")),
            (None, Some("{}")),
            (Some("null"), Some("\"s\"")),
            (Some("[]"), Some("\"s\"")),
            (Some(r#"{"approval":null}"#), Some("\"s\"")),
            (Some(r#"{"approval":true}"#), Some("\"s\"")),
            (Some(r#"{"approval":{"action":"yes"}}"#), Some("\"s\"")),
        ] {
            assert_eq!(
                brought(responses, state),
                Err(-32602),
                "{responses:?} {state:?}"
            );
        }
    }

    #[test]
    fn elicitation_request_and_its_cancellation_are_encoded() {
        let id = ElicitationId::new(7);
        insta::assert_snapshot!(String::from_utf8_lossy(&create_request(id, "May I \"do\" it?")), @r#"{"jsonrpc":"2.0","id":"gp-00000000000000000000000000000007","method":"elicitation/create","params":{"message":"May I \"do\" it?","requestedSchema":{"type":"object","properties":{"approve":{"type":"boolean","title":"Approve","description":"Whether this may be done as it is described."}},"required":["approve"]}}}"#);
        insta::assert_snapshot!(String::from_utf8_lossy(&cancelled_notification(id)), @r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"gp-00000000000000000000000000000007","reason":"the request is no longer pending"}}"#);
    }

    #[test]
    fn elicitation_id_parses_only_its_own_format() {
        let id = ElicitationId::new(u128::MAX - 7);
        assert_eq!(ElicitationId::parse(&id.to_string()), Some(id));
        for text in [
            "",
            "gp-",
            "gp-7",
            "7",
            "gp-0000000000000000000000000000000G",
            "gp-+0000000000000000000000000000007",
            "gp-0000000000000000000000000000000A",
            "gp-000000000000000000000000000000007",
        ] {
            assert_eq!(ElicitationId::parse(text), None, "{text}");
        }
        assert!(!format!("{id:?}").contains("f8"));
    }
}
