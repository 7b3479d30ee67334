//! Parses the body of a POST, or a line of standard input, into messages.

use std::borrow::Cow;

use serde_json::{error::Category, value::RawValue};

use super::{
    Envelope, Method, Params, ProtocolEra, ProtocolError, RequestId, Revision, Transport,
    elicitation::{ElicitationId, ElicitationResponse},
    handshake,
    jsonrpc::json_string,
    stateless,
};

/// The most messages in one batch.
const MAX_BATCH: usize = 20;

/// A parsed body.
pub enum Body<'a> {
    /// Several messages (2025-03-26 only).
    Batch(Batch<'a>),
    /// One message.
    Single(Envelope<'a>),
}

/// The messages of a batch, each still unparsed, because one may be invalid and others valid.
pub struct Batch<'a>(Vec<&'a RawValue>);

/// A classified message.
pub enum Inbound<'a> {
    /// A notification, which has no response.
    Notification {
        /// Its method.
        method: Cow<'a, str>,
        /// Its parameters.
        params: Option<&'a RawValue>,
    },
    /// A request.
    Request(RpcRequest<'a>),
    /// A response to a request of the gateway, which has no response either.
    Response(ElicitationResponse<'a>),
}

/// A request with a resolved revision and matching header fields.
pub struct RpcRequest<'a> {
    /// Its id.
    pub id: RequestId,
    /// Its method.
    pub method: Method,
    /// Its parameters.
    pub params: Params<'a>,
    /// Its revision.
    pub revision: Revision,
}

impl<'a> Body<'a> {
    /// Parses a body.
    ///
    /// # Errors
    /// [`ProtocolError::ParseError`], [`ProtocolError::InvalidRequest`],
    /// [`ProtocolError::InvalidBatch`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ProtocolError> {
        if body.trim_ascii_start().starts_with(b"[") {
            let messages: Vec<&RawValue> =
                serde_json::from_slice(body).map_err(ProtocolError::ParseError)?;
            return match messages.len() {
                0 => Err(ProtocolError::InvalidBatch("the batch is empty")),
                1..=MAX_BATCH => Ok(Self::Batch(Batch(messages))),
                _ => Err(ProtocolError::InvalidBatch(
                    "the batch is too long; send at most 20 messages",
                )),
            };
        }
        parse_envelope(body).map(Self::Single)
    }
}

impl<'a> Batch<'a> {
    /// The messages, for a client with these header fields.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidBatch`] if the client's revision has no batches, or a
    /// message is `initialize` or a stateless request.
    pub fn messages(&self, transport: &Transport) -> Result<&[&'a RawValue], ProtocolError> {
        let version = transport.declared_version();
        // 2025-06-18 removed batches; without a header the revision is 2025-03-26.
        if version.is_some_and(|version| Revision::parse(version) != Some(Revision::V2025_03_26)) {
            return Err(ProtocolError::InvalidBatch(
                "batches were removed in revision 2025-06-18; send one message",
            ));
        }
        for message in &self.0 {
            let Ok(envelope) = parse_envelope(message.get().as_bytes()) else {
                continue;
            };
            let stateless = Params::parse(envelope.params)
                .and_then(|params| params.meta())
                .is_ok_and(|meta| meta.version.is_some());
            if stateless {
                return Err(ProtocolError::InvalidBatch(
                    "a request of 2026-07-28 cannot be in a batch",
                ));
            }
            if envelope.method.as_deref() == Some("initialize") {
                return Err(ProtocolError::InvalidBatch(
                    "`initialize` cannot be in a batch",
                ));
            }
        }
        Ok(&self.0)
    }

    /// Parses one message of a batch.
    ///
    /// # Errors
    /// As [`Body::parse`].
    pub fn parse_one(message: &'a RawValue) -> Result<Envelope<'a>, ProtocolError> {
        parse_envelope(message.get().as_bytes())
    }
}

fn parse_envelope(body: &[u8]) -> Result<Envelope<'_>, ProtocolError> {
    // serde would also accept a list, by position.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(
            match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
                Ok(_) => ProtocolError::InvalidRequest("a message must be an object".to_owned()),
                Err(error) => ProtocolError::ParseError(error),
            },
        );
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => ProtocolError::InvalidRequest(error.to_string()),
        Category::Io | Category::Syntax | Category::Eof => ProtocolError::ParseError(error),
    })
}

impl<'a> Envelope<'a> {
    /// The id, if it can be parsed, for the response to an invalid message.
    pub fn readable_id(&self) -> Option<RequestId> {
        self.id.and_then(|raw| RequestId::parse(raw).ok())
    }

    /// Classifies the message, resolves its revision and checks that the header
    /// fields agree with it.
    ///
    /// # Errors
    /// [`ProtocolError`], in the order of the specification's checks.
    pub fn classify(self, transport: &Transport) -> Result<Inbound<'a>, ProtocolError> {
        if self.jsonrpc.as_deref() != Some("2.0") {
            return Err(ProtocolError::InvalidRequest(
                "`jsonrpc` must be `2.0`".to_owned(),
            ));
        }
        let Some(method) = self.method else {
            let outcome = match (self.result, self.error) {
                (Some(result), None) => Ok(result),
                (None, Some(error)) => Err(error),
                (Some(_), Some(_)) | (None, None) => {
                    return Err(ProtocolError::InvalidRequest(
                        "`method` is missing".to_owned(),
                    ));
                }
            };
            let id = self.id.and_then(json_string);
            return Ok(Inbound::Response(ElicitationResponse {
                id: id.and_then(|id| ElicitationId::parse(&id)),
                result: outcome,
            }));
        };
        let Some(raw_id) = self.id else {
            handshake::check_notification(transport)?;
            return Ok(Inbound::Notification {
                method,
                params: self.params,
            });
        };
        let id = RequestId::parse(raw_id)
            .map_err(|form| ProtocolError::InvalidRequest(form.to_owned()))?;
        let params = Params::parse(self.params)?;
        let claim = params.meta()?.version;
        let revision = match claim {
            Some(claim) => stateless::resolve_revision(claim, &params, transport, &method)?,
            None => handshake::resolve_revision(&method, transport)?,
        };
        let known = Method::of(&method, revision.era()).ok_or_else(|| {
            ProtocolError::MethodNotFound(method.chars().take(80).collect(), revision.era())
        })?;
        Ok(Inbound::Request(RpcRequest {
            id,
            method: known,
            params,
            revision,
        }))
    }
}

impl RpcRequest<'_> {
    /// The era of the request's revision.
    pub fn era(&self) -> ProtocolEra {
        self.revision.era()
    }
}
