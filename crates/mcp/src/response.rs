//! Encodes responses and notifications.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ProgressToken, ProtocolEra, RequestId, elicitation::ElicitRequest};

/// Encodes the results for one client.
#[derive(Clone, Debug)]
pub struct ResponseBuilder<'a> {
    /// The era of the request's revision.
    pub era: ProtocolEra,
    /// The display name of this server.
    pub title: &'a str,
}

#[derive(Serialize)]
struct JsonRpcResponse<'a, R> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    result: R,
}

/// A result with the members that every result of the stateless era has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatelessResult<R> {
    result_type: &'static str,
    #[serde(flatten)]
    result: R,
    #[serde(rename = "_meta")]
    meta: Value,
}

impl ResponseBuilder<'_> {
    /// A response with a result.
    ///
    /// # Errors
    /// When the result cannot be encoded as JSON, which is a bug.
    pub fn result(
        &self,
        id: &RequestId,
        result: impl Serialize,
    ) -> Result<Bytes, serde_json::Error> {
        match self.era {
            ProtocolEra::Handshake => encode_response(id, result),
            ProtocolEra::Stateless => self.stateless(id, "complete", result),
        }
    }

    /// A response that asks for input before there is a result. Only for clients of
    /// the stateless era that support elicitation.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub fn input_required(
        &self,
        id: &RequestId,
        request: &ElicitRequest,
    ) -> Result<Bytes, serde_json::Error> {
        self.stateless(id, "input_required", request)
    }

    fn stateless(
        &self,
        id: &RequestId,
        result_type: &'static str,
        result: impl Serialize,
    ) -> Result<Bytes, serde_json::Error> {
        let result = StatelessResult {
            result_type,
            result,
            meta: json!({ "io.modelcontextprotocol/serverInfo": server_info(self.title) }),
        };
        encode_response(id, result)
    }
}

fn encode_response(id: &RequestId, result: impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut bytes = Vec::with_capacity(1024);
    let response = JsonRpcResponse {
        jsonrpc: "2.0",
        id,
        result,
    };
    serde_json::to_writer(&mut bytes, &response)?;
    Ok(bytes.into())
}

/// A response with an error; without an id if the request's could not be parsed.
pub fn error_response(
    id: Option<&RequestId>,
    code: i32,
    message: &str,
    data: Option<Value>,
) -> Bytes {
    #[derive(Serialize)]
    struct JsonRpcError<'a> {
        jsonrpc: &'static str,
        id: Option<&'a RequestId>,
        error: Value,
    }

    let mut error = json!({ "code": code, "message": message });
    if let (Some(data), Some(error)) = (data, error.as_object_mut()) {
        error.insert("data".to_owned(), data);
    }
    // Not a `Value`, which would round an id that is a large number.
    let response = JsonRpcError {
        jsonrpc: "2.0",
        id,
        error,
    };
    serde_json::to_vec(&response).unwrap_or_default().into()
}

/// A notification of progress (MCP, utilities, "Progress").
pub fn progress_notification(token: &ProgressToken, step: u32, message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Progress<'a> {
        #[serde(rename = "progressToken")]
        token: &'a ProgressToken,
        #[serde(rename = "progress")]
        step: u32,
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Notification<'a> {
        jsonrpc: &'static str,
        method: &'static str,
        params: Progress<'a>,
    }

    let params = Progress {
        token,
        step,
        message,
    };
    let notification = Notification {
        jsonrpc: "2.0",
        method: "notifications/progress",
        params,
    };
    serde_json::to_vec(&notification).unwrap_or_default().into()
}

pub(super) fn server_info(title: &str) -> Value {
    json!({ "name": "gatepost", "title": title, "version": env!("CARGO_PKG_VERSION") })
}
