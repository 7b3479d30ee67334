//! What there is to tell about one request when it is over.

use std::time::Duration;

use super::{
    LookUp,
    operation::{Failure, Operation, Step},
};
use crate::access::Tally;
use gatepost_base::{InstanceName, Subject, TraceContext, TraceId};
use gatepost_identity::Now;
use gatepost_mcp::Request;
use gatepost_state::limits::Counted;

/// Characters of a client's request id that are kept.
const MAX_ID: usize = 64;

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
    /// How long people took to answer; none where nobody was asked.
    pub person_time: Option<Duration>,
    /// Whether it was answered with a question.
    pub asked: bool,
    /// Calls for whose audit record there was no room.
    pub audit_failures: u32,
    /// When the request came.
    pub begun: Now,
    /// Whether traces are kept, and then whether one that begins here is.
    pub keeping: Option<bool>,
    /// The trace that the HTTP header names.
    pub around: Option<TraceContext>,
    /// The MCP requests that are over.
    pub operations: Vec<Operation>,
    /// The one that is not.
    operation: Option<Operation>,
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
    /// What we count in or remember by is away: Redis, the file of changes, the
    /// disk of the audit journal. Each has a metric and an alert of its own.
    Storage,
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
            Self::Storage => "storage",
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
            person_time: None,
            asked: false,
            audit_failures: 0,
            begun: Now::read(),
            keeping: None,
            around: None,
            operations: Vec::new(),
            operation: None,
        }
    }

    /// Begins an MCP request.
    pub fn begin(&mut self, request: &Request<'_>) {
        self.revision = Some(request.revision.as_str());
        self.method = Some(request.method.as_str());
        // The first has begun with its head; another when the one before it was over.
        let begun = self
            .operations
            .last()
            .map_or(self.begun.steady, |before| before.begun + before.took);
        self.operation = Some(Operation {
            method: request.method.as_str(),
            revision: request.revision.as_str(),
            tool: None,
            id: request.id.to_string().chars().take(MAX_ID).collect(),
            failure: None,
            begun,
            took: Duration::ZERO,
            step: Step::of(
                self.request_id,
                request.params.trace_context(),
                self.around.as_ref(),
                self.keeping,
            ),
            asked: Vec::new(),
        });
    }

    /// Says which tool the MCP request calls, and begins to count what it
    /// costs Odoo.
    pub(super) fn begin_call(&mut self, tool: &'static str) -> Tally {
        self.tool = Some(tool);
        let Some(operation) = &mut self.operation else {
            return Tally::default();
        };
        operation.tool = Some(tool);
        let step = operation.step.as_ref();
        Tally::below(
            step.map(|step| step.context.clone()),
            step.is_some_and(|step| step.kept),
        )
    }

    /// Adds what a call of a tool has cost.
    pub(super) fn end_call(&mut self, tally: &Tally) {
        self.odoo_calls += tally.calls();
        self.odoo_time += tally.time();
        if let Some(took) = tally.person_time() {
            *self.person_time.get_or_insert_default() += took;
        }
        if let Some(operation) = &mut self.operation {
            operation.asked = tally.take_asked();
        }
    }

    /// Says how the MCP request that is under way fails.
    pub fn fail(&mut self, failure: Failure) {
        if let Some(operation) = &mut self.operation {
            operation.failure = Some(failure);
        }
    }

    /// Ends the MCP request that is under way, if there is one.
    pub fn end(&mut self) {
        if let Some(operation) = self.operation.take() {
            let took = operation.begun.elapsed();
            self.operations.push(Operation { took, ..operation });
        }
    }

    /// Gives up the MCP request that is still under way, if there is one.
    pub fn give_up(&mut self) {
        self.fail(Failure::Cancelled);
        self.end();
    }

    /// The trace that the request belongs to, for the log: the last, where
    /// several messages name several.
    pub fn trace(&self) -> Option<TraceId> {
        let named = self
            .operations
            .iter()
            .rev()
            .find_map(|one| one.step.as_ref());
        named
            .map(|step| step.context.trace())
            .or_else(|| Some(self.around.as_ref()?.trace()))
    }
}
