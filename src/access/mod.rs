//! The guarded door to Odoo: policy, then upstream, then what there is to tell.
//!
//! A tool gets an [`Access`] and nothing else, so whatever it asks is decided
//! by policy, bounded by the link, and counted.

mod asks;
mod change;
mod context;
mod denied;
mod elsewhere;
mod evidence;
mod facts;
mod fit;
mod instance;
mod login;
mod named;
mod open_questions;
mod reading;
mod sent_changes;
mod tally;
#[cfg(test)]
mod tests;

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

pub use asks::{Asks, CallStream, Unasked, WayToAsk};
pub use change::Allowed;
pub use context::ContextRequest;
pub use denied::Denied;
pub use elsewhere::{is_awaited, leave};
pub use evidence::Remains;
pub use facts::{Company, OdooUser};
pub use fit::{fit_fields, fit_order};
pub use instance::{Instance, InstanceSettings};
pub use login::{Login, ReadOnly, UnknownCredential};
pub use named::Named;
pub use open_questions::{Asker, Delivery, OpenQuestions};
pub use reading::Reading;
pub use sent_changes::SentChanges;
pub use tally::{Asked, Tally};

use crate::{
    audit::{Attempt, Begun, Outcome, Trail},
    shape::{self, Documentation, ModelEntry, Rows},
};
use gatepost_base::InstanceName;
use gatepost_identity::Caller;
use gatepost_mcp::{self, ProgressToken};
use gatepost_odoo::{
    Call, Domain, Effect, Fault, FieldName, Inquiry, MethodName, ModelName, Schema,
};
use gatepost_odoo_client::CallError;
use gatepost_policy::{Arguments, Forbidden, Permitted, Policy, Schemas, Undecided};
use gatepost_state::store::Ledger;

/// One caller's way to one instance, for one tool call.
#[derive(Debug)]
pub struct Access<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// What may be done.
    pub policy: &'a Policy,
    /// Who does it.
    pub caller: &'a Caller,
    /// What is counted.
    pub tally: &'a Tally,
    /// What is written down.
    pub trail: &'a Trail,
    /// Who wants to hear how it goes.
    pub listener: Option<Listener>,
    /// How the person behind the client can be asked.
    pub asks: Asks<'a>,
    /// What must be remembered of changes.
    pub ledger: &'a Arc<Ledger>,
    /// Those that were sent.
    pub sent: &'a Arc<SentChanges>,
}

/// Somebody who wants to hear how a call goes.
#[derive(Debug)]
pub struct Listener {
    /// The token under which the client knows the call.
    pub token: ProgressToken,
    /// Where the notifications go.
    pub notices: mpsc::Sender<Bytes>,
    /// How many were sent: the progress must grow with each (MCP, utilities,
    /// "Progress").
    told: AtomicU32,
}

impl Listener {
    /// Somebody who knows the call under this token, and hears of it here.
    pub fn new(token: ProgressToken, notices: mpsc::Sender<Bytes>) -> Self {
        Self {
            token,
            notices,
            told: AtomicU32::new(0),
        }
    }

    /// Tells how it goes. That is no reason to wait: when the channel is full
    /// the news is dropped.
    fn tell(&self, message: &str) {
        let step = self.told.fetch_add(1, Relaxed).saturating_add(1);
        let notice = gatepost_mcp::progress(&self.token, step, message);
        let _full_or_gone = self.notices.try_send(notice);
    }
}

impl Access<'_> {
    /// Asks Odoo, if policy lets the call through, and gives back the JSON of
    /// what the method returned.
    ///
    /// # Errors
    /// [`Denied`]; also for anything but a read, which goes by
    /// [`Access::change`].
    pub async fn call(&self, call: Call) -> Result<Bytes, Denied> {
        // Boxed: asking for fields is rare, and large.
        let permitted = Box::pin(self.permit(call)).await?;
        let sending = self.login()?.send(&permitted, self, false)?;
        self.tell(permitted.get());
        match sending.await {
            Err(denied) => Err(self.explain(permitted.get().model(), denied).await),
            answered => answered,
        }
    }

    /// A model that is not there is told with near names, as far as the caller
    /// may read them.
    async fn explain(&self, model: &ModelName, denied: Denied) -> Denied {
        let unknown = matches!(&denied, Denied::Call(error) if matches!(**error, CallError::Fault(Fault::UnknownModel)));
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
        Denied::Unfit(format!(
            "this Odoo has no model `{model}`; did you mean {}?",
            near.join(", ")
        ))
    }

    /// The fields of a model that both the caller and the Odoo user may see. A
    /// hidden one is as if it did not exist.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn schema(&self, model: &ModelName) -> Result<Schema, Denied> {
        let (roles, instance) = (&self.caller.roles, self.name());
        self.decide(model, |schemas| {
            self.policy.visible(roles, instance, model, schemas)
        })
        .await
    }

    /// The fields to show: those that are named, or where nobody names any, the
    /// most useful ones of which none leaves records out, as long as there are
    /// such.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn columns(
        &self,
        schema: &Schema,
        model: &ModelName,
        named: &[FieldName],
    ) -> Result<Vec<FieldName>, Denied> {
        if !named.is_empty() {
            return fit_fields(schema, model, named);
        }
        Ok(shape::default_fields(&self.schema_of_all(model).await?))
    }

    /// The fields of a model that may be seen of every record that may be seen:
    /// asking for them leaves no record out.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn schema_of_all(&self, model: &ModelName) -> Result<Schema, Denied> {
        let (roles, instance) = (&self.caller.roles, self.name());
        self.decide(model, |schemas| {
            self.policy
                .visible_everywhere(roles, instance, model, schemas)
        })
        .await
    }

    /// The fields of a model that policy lets the caller give values to.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn writable(&self, model: &ModelName, effect: Effect) -> Result<Schema, Denied> {
        let (roles, instance) = (&self.caller.roles, self.name());
        self.decide(model, |schemas| {
            self.policy
                .writable(roles, instance, (model, effect), schemas)
        })
        .await
    }

    /// Lets the call through as far as policy does.
    async fn permit(&self, call: Call) -> Result<Permitted<Call>, Denied> {
        let (roles, instance) = (&self.caller.roles, self.name());
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
        ask: impl Fn(&Schemas) -> Result<T, Undecided>,
    ) -> Result<T, Denied> {
        self.decide_with(&mut Schemas::default(), model, ask).await
    }

    /// The same, where some is known, and what is learned is of use again.
    async fn decide_with<T>(
        &self,
        schemas: &mut Schemas,
        model: &ModelName,
        ask: impl Fn(&Schemas) -> Result<T, Undecided>,
    ) -> Result<T, Denied> {
        // Ends, for a model is named once, and only those on a path are; and a
        // change has so many records.
        loop {
            let needed = match ask(schemas) {
                Ok(decided) => return Ok(decided),
                Err(Undecided::Forbidden(forbidden)) => return Err(forbidden.into()),
                Err(Undecided::Needs(needed)) => needed,
                Err(Undecided::Seeks(searches)) => {
                    for search in searches {
                        let answer = self.login()?.ask(search.call(), self).await?;
                        let ids = Rows::parse(&answer)?.ids().collect();
                        schemas.add_found(search, &ids);
                    }
                    continue;
                }
            };
            let schema = match self.all_fields(&needed).await {
                Ok(schema) => schema,
                // Then what leads there leads nowhere, and is hidden.
                Err(Denied::Call(error)) if error.is_fault() && needed != *model => Arc::default(),
                Err(denied) => return Err(self.explain(&needed, denied).await),
            };
            schemas.add(needed, schema);
        }
    }

    /// The fields of a model that the Odoo user may see, also those that policy
    /// hides from the caller: for decisions and for the administrator.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) async fn all_fields(&self, model: &ModelName) -> Result<Arc<Schema>, Denied> {
        let inquiry = Inquiry::Fields(model.clone());
        let permitted = self.permit_inquiry(&inquiry)?;
        self.login()?.schema(model, &permitted, self).await
    }

    /// Whether it is known by now that no record of the model may be read, for
    /// the rules look at what it does not have. Odoo is not asked for that.
    pub async fn is_closed(&self, model: &ModelName) -> bool {
        let Ok(login) = self.login() else {
            return false;
        };
        let Some(schema) = login.known_schema(model).await else {
            return false;
        };
        let mut schemas = Schemas::default();
        schemas.add(model.clone(), schema);
        let counting = Call::search_count(model.clone(), &Domain::default());
        let (roles, instance) = (&self.caller.roles, self.name());
        matches!(
            self.policy.permit(roles, instance, counting, &schemas),
            Err(Undecided::Forbidden(_))
        )
    }

    /// The models that both the Odoo user and the caller may read.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn models(&self) -> Result<Arc<[ModelEntry]>, Denied> {
        let permitted = self.permit_inquiry(&Inquiry::Models)?;
        self.login()?.models(&permitted, self).await
    }

    fn permit_inquiry(&self, inquiry: &Inquiry) -> Result<Permitted<Call>, Forbidden> {
        let (roles, instance) = (&self.caller.roles, self.name());
        self.policy.permit_inquiry(roles, instance, inquiry)
    }

    /// Asks a question of our own, of which nothing is remembered.
    async fn inquire(&self, inquiry: &Inquiry) -> Result<Bytes, Denied> {
        let permitted = self.permit_inquiry(inquiry)?;
        self.login()?.ask(&permitted, self).await
    }

    /// Which of these external ids, each a module and a name, records of the
    /// model have; nothing where this Odoo user may not know.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn external_ids(
        &self,
        model: &ModelName,
        ids: Vec<(String, String)>,
    ) -> Result<Option<BTreeSet<(String, String)>>, Denied> {
        #[derive(Deserialize)]
        struct Row {
            module: String,
            name: String,
        }
        let inquiry = Inquiry::ExternalIds(model.clone(), ids);
        match self.inquire(&inquiry).await {
            Ok(answer) => {
                let rows: Vec<Row> = serde_json::from_slice(&answer)?;
                let pairs = rows.into_iter().map(|row| (row.module, row.name));
                Ok(Some(pairs.collect()))
            }
            Err(Denied::Call(error)) if error.is_fault() => Ok(None),
            Err(denied) => Err(denied),
        }
    }

    /// Whether the caller may read the model.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn may_read(&self, model: &ModelName) -> Result<(), Denied> {
        Ok(self
            .policy
            .allow(&self.caller.roles, self.name(), model, Effect::Read)?)
    }

    /// The methods of a model that the caller may call, and what with; of at
    /// least some records.
    pub fn methods(&self, model: &ModelName) -> BTreeMap<MethodName, Vec<Arguments>> {
        if self.may_change(model, Effect::Run).is_err() {
            return BTreeMap::new();
        }
        self.policy.methods(&self.caller.roles, self.name(), model)
    }

    /// Whether the caller may call the method, of at least some records.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_call(&self, model: &ModelName, method: &MethodName) -> Result<(), Denied> {
        self.policy
            .allow_method(&self.caller.roles, self.name(), model, method)?;
        self.may_change(model, Effect::Run)
    }

    /// What Odoo says of the methods of a model, where it tells.
    pub async fn documentation(&self, model: &ModelName) -> Option<Arc<Documentation>> {
        let inquiry = Inquiry::Documentation(model.clone());
        let permitted = self.permit_inquiry(&inquiry).ok()?;
        let login = self.login().ok()?;
        login.documentation(model, &permitted, self).await
    }

    /// The Odoo user that calls act as.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn user(&self) -> Result<Arc<OdooUser>, Denied> {
        let permit = |inquiry: &Inquiry| self.permit_inquiry(inquiry);
        self.login()?.user(permit, self).await
    }

    /// Writes down that policy, or the key that the caller acts with, did not
    /// let something through. Whoever gives the refusal to the caller does this,
    /// once: many a question whether something is allowed is asked on the way.
    /// `arguments` are those of the tool.
    pub fn note_refusal(&self, denied: &Denied, arguments: &str) {
        let (reason, forbidden, effect) = match denied {
            Denied::Credential(_) => ("unknown_credential", None, None),
            Denied::Forbidden(why) => (why.kind(), Some(why), why.effect()),
            Denied::ReadOnly(ReadOnly(effect)) => ("read_only", None, Some(*effect)),
            Denied::Unapproved(_) => ("unapproved", None, None),
            // Of these there is a record of the call, or there was none to be made.
            Denied::Call(_)
            | Denied::Context(_)
            | Denied::ForeignState
            | Denied::Lost { .. }
            | Denied::Partly { .. }
            | Denied::Refused { .. }
            | Denied::Unasked(_)
            | Denied::Unaudited(_)
            | Denied::Unfit(_)
            | Denied::Unreadable(_)
            | Denied::Unremembered(_)
            | Denied::Unsealable(_) => return,
        };
        let named = Named::by(arguments).only_of(forbidden.and_then(Forbidden::model));
        let ids = forbidden.map_or(&[][..], Forbidden::ids);
        let attempt = Attempt {
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
        self.trail.refuse(self.caller, self.name(), attempt, reason);
    }

    /// Begins the record of a read.
    ///
    /// # Errors
    /// [`Denied::Unaudited`].
    async fn begin(&self, call: &Call, inquiry: bool) -> Result<Begun, Denied> {
        let begun = self
            .trail
            .begin(self.caller, self.name(), call, inquiry, None);
        Ok(begun.await?)
    }

    /// Begins the record of a change, of what had this hash.
    ///
    /// # Errors
    /// [`Denied::Unaudited`].
    async fn begin_change(&self, call: &Call, before: Option<Box<str>>) -> Result<Begun, Denied> {
        let begun = self
            .trail
            .begin(self.caller, self.name(), call, false, before);
        Ok(begun.await?)
    }

    /// The login that the caller's calls act with.
    fn login(&self) -> Result<&Login, Denied> {
        Ok(self.instance.login(self.caller.credential.as_ref())?)
    }

    fn name(&self) -> &InstanceName {
        self.instance.name()
    }

    /// Says that Odoo is being asked, to a client that wants to know.
    fn tell(&self, call: &Call) {
        if let Some(listener) = &self.listener {
            listener.tell(&format!(
                "Asking Odoo: {} on {}",
                call.method(),
                call.model()
            ));
        }
    }
}

/// What a record says of a call that brought no answer.
fn outcome_of(error: &CallError) -> Outcome {
    match error {
        CallError::Fault(fault) => Outcome::Refused(fault.kind()),
        CallError::OutcomeUnknown(_) => Outcome::Unknown(error.kind()),
        CallError::Busy { .. }
        | CallError::CutOff(_)
        | CallError::NotOdoo { .. }
        | CallError::NotSent(_)
        | CallError::TimedOut { .. }
        | CallError::TooLarge { .. }
        | CallError::Unreachable(_) => Outcome::Failed(error.kind()),
    }
}
