//! The records that values link to, looked up before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::values::{
    CoercedValues, CoercionNote, FieldValueError, LineCommand, LineRef, LinkOwner, LinkTarget,
    RecordLink,
};
use crate::{
    access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable},
    render,
};
use gatepost_base::text::one_line;
use gatepost_odoo::{Call, Context, Domain, FieldKind, FieldName, ModelName, RecordId, Schema};

/// Different names that are looked up for one call.
const MAX_NAMES: usize = 60;
/// Candidates that are shown where a name is not clear.
const MAX_CANDIDATES: u32 = 8;
/// Ids that are looked up at once.
const MAX_IDS: usize = 1_000;
const NAME_CHARS: usize = 80;

/// Whom a name stands for.
enum NameMatch {
    Unique { id: RecordId, name: String },
    Unresolved(String),
}

/// Looks up the records that the values link to: puts ids in the place of
/// names, gives the names of all, and how those are that a list changes.
///
/// `these` are the records that the values are for. Where nothing is said of
/// them, any record may stand in their lists.
///
/// # Errors
/// [`Denied`]; what does not fit is among the problems instead.
pub(crate) async fn resolve(
    access: &OdooSession<'_>,
    fitted: &mut [CoercedValues],
    these: Option<&[RecordId]>,
    context: &Context,
) -> Result<(DisplayNames, Vec<FieldValueError>), OperationError> {
    let mut names = DisplayNames::new();
    let mut problems = read_linked_records(access, fitted, context, &mut names).await?;
    problems.extend(check_list_owners(fitted, these, &names));
    problems.extend(resolve_names(access, fitted, context, &mut names).await?);
    Ok((names, problems))
}

async fn read_linked_records(
    access: &OdooSession<'_>,
    fitted: &[CoercedValues],
    context: &Context,
    names: &mut DisplayNames,
) -> Result<Vec<FieldValueError>, OperationError> {
    let links = || fitted.iter().flat_map(|one| &one.links);
    let mut wanted: BTreeMap<&ModelName, RecordsToRead<'_>> = BTreeMap::new();
    for link in links() {
        if let LinkTarget::Id(id) = &link.target {
            wanted.entry(&link.model).or_default().add(*id, link);
        }
    }
    let mut unseen: BTreeSet<(&ModelName, RecordId)> = BTreeSet::new();
    for (model, look) in wanted {
        let Some(schema) = readable(access.schema(model).await)? else {
            continue;
        };
        let fields = look.fields(&schema);
        let ids: Vec<RecordId> = look.ids.into_iter().collect();
        for ids in ids.chunks(MAX_IDS) {
            let looked = RecordSnapshot::read(access, (model, ids), &fields, context).await;
            let Some(shot) = readable(looked)? else {
                continue;
            };
            for id in ids {
                if shot.row(*id).is_some() {
                    names.insert((model.clone(), *id), shot.name(*id).to_owned());
                } else {
                    unseen.insert((model, *id));
                }
            }
            if !fields.is_empty() {
                names.add_lines(model, shot);
            }
        }
        if !fields.is_empty() {
            names.add_schemas([(model.clone(), schema)].into());
        }
    }
    Ok(links()
        .filter_map(|link| match &link.target {
            LinkTarget::Id(id) if unseen.contains(&(&link.model, *id)) => Some(FieldValueError {
                path: link.path.clone(),
                text: format!(
                    "({}) names the record {id} of `{}`, which does not exist or may not be seen by you; find_by_name or search_records finds the right id",
                    link.label, link.model
                ),
            }),
            LinkTarget::Id(_) | LinkTarget::Name(_) => None,
        })
        .collect())
}

/// What is to be known of the records of one model.
#[derive(Default)]
struct RecordsToRead<'l> {
    ids: BTreeSet<RecordId>,
    fields: BTreeSet<&'l FieldName>,
}

impl<'l> RecordsToRead<'l> {
    fn add(&mut self, id: RecordId, link: &'l RecordLink) {
        self.ids.insert(id);
        if let Some(LineRef {
            command: fate,
            inverse,
            ..
        }) = &link.line
        {
            self.fields.extend(inverse);
            match fate {
                LineCommand::Update(fields) => self.fields.extend(fields),
                LineCommand::Delete | LineCommand::Link | LineCommand::Unlink => {}
            }
        }
    }

    /// Those of the fields that may be seen, but for files: they are large, and
    /// nobody sees from them what changes.
    fn fields(&self, schema: &Schema) -> Vec<FieldName> {
        let mut fields = self.fields.clone();
        fields.retain(|name| {
            let field = schema.field(name.as_str());
            field.is_some_and(|field| !field.kind.is_binary())
        });
        fields.into_iter().cloned().collect()
    }
}

/// Records that are named in a list and belong to another one. Odoo changes and
/// deletes them all the same; the problems say how else that is done. One that
/// is put into the list leaves the other, which is noted.
fn check_list_owners(
    fitted: &mut [CoercedValues],
    these: Option<&[RecordId]>,
    names: &DisplayNames,
) -> Vec<FieldValueError> {
    let mut problems = Vec::new();
    for one in fitted {
        for link in &one.links {
            let (LinkTarget::Id(id), Some(listed)) = (&link.target, &link.line) else {
                continue;
            };
            let Some((owner, is_own)) = owner_of((&link.model, *id), listed, these, names) else {
                continue;
            };
            if is_own {
                continue;
            }
            let record = names.label(&link.model, *id);
            let call = |what: &str, tool: &str| {
                let model = &link.model;
                format!("to {what} it, call {tool} of `{model}` with ids [{id}]")
            };
            let way = match listed.command {
                LineCommand::Update(_) => call("change", "update_records"),
                LineCommand::Delete => call("delete", "delete_records"),
                LineCommand::Unlink => "leave it out".to_owned(),
                LineCommand::Link => {
                    if let Some(owner) = owner {
                        one.notes.push(CoercionNote {
                            path: link.path.clone(),
                            text: format!("moves {record} here, from {owner}"),
                        });
                    }
                    continue;
                }
            };
            let whose = owner.map_or_else(
                || "to no record at all".to_owned(),
                |owner| format!("to {owner}"),
            );
            problems.push(link_error(
                link,
                &format!("names {record}, which is not in this list, but belongs {whose}; {way}"),
            ));
        }
    }
    problems
}

/// To which record one belongs that is named in a list, and whether that is the
/// one with the list; nothing where it cannot be seen.
fn owner_of(
    (model, id): (&ModelName, RecordId),
    listed: &LineRef,
    these: Option<&[RecordId]>,
    names: &DisplayNames,
) -> Option<(Option<String>, bool)> {
    let inverse = listed.inverse.as_ref()?;
    let is_link = |schema: &Schema| {
        let field = schema.field(inverse.as_str());
        field.is_some_and(|field| field.kind == FieldKind::Many2one)
    };
    // An id of any model says less.
    names.schema(model).filter(|schema| is_link(schema))?;
    let link = names.line_values(model, id)?.get(inverse.as_str())?;
    let owner = link.get(0).unwrap_or(link).as_i64();
    let owner = owner.and_then(|owner| RecordId::try_from(owner).ok());
    let Some(owner) = owner else {
        return Some((None, false));
    };
    let is_own = match listed.owner {
        LinkOwner::New => false,
        LinkOwner::Line(parent) => owner == parent,
        LinkOwner::Written => these?.contains(&owner),
    };
    let name = link.get(1).and_then(Value::as_str);
    let name = name.map_or_else(
        || format!("[{owner}]"),
        |name| format!("{} [{owner}]", one_line(name, NAME_CHARS)),
    );
    Some((Some(name), is_own))
}

async fn resolve_names(
    access: &OdooSession<'_>,
    fitted: &mut [CoercedValues],
    context: &Context,
    names: &mut DisplayNames,
) -> Result<Vec<FieldValueError>, OperationError> {
    let mut meant: BTreeMap<(ModelName, String), NameMatch> = BTreeMap::new();
    let mut problems = Vec::new();
    for one in fitted {
        for link in std::mem::take(&mut one.links) {
            let LinkTarget::Name(name) = &link.target else {
                continue;
            };
            let key = (link.model.clone(), name.clone());
            if !meant.contains_key(&key) {
                if meant.len() == MAX_NAMES {
                    return Err(OperationError::InvalidArgument(format!(
                        "nothing was changed: the values name more than {MAX_NAMES} different records by their names; name them by their ids"
                    )));
                }
                let found = match_name(access, &link.model, name, context).await?;
                meant.insert(key.clone(), found);
            }
            match meant.get(&key) {
                Some(NameMatch::Unique { id, name: found }) => {
                    names.insert((link.model.clone(), *id), found.clone());
                    one.notes.push(resolved_note(&link, *id, found));
                    if !link.resolve(&mut one.values, *id) {
                        problems.push(link_error(&link, "cannot be looked up; write the id"));
                    }
                }
                Some(NameMatch::Unresolved(text)) => problems.push(link_error(&link, text)),
                None => {}
            }
        }
    }
    Ok(problems)
}

fn link_error(link: &RecordLink, text: &str) -> FieldValueError {
    FieldValueError {
        path: link.path.clone(),
        text: format!("({}) {text}", link.label),
    }
}

fn resolved_note(link: &RecordLink, id: RecordId, name: &str) -> CoercionNote {
    CoercionNote {
        path: link.path.clone(),
        text: format!("was taken for {} [{id}]", one_line(name, NAME_CHARS)),
    }
}

/// Whom a name stands for: the one record that is called exactly so, or the
/// only one whose name has it in it.
async fn match_name(
    access: &OdooSession<'_>,
    model: &ModelName,
    name: &str,
    context: &Context,
) -> Result<NameMatch, OperationError> {
    access.may_read(model)?;
    let search = Call::name_search(model.clone(), name, &Domain::default(), MAX_CANDIDATES + 1);
    let answer = match access.call(search.in_context(context.clone())).await {
        Ok(answer) => answer,
        Err(OperationError::Forbidden(why)) => {
            return Ok(NameMatch::Unresolved(format!("must be an id: {why}")));
        }
        Err(denied) => return Err(denied),
    };
    let mut found = render::parse_names(&answer)?;
    found.retain(|(id, _)| RecordId::try_from(*id).is_ok());
    let is_it = |candidate: &str| candidate.trim().to_lowercase() == name.trim().to_lowercase();
    let mut exact = found.iter().filter(|(_, candidate)| is_it(candidate));
    let one = match (exact.next(), exact.next(), found.as_slice()) {
        (Some(only), None, _) | (None, _, [only]) => Some(only),
        (_, _, _) => None,
    };
    if let Some((id, name)) = one
        && let Ok(id) = RecordId::try_from(*id)
    {
        let name = name.clone();
        return Ok(NameMatch::Unique { id, name });
    }
    let quoted = one_line(name, NAME_CHARS);
    if found.is_empty() {
        return Ok(NameMatch::Unresolved(format!(
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
    Ok(NameMatch::Unresolved(format!(
        "names \"{quoted}\", which several records of `{model}` are called like: {}; write the id of the right one",
        candidates.join(", ")
    )))
}
