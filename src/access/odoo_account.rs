//! One Odoo user of an instance, and what Odoo said to that user.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use moka::future::Cache;
use tokio::time::timeout;

use super::{
    Company, OdooSession, OdooUser, OperationError, audit_outcome,
    user_profile::{CompanyRow, LanguageRow, UserRow, WhoAmI},
};
use crate::{
    audit::{AuditOutcome, ResponseSummary},
    render::{self, Documentation, ModelEntry},
};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_odoo::{Call, ModelName, Operation, Schema, SystemQuery};
use gatepost_odoo_client::{ApiKey, CallError, OdooClient};
use gatepost_policy::{Forbidden, Permitted};

/// Models whose fields are remembered, per login.
const MAX_CACHED_SCHEMAS: u64 = 300;
/// Models whose methods are remembered, per login.
const MAX_CACHED_DOCUMENTATION: u64 = 50;
/// How long somebody waits for what is good to know and no more.
const DOCUMENTATION_TIMEOUT: Duration = Duration::from_secs(3);

/// A key to an instance, and what Odoo said of itself to whom that key stands
/// for.
///
/// Two Odoo users see different fields, models, companies and records, so
/// nothing that was answered to one login is ever used for another.
#[derive(Debug)]
pub struct OdooAccount {
    /// Shared with the other logins: connections and turns are the instance's.
    client: Arc<OdooClient>,
    key: ApiKey,
    may_write: bool,
    schemas: Cache<ModelName, Arc<Schema>>,
    /// Models that rules do not fit, which the log was told.
    logged_unresolved_rules: Mutex<BTreeSet<ModelName>>,
    documentation: Cache<ModelName, Option<Arc<Documentation>>>,
    models: Cache<(), Arc<[ModelEntry]>>,
    user: Cache<(), Arc<OdooUser>>,
}

/// A change that was to be made with a key that may only read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "you may not {} records here: your calls act as the gateway's own Odoo user, who only reads; retrying will not help, ask the administrator for an Odoo user of your own",
    .0.as_str()
)]
pub struct ReadOnly(pub Operation);

/// A credential that the instance does not have. `Display` is for us.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the instance `{instance}` has no credential `{credential}`")]
pub struct UnknownCredential {
    /// The instance.
    pub instance: InstanceName,
    /// What it does not have.
    pub credential: CredentialName,
}

impl OdooAccount {
    /// A login to which nothing was said yet. With `writes` it may do whatever
    /// policy lets through, else only read. What Odoo says is believed for `ttl`.
    pub(super) fn new(
        client: Arc<OdooClient>,
        key: ApiKey,
        may_write: bool,
        ttl: Duration,
    ) -> Self {
        Self {
            client,
            key,
            may_write,
            schemas: Cache::builder()
                .max_capacity(MAX_CACHED_SCHEMAS)
                .time_to_live(ttl)
                .build(),
            logged_unresolved_rules: Mutex::default(),
            documentation: Cache::builder()
                .max_capacity(MAX_CACHED_DOCUMENTATION)
                .time_to_live(ttl)
                .build(),
            models: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            user: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
        }
    }

    /// Allows calls of this effect, as far as it depends on the login.
    ///
    /// # Errors
    /// [`ReadOnly`].
    pub fn allow(&self, effect: Operation) -> Result<(), ReadOnly> {
        if self.may_write || effect.is_read() {
            Ok(())
        } else {
            Err(ReadOnly(effect))
        }
    }

    /// Sends a read, and leaves a record of it. Whether this login may is said at once; what comes back goes to Odoo
    /// when it is polled.
    ///
    /// # Errors
    /// [`ReadOnly`]; then nothing is ever sent.
    pub(super) fn send_read<'a>(
        &'a self,
        call: &'a Permitted<Call>,
        access: &'a OdooSession<'_>,
        inquiry: bool,
    ) -> Result<impl Future<Output = Result<Bytes, OperationError>> + Send + 'a, ReadOnly> {
        self.allow(call.get().operation())?;
        Ok(async move {
            let call_of = call.get();
            // Its record is written also when this is dropped half way.
            let record = access.begin_read_audit(call_of, inquiry).await?;
            let asking = access.call_stats.start_call(call_of);
            // Boxed: it is the largest part of the future of every tool.
            let answer = Box::pin(self.client.send(call, &self.key, asking.trace_context())).await;
            asking.end(answer.as_ref().err().map(CallError::kind));
            match answer {
                Ok(answer) => {
                    // Looked through once: an answer may be long.
                    let kept = record.is_recorded();
                    let told = kept.then(|| ResponseSummary::of(&answer, call_of.operation()));
                    if !inquiry {
                        let rows = told.as_ref().and_then(|told| told.rows);
                        access.call_stats.record_response(&answer, rows);
                    }
                    record.finish(AuditOutcome::Answered, told.as_ref());
                    Ok(answer)
                }
                Err(error) => {
                    record.finish(audit_outcome(&error), None);
                    Err(error.into())
                }
            }
        })
    }

    /// The way to Odoo and the key, for a change that is sent by itself.
    pub(super) fn client_and_key(&self) -> (Arc<OdooClient>, ApiKey) {
        (Arc::clone(&self.client), self.key.clone())
    }

    /// Asks a question of our own; look-ups of the same thing at the same time
    /// are joined by the caches around this.
    pub(super) async fn send_system_query(
        &self,
        call: &Permitted<Call>,
        access: &OdooSession<'_>,
    ) -> Result<Bytes, OperationError> {
        self.send_read(call, access, true)?.await
    }

    pub(super) async fn schema(
        &self,
        model: &ModelName,
        call: &Permitted<Call>,
        access: &OdooSession<'_>,
    ) -> Result<Arc<Schema>, OperationError> {
        let look_up = async {
            let answer = self.send_system_query(call, access).await?;
            let schema = Schema::parse(&answer)?;
            self.log_unresolved_rules(model, &schema, access);
            Ok::<_, OperationError>(Arc::new(schema))
        };
        Ok(self.schemas.try_get_with_by_ref(model, look_up).await?)
    }

    /// The fields of a model, where they are known.
    pub(super) async fn cached_schema(&self, model: &ModelName) -> Option<Arc<Schema>> {
        self.schemas.get(model).await
    }

    /// Tells the log, once, of rules that look at fields which the model does
    /// not have: nobody else learns why it is closed.
    fn log_unresolved_rules(&self, model: &ModelName, schema: &Schema, access: &OdooSession<'_>) {
        let (roles, instance) = (&access.caller.roles, access.instance_name());
        let misfits = access
            .policy
            .unresolved_rules(roles, instance, model, schema);
        let told: Vec<String> = misfits
            .map(|(at, field)| format!("rule {} of role `{}`: `{field}`", at.index + 1, at.role))
            .collect();
        let mut known = self
            .logged_unresolved_rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !told.is_empty() && known.insert(model.clone()) {
            tracing::warn!(instance.name = %instance, odoo.model = %model, error = %told.join(", "), "Closed a model: its rules look at fields that it does not have");
        }
    }

    /// What Odoo says of the methods of a model, to who may read it: it takes
    /// half a second, and most users may not. Then there is none for a while.
    pub(super) async fn documentation(
        &self,
        model: &ModelName,
        call: &Permitted<Call>,
        access: &OdooSession<'_>,
    ) -> Option<Arc<Documentation>> {
        let look_up = async {
            let answer = match timeout(DOCUMENTATION_TIMEOUT, self.send_system_query(call, access))
                .await
            {
                Ok(answer) => answer,
                Err(elapsed) => {
                    tracing::debug!(odoo.model = %model, error = %elapsed, "Gave up asking for documentation");
                    return Ok(None);
                }
            };
            match answer {
                Ok(answer) => Ok(Some(Arc::new(Documentation::parse(&answer)?))),
                Err(OperationError::Call(error)) if error.is_fault() => Ok(None),
                Err(denied) => Err(denied),
            }
        };
        let found = self.documentation.try_get_with_by_ref(model, look_up).await;
        found.unwrap_or_else(|error: Arc<OperationError>| {
            tracing::debug!(odoo.model = %model, error = %error, "Failed to read documentation");
            None
        })
    }

    pub(super) async fn models(
        &self,
        call: &Permitted<Call>,
        access: &OdooSession<'_>,
    ) -> Result<Arc<[ModelEntry]>, OperationError> {
        let look_up = async {
            let answer = self.send_system_query(call, access).await?;
            Ok::<_, OperationError>(render::parse_models(&answer)?.into())
        };
        Ok(self.models.try_get_with((), look_up).await?)
    }

    pub(super) async fn user(
        &self,
        permit: impl Fn(&SystemQuery) -> Result<Permitted<Call>, Forbidden>,
        access: &OdooSession<'_>,
    ) -> Result<Arc<OdooUser>, OperationError> {
        let look_up = async {
            let ask = async |inquiry: SystemQuery| {
                self.send_system_query(&permit(&inquiry)?, access).await
            };
            let me: WhoAmI = serde_json::from_slice(&ask(SystemQuery::WhoAmI).await?)?;
            let answer = ask(SystemQuery::User(me.uid)).await?;
            let rows: Vec<UserRow> = serde_json::from_slice(&answer)?;
            let mut companies = Vec::new();
            if let Some(row) = rows.into_iter().next() {
                let (default, name) = row.company_id;
                companies.push(Company { id: default, name });
                let others: Vec<_> = row
                    .company_ids
                    .into_iter()
                    .filter(|id| *id != default)
                    .collect();
                // Names are a courtesy: a user who may not read companies goes without.
                let named: Vec<CompanyRow> = if others.is_empty() {
                    Vec::new()
                } else {
                    match ask(SystemQuery::Companies(others.clone())).await {
                        Ok(answer) => serde_json::from_slice(&answer)?,
                        Err(OperationError::Call(error)) if error.is_fault() => Vec::new(),
                        Err(denied) => return Err(denied),
                    }
                };
                companies.extend(others.into_iter().map(|id| {
                    Company {
                        id,
                        name: named
                            .iter()
                            .find(|row| row.id == id)
                            .map_or_else(Box::default, |row| row.name.clone()),
                    }
                }));
            }
            let languages: Vec<LanguageRow> =
                serde_json::from_slice(&ask(SystemQuery::Languages).await?)?;
            let languages = languages.into_iter().map(|row| row.code).collect();
            Ok::<_, OperationError>(Arc::new(OdooUser {
                id: me.uid,
                companies,
                languages,
            }))
        };
        Ok(self.user.try_get_with((), look_up).await?)
    }
}
