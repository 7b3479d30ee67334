//! The guarded door to Odoo: policy, then upstream, then what there is to tell.
//!
//! A tool gets an [`Access`] and nothing else, so whatever it asks is decided
//! by policy, bounded by the link, and counted.

mod argument_summary;
mod context;
mod display_names;
mod error;
mod in_flight_writes;
mod instance;
mod odoo_account;
mod outcome_probe;
mod send_write;
mod snapshot;
#[cfg(test)]
mod tests;
mod tolerant_read;
mod user_profile;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

pub use argument_summary::ArgumentSummary;
pub use context::ContextRequest;
pub use display_names::DisplayNames;
pub use error::OperationError;
pub use in_flight_writes::InFlightWrites;
pub use instance::{Instance, InstanceSettings};
pub use odoo_account::{OdooAccount, ReadOnly, UnknownCredential};
pub use outcome_probe::ExistingRecords;
pub use send_write::AuthorizedWrite;
pub use snapshot::{RecordSnapshot, readable};
pub use tolerant_read::PartialRead;
pub use user_profile::{Company, OdooUser};

use crate::{
    audit::{AuditOutcome, DeniedAttempt, PendingRecord, RequestAudit},
    elicitation::Elicitation,
    render::{Documentation, ModelEntry, Rows},
};
use gatepost_base::InstanceName;
use gatepost_identity::Caller;
use gatepost_mcp::{self, ProgressToken};
use gatepost_odoo::{
    Call, Domain, MethodName, ModelName, OdooError, Operation, Schema, SystemQuery,
};
use gatepost_odoo_client::{CallError, CallStats};
use gatepost_policy::{Arguments, Forbidden, Incomplete, Permitted, Policy, PolicyFacts};
use gatepost_state::store::StateStore;

/// One caller's way to one instance, for one tool call.
#[derive(Debug)]
pub struct OdooSession<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// What may be done.
    pub policy: &'a Policy,
    /// Who does it.
    pub caller: &'a Caller,
    /// What is counted.
    pub call_stats: &'a CallStats,
    /// What is written down.
    pub audit: &'a RequestAudit,
    /// Who wants to hear how it goes.
    pub progress: Option<ProgressReporter>,
    /// How the person behind the client can be asked.
    pub elicitation: Elicitation<'a>,
    /// What must be remembered of changes.
    pub store: &'a Arc<StateStore>,
    /// Those that were sent.
    pub in_flight_writes: &'a Arc<InFlightWrites>,
}

/// Somebody who wants to hear how a call goes.
#[derive(Debug)]
pub struct ProgressReporter {
    /// The token under which the client knows the call.
    pub token: ProgressToken,
    /// Where the notifications go.
    pub server_messages: mpsc::Sender<Bytes>,
    /// How many were sent: the progress must grow with each (MCP, utilities,
    /// "Progress").
    notifications_sent: AtomicU32,
}

impl ProgressReporter {
    /// Somebody who knows the call under this token, and hears of it here.
    pub fn new(token: ProgressToken, server_messages: mpsc::Sender<Bytes>) -> Self {
        Self {
            token,
            server_messages,
            notifications_sent: AtomicU32::new(0),
        }
    }

    /// Tells how it goes. That is no reason to wait: when the channel is full
    /// the news is dropped.
    fn report(&self, message: &str) {
        let step = self
            .notifications_sent
            .fetch_add(1, Relaxed)
            .saturating_add(1);
        let notice = gatepost_mcp::progress_notification(&self.token, step, message);
        let _full_or_gone = self.server_messages.try_send(notice);
    }
}

impl OdooSession<'_> {
    /// Asks Odoo, if policy lets the call through, and gives back the JSON of
    /// what the method returned.
    ///
    /// # Errors
    /// [`Denied`]; also for anything but a read, which goes by
    /// [`Access::change`].
    pub async fn call(&self, call: Call) -> Result<Bytes, OperationError> {
        // Boxed: asking for fields is rare, and large.
        let permitted = Box::pin(self.permit(call)).await?;
        let sending = self.account()?.send_read(&permitted, self, false)?;
        self.report_progress(permitted.get());
        match sending.await {
            Err(denied) => Err(self
                .suggest_similar_models(permitted.get().model(), denied)
                .await),
            answered => answered,
        }
    }

    /// A model that is not there is told with near names, as far as the caller
    /// may read them.
    async fn suggest_similar_models(
        &self,
        model: &ModelName,
        denied: OperationError,
    ) -> OperationError {
        let unknown = matches!(&denied, OperationError::Call(error) if matches!(**error, CallError::Fault(OdooError::UnknownModel)));
        if !unknown {
            return denied;
        }
        let Ok(models) = self.models().await else {
            return denied;
        };
        let mut near: Vec<(usize, &ModelName)> = models
            .iter()
            .map(|entry| {
                (
                    strsim::damerau_levenshtein(entry.model.as_str(), model.as_str()),
                    &entry.model,
                )
            })
            .filter(|(distance, near)| {
                *distance <= 1 + model.as_str().len() / 4 && self.may_read(near).is_ok()
            })
            .collect();
        near.sort();
        if near.is_empty() {
            return denied;
        }
        let near: Vec<String> = near
            .iter()
            .take(3)
            .map(|(_, near)| format!("`{near}`"))
            .collect();
        OperationError::InvalidArgument(format!(
            "this Odoo has no model `{model}`; did you mean {}?",
            near.join(", ")
        ))
    }

    /// The fields of a model that both the caller and the Odoo user may see. A
    /// hidden one is as if it did not exist.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn schema(&self, model: &ModelName) -> Result<Schema, OperationError> {
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        self.decide(model, |schemas| {
            self.policy.visible_schema(roles, instance, model, schemas)
        })
        .await
    }

    /// The fields of a model that may be seen of every record that may be seen:
    /// asking for them leaves no record out.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn schema_visible_in_all_records(
        &self,
        model: &ModelName,
    ) -> Result<Schema, OperationError> {
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        self.decide(model, |schemas| {
            self.policy
                .schema_visible_in_all_records(roles, instance, model, schemas)
        })
        .await
    }

    /// The fields of a model that policy lets the caller give values to.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn writable_schema(
        &self,
        model: &ModelName,
        effect: Operation,
    ) -> Result<Schema, OperationError> {
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        self.decide(model, |schemas| {
            self.policy
                .writable_schema(roles, instance, (model, effect), schemas)
        })
        .await
    }

    /// Lets the call through as far as policy does.
    async fn permit(&self, call: Call) -> Result<Permitted<Call>, OperationError> {
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        self.decide(call.model(), |schemas| {
            self.policy.permit(roles, instance, call.clone(), schemas)
        })
        .await
    }

    /// Asks policy about a model, with the fields of all models that it wants
    /// to know.
    async fn decide<T>(
        &self,
        model: &ModelName,
        ask: impl Fn(&PolicyFacts) -> Result<T, Incomplete>,
    ) -> Result<T, OperationError> {
        self.decide_with(&mut PolicyFacts::default(), model, ask)
            .await
    }

    /// The same, where some is known, and what is learned is of use again.
    async fn decide_with<T>(
        &self,
        schemas: &mut PolicyFacts,
        model: &ModelName,
        ask: impl Fn(&PolicyFacts) -> Result<T, Incomplete>,
    ) -> Result<T, OperationError> {
        // Ends, for a model is named once, and only those on a path are; and a
        // change has so many records.
        loop {
            let needed = match ask(schemas) {
                Ok(decided) => return Ok(decided),
                Err(Incomplete::Denied(forbidden)) => return Err(forbidden.into()),
                Err(Incomplete::NeedsSchema(needed)) => needed,
                Err(Incomplete::NeedsRecords(searches)) => {
                    for search in searches {
                        let answer = self
                            .account()?
                            .send_system_query(search.call(), self)
                            .await?;
                        let ids = Rows::parse(&answer)?.ids().collect();
                        schemas.add_memberships(search, &ids);
                    }
                    continue;
                }
            };
            let schema = match self.unfiltered_schema(&needed).await {
                Ok(schema) => schema,
                // Then what leads there leads nowhere, and is hidden.
                Err(OperationError::Call(error)) if error.is_fault() && needed != *model => {
                    Arc::default()
                }
                Err(denied) => return Err(self.suggest_similar_models(&needed, denied).await),
            };
            schemas.add_schema(needed, schema);
        }
    }

    /// The fields of a model that the Odoo user may see, also those that policy
    /// hides from the caller: for decisions and for the administrator.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) async fn unfiltered_schema(
        &self,
        model: &ModelName,
    ) -> Result<Arc<Schema>, OperationError> {
        let inquiry = SystemQuery::Fields(model.clone());
        let permitted = self.permit_system_query(&inquiry)?;
        self.account()?.schema(model, &permitted, self).await
    }

    /// Whether it is known by now that no record of the model may be read, for
    /// the rules look at what it does not have. Odoo is not asked for that.
    pub async fn is_denied_entirely(&self, model: &ModelName) -> bool {
        let Ok(login) = self.account() else {
            return false;
        };
        let Some(schema) = login.cached_schema(model).await else {
            return false;
        };
        let mut schemas = PolicyFacts::default();
        schemas.add_schema(model.clone(), schema);
        let counting = Call::search_count(model.clone(), &Domain::default());
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        matches!(
            self.policy.permit(roles, instance, counting, &schemas),
            Err(Incomplete::Denied(_))
        )
    }

    /// The models that both the Odoo user and the caller may read.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn models(&self) -> Result<Arc<[ModelEntry]>, OperationError> {
        let permitted = self.permit_system_query(&SystemQuery::Models)?;
        self.account()?.models(&permitted, self).await
    }

    fn permit_system_query(&self, inquiry: &SystemQuery) -> Result<Permitted<Call>, Forbidden> {
        let (roles, instance) = (&self.caller.roles, self.instance_name());
        self.policy.permit_system_query(roles, instance, inquiry)
    }

    /// Asks a question of our own, of which nothing is remembered.
    async fn run_system_query(&self, inquiry: &SystemQuery) -> Result<Bytes, OperationError> {
        let permitted = self.permit_system_query(inquiry)?;
        self.account()?.send_system_query(&permitted, self).await
    }

    /// Which of these external ids, each a module and a name, records of the
    /// model have; nothing where this Odoo user may not know.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn existing_external_ids(
        &self,
        model: &ModelName,
        ids: Vec<(String, String)>,
    ) -> Result<Option<BTreeSet<(String, String)>>, OperationError> {
        #[derive(Deserialize)]
        struct Row {
            module: String,
            name: String,
        }
        let inquiry = SystemQuery::ExternalIds(model.clone(), ids);
        match self.run_system_query(&inquiry).await {
            Ok(answer) => {
                let rows: Vec<Row> = serde_json::from_slice(&answer)?;
                let pairs = rows.into_iter().map(|row| (row.module, row.name));
                Ok(Some(pairs.collect()))
            }
            Err(OperationError::Call(error)) if error.is_fault() => Ok(None),
            Err(denied) => Err(denied),
        }
    }

    /// Whether the caller may read the model.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn may_read(&self, model: &ModelName) -> Result<(), OperationError> {
        Ok(self.policy.allow(
            &self.caller.roles,
            self.instance_name(),
            model,
            Operation::Read,
        )?)
    }

    /// The methods of a model that the caller may call, and what with; of at
    /// least some records.
    pub fn methods(&self, model: &ModelName) -> BTreeMap<MethodName, Vec<Arguments>> {
        if self.may_write(model, Operation::Call).is_err() {
            return BTreeMap::new();
        }
        self.policy
            .methods(&self.caller.roles, self.instance_name(), model)
    }

    /// Whether the caller may call the method, of at least some records.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_call(&self, model: &ModelName, method: &MethodName) -> Result<(), OperationError> {
        self.policy
            .allow_method(&self.caller.roles, self.instance_name(), model, method)?;
        self.may_write(model, Operation::Call)
    }

    /// What Odoo says of the methods of a model, where it tells.
    pub async fn documentation(&self, model: &ModelName) -> Option<Arc<Documentation>> {
        let inquiry = SystemQuery::Documentation(model.clone());
        let permitted = self.permit_system_query(&inquiry).ok()?;
        let login = self.account().ok()?;
        login.documentation(model, &permitted, self).await
    }

    /// The Odoo user that calls act as.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn user(&self) -> Result<Arc<OdooUser>, OperationError> {
        let permit = |inquiry: &SystemQuery| self.permit_system_query(inquiry);
        self.account()?.user(permit, self).await
    }

    /// Writes down that policy, or the key that the caller acts with, did not
    /// let something through. Whoever gives the refusal to the caller does this,
    /// once: many a question whether something is allowed is asked on the way.
    /// `arguments` are those of the tool.
    pub fn audit_denial(&self, denied: &OperationError, arguments: &str) {
        let (reason, forbidden, effect) = match denied {
            OperationError::UnknownCredential(_) => ("unknown_credential", None, None),
            OperationError::Forbidden(why) => (why.kind(), Some(why), why.operation()),
            OperationError::ReadOnly(ReadOnly(effect)) => ("read_only", None, Some(*effect)),
            OperationError::NotApproved(_) => ("unapproved", None, None),
            // Of these there is a record of the call, or there was none to be made.
            OperationError::Call(_)
            | OperationError::InvalidContext(_)
            | OperationError::InvalidRequestState
            | OperationError::OutcomeUnknown { .. }
            | OperationError::PartiallyApplied { .. }
            | OperationError::WriteRejected { .. }
            | OperationError::Elicitation(_)
            | OperationError::AuditUnavailable(_)
            | OperationError::InvalidArgument(_)
            | OperationError::UnreadableResponse(_)
            | OperationError::StoreUnavailable(_)
            | OperationError::NoEntropy(_) => return,
        };
        let named = ArgumentSummary::from_json(arguments)
            .limited_to_model(forbidden.and_then(Forbidden::model));
        let ids = forbidden.map_or(&[][..], Forbidden::ids);
        let attempt = DeniedAttempt {
            model: named.model,
            method: forbidden
                .and_then(Forbidden::method)
                .cloned()
                .or(named.method),
            effect,
            ids: if ids.is_empty() {
                named.ids
            } else {
                ids.to_vec()
            },
        };
        self.audit
            .record_denial(self.caller, self.instance_name(), attempt, reason);
    }

    /// Begins the record of a read.
    ///
    /// # Errors
    /// [`Denied::Unaudited`].
    async fn begin_read_audit(
        &self,
        call: &Call,
        inquiry: bool,
    ) -> Result<PendingRecord, OperationError> {
        let begun = self
            .audit
            .start_call(self.caller, self.instance_name(), call, inquiry, None);
        Ok(begun.await?)
    }

    /// Begins the record of a change, of what had this hash.
    ///
    /// # Errors
    /// [`Denied::Unaudited`].
    async fn begin_write_audit(
        &self,
        call: &Call,
        before: Option<Box<str>>,
    ) -> Result<PendingRecord, OperationError> {
        let begun = self
            .audit
            .start_call(self.caller, self.instance_name(), call, false, before);
        Ok(begun.await?)
    }

    /// The login that the caller's calls act with.
    fn account(&self) -> Result<&OdooAccount, OperationError> {
        Ok(self.instance.account(self.caller.credential.as_ref())?)
    }

    fn instance_name(&self) -> &InstanceName {
        self.instance.name()
    }

    /// Says that Odoo is being asked, to a client that wants to know.
    fn report_progress(&self, call: &Call) {
        if let Some(listener) = &self.progress {
            listener.report(&format!(
                "Asking Odoo: {} on {}",
                call.method(),
                call.model()
            ));
        }
    }
}

/// What a record says of a call that brought no answer.
fn audit_outcome(error: &CallError) -> AuditOutcome {
    match error {
        CallError::Fault(fault) => AuditOutcome::Refused(fault.kind()),
        CallError::OutcomeUnknown(_) => AuditOutcome::Unknown(error.kind()),
        CallError::Busy { .. }
        | CallError::CutOff(_)
        | CallError::NotOdoo { .. }
        | CallError::NotSent(_)
        | CallError::TimedOut { .. }
        | CallError::TooLarge { .. }
        | CallError::Unreachable(_) => AuditOutcome::Failed(error.kind()),
    }
}
