//! The records that values link to, looked up before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Names, Shot,
    fit::{Fitted, Link, Note, Problem, Wanted},
};
use crate::{
    access::{Access, Denied},
    odoo::{Call, Context, Domain, ModelName, RecordId},
    shape::{self, one_line},
};

/// Different names that are looked up for one call.
const MAX_NAMES: usize = 60;
/// Candidates that are shown where a name is not clear.
const MAX_CANDIDATES: u32 = 8;
/// Ids that are looked up at once.
const MAX_IDS: usize = 1_000;
const NAME_CHARS: usize = 80;

/// Whom a name stands for.
enum Meant {
    One {
        id: RecordId,
        name: String,
        exact: bool,
    },
    Problem(String),
}

/// Looks up the records that the values link to: puts ids in the place of
/// names, and gives the names of all.
///
/// # Errors
/// [`Denied`]; what does not fit is among the problems instead.
pub(super) async fn look_up(
    access: &Access<'_>,
    fitted: &mut [Fitted],
    context: &Context,
) -> Result<(Names, Vec<Problem>), Denied> {
    let mut names = Names::new();
    let mut problems = by_id(access, fitted, context, &mut names).await?;
    problems.extend(by_name(access, fitted, context, &mut names).await?);
    Ok((names, problems))
}

async fn by_id(
    access: &Access<'_>,
    fitted: &[Fitted],
    context: &Context,
    names: &mut Names,
) -> Result<Vec<Problem>, Denied> {
    let links = || fitted.iter().flat_map(|one| &one.links);
    let mut wanted: BTreeMap<&ModelName, BTreeSet<RecordId>> = BTreeMap::new();
    for link in links() {
        if let Wanted::Id(id) = &link.wanted {
            wanted.entry(&link.model).or_default().insert(*id);
        }
    }
    let mut unseen: BTreeSet<(&ModelName, RecordId)> = BTreeSet::new();
    for (model, ids) in wanted {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        for ids in ids.chunks(MAX_IDS) {
            let Some(shot) = seen(Shot::take(access, (model, ids), &[], context).await)? else {
                continue;
            };
            for id in ids {
                if shot.row(*id).is_some() {
                    names.insert((model.clone(), *id), shot.name(*id).to_owned());
                } else {
                    unseen.insert((model, *id));
                }
            }
        }
    }
    Ok(links()
        .filter_map(|link| match &link.wanted {
            Wanted::Id(id) if unseen.contains(&(&link.model, *id)) => Some(Problem {
                place: link.place.clone(),
                text: format!(
                    "({}) names the record {id} of `{}`, which does not exist or may not be seen by you; find_by_name or search_records finds the right id",
                    link.label, link.model
                ),
            }),
            Wanted::Id(_) | Wanted::Name(_) => None,
        })
        .collect())
}

async fn by_name(
    access: &Access<'_>,
    fitted: &mut [Fitted],
    context: &Context,
    names: &mut Names,
) -> Result<Vec<Problem>, Denied> {
    let mut meant: BTreeMap<(ModelName, String), Meant> = BTreeMap::new();
    let mut problems = Vec::new();
    for one in fitted {
        for link in std::mem::take(&mut one.links) {
            let Wanted::Name(name) = &link.wanted else {
                continue;
            };
            let key = (link.model.clone(), name.clone());
            if !meant.contains_key(&key) {
                if meant.len() == MAX_NAMES {
                    return Err(Denied::Unfit(format!(
                        "nothing was changed: the values name more than {MAX_NAMES} different records by their names; name them by their ids"
                    )));
                }
                let found = find(access, &link.model, name, context).await?;
                meant.insert(key.clone(), found);
            }
            match meant.get(&key) {
                Some(Meant::One {
                    id,
                    name: found,
                    exact,
                }) => {
                    names.insert((link.model.clone(), *id), found.clone());
                    if !exact {
                        one.notes.push(understood(&link, *id, found));
                    }
                    if !link.resolve(&mut one.values, *id) {
                        problems.push(problem(&link, "cannot be looked up; write the id"));
                    }
                }
                Some(Meant::Problem(text)) => problems.push(problem(&link, text)),
                None => {}
            }
        }
    }
    Ok(problems)
}

fn problem(link: &Link, text: &str) -> Problem {
    Problem {
        place: link.place.clone(),
        text: format!("({}) {text}", link.label),
    }
}

fn understood(link: &Link, id: RecordId, name: &str) -> Note {
    Note {
        place: link.place.clone(),
        text: format!("was taken for {} [{id}]", one_line(name, NAME_CHARS)),
    }
}

/// Whom a name stands for: the one record that is called exactly so, or the
/// only one whose name has it in it.
async fn find(
    access: &Access<'_>,
    model: &ModelName,
    name: &str,
    context: &Context,
) -> Result<Meant, Denied> {
    access.may_read(model)?;
    let search = Call::name_search(model.clone(), name, &Domain::default(), MAX_CANDIDATES + 1);
    let answer = match access.call(search.in_context(context.clone())).await {
        Ok(answer) => answer,
        Err(Denied::Forbidden(why)) => return Ok(Meant::Problem(format!("must be an id: {why}"))),
        Err(denied) => return Err(denied),
    };
    let mut found = shape::parse_names(&answer)?;
    found.retain(|(id, _)| RecordId::try_from(*id).is_ok());
    let is_it = |candidate: &str| candidate.trim().to_lowercase() == name.trim().to_lowercase();
    let mut exact = found.iter().filter(|(_, candidate)| is_it(candidate));
    let one = match (exact.next(), exact.next(), found.as_slice()) {
        (Some(only), None, _) => Some((only, true)),
        (None, _, [only]) => Some((only, false)),
        (_, _, _) => None,
    };
    if let Some(((id, name), exact)) = one
        && let Ok(id) = RecordId::try_from(*id)
    {
        let name = name.clone();
        return Ok(Meant::One { id, name, exact });
    }
    let quoted = one_line(name, NAME_CHARS);
    if found.is_empty() {
        return Ok(Meant::Problem(format!(
            "names \"{quoted}\", but no record of `{model}` is called like that; find_by_name finds others"
        )));
    }
    let most = usize::try_from(MAX_CANDIDATES).unwrap_or(usize::MAX);
    let mut candidates: Vec<String> = found
        .iter()
        .take(most)
        .map(|(id, name)| format!("{} [{id}]", one_line(name, NAME_CHARS)))
        .collect();
    if found.len() > most {
        candidates.push("…".to_owned());
    }
    Ok(Meant::Problem(format!(
        "names \"{quoted}\", which several records of `{model}` are called like: {}; write the id of the right one",
        candidates.join(", ")
    )))
}

/// What was seen; nothing where the caller or the Odoo user may not look, for
/// then policy and Odoo decide over the link itself.
pub(super) fn seen<T>(looked: Result<T, Denied>) -> Result<Option<T>, Denied> {
    match looked {
        Ok(seen) => Ok(Some(seen)),
        Err(Denied::Forbidden(_)) => Ok(None),
        Err(Denied::Call(error)) if error.is_fault() => Ok(None),
        Err(denied) => Err(denied),
    }
}
