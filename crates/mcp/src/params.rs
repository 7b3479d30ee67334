//! The parameters of a request.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ProtocolError, RequestId,
    elicitation::{self, InputResponse},
    jsonrpc::{json_string, present},
};
use gatepost_base::TraceContext;

/// The parameters of any served method, parsed in one pass. Those that a method does
/// not have are `None`.
#[derive(Deserialize, Default)]
pub struct Params<'a> {
    /// `_meta`.
    #[serde(borrow, default, rename = "_meta")]
    pub meta: Option<&'a RawValue>,
    /// The arguments of `tools/call`.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// The client's capabilities, in `initialize`.
    #[serde(borrow, default)]
    pub capabilities: Option<&'a RawValue>,
    /// The cursor of a list.
    #[serde(borrow, default)]
    pub cursor: Option<&'a RawValue>,
    /// The user's answers to an earlier elicitation.
    #[serde(
        borrow,
        default,
        rename = "inputResponses",
        deserialize_with = "present"
    )]
    pub input_responses: Option<&'a RawValue>,
    /// The name of the tool.
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    /// The requested revision, in `initialize`.
    #[serde(borrow, default, rename = "protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// The request that a notification cancels.
    #[serde(borrow, default, rename = "requestId")]
    pub request_id: Option<&'a RawValue>,
    /// The state of an earlier elicitation.
    #[serde(borrow, default, rename = "requestState", deserialize_with = "present")]
    pub request_state: Option<&'a RawValue>,
}

/// The parts of `_meta` that the gateway uses.
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

/// The token of progress notifications: text or a whole number, repeated exactly.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ProgressToken(Box<RawValue>);

impl<'a> Params<'a> {
    /// Parses the parameters; missing ones are empty.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidParams`] if they are not an object or repeat a key.
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

    /// The token of progress notifications, if there is a valid one.
    pub fn progress_token(&self) -> Option<ProgressToken> {
        let raw = self.meta().ok()?.progress?;
        let is_valid = json_string(raw).is_some() || serde_json::from_str::<i64>(raw.get()).is_ok();
        is_valid.then(|| ProgressToken(raw.to_owned()))
    }

    /// The W3C trace context of the request (SEP-414). `baggage` is ignored because it
    /// may contain anything.
    pub fn trace_context(&self) -> Option<TraceContext> {
        let meta = self.meta().ok()?;
        let state = meta.tracestate.and_then(json_string);
        TraceContext::parse(&json_string(meta.traceparent?)?, state.as_deref())
    }

    /// The name that the client reports, truncated. Unverified, for records only.
    pub fn client_name(&self) -> Option<Box<str>> {
        #[derive(Deserialize)]
        struct ClientInfo<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
        }

        let client: ClientInfo<'_> = serde_json::from_str(self.meta().ok()?.client?.get()).ok()?;
        let name: String = client.name.chars().take(80).collect();
        (!name.is_empty()).then(|| name.into())
    }

    /// The answer to an elicitation that the earlier call returned.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidParams`] if it is malformed.
    pub fn input_response(&self) -> Result<Option<InputResponse>, ProtocolError> {
        elicitation::parse_input_response(self.input_responses, self.request_state)
    }

    /// Whether the client declares in `_meta` that it supports form elicitation.
    pub fn supports_form_elicitation(&self) -> bool {
        self.meta()
            .is_ok_and(|meta| elicitation::supports_form_elicitation(meta.capabilities))
    }

    /// The request that a notification cancels.
    pub fn cancelled_request(&self) -> Option<RequestId> {
        RequestId::parse(self.request_id?).ok()
    }

    /// The name of the tool.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidParams`] if it is missing or not a string.
    pub fn tool_name(&self) -> Result<Cow<'a, str>, ProtocolError> {
        self.name.and_then(json_string).ok_or_else(|| {
            ProtocolError::InvalidParams("`name` must be the name of a tool".to_owned())
        })
    }

    /// The cursor, if there is one.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidParams`] if it is not a string.
    pub fn cursor(&self) -> Result<Option<Cow<'a, str>>, ProtocolError> {
        match self.cursor {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => json_string(raw).map(Some).ok_or_else(|| {
                ProtocolError::InvalidParams("`cursor` must be a string".to_owned())
            }),
        }
    }
}

/// Parses the known keys of an object. serde would also accept a list, by position.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue, name: &str) -> Result<T, ProtocolError> {
    if !raw.get().starts_with('{') {
        return Err(ProtocolError::InvalidParams(format!(
            "`{name}` must be an object"
        )));
    }
    serde_json::from_str(raw.get())
        .map_err(|error| ProtocolError::InvalidParams(format!("`{name}` is invalid: {error}")))
}
