//! What the transport reads in a message, and what it writes for a response.

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::gateway::HttpResponse;
use gatepost_mcp::Session;

/// The parts of a message that are needed to run it.
#[derive(Default, Deserialize)]
pub(super) struct MessagePeek {
    #[serde(default)]
    pub(super) id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// The kinds of message that the transport runs differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StdioMessageKind {
    /// `initialize`, whose response has the session id.
    Initialize,
    /// Any other, valid or not.
    Other,
    /// The response to a request of the gateway.
    Response,
}

impl MessagePeek {
    pub(super) fn kind(&self) -> StdioMessageKind {
        match self.method.as_deref() {
            Some("initialize") => StdioMessageKind::Initialize,
            None if self.result.is_some() || self.error.is_some() => StdioMessageKind::Response,
            Some(_) | None => StdioMessageKind::Other,
        }
    }

    /// The id of the request that this message cancels, if it cancels one.
    pub(super) fn cancelled_request(&self) -> Option<&Value> {
        let cancels = self.method.as_deref() == Some("notifications/cancelled");
        self.params
            .as_ref()
            .filter(|_| cancels && self.id.is_none())?
            .get("requestId")
    }
}

/// The session id in the response to `initialize`.
pub(super) fn session_id(response: &HttpResponse) -> Option<Box<str>> {
    let mut fields = response.headers.iter();
    let (_, id) = fields.find(|(name, _)| *name == Session::HEADER)?;
    id.to_str().ok().map(Box::from)
}

/// The line for a response: its body, or an error if HTTP would have said it with
/// the status alone and the client waits for a response.
pub(super) fn response_line(response: &HttpResponse, id: &Value) -> Option<Bytes> {
    if !response.body.is_empty() {
        return Some(response.body.clone());
    }
    let waits = !id.is_null() && !response.status.is_success();
    waits.then(|| error_line(id, -32603, &format!("not served: {}", response.status)))
}

pub(super) fn error_line(id: &Value, code: i32, message: &str) -> Bytes {
    let error = json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": code, "message": message },
    });
    Bytes::from(error.to_string())
}
