//! What a caller may read and write of one model, decided once and cached.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use moka::{Expiry, sync::Cache};

use crate::render;
use gatepost_base::RoleName;
use gatepost_odoo::{FieldName, ModelName, Operation, Schema};
use gatepost_policy::ReadAccess;

/// The fields in all cached decisions of one account; each costs about 100 bytes.
const MAX_CACHED_FIELDS: u64 = 200_000;

/// What a set of roles may read of one model, with what follows from it.
#[derive(Debug)]
pub struct ModelAccess {
    read_access: Arc<ReadAccess>,
    default_fields: OnceLock<Box<[FieldName]>>,
}

impl ModelAccess {
    pub(super) fn new(read_access: ReadAccess) -> Self {
        Self {
            read_access: Arc::new(read_access),
            default_fields: OnceLock::new(),
        }
    }

    /// The fields that both the caller and the Odoo user may see. A hidden field
    /// is omitted, like one that does not exist.
    pub fn visible(&self) -> &Schema {
        self.read_access.visible()
    }

    /// The fields that the caller may see in every record that they may see: a
    /// search for these excludes no record.
    pub fn visible_in_all_records(&self) -> &Schema {
        self.read_access.visible_in_all_records()
    }

    /// Whether a rule may hide records of the model.
    pub fn hides_records(&self) -> bool {
        self.read_access.hides_records()
    }

    /// The fields that are shown if the caller names none.
    pub fn default_fields(&self) -> &[FieldName] {
        self.default_fields
            .get_or_init(|| render::default_fields(self.visible_in_all_records()).into())
    }

    pub(super) fn read_access(&self) -> &Arc<ReadAccess> {
        &self.read_access
    }
}

/// What the policy decided about the models of one account, for each set of roles.
/// A decision is dropped with the first of the schemas that it was made from.
#[derive(Debug)]
pub(super) struct AccessCache {
    /// Decisions about reading.
    pub(super) readable: Decisions<Arc<ModelAccess>>,
    /// The fields that may be written.
    pub(super) writable: Decisions<Schema>,
}

/// Decisions about one operation on one model each.
#[derive(Debug)]
pub(super) struct Decisions<T: Clone + Send + Sync + 'static>(Cache<DecisionKey, Expiring<T>>);

type DecisionKey = (Box<[RoleName]>, ModelName, Operation);

#[derive(Clone, Debug)]
struct Expiring<T> {
    decision: T,
    expires_at: Instant,
}

impl AccessCache {
    pub(super) fn new() -> Self {
        Self {
            readable: Decisions::new(|access: &Arc<ModelAccess>| access.visible().fields().len()),
            writable: Decisions::new(|schema: &Schema| schema.fields().len()),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> Decisions<T> {
    fn new(count_fields: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        let weigh = move |_: &_, entry: &Expiring<T>| {
            u32::try_from(1 + count_fields(&entry.decision)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(MAX_CACHED_FIELDS)
            .weigher(weigh)
            .expire_after(WithItsSchemas);
        Self(cache.build())
    }

    /// The decision for these roles.
    pub(super) fn get(
        &self,
        roles: &[RoleName],
        model: &ModelName,
        operation: Operation,
    ) -> Option<T> {
        let entry = self.0.get(&(roles.into(), model.clone(), operation))?;
        Some(entry.decision)
    }

    /// Stores a decision until the first of its schemas expires.
    pub(super) fn insert(
        &self,
        roles: &[RoleName],
        (model, operation): (&ModelName, Operation),
        (decision, expires_at): (T, Instant),
    ) {
        let entry = Expiring {
            decision,
            expires_at,
        };
        self.0
            .insert((roles.into(), model.clone(), operation), entry);
    }
}

struct WithItsSchemas;

impl<K, T> Expiry<K, Expiring<T>> for WithItsSchemas {
    fn expire_after_create(&self, _: &K, entry: &Expiring<T>, at: Instant) -> Option<Duration> {
        Some(entry.expires_at.saturating_duration_since(at))
    }

    fn expire_after_update(
        &self,
        _: &K,
        entry: &Expiring<T>,
        at: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.expires_at.saturating_duration_since(at))
    }
}
