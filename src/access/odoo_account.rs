//! One Odoo user of an instance, with what Odoo returned to that user.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moka::future::Cache;
use tokio::time::timeout;

use super::{
    Company, KeyExpiry, OdooSession, OdooUser, OperationError,
    audit_records::audit_outcome,
    error::{NoneIfFault, ReadOnly},
    key_expiry::KeyState,
    model_access::AccessCache,
    refusals::ReadRefusals,
    user_profile::{CompanyRow, LanguageRow, UserRow, WhoAmI},
};
use crate::{
    audit::{AuditOutcome, ResponseSummary},
    render::{self, Documentation, ModelEntry},
};
use gatepost_base::sync::lock;
use gatepost_odoo::{Call, ModelName, OdooError, Operation, Schema, SystemQuery};
use gatepost_odoo_client::{CallError, ForeignResponse, OdooApiKey, OdooClient};
use gatepost_policy::{Forbidden, Permitted};

/// The fields in all cached schemas of one account; each costs about 500 bytes.
const MAX_CACHED_FIELDS: u64 = 100_000;
/// The largest response with metadata, in bytes. Odoo describes 250 fields of a
/// model in 100 kB, and documents its methods in 200 kB.
const MAX_METADATA_BYTES: usize = 4 << 20;
/// How long Odoo is not asked again for the fields of a model that it failed to
/// describe.
const SCHEMA_FAILURE_TTL: Duration = Duration::from_secs(30);
/// Models whose documentation is cached, per account.
const MAX_CACHED_DOCUMENTATION: u64 = 50;
/// How long a call waits for documentation, which it can do without.
const DOCUMENTATION_TIMEOUT: Duration = Duration::from_secs(3);

/// The API key of one Odoo user, and the cached metadata that Odoo returned to
/// this user.
///
/// Two Odoo users see different fields, models, companies and records, so
/// cached responses are never shared between Odoo users.
#[derive(Debug)]
pub struct OdooAccount {
    /// Shared by all accounts: connections and their limits are per instance.
    client: Arc<OdooClient>,
    key: OdooApiKey,
    key_state: KeyState,
    may_write: bool,
    /// The fields of models, or with which error Odoo refused to describe them.
    schemas: Cache<ModelName, Result<CachedSchema, SchemaRefusal>>,
    schema_ttl: Duration,
    refusals: ReadRefusals,
    /// What the policy decided by these schemas.
    access_cache: AccessCache,
    /// Models whose rules name fields they do not have, once that is logged.
    logged_unresolved_rules: Mutex<BTreeSet<ModelName>>,
    documentation: Cache<ModelName, Option<Arc<Documentation>>>,
    models: Cache<(), Arc<[ModelEntry]>>,
    user: Cache<(), Arc<OdooUser>>,
}

/// The fields of a model, as Odoo returned them.
#[derive(Clone, Debug)]
pub(super) struct CachedSchema {
    pub(super) schema: Schema,
    /// When they are read again.
    pub(super) expires_at: Instant,
}

/// Why Odoo does not describe a model.
#[derive(Clone, Debug)]
struct SchemaRefusal {
    error: Arc<CallError>,
    /// Whether Odoo failed, instead of refusing; when it is asked again then.
    failed_until: Option<Instant>,
}

impl OdooAccount {
    /// An account with empty caches. Without `may_write` it only reads, whatever
    /// the policy permits. Cached responses expire after `ttl`.
    pub(super) fn new(
        client: Arc<OdooClient>,
        key: OdooApiKey,
        may_write: bool,
        ttl: Duration,
    ) -> Self {
        Self {
            client,
            key,
            key_state: KeyState::default(),
            may_write,
            schemas: Cache::builder()
                .max_capacity(MAX_CACHED_FIELDS)
                .weigher(|_, cached: &Result<CachedSchema, _>| {
                    let fields = cached.as_ref().map_or(0, |one| one.schema.fields().len());
                    u32::try_from(1 + fields).unwrap_or(u32::MAX)
                })
                .time_to_live(ttl)
                .build(),
            schema_ttl: ttl,
            refusals: ReadRefusals::new(ttl),
            access_cache: AccessCache::new(),
            logged_unresolved_rules: Mutex::default(),
            documentation: Cache::builder()
                .max_capacity(MAX_CACHED_DOCUMENTATION)
                .time_to_live(ttl)
                .build(),
            models: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
            user: Cache::builder().max_capacity(1).time_to_live(ttl).build(),
        }
    }

    /// Checks that this account may do the operation.
    ///
    /// # Errors
    /// [`ReadOnly`].
    pub fn allow(&self, operation: Operation) -> Result<(), ReadOnly> {
        if self.may_write || operation.is_read() {
            Ok(())
        } else {
            Err(ReadOnly(operation))
        }
    }

    /// Checks that the call is a read for this account, and returns a future that
    /// sends and audits it.
    ///
    /// # Errors
    /// [`ReadOnly`]; then nothing is sent.
    pub(super) fn send_read<'a>(
        &'a self,
        call: &'a Permitted<Call>,
        access: &'a OdooSession<'_>,
        is_system_query: bool,
    ) -> Result<impl Future<Output = Result<Bytes, OperationError>> + Send + 'a, ReadOnly> {
        self.allow(call.get().operation())?;
        let max_bytes = is_system_query.then_some(MAX_METADATA_BYTES);
        Ok(async move {
            let read = call.get();
            // The record is written even if this future is dropped.
            let record = access.start_audit(read, is_system_query, None).await?;
            let timer = access.call_stats.start_call(read);
            // Boxed: it is the largest part of the future of every tool.
            let sending = self
                .client
                .send(call, &self.key, timer.trace_context(), max_bytes);
            let answer = Box::pin(sending).await;
            timer.end(answer.as_ref().err().map(CallError::kind));
            match answer {
                Ok(answer) => {
                    self.key_state.record_answer();
                    // Summarized once: a response may be long.
                    let is_recorded = record.is_recorded();
                    let summary =
                        is_recorded.then(|| ResponseSummary::of(&answer, read.operation()));
                    record.finish(AuditOutcome::Answered, summary.as_ref());
                    if !is_system_query {
                        let rows = summary.as_ref().and_then(|summary| summary.rows);
                        access
                            .call_stats
                            .record_response(&answer, rows, read.request().max_rows())
                            .map_err(|rows| {
                                <serde_json::Error as serde::de::Error>::custom(format_args!(
                                    "Odoo returned {rows} rows, more than were requested"
                                ))
                            })?;
                    }
                    Ok(answer)
                }
                Err(error) => {
                    record.finish(audit_outcome(&error), None);
                    access.record_rejection(&error);
                    Err(error.into())
                }
            }
        })
    }

    /// What is known about the end of its key.
    pub(super) fn key_state(&self) -> &KeyState {
        &self.key_state
    }

    /// When its key expires, as far as Odoo said.
    pub fn key_expiry(&self) -> Option<KeyExpiry> {
        self.key_state.expiry()
    }

    /// Why no call with its key can work, as of the last one.
    pub fn rejection(&self) -> Option<Arc<str>> {
        self.key_state.rejection()
    }

    /// Whether it is time to ask Odoo when its key expires.
    pub fn is_key_expiry_due(&self) -> bool {
        self.key_state.is_question_due(Instant::now())
    }

    /// The client and the key, for a write that is sent in a task of its own.
    pub(super) fn client_and_key(&self) -> (Arc<OdooClient>, OdooApiKey) {
        (Arc::clone(&self.client), self.key.clone())
    }

    /// Sends a query of the gateway's own. The caches around this join identical
    /// lookups that run at the same time.
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
    ) -> Result<CachedSchema, OperationError> {
        let look_up = async {
            let answer = match self.send_system_query(call, access).await {
                Err(OperationError::Call(error)) if error.is_lack_of_rights() => {
                    return Ok(Err(SchemaRefusal {
                        error,
                        failed_until: None,
                    }));
                }
                Err(OperationError::Call(error)) if is_bug_of_model(&error) => {
                    tracing::warn!(instance.name = %access.instance.name(), odoo.model = %model, %error, "Failed to read the fields of a model because of an error in Odoo");
                    return Ok(Err(SchemaRefusal {
                        error,
                        failed_until: Some(Instant::now() + SCHEMA_FAILURE_TTL),
                    }));
                }
                answer => answer?,
            };
            let schema = render::off_worker(answer.len(), || Schema::parse(&answer))?;
            self.log_unresolved_rules(model, &schema, access);
            Ok::<_, OperationError>(Ok(self.cache_for_ttl(schema)))
        };
        let is_over = |refusal: &SchemaRefusal| {
            let until = refusal.failed_until;
            until.is_some_and(|until| until <= Instant::now())
        };
        if let Some(Err(refusal)) = self.schemas.get(model).await
            && is_over(&refusal)
        {
            self.schemas.invalidate(model).await;
        }
        let cached = self.schemas.try_get_with_by_ref(model, look_up).await?;
        cached.map_err(
            |SchemaRefusal {
                 error,
                 failed_until,
             }| match failed_until {
                None => OperationError::Call(error),
                Some(_) => OperationError::UndescribedModel {
                    model: model.clone(),
                    error,
                },
            },
        )
    }

    /// The fields of a model, if they are cached.
    pub(super) async fn cached_schema(&self, model: &ModelName) -> Option<Schema> {
        let cached = self.schemas.get(model).await?.ok()?;
        Some(cached.schema)
    }

    /// The schema with the time at which one that was read now expires.
    pub(super) fn cache_for_ttl(&self, schema: Schema) -> CachedSchema {
        CachedSchema {
            schema,
            expires_at: Instant::now() + self.schema_ttl,
        }
    }

    /// What Odoo refused to let this user read.
    pub(super) fn refusals(&self) -> &ReadRefusals {
        &self.refusals
    }

    /// What the policy decided about the models of this account.
    pub(super) fn access_cache(&self) -> &AccessCache {
        &self.access_cache
    }

    /// Logs, once per model, rules that name fields which the model does not
    /// have: the log is the only place that says why the model is closed.
    fn log_unresolved_rules(&self, model: &ModelName, schema: &Schema, access: &OdooSession<'_>) {
        let (roles, instance) = access.scope();
        let unresolved = access
            .policy
            .unresolved_rules(roles, instance, model, schema);
        let unresolved: Vec<String> = unresolved
            .map(|(at, field)| format!("rule {} of role `{}`: `{field}`", at.index + 1, at.role))
            .collect();
        let mut logged = lock(&self.logged_unresolved_rules);
        if !unresolved.is_empty() && logged.insert(model.clone()) {
            tracing::warn!(instance.name = %instance, odoo.model = %model, error = %unresolved.join(", "), "Denied access to a model because its rules name fields that it does not have");
        }
    }

    /// Odoo's documentation of the methods of a model. It takes Odoo half a
    /// second, and most users may not read it: `None` is cached, too.
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
                    tracing::debug!(odoo.model = %model, error = %elapsed, "Timed out reading documentation");
                    return Ok(None);
                }
            };
            let Some(answer) = answer.none_if_fault()? else {
                return Ok(None);
            };
            Ok(Some(Arc::new(Documentation::parse(&answer)?)))
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
            let ask =
                async |query: SystemQuery| self.send_system_query(&permit(&query)?, access).await;
            let me: WhoAmI = serde_json::from_slice(&ask(SystemQuery::WhoAmI).await?)?;
            let answer = ask(SystemQuery::User(me.uid)).await?;
            let rows: Vec<UserRow> = serde_json::from_slice(&answer)?;
            let mut companies = Vec::new();
            let mut login = Box::default();
            let mut time_zone = None;
            if let Some(row) = rows.into_iter().next() {
                login = row.login;
                // Odoo groups by UTC in a zone that it does not know.
                let known = |name: &&str| jiff::tz::TimeZone::get(name).is_ok();
                time_zone = row.tz.as_str().filter(known).map(Into::into);
                let (default, name) = row.company_id;
                companies.push(Company { id: default, name });
                let others: Vec<_> = row
                    .company_ids
                    .into_iter()
                    .filter(|id| *id != default)
                    .collect();
                // Names are optional: some users may not read companies.
                let mut named: Vec<CompanyRow> = Vec::new();
                if !others.is_empty() {
                    let answer = ask(SystemQuery::Companies(others.clone())).await;
                    if let Some(answer) = answer.none_if_fault()? {
                        named = serde_json::from_slice(&answer)?;
                    }
                }
                companies.extend(others.into_iter().map(|id| {
                    let row = named.iter().find(|row| row.id == id);
                    let name = row.map_or_else(Box::default, |row| row.name.clone());
                    Company { id, name }
                }));
            }
            let languages: Vec<LanguageRow> =
                serde_json::from_slice(&ask(SystemQuery::Languages).await?)?;
            let languages = languages.into_iter().map(|row| row.code).collect();
            Ok::<_, OperationError>(Arc::new(OdooUser {
                id: me.uid,
                login,
                companies,
                time_zone,
                languages,
            }))
        };
        Ok(self.user.try_get_with((), look_up).await?)
    }
}

/// Whether Odoo failed to describe a model because of a bug in one of its fields; a
/// proxy or Odoo itself reports an answer that is not JSON with status 500.
fn is_bug_of_model(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Fault(OdooError::Database | OdooError::Invalid(_) | OdooError::Unknown)
            | CallError::NotOdoo(ForeignResponse { status: 500, .. })
    )
}
