//! What is known about records while one decision is made.

use std::{cell::RefCell, collections::BTreeSet};

use super::{Incomplete, MembershipQuery, PolicyFacts};
use gatepost_odoo::{Domain, ModelName, RecordId};

/// What is known while one decision is made, and what is missing for it.
///
/// A record of which nothing is known counts as within the domain, but only to
/// find out what else is missing: while anything is, there is no decision
/// ([`RecordFacts::evaluate`]). Thus many records are searched at once, not one by
/// one.
pub(super) struct RecordFacts<'a> {
    /// The fields of models.
    pub(super) facts: &'a PolicyFacts,
    missing: RefCell<Vec<(ModelName, Domain, BTreeSet<RecordId>)>>,
}

impl<'a> RecordFacts<'a> {
    /// Decides, if everything that the decision needs is known.
    ///
    /// # Errors
    /// Those of the decision, and [`Incomplete::NeedsRecords`].
    pub(super) fn evaluate<T>(
        facts: &'a PolicyFacts,
        decide: impl FnOnce(&Self) -> Result<T, Incomplete>,
    ) -> Result<T, Incomplete> {
        let record_facts = Self {
            facts,
            missing: RefCell::default(),
        };
        let decided = decide(&record_facts);
        let missing = record_facts.missing.into_inner();
        if missing.is_empty() || matches!(decided, Err(Incomplete::NeedsSchema(_))) {
            return decided;
        }
        let searches = missing
            .into_iter()
            .map(|(model, row_filter, ids)| MembershipQuery::new(model, row_filter, ids));
        Err(Incomplete::NeedsRecords(searches.collect()))
    }

    /// Those of the records that are outside the domain.
    pub(super) fn uncovered(
        &self,
        model: &ModelName,
        ids: &[RecordId],
        row_filter: &Domain,
    ) -> Vec<RecordId> {
        let known = self.facts.memberships.answers_for(model, row_filter);
        let is_within = |id: &RecordId| known.and_then(|known| known.get(id)).copied();
        let unknown = ids.iter().copied().filter(|id| is_within(id).is_none());
        let unknown: BTreeSet<RecordId> = unknown.collect();
        if !unknown.is_empty() {
            let mut missing = self.missing.borrow_mut();
            match missing
                .iter_mut()
                .find(|(of, within, _)| of == model && within == row_filter)
            {
                Some((_, _, ids)) => ids.extend(unknown),
                None => missing.push((model.clone(), row_filter.clone(), unknown)),
            }
        }
        let outside = ids.iter().copied();
        outside.filter(|id| is_within(id) == Some(false)).collect()
    }
}
