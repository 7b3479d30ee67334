//! The messages of one body, and what it takes to respond to them.

use super::{Gateway, ServerMessages, request_context::RequestContext};
use crate::telemetry::RequestLog;

/// The messages of one body, and what it takes to respond to them.
pub(super) struct Conversation<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) context: &'a RequestContext,
    /// Where notifications and requests to the client go; `None` if it cannot
    /// receive any before the response.
    pub(super) server_messages: Option<ServerMessages>,
    pub(super) log: &'a mut RequestLog,
}
