//! Searches for the records that are within a domain, and what they found.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Permitted;
use gatepost_odoo::{
    Call, Context, Domain, FieldName, FieldPath, ModelName, Operator, Order, RecordId,
};

/// A search for those of some records that are within a domain.
#[derive(Clone, PartialEq, Debug)]
pub struct MembershipQuery {
    call: Permitted<Call>,
    model: ModelName,
    row_filter: Domain,
    ids: BTreeSet<RecordId>,
}

impl MembershipQuery {
    pub(super) fn new(model: ModelName, row_filter: Domain, ids: BTreeSet<RecordId>) -> Self {
        let list: Vec<RecordId> = ids.iter().copied().collect();
        Self {
            call: Permitted::by_policy(membership_search(&model, &list, row_filter.clone())),
            model,
            row_filter,
            ids,
        }
    }

    /// The call that makes the search.
    pub fn call(&self) -> &Permitted<Call> {
        &self.call
    }
}

/// What searches found.
#[derive(Debug, Default)]
pub(super) struct MembershipAnswers(Vec<(ModelName, Domain, BTreeMap<RecordId, bool>)>);

impl MembershipAnswers {
    /// Adds which of the records a search found.
    pub(super) fn add(&mut self, search: MembershipQuery, found: &BTreeSet<i64>) {
        let MembershipQuery {
            model,
            row_filter,
            ids,
            ..
        } = search;
        let answers = ids
            .into_iter()
            .map(|id| (id, found.contains(&i64::from(id.get()))));
        let known = self
            .0
            .iter_mut()
            .find(|(of, within, _)| *of == model && *within == row_filter);
        match known {
            Some((_, _, known)) => known.extend(answers),
            None => self.0.push((model, row_filter, answers.collect())),
        }
    }

    /// Which records are known to be within the domain, and which outside.
    pub(super) fn answers_for(
        &self,
        model: &ModelName,
        row_filter: &Domain,
    ) -> Option<&BTreeMap<RecordId, bool>> {
        self.0
            .iter()
            .find(|(of, within, _)| of == model && within == row_filter)
            .map(|(_, _, known)| known)
    }
}

/// The search for those of the records that are within the domain, archived ones
/// included.
pub(super) fn membership_search(model: &ModelName, ids: &[RecordId], row_filter: Domain) -> Call {
    let numbers: Value = ids.iter().map(|id| Value::from(id.get())).collect();
    let domain = Domain::compare(FieldPath::known("id"), Operator::In, numbers).and(row_filter);
    let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let context = Context {
        include_archived: true,
        ..Context::default()
    };
    let fields = [FieldName::known("id")];
    let order = Order::by_id_descending();
    Call::search_read(model.clone(), &domain, &fields, &order, 0, limit).in_context(context)
}
