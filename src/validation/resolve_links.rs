//! Looks up the records that values link to, before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::values::{
    CoercedValues, LineCommand, LineRef, LinkOwner, LinkTarget, RecordLink, ValueMessage,
};
use crate::{
    access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable},
    render,
};
use gatepost_base::text::{MAX_CELL_CHARS, one_line};
use gatepost_odoo::{
    Call, Context, Domain, FieldKind, FieldName, ModelName, RecordId, Schema, UserSearch,
};

/// Different names that are looked up in one call.
const MAX_NAMES: usize = 60;
/// Candidates that are shown if a name is ambiguous.
const MAX_CANDIDATES: u32 = 8;
const NAME_CHARS: usize = 80;

/// The record that a name means.
enum NameMatch {
    Unique { id: RecordId, name: String },
    Unresolved(String),
}

/// Looks up the records that the values link to: replaces names with ids, and
/// returns the names of all, and the values of the lines that a list changes.
///
/// `records` are those that the values are for. If they are not known, lists may
/// name lines of any record.
pub(crate) async fn resolve(
    access: &OdooSession<'_>,
    coerced: &mut [CoercedValues],
    records: Option<&[RecordId]>,
    context: &Context,
) -> Result<(DisplayNames, Vec<ValueMessage>), OperationError> {
    let mut names = DisplayNames::new();
    let mut errors = read_linked_records(access, coerced, context, &mut names).await?;
    errors.extend(check_list_owners(coerced, records, &names));
    errors.extend(resolve_names(access, coerced, context, &mut names).await?);
    Ok((names, errors))
}

async fn read_linked_records(
    access: &OdooSession<'_>,
    coerced: &[CoercedValues],
    context: &Context,
    names: &mut DisplayNames,
) -> Result<Vec<ValueMessage>, OperationError> {
    let links = || coerced.iter().flat_map(|one| &one.links);
    let mut wanted: BTreeMap<&ModelName, RecordsToRead<'_>> = BTreeMap::new();
    for link in links() {
        if let LinkTarget::Id(id) = &link.target {
            wanted.entry(&link.model).or_default().add(*id, link);
        }
    }
    let mut unseen: BTreeSet<(&ModelName, RecordId)> = BTreeSet::new();
    for (model, to_read) in wanted {
        if access.finds_users(model) {
            let ids = to_read.ids.iter().copied().collect();
            let found = find_users(access, UserSearch::Ids(ids)).await?;
            let is_missing = |id: &RecordId| found.iter().all(|(known, _)| known != id);
            unseen.extend(
                to_read
                    .ids
                    .into_iter()
                    .filter(is_missing)
                    .map(|id| (model, id)),
            );
            for (id, name) in found {
                names.insert((model.clone(), id), name);
            }
            continue;
        }
        let Some(schema) = readable(access.schema(model).await)? else {
            continue;
        };
        let fields = to_read.fields(&schema);
        if !fields.is_empty() {
            names.add_schemas([(model.clone(), schema)].into());
        }
        let ids: Vec<RecordId> = to_read.ids.into_iter().collect();
        let records = RecordSnapshot::read(access, (model, &ids), &fields, context).await;
        let Some(records) = readable(records)? else {
            continue;
        };
        names.add_names(model, &records);
        unseen.extend(records.missing(&ids).into_iter().map(|id| (model, id)));
        if !fields.is_empty() {
            names.add_lines(model, records);
        }
    }
    let unseen = links().filter_map(|link| match &link.target {
        LinkTarget::Id(id) if unseen.contains(&(&link.model, *id)) => Some(link_error(
            link,
            &format!(
                "names the record {id} of `{}`, which does not exist or cannot be seen by you; find_by_name or search_records finds the right id",
                link.model
            ),
        )),
        LinkTarget::Id(_) | LinkTarget::Name(_) => None,
    });
    Ok(unseen.collect())
}

/// The records and fields of one model to read.
#[derive(Default)]
struct RecordsToRead<'l> {
    ids: BTreeSet<RecordId>,
    fields: BTreeSet<&'l FieldName>,
}

impl<'l> RecordsToRead<'l> {
    fn add(&mut self, id: RecordId, link: &'l RecordLink) {
        self.ids.insert(id);
        if let Some(line) = &link.line {
            self.fields.extend(&line.inverse);
            if let LineCommand::Update(fields) = &line.command {
                self.fields.extend(fields);
            }
        }
    }

    /// Those of the fields that can be read, except files: they are large, and do
    /// not show what changes.
    fn fields(&self, schema: &Schema) -> Vec<FieldName> {
        let mut fields = self.fields.clone();
        fields.retain(|name| {
            let field = schema.field(name.as_str());
            field.is_some_and(|field| !field.kind.is_binary())
        });
        fields.into_iter().cloned().collect()
    }
}

/// Rejects commands on lines of other records, which Odoo would change and delete
/// anyway, and says how else to do that. A line that is linked leaves its
/// record, which a note reports.
fn check_list_owners(
    coerced: &mut [CoercedValues],
    records: Option<&[RecordId]>,
    names: &DisplayNames,
) -> Vec<ValueMessage> {
    let mut errors = Vec::new();
    for one in coerced {
        for link in &one.links {
            let (LinkTarget::Id(id), Some(line)) = (&link.target, &link.line) else {
                continue;
            };
            let owner = owner_of((&link.model, *id), line, records, names);
            let Some((owner, false)) = owner else {
                continue;
            };
            let record = names.label(&link.model, *id);
            let call = |what: &str, tool: &str| {
                let model = &link.model;
                format!("to {what} it, call {tool} of `{model}` with ids [{id}]")
            };
            let instead = match line.command {
                LineCommand::Update(_) => call("change", "update_records"),
                LineCommand::Delete => call("delete", "delete_records"),
                LineCommand::Unlink => "leave it out".to_owned(),
                LineCommand::Link => {
                    one.notes.extend(owner.map(|owner| ValueMessage {
                        path: link.path.clone(),
                        text: format!("moves {record} here, from {owner}"),
                    }));
                    continue;
                }
            };
            let owner = owner.unwrap_or_else(|| "no record at all".to_owned());
            let text = format!(
                "names {record}, which is not in this list, but belongs to {owner}; {instead}"
            );
            errors.push(link_error(link, &text));
        }
    }
    errors
}

/// The record that a line belongs to, and whether that is the record with the
/// list; `None` if it cannot be seen.
fn owner_of(
    (model, id): (&ModelName, RecordId),
    line: &LineRef,
    records: Option<&[RecordId]>,
    names: &DisplayNames,
) -> Option<(Option<String>, bool)> {
    let inverse = line.inverse.as_ref()?.as_str();
    let field = names.schema(model)?.field(inverse)?;
    // An id of any model is not enough.
    if field.kind != FieldKind::Many2one {
        return None;
    }
    let link = names.line_values(model, id)?.get(inverse)?;
    let Some(owner) = RecordId::from_json(link.get(0).unwrap_or(link)) else {
        return Some((None, false));
    };
    let is_own = match line.owner {
        LinkOwner::New => false,
        LinkOwner::Line(parent) => owner == parent,
        LinkOwner::Written => records?.contains(&owner),
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
    coerced: &mut [CoercedValues],
    context: &Context,
    names: &mut DisplayNames,
) -> Result<Vec<ValueMessage>, OperationError> {
    let mut matches: BTreeMap<(ModelName, String), NameMatch> = BTreeMap::new();
    let mut errors = Vec::new();
    for one in coerced {
        for link in std::mem::take(&mut one.links) {
            let LinkTarget::Name(name) = &link.target else {
                continue;
            };
            let key = (link.model.clone(), name.clone());
            if !matches.contains_key(&key) {
                if matches.len() == MAX_NAMES {
                    return Err(OperationError::InvalidArgument(format!(
                        "nothing was changed: the values name more than {MAX_NAMES} different records by their names; use their ids"
                    )));
                }
                let found = match_name(access, &link.model, name, context).await?;
                matches.insert(key.clone(), found);
            }
            match matches.get(&key) {
                Some(NameMatch::Unique { id, name }) => {
                    names.insert((link.model.clone(), *id), name.clone());
                    one.notes.push(ValueMessage {
                        path: link.path.clone(),
                        text: format!("was taken for {} [{id}]", one_line(name, NAME_CHARS)),
                    });
                    if !link.resolve(&mut one.values, *id) {
                        errors.push(link_error(&link, "cannot be looked up; write the id"));
                    }
                }
                Some(NameMatch::Unresolved(text)) => errors.push(link_error(&link, text)),
                None => {}
            }
        }
    }
    Ok(errors)
}

fn link_error(link: &RecordLink, text: &str) -> ValueMessage {
    ValueMessage {
        path: link.path.clone(),
        text: format!("({}) {text}", link.label),
    }
}

/// The name and the id of a record in the form in which our tables show it,
/// `Belgium [20]`.
fn split_shown_record(text: &str) -> Option<(&str, RecordId)> {
    let (name, id) = text.trim().strip_suffix(']')?.rsplit_once(" [")?;
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
    let id = is_number.then(|| id.parse::<i64>().ok()).flatten()?;
    Some((name, RecordId::try_from(id).ok()?))
}

/// The record with this id, if that is its name, too: a model that changed one of
/// them may mean another record.
async fn match_shown_record(
    access: &OdooSession<'_>,
    model: &ModelName,
    (name, id): (&str, RecordId),
    context: &Context,
) -> Result<NameMatch, OperationError> {
    let known = if access.finds_users(model) {
        let found = find_users(access, UserSearch::Ids(vec![id])).await?;
        found.into_iter().next().map(|(_, name)| name)
    } else {
        let records = RecordSnapshot::read(access, (model, &[id]), &[], context).await;
        let Some(records) = readable(records)? else {
            return Ok(NameMatch::Unresolved(format!(
                "is written as a name with an id; write the id alone, `{id}`"
            )));
        };
        let is_found = records.missing(&[id]).is_empty();
        is_found.then(|| records.name(id).to_owned())
    };
    if let Some(known) = known.as_deref() {
        // As it was shown: on one line, and cut if it is long.
        let shown = [MAX_CELL_CHARS, NAME_CHARS, usize::MAX].map(|most| one_line(known, most));
        if known.trim() == name.trim() || shown.iter().any(|shown| shown == name.trim()) {
            let name = known.to_owned();
            return Ok(NameMatch::Unique { id, name });
        }
        return Ok(NameMatch::Unresolved(format!(
            "names \"{}\" with the id {id}, but the record {id} of `{model}` is called \"{}\"; write the id of the right one",
            one_line(name, NAME_CHARS),
            one_line(known, NAME_CHARS)
        )));
    }
    Ok(NameMatch::Unresolved(format!(
        "names the record {id} of `{model}`, which does not exist or cannot be seen by you; find_by_name finds the right id"
    )))
}

/// The record that a name means: the only one with exactly this name, or the only
/// one whose name contains it.
async fn match_name(
    access: &OdooSession<'_>,
    model: &ModelName,
    name: &str,
    context: &Context,
) -> Result<NameMatch, OperationError> {
    let finds_users = access.finds_users(model);
    if !finds_users {
        access.may_read(model)?;
    }
    let mut shown = None;
    if let Some(record) = split_shown_record(name) {
        match match_shown_record(access, model, record, context).await? {
            found @ NameMatch::Unique { .. } => return Ok(found),
            // The brackets may belong to the name of another record.
            unlike @ NameMatch::Unresolved(_) => shown = Some(unlike),
        }
    }
    let limit = MAX_CANDIDATES + 1;
    let found = if finds_users {
        let part = name.to_owned();
        find_users(access, UserSearch::Name { part, limit }).await?
    } else {
        let search = Call::name_search(model.clone(), name, &Domain::default(), limit);
        match access.call(search.in_context(context.clone())).await {
            Ok(response) => parse_names(&response)?,
            Err(OperationError::Forbidden(why)) => {
                return Ok(NameMatch::Unresolved(format!("must be an id: {why}")));
            }
            Err(denied) => return Err(denied),
        }
    };
    let is_exact = |candidate: &str| candidate.trim().to_lowercase() == name.trim().to_lowercase();
    let mut exact = found.iter().filter(|(_, candidate)| is_exact(candidate));
    if let (Some((id, name)), None, _) | (None, _, [(id, name)]) =
        (exact.next(), exact.next(), found.as_slice())
    {
        let (id, name) = (*id, name.clone());
        return Ok(NameMatch::Unique { id, name });
    }
    if let Some(unlike) = shown {
        return Ok(unlike);
    }
    let quoted = one_line(name, NAME_CHARS);
    if found.is_empty() {
        return Ok(NameMatch::Unresolved(format!(
            "names \"{quoted}\", but no record of `{model}` has that name; find_by_name finds others"
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
        "names \"{quoted}\", which matches several records of `{model}`: {}; write the id of the right one",
        candidates.join(", ")
    )))
}

pub(crate) async fn find_users(
    access: &OdooSession<'_>,
    search: UserSearch,
) -> Result<Vec<(RecordId, String)>, OperationError> {
    Ok(parse_names(&access.find_users(search).await?)?)
}

fn parse_names(response: &[u8]) -> Result<Vec<(RecordId, String)>, serde_json::Error> {
    let found = render::parse_names(response)?.into_iter();
    let found = found.filter_map(|(id, name)| Some((RecordId::try_from(id).ok()?, name)));
    Ok(found.collect())
}
