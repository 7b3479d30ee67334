//! What Odoo refused to let one Odoo user read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::OperationError;
use gatepost_odoo::{FieldName, ModelName};
use gatepost_odoo_client::CallError;

/// Models whose refusals are cached, per account.
const MAX_MODELS: u64 = 300;

/// How much longer a model stays refused than its schema would be cached. Only the
/// names and values beside an answer depend on it, because a caller's own read is sent
/// to Odoo; learning it again costs a call for each linked model.
const MODEL_TTL_FACTOR: u32 = 12;

/// The models and fields that Odoo refused to let one Odoo user read, so that it
/// is not asked again and again.
///
/// A field may be refused for some records only, where a module computes it from
/// records that this user may not read; then it is missing from reads of the
/// others, too, until the entry expires.
#[derive(Debug)]
pub(super) struct ReadRefusals {
    models: Cache<ModelName, Arc<CallError>>,
    /// With the time at which each field is requested again.
    fields: Cache<ModelName, Arc<BTreeMap<FieldName, Instant>>>,
    ttl: Duration,
}

impl ReadRefusals {
    /// No refusals. Those of fields expire after `ttl`, those of models after
    /// [`MODEL_TTL_FACTOR`] times as long.
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            models: Cache::builder()
                .max_capacity(MAX_MODELS)
                .time_to_live(ttl.saturating_mul(MODEL_TTL_FACTOR))
                .build(),
            fields: Cache::builder()
                .max_capacity(MAX_MODELS)
                .time_to_live(ttl)
                .build(),
            ttl,
        }
    }

    /// The error with which Odoo refused to let the user read any record of the
    /// model.
    ///
    /// # Errors
    /// [`OperationError::Call`].
    pub(super) fn check_model(&self, model: &ModelName) -> Result<(), OperationError> {
        match self.models.get(model) {
            Some(refusal) => Err(OperationError::Call(refusal)),
            None => Ok(()),
        }
    }

    /// Stores that the user may read no record of the model.
    pub(super) fn insert_model(&self, model: &ModelName, refusal: &Arc<CallError>) {
        self.models.insert(model.clone(), Arc::clone(refusal));
    }

    /// Those of the fields that Odoo refused.
    pub(super) fn refused_fields(&self, model: &ModelName, fields: &[FieldName]) -> Vec<FieldName> {
        let Some(refused) = self.fields.get(model) else {
            return Vec::new();
        };
        let now = Instant::now();
        let is_refused = |name: &&FieldName| refused.get(*name).is_some_and(|until| *until > now);
        fields.iter().filter(is_refused).cloned().collect()
    }

    /// Stores that the user may not read these fields of the model.
    pub(super) fn insert_fields(&self, model: &ModelName, fields: &[FieldName]) {
        if fields.is_empty() {
            return;
        }
        let now = Instant::now();
        let known = self.fields.get(model).unwrap_or_default();
        let valid = known.iter().filter(|(_, expires_at)| **expires_at > now);
        let mut refused: BTreeMap<_, _> = valid.map(|(name, at)| (name.clone(), *at)).collect();
        refused.extend(fields.iter().map(|name| (name.clone(), now + self.ttl)));
        self.fields.insert(model.clone(), Arc::new(refused));
    }
}
