//! The parameters of a request.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ProtocolError, RequestId,
    elicitation::{self, InputResponse},
    jsonrpc::present,
};
use gatepost_base::TraceContext;

/// The parameters of any method we answer, parsed in one pass; what a method
/// does not have is `None`.
#[derive(Deserialize, Default)]
pub struct Params<'a> {
    /// `_meta`.
    #[serde(borrow, default, rename = "_meta")]
    pub meta: Option<&'a RawValue>,
    /// The arguments of `tools/call`.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// What the client can do, in `initialize`.
    #[serde(borrow, default)]
    pub capabilities: Option<&'a RawValue>,
    /// The cursor of a list.
    #[serde(borrow, default)]
    pub cursor: Option<&'a RawValue>,
    /// What a person said to an earlier question.
    #[serde(
        borrow,
        default,
        rename = "inputResponses",
        deserialize_with = "present"
    )]
    pub input_responses: Option<&'a RawValue>,
    /// The name of a tool.
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    /// The revision in `initialize`.
    #[serde(borrow, default, rename = "protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// Which call a notification takes back.
    #[serde(borrow, default, rename = "requestId")]
    pub request_id: Option<&'a RawValue>,
    /// The state of an earlier question.
    #[serde(borrow, default, rename = "requestState", deserialize_with = "present")]
    pub request_state: Option<&'a RawValue>,
}

/// The parts of `_meta` that mean something to us.
#[derive(Deserialize, Default)]
pub(super) struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    pub(super) version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(super) capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientInfo")]
    pub(super) client: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    pub(super) progress: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) traceparent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) tracestate: Option<&'a RawValue>,
}

/// The token under which a client wants to hear of progress: text or a whole
/// number, given back as it came.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ProgressToken(Box<RawValue>);

impl<'a> Params<'a> {
    /// Parses the parameters; a request without any has empty ones.
    ///
    /// # Errors
    /// [`Malformed::Params`] when they are no object or repeat a key.
    pub fn parse(raw: Option<&'a RawValue>) -> Result<Self, ProtocolError> {
        raw.map_or_else(|| Ok(Self::default()), |raw| object(raw, "params"))
    }

    pub(super) fn meta(&self) -> Result<Meta<'a>, ProtocolError> {
        match self.meta {
            None => Ok(Meta::default()),
            Some(raw) if raw.get() == "null" => Ok(Meta::default()),
            Some(raw) => object(raw, "_meta"),
        }
    }

    /// The token for progress, if there is one of the right kind.
    pub fn progress_token(&self) -> Option<ProgressToken> {
        let raw = self.meta().ok()?.progress?;
        let fits = json_string(raw).is_some() || serde_json::from_str::<i64>(raw.get()).is_ok();
        fits.then(|| ProgressToken(raw.to_owned()))
    }

    /// The trace that the request belongs to, if the client says so in the form
    /// of W3C (SEP-414). `baggage` is not read: it may hold anything.
    pub fn trace_context(&self) -> Option<TraceContext> {
        let meta = self.meta().ok()?;
        let state = meta.tracestate.and_then(json_string);
        TraceContext::parse(&json_string(meta.traceparent?)?, state.as_deref())
    }

    /// What the client calls itself, shortened: its own word, for records only.
    pub fn client_name(&self) -> Option<Box<str>> {
        #[derive(Deserialize)]
        struct Client<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
        }

        let client: Client<'_> = serde_json::from_str(self.meta().ok()?.client?.get()).ok()?;
        let name: String = client.name.chars().take(80).collect();
        (!name.is_empty()).then(|| name.into())
    }

    /// What the call brings of an earlier one that was answered with a question.
    ///
    /// # Errors
    /// [`Malformed::Params`] when that is not as it must be.
    pub fn input_response(&self) -> Result<Option<InputResponse>, ProtocolError> {
        elicitation::parse_input_response(self.input_responses, self.request_state)
    }

    /// Whether the client says in `_meta` that it shows forms.
    pub fn supports_form_elicitation(&self) -> bool {
        self.meta()
            .is_ok_and(|meta| elicitation::supports_form_elicitation(meta.capabilities))
    }

    /// The request that a notification takes back.
    pub fn cancelled_request(&self) -> Option<RequestId> {
        serde_json::from_str(self.request_id?.get()).ok()
    }

    /// The name of the tool.
    ///
    /// # Errors
    /// [`Malformed::Params`] when it is missing or no text.
    pub fn tool_name(&self) -> Result<Cow<'a, str>, ProtocolError> {
        self.name.and_then(json_string).ok_or_else(|| {
            ProtocolError::InvalidParams("`name` must be the name of a tool".to_owned())
        })
    }

    /// The cursor, if there is one.
    ///
    /// # Errors
    /// [`Malformed::Params`] when it is no text.
    pub fn cursor(&self) -> Result<Option<Cow<'a, str>>, ProtocolError> {
        match self.cursor {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => json_string(raw)
                .map(Some)
                .ok_or_else(|| ProtocolError::InvalidParams("`cursor` must be a text".to_owned())),
        }
    }
}

/// An object's known keys. A list is none, though serde would take one by position.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue, name: &str) -> Result<T, ProtocolError> {
    if !raw.get().starts_with('{') {
        return Err(ProtocolError::InvalidParams(format!(
            "`{name}` must be an object"
        )));
    }
    serde_json::from_str(raw.get())
        .map_err(|error| ProtocolError::InvalidParams(format!("`{name}` does not fit: {error}")))
}

/// The text in a JSON string, if it is one.
pub(super) fn json_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}
