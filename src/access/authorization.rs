//! What the caller may do: questions to the policy, with the facts it needs.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{ModelAccess, OdooSession, OperationError, odoo_account::CachedSchema};
use crate::render::Rows;
use gatepost_odoo::{Call, Domain, MethodName, ModelName, Operation, Schema, SystemQuery};
use gatepost_policy::{Arguments, Forbidden, Incomplete, Permitted, PolicyFacts, WriteMode};

/// The facts that were collected for a decision.
#[derive(Default)]
pub(super) struct CollectedFacts {
    facts: PolicyFacts,
    /// When the first of the schemas that were looked up expires.
    first_expiry: Option<Instant>,
}

impl CollectedFacts {
    fn add_schema(&mut self, model: ModelName, cached: CachedSchema) {
        let first = self.first_expiry.unwrap_or(cached.expires_at);
        self.first_expiry = Some(first.min(cached.expires_at));
        self.facts.add_schema(model, cached.schema);
    }

    /// When a decision from these facts expires; at once if they were no schemas.
    fn expires_at(&self) -> Instant {
        self.first_expiry.unwrap_or_else(Instant::now)
    }
}

impl OdooSession<'_> {
    /// Returns what the caller may read of a model, as the Odoo user sees it.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn model_access(
        &self,
        model: &ModelName,
    ) -> Result<Arc<ModelAccess>, OperationError> {
        let (roles, instance) = self.scope();
        let cache = &self.account()?.access_cache().readable;
        if let Some(decided) = cache.get(roles, model, Operation::Read) {
            return Ok(decided);
        }
        let mut facts = CollectedFacts::default();
        // Boxed: it is large, and rare.
        let decide = Box::pin(self.decide(&mut facts, model, |facts| {
            self.policy.read_access(roles, instance, model, facts)
        }));
        let decision = Arc::new(ModelAccess::new(decide.await?));
        let cached = (Arc::clone(&decision), facts.expires_at());
        cache.insert(roles, (model, Operation::Read), cached);
        Ok(decision)
    }

    /// Returns the fields of a model that both the caller and the Odoo user may
    /// see. A hidden field is omitted, like one that does not exist.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn schema(&self, model: &ModelName) -> Result<Schema, OperationError> {
        Ok(self.model_access(model).await?.visible().clone())
    }

    /// Returns the fields that the caller may see in every record that they may
    /// see: a search for these excludes no record.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn schema_visible_in_all_records(
        &self,
        model: &ModelName,
    ) -> Result<Schema, OperationError> {
        let access = self.model_access(model).await?;
        Ok(access.visible_in_all_records().clone())
    }

    /// Returns the fields that the policy lets the caller set in this operation.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn writable_schema(
        &self,
        model: &ModelName,
        operation: Operation,
    ) -> Result<Schema, OperationError> {
        let (roles, instance) = self.scope();
        let cache = &self.account()?.access_cache().writable;
        if let Some(decided) = cache.get(roles, model, operation) {
            return Ok(decided);
        }
        let mut facts = CollectedFacts::default();
        let decide = Box::pin(self.decide(&mut facts, model, |facts| {
            self.policy
                .writable_schema(roles, instance, (model, operation), facts)
        }));
        let schema = decide.await?;
        let cached = (schema.clone(), facts.expires_at());
        cache.insert(roles, (model, operation), cached);
        Ok(schema)
    }

    /// Permits the call as far as the policy does, with its filters added.
    pub(super) async fn permit(&self, call: Call) -> Result<Permitted<Call>, OperationError> {
        let (roles, instance) = self.scope();
        let model = call.model();
        let mut facts = CollectedFacts::default();
        let decisions = &self.account()?.access_cache().readable;
        if let Some(access) = decisions.get(roles, model, Operation::Read) {
            facts
                .facts
                .set_read_access(Arc::clone(access.read_access()));
        }
        self.decide(&mut facts, model, |facts| {
            self.policy.permit(roles, instance, call.clone(), facts)
        })
        .await
    }

    pub(super) fn permit_system_query(
        &self,
        query: &SystemQuery,
    ) -> Result<Permitted<Call>, Forbidden> {
        let (roles, instance) = self.scope();
        self.policy.permit_system_query(roles, instance, query)
    }

    /// Asks the policy about a model, starting from facts that are known, to which
    /// it adds those that the policy needs.
    pub(super) async fn decide<T>(
        &self,
        collected: &mut CollectedFacts,
        model: &ModelName,
        ask: impl Fn(&PolicyFacts) -> Result<T, Incomplete>,
    ) -> Result<T, OperationError> {
        // Terminates, because the policy asks for each model and each search
        // once, and a call names finitely many.
        loop {
            let needed = match ask(&collected.facts) {
                Ok(decision) => return Ok(decision),
                Err(Incomplete::Denied(forbidden)) => return Err(forbidden.into()),
                Err(Incomplete::NeedsSchema(needed)) => needed,
                Err(Incomplete::NeedsRecords(searches)) => {
                    for search in searches {
                        let answer = self
                            .account()?
                            .send_system_query(search.call(), self)
                            .await?;
                        let ids = Rows::parse(&answer)?.ids().collect();
                        collected.facts.add_memberships(search, &ids);
                    }
                    continue;
                }
            };
            let cached = match self.cached_schema(&needed).await {
                Ok(cached) => cached,
                // An empty schema hides every path through this model.
                Err(error) if error.is_fault() && needed != *model => {
                    self.account()?.cache_for_ttl(Schema::default())
                }
                Err(error) => return Err(self.suggest_similar_models(&needed, error).await),
            };
            collected.add_schema(needed, cached);
        }
    }

    /// Returns the fields that the Odoo user may see, including those that the
    /// policy hides from the caller: for policy decisions and administrators.
    ///
    /// # Errors
    /// [`OperationError`].
    pub(crate) async fn unfiltered_schema(
        &self,
        model: &ModelName,
    ) -> Result<Schema, OperationError> {
        Ok(self.cached_schema(model).await?.schema)
    }

    async fn cached_schema(&self, model: &ModelName) -> Result<CachedSchema, OperationError> {
        let query = SystemQuery::Fields(model.clone());
        let permitted = self.permit_system_query(&query)?;
        self.account()?.schema(model, &permitted, self).await
    }

    /// Returns whether the cached schema shows that the caller may read no
    /// record of the model, because a rule names a field it does not have. Odoo
    /// is not asked.
    pub async fn is_denied_entirely(&self, model: &ModelName) -> bool {
        let Ok(account) = self.account() else {
            return false;
        };
        let Some(schema) = account.cached_schema(model).await else {
            return false;
        };
        let mut facts = PolicyFacts::default();
        facts.add_schema(model.clone(), schema);
        let count = Call::search_count(model.clone(), &Domain::default());
        let (roles, instance) = self.scope();
        matches!(
            self.policy.permit(roles, instance, count, &facts),
            Err(Incomplete::Denied(_))
        )
    }

    /// Checks that the caller may read the model.
    ///
    /// # Errors
    /// [`OperationError::Forbidden`].
    pub fn may_read(&self, model: &ModelName) -> Result<(), OperationError> {
        let (roles, instance) = self.scope();
        Ok(self.policy.allow(roles, instance, model, Operation::Read)?)
    }

    /// Checks that the caller may do this operation on some records of the model.
    ///
    /// # Errors
    /// [`OperationError`].
    pub fn may_write(&self, model: &ModelName, operation: Operation) -> Result<(), OperationError> {
        self.account()?.allow(operation)?;
        if self.instance.write_mode() == WriteMode::ReadOnly {
            let model = model.clone();
            return Err(Forbidden::Operation { model, operation }.into());
        }
        let (roles, instance) = self.scope();
        Ok(self.policy.allow(roles, instance, model, operation)?)
    }

    /// Returns the methods that the caller may call on some records of the
    /// model, with the arguments that each accepts.
    pub fn methods(&self, model: &ModelName) -> BTreeMap<MethodName, Vec<Arguments>> {
        if self.may_write(model, Operation::Call).is_err() {
            return BTreeMap::new();
        }
        let (roles, instance) = self.scope();
        self.policy.methods(roles, instance, model)
    }

    /// Checks that the caller may call the method on some records of the model.
    ///
    /// # Errors
    /// [`OperationError`].
    pub fn may_call(&self, model: &ModelName, method: &MethodName) -> Result<(), OperationError> {
        let (roles, instance) = self.scope();
        self.policy.allow_method(roles, instance, model, method)?;
        self.may_write(model, Operation::Call)
    }
}
