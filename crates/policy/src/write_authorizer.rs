//! Authorizes changes: every operation that a call performs, on which models and
//! records.

use std::collections::BTreeSet;

use super::{
    Forbidden, Incomplete, effective_rules::EffectiveRules, incomplete::unless_denied,
    post_image::PostImage, record_facts::RecordFacts, with_check::satisfies_after_write,
};
use gatepost_odoo::{Call, Domain, FieldName, ModelName, Operation, RecordId, Request};

/// Levels of records inside the values of others.
pub(super) const MAX_DEPTH: usize = 6;

/// One operation that a change performs on one model.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordAccess {
    /// The model.
    pub model: ModelName,
    /// What is done to its records.
    pub operation: Operation,
    /// The fields that get values.
    pub fields: BTreeSet<FieldName>,
    /// The records, where the call names them.
    pub ids: Vec<RecordId>,
}

/// Why an access to records is not permitted.
#[derive(Debug)]
pub(super) enum AccessError {
    /// Policy refuses, or something is missing.
    Incomplete(Incomplete),
    /// The value is malformed, or the rules limit the records and only Odoo knows
    /// which records the value refers to.
    Unnamed,
}

/// Authorizes one change.
pub(super) struct WriteAuthorizer<'a> {
    pub(super) rules: &'a EffectiveRules<'a>,
    pub(super) record_facts: &'a RecordFacts<'a>,
    pub(super) accesses: Vec<RecordAccess>,
}

impl AccessError {
    /// Converts this into [`Incomplete`], with `unnamed` as the reason for
    /// [`Unnamed`](Self::Unnamed).
    pub(super) fn or(self, unnamed: impl FnOnce() -> Forbidden) -> Incomplete {
        match self {
            Self::Incomplete(incomplete) => incomplete,
            Self::Unnamed => unnamed().into(),
        }
    }
}

impl<E: Into<Incomplete>> From<E> for AccessError {
    fn from(error: E) -> Self {
        Self::Incomplete(error.into())
    }
}

impl WriteAuthorizer<'_> {
    /// Permits a change: its fields, its method, every record that it touches, and
    /// the records as they will be.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub(super) fn authorize(&mut self, call: &Call) -> Result<(), Incomplete> {
        let (model, operation) = (call.model(), call.operation());
        self.rules.allow(model, operation)?;
        match call.request() {
            Request::Create(list) => list.iter().try_for_each(|values| {
                self.authorize_values(PostImage::new_record(model, values), 0)
            }),
            Request::Delete(ids) => self
                .authorize_access(model, Operation::Delete, ids)
                .map(drop)
                .map_err(|error| error.or(|| Forbidden::operation_on(model, operation))),
            Request::Load(load) => self.authorize_import(model, load),
            Request::Run {
                method,
                ids,
                arguments,
            } => self.authorize_method(model, method, ids, arguments),
            Request::Write { ids, values } => {
                self.authorize_values(PostImage::of(model, ids, values), 0)
            }
            Request::Aggregate(_)
            | Request::Count(_)
            | Request::Defaults(_)
            | Request::Documentation
            | Request::Fields
            | Request::Models
            | Request::NameSearch { .. }
            | Request::Read { .. }
            | Request::Search(_)
            | Request::WhoAmI => Err(Forbidden::operation_on(model, operation).into()),
        }
    }

    /// Permits the values of records, with everything that the commands in them do.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub(super) fn authorize_values(
        &mut self,
        post_image: PostImage<'_>,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let PostImage {
            model,
            operation,
            ids,
            ..
        } = post_image;
        self.rules.allow(model, operation)?;
        let facts = self.record_facts.facts;
        let mut fields = BTreeSet::new();
        for (name, value) in post_image.values {
            let unknown = || Forbidden::Commands {
                model: model.clone(),
                field: name.chars().take(60).collect(),
            };
            let name = FieldName::try_from(name.as_str()).map_err(|_no_name| unknown())?;
            if name.as_str() == "id" {
                return Err(Forbidden::Writing {
                    model: model.clone(),
                    field: name,
                }
                .into());
            }
            let written = BTreeSet::from([name.clone()]);
            self.rules.row_filter(model, operation, &written, facts)?;
            let field = facts.schema_of(model)?.field(name.as_str());
            let field = field.ok_or_else(unknown)?;
            if field.kind.is_x2many() {
                if depth == MAX_DEPTH {
                    return Err(unknown().into());
                }
                self.authorize_commands(field, value, post_image, depth)
                    .map_err(|error| error.or(unknown))?;
            } else {
                self.authorize_linked_record(model, field, value)?;
            }
            fields.insert(name);
        }
        let filter = self.rules.row_filter(model, operation, &fields, facts)?;
        self.add_access(model, operation, fields, ids.to_vec());
        if operation == Operation::Write {
            self.require_covered(model, operation, ids, &filter)?;
        }
        satisfies_after_write(self.record_facts, post_image, filter)
    }

    /// Permits the operation on these records if the row filter covers all of them.
    pub(super) fn require_covered(
        &self,
        model: &ModelName,
        operation: Operation,
        ids: &[RecordId],
        filter: &Domain,
    ) -> Result<(), Incomplete> {
        if filter.is_empty() || ids.is_empty() {
            return Ok(());
        }
        let outside = self.record_facts.uncovered(model, ids, filter);
        if outside.is_empty() {
            return Ok(());
        }
        Err(Forbidden::Records {
            model: model.clone(),
            operation,
            ids: outside,
        }
        .into())
    }

    /// Whether the caller may read all of these records.
    ///
    /// # Errors
    /// What is missing to decide.
    pub(super) fn may_read(
        &mut self,
        model: &ModelName,
        ids: &[RecordId],
    ) -> Result<bool, Incomplete> {
        match self.authorize_access(model, Operation::Read, ids) {
            Ok(_) => Ok(true),
            Err(AccessError::Incomplete(incomplete)) => {
                unless_denied::<()>(Err(incomplete)).map(|_| false)
            }
            Err(AccessError::Unnamed) => Ok(false),
        }
    }

    /// Permits the operation on these records. Returns the records that it is open
    /// for.
    pub(super) fn authorize_access(
        &mut self,
        model: &ModelName,
        operation: Operation,
        ids: &[RecordId],
    ) -> Result<Domain, AccessError> {
        let facts = self.record_facts.facts;
        let filter = self
            .rules
            .row_filter(model, operation, &BTreeSet::new(), facts)?;
        // Only Odoo knows which records these are.
        if ids.is_empty() && !filter.is_empty() {
            return Err(AccessError::Unnamed);
        }
        self.add_access(model, operation, BTreeSet::new(), ids.to_vec());
        self.require_covered(model, operation, ids, &filter)?;
        Ok(filter)
    }

    pub(super) fn add_access(
        &mut self,
        model: &ModelName,
        operation: Operation,
        fields: BTreeSet<FieldName>,
        ids: Vec<RecordId>,
    ) {
        self.accesses.push(RecordAccess {
            model: model.clone(),
            operation,
            fields,
            ids,
        });
    }
}
