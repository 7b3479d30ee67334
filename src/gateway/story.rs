//! What there is to tell about one request when it is over.

use std::time::Duration;

use super::LookUp;
use crate::{
    limits::Counted,
    names::{InstanceName, Subject, TraceId},
};

/// What is known so far about one request. The edge owns it and writes it down
/// once, at the end, whatever happened: the gateway only fills it in.
#[derive(Debug)]
pub struct Story {
    /// Our number for the request.
    pub request_id: TraceId,
    /// The instance it went to.
    pub instance: Option<InstanceName>,
    /// Who it was.
    pub caller: Option<Subject>,
    /// What became of a provider's token.
    pub look_up: Option<LookUp>,
    /// The allowances that were looked at.
    pub counted: Vec<Counted>,
    /// The protocol revision, such as `2025-11-25`.
    pub revision: Option<&'static str>,
    /// The JSON-RPC method, one of those we know.
    pub method: Option<&'static str>,
    /// The tool, one of ours.
    pub tool: Option<&'static str>,
    /// Who is to blame if it failed.
    pub blame: Option<Blame>,
    /// The kind of refusal, in one word, for logs and metrics.
    pub refusal: Option<&'static str>,
    /// What went wrong, with everything that only we may read.
    pub error: Option<String>,
    /// Calls that went to Odoo.
    pub odoo_calls: u32,
    /// How long Odoo took for them, in all.
    pub odoo_time: Duration,
    /// Calls for whose audit record there was no room.
    pub audit_failures: u32,
}

/// Who is to blame for a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blame {
    /// The client sent something that cannot work.
    Client,
    /// The identity provider did not say who it is.
    Identity,
    /// Odoo refused or did not answer.
    Odoo,
    /// The caller may not.
    Policy,
    /// We failed.
    Us,
}

impl Blame {
    /// The word for it in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Identity => "identity",
            Self::Odoo => "odoo",
            Self::Policy => "policy",
            Self::Us => "us",
        }
    }
}

impl Story {
    /// A story of which nothing but the number is known.
    pub fn new(request_id: TraceId) -> Self {
        Self {
            request_id,
            instance: None,
            caller: None,
            look_up: None,
            counted: Vec::new(),
            revision: None,
            method: None,
            tool: None,
            blame: None,
            refusal: None,
            error: None,
            odoo_calls: 0,
            odoo_time: Duration::ZERO,
            audit_failures: 0,
        }
    }
}
