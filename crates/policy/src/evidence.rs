//! Which records are within a rule's domain, as Odoo finds them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Permitted, Schemas, Undecided, sieve::search_for};
use gatepost_odoo::{Call, Domain, ModelName, RecordId};

/// A search for those of some records that are within a domain.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    call: Permitted<Call>,
    model: ModelName,
    cover: Domain,
    ids: BTreeSet<RecordId>,
}

impl Search {
    /// The call that asks it.
    pub fn call(&self) -> &Permitted<Call> {
        &self.call
    }
}

/// What searches found.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<(ModelName, Domain, BTreeMap<RecordId, bool>)>);

impl Found {
    /// Adds which of the records a search found.
    pub(super) fn add(&mut self, search: Search, ids: &BTreeSet<i64>) {
        let Search {
            model,
            cover,
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

    fn of(&self, model: &ModelName, cover: &Domain) -> Option<&BTreeMap<RecordId, bool>> {
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
pub(super) struct Evidence<'a> {
    /// The fields of models.
    pub(super) schemas: &'a Schemas,
    missing: RefCell<Vec<(ModelName, Domain, BTreeSet<RecordId>)>>,
}

impl<'a> Evidence<'a> {
    /// Decides, if all is known that the decision asks for.
    ///
    /// # Errors
    /// Those of the decision, and [`Undecided::Seeks`].
    pub(super) fn weigh<T>(
        schemas: &'a Schemas,
        decide: impl FnOnce(&Self) -> Result<T, Undecided>,
    ) -> Result<T, Undecided> {
        let evidence = Self {
            schemas,
            missing: RefCell::default(),
        };
        let decided = decide(&evidence);
        let missing = evidence.missing.into_inner();
        if missing.is_empty() || matches!(decided, Err(Undecided::Needs(_))) {
            return decided;
        }
        let searches = missing.into_iter().map(|(model, cover, ids)| {
            let list: Vec<RecordId> = ids.iter().copied().collect();
            Search {
                call: Permitted::by_policy(search_for(&model, &list, cover.clone())),
                model,
                cover,
                ids,
            }
        });
        Err(Undecided::Seeks(searches.collect()))
    }

    /// Those of the records that are not within the domain.
    pub(super) fn outside(
        &self,
        model: &ModelName,
        ids: &[RecordId],
        cover: &Domain,
    ) -> Vec<RecordId> {
        let known = self.schemas.found.of(model, cover);
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
