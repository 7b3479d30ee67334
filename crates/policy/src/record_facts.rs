//! Which records are within a rule's domain, as Odoo finds them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Incomplete, Permitted, PolicyFacts, query_rewriter::membership_search};
use gatepost_odoo::{Call, Domain, ModelName, RecordId};

/// A search for those of some records that are within a domain.
#[derive(Clone, PartialEq, Debug)]
pub struct MembershipQuery {
    call: Permitted<Call>,
    model: ModelName,
    row_filter: Domain,
    ids: BTreeSet<RecordId>,
}

impl MembershipQuery {
    /// The call that asks it.
    pub fn call(&self) -> &Permitted<Call> {
        &self.call
    }
}

/// What searches found.
#[derive(Debug, Default)]
pub(super) struct MembershipAnswers(Vec<(ModelName, Domain, BTreeMap<RecordId, bool>)>);

impl MembershipAnswers {
    /// Adds which of the records a search found.
    pub(super) fn add(&mut self, search: MembershipQuery, ids: &BTreeSet<i64>) {
        let MembershipQuery {
            model,
            row_filter: cover,
            ids: asked,
            ..
        } = search;
        let is_found = |id: RecordId| (id, ids.contains(&i64::from(id.get())));
        let answers = asked.into_iter().map(is_found);
        let known = self
            .0
            .iter_mut()
            .find(|(of, within, _)| *of == model && *within == cover);
        match known {
            Some((_, _, known)) => known.extend(answers),
            None => self.0.push((model, cover, answers.collect())),
        }
    }

    fn answers_for(&self, model: &ModelName, cover: &Domain) -> Option<&BTreeMap<RecordId, bool>> {
        let known = self.0.iter();
        known
            .filter(|(of, within, _)| of == model && within == cover)
            .map(|(_, _, known)| known)
            .next()
    }
}

/// What is known while one decision is made, and what is missing for it.
///
/// Records of which nothing is known yet are taken to be within, only to learn
/// what else must be known: as long as anything is missing there is no decision
/// ([`Evidence::weigh`]). So many records are asked for at once, not one by one.
pub(super) struct RecordFacts<'a> {
    /// The fields of models.
    pub(super) facts: &'a PolicyFacts,
    missing: RefCell<Vec<(ModelName, Domain, BTreeSet<RecordId>)>>,
}

impl<'a> RecordFacts<'a> {
    /// Decides, if all is known that the decision asks for.
    ///
    /// # Errors
    /// Those of the decision, and [`Undecided::Seeks`].
    pub(super) fn evaluate<T>(
        schemas: &'a PolicyFacts,
        decide: impl FnOnce(&Self) -> Result<T, Incomplete>,
    ) -> Result<T, Incomplete> {
        let evidence = Self {
            facts: schemas,
            missing: RefCell::default(),
        };
        let decided = decide(&evidence);
        let missing = evidence.missing.into_inner();
        if missing.is_empty() || matches!(decided, Err(Incomplete::NeedsSchema(_))) {
            return decided;
        }
        let searches = missing.into_iter().map(|(model, cover, ids)| {
            let list: Vec<RecordId> = ids.iter().copied().collect();
            MembershipQuery {
                call: Permitted::by_policy(membership_search(&model, &list, cover.clone())),
                model,
                row_filter: cover,
                ids,
            }
        });
        Err(Incomplete::NeedsRecords(searches.collect()))
    }

    /// Those of the records that are not within the domain.
    pub(super) fn uncovered(
        &self,
        model: &ModelName,
        ids: &[RecordId],
        cover: &Domain,
    ) -> Vec<RecordId> {
        let known = self.facts.memberships.answers_for(model, cover);
        let is_within = |id: &RecordId| known.and_then(|known| known.get(id)).copied();
        let unknown = ids.iter().copied().filter(|id| is_within(id).is_none());
        let unknown: BTreeSet<RecordId> = unknown.collect();
        if !unknown.is_empty() {
            let mut missing = self.missing.borrow_mut();
            match missing
                .iter_mut()
                .find(|(of, within, _)| of == model && within == cover)
            {
                Some((_, _, ids)) => ids.extend(unknown),
                None => missing.push((model.clone(), cover.clone(), unknown)),
            }
        }
        let outside = ids.iter().copied();
        outside.filter(|id| is_within(id) == Some(false)).collect()
    }
}
