//! One caller's session with one Odoo instance: its reads and system queries.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;

use super::{
    ActiveKeys, InFlightWrites, Instance, OdooAccount, OdooUser, OperationError, ProgressReporter,
    error::{NoneIfFault, is_rejection},
};
use crate::{
    audit::RequestAudit,
    elicitation::Elicitation,
    render::{Documentation, ModelEntry},
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_identity::Caller;
use gatepost_odoo::{Call, ModelName, OdooError, SystemQuery, UserSearch};
use gatepost_odoo_client::{CallError, CallStats};
use gatepost_policy::Policy;
use gatepost_state::store::StateStore;

/// One caller's access to one Odoo instance during one tool call.
#[derive(Debug)]
pub struct OdooSession<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// The policy.
    pub policy: &'a Policy,
    /// The caller.
    pub caller: &'a Caller,
    /// The statistics of the tool call.
    pub call_stats: &'a CallStats,
    /// The audit records of the request.
    pub audit: &'a RequestAudit,
    /// Progress notifications, if the client asked for them.
    pub progress: Option<ProgressReporter>,
    /// How to ask the person behind the client.
    pub elicitation: Elicitation<'a>,
    /// The store of previews, idempotency keys and undo entries.
    pub store: &'a Arc<StateStore>,
    /// The writes sent to Odoo that have not finished.
    pub in_flight_writes: &'a Arc<InFlightWrites>,
    /// The API keys that may write now.
    pub active_keys: &'a ActiveKeys,
}

impl OdooSession<'_> {
    /// Sends a read that the policy permits, and returns the JSON that the
    /// method returned.
    ///
    /// # Errors
    /// [`OperationError`]; also for a write, which
    /// [`send_write`](Self::send_write) sends.
    pub async fn call(&self, call: Call) -> Result<Bytes, OperationError> {
        // Boxed: it is large, because it may look up schemas.
        let permitted = Box::pin(self.permit(call)).await?;
        let sending = self.account()?.send_read(&permitted, self, false)?;
        let call = permitted.get();
        self.report_progress(|| format!("Asking Odoo: {} on {}", call.method(), call.model()));
        match sending.await {
            Err(error) => Err(self.suggest_similar_models(call.model(), error).await),
            answered => answered,
        }
    }

    /// Replaces the error for an unknown model by one that names similar models
    /// that the caller may read, if there are any.
    pub(super) async fn suggest_similar_models(
        &self,
        model: &ModelName,
        error: OperationError,
    ) -> OperationError {
        let unknown = matches!(&error, OperationError::Call(error) if matches!(**error, CallError::Fault(OdooError::UnknownModel)));
        if !unknown {
            return error;
        }
        let Ok(models) = self.models().await else {
            return error;
        };
        let most = 1 + model.as_str().len() / 4;
        let mut similar: Vec<(usize, &ModelName)> = models
            .iter()
            .filter(|entry| entry.model.as_str().len().abs_diff(model.as_str().len()) <= most)
            .map(|entry| {
                let distance = strsim::osa_distance(entry.model.as_str(), model.as_str());
                (distance, &entry.model)
            })
            .filter(|(distance, similar)| *distance <= most && self.may_read(similar).is_ok())
            .collect();
        similar.sort();
        if similar.is_empty() {
            return error;
        }
        let similar: Vec<String> = similar
            .iter()
            .take(3)
            .map(|(_, similar)| format!("`{similar}`"))
            .collect();
        OperationError::InvalidArgument(format!(
            "this Odoo has no model `{model}`; did you mean {}?",
            similar.join(", ")
        ))
    }

    /// Returns the models that the Odoo user may read.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn models(&self) -> Result<Arc<[ModelEntry]>, OperationError> {
        let permitted = self.permit_system_query(&SystemQuery::Models)?;
        self.account()?.models(&permitted, self).await
    }

    /// Stores that the Odoo user may not read the model, if Odoo refused a read for
    /// that reason. A refusal may also be about a field or another model, so Odoo's
    /// list of readable models, which is cached, has to confirm it.
    pub(super) async fn remember_unreadable_model<T>(
        &self,
        model: &ModelName,
        read: Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        if let Err(OperationError::Call(refusal)) = &read
            && refusal.is_lack_of_rights()
            && let Ok(models) = self.models().await
            && !models.iter().any(|entry| entry.model == *model)
        {
            self.account()?.refusals().insert_model(model, refusal);
        }
        read
    }

    /// Sends a system query whose response is not cached.
    pub(super) async fn run_system_query(
        &self,
        query: &SystemQuery,
    ) -> Result<Bytes, OperationError> {
        let permitted = self.permit_system_query(query)?;
        self.account()?.send_system_query(&permitted, self).await
    }

    /// Returns those of these external ids, each a module and a name, that
    /// records of the model have; `None` if this Odoo user may not read them.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn existing_external_ids(
        &self,
        model: &ModelName,
        ids: Vec<(String, String)>,
    ) -> Result<Option<BTreeSet<(String, String)>>, OperationError> {
        #[derive(Deserialize)]
        struct ExternalIdRow {
            module: String,
            name: String,
        }
        let query = SystemQuery::ExternalIds(model.clone(), ids);
        let Some(answer) = self.run_system_query(&query).await.none_if_fault()? else {
            return Ok(None);
        };
        let rows: Vec<ExternalIdRow> = serde_json::from_slice(&answer)?;
        let pairs = rows.into_iter().map(|row| (row.module, row.name));
        Ok(Some(pairs.collect()))
    }

    /// Returns whether the caller finds users by [`find_users`](Self::find_users), because
    /// this is their model and no rule opens it.
    pub fn finds_users(&self, model: &ModelName) -> bool {
        let any = SystemQuery::Users(UserSearch::Ids(Vec::new()));
        *model == UserSearch::model()
            && self.may_read(model).is_err()
            && self.permit_system_query(&any).is_ok()
    }

    /// Returns the ids and names of active internal users, as a search for
    /// `display_name` does.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn find_users(&self, search: UserSearch) -> Result<Bytes, OperationError> {
        self.run_system_query(&SystemQuery::Users(search)).await
    }

    /// Returns Odoo's documentation of the methods of a model, if this Odoo user
    /// may read it.
    pub async fn documentation(&self, model: &ModelName) -> Option<Arc<Documentation>> {
        let query = SystemQuery::Documentation(model.clone());
        let permitted = self.permit_system_query(&query).ok()?;
        let account = self.account().ok()?;
        account.documentation(model, &permitted, self).await
    }

    /// Returns the Odoo user that the caller's calls act as.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn user(&self) -> Result<Arc<OdooUser>, OperationError> {
        let permit = |query: &SystemQuery| self.permit_system_query(query);
        self.account()?.user(permit, self).await
    }

    /// The account that the caller's calls act with.
    pub(super) fn account(&self) -> Result<&OdooAccount, OperationError> {
        Ok(self.instance.account(self.caller.credential.as_ref())?)
    }

    /// Records that no call of the caller's account can work, if the error says so.
    pub(super) fn record_rejection(&self, error: &CallError) {
        if is_rejection(error)
            && let Ok(account) = self.account()
        {
            account.key_state().record_rejection(
                self.instance.name(),
                self.caller.credential.as_ref(),
                error,
                self.instance.diagnose(error),
            );
        }
    }

    /// The roles and the instance by which the policy decides.
    pub(super) fn scope(&self) -> (&[RoleName], &InstanceName) {
        (&self.caller.roles, self.instance.name())
    }

    /// Sends a progress notification if the client asked for them.
    pub(super) fn report_progress(&self, message: impl FnOnce() -> String) {
        if let Some(progress) = &self.progress {
            progress.report(&message());
        }
    }
}
