//! Taking an update back: the values that were there are written again.

use gatepost_base::text;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    super::{Done, Found, Names, Prepared, Proposal, Report, Shot, Show, Undo, numbers},
    back::{Target, grouped},
    entry::Entry,
    list::List,
    marks::is_same,
    moved::{look_at, prepared_for, refuse, told, told_of},
    standing::{Lists, Standing, ids_in, standing},
    surroundings::gone,
};
use crate::access::{Access, Denied};
use gatepost_odoo::{Call, Context, Effect, FieldName, RecordId, Schema};

/// Records that are told one by one, once it is done.
const MAX_SHOWN: usize = 20;
/// Bytes of values that are shown; of the other records the names.
const MAX_SHOWN_BYTES: usize = 24 << 10;

/// The records as they are now, with what is known of them.
struct Now {
    schema: Schema,
    context: Context,
    shot: Shot,
    lists: Lists,
    standings: Vec<(RecordId, Standing)>,
}

/// What would be done.
pub(super) async fn propose(access: &Access<'_>, entry: &Entry) -> Result<Proposal, Denied> {
    access.may_change(&entry.model, Effect::Write)?;
    let now = look(access, entry).await?;
    refuse(entry, (&now.schema, &now.shot), &now.standings)?;
    let (values, mut notes) = values_back(access, entry, &now).await?;
    let groups = grouped(values.into_iter().filter(|(_, values)| !values.is_empty()));
    if groups.is_empty() {
        let why = if entry.marks.is_none() {
            "Odoo has none of what it was to write, so most likely it was not done"
        } else {
            "the records have what they had before it, as far as that is kept and may be written"
        };
        return Err(Denied::Unfit(told(
            format!("there is nothing to take back: {why}; nothing was changed"),
            &notes,
        )));
    }
    if now
        .standings
        .iter()
        .any(|(_, standing)| *standing == Standing::AsWanted)
    {
        notes.push(
            "it is not known how the change left the records, only that they have what it was to write; what else it changed stays".to_owned(),
        );
    }
    let as_before = now.standings.iter();
    let as_before = as_before.filter(|(_, standing)| *standing == Standing::AsBefore);
    let as_before: Vec<RecordId> = as_before.map(|(id, _)| *id).collect();
    if !as_before.is_empty() {
        notes.push(format!(
            "these have what they had before already, and stay: {}",
            numbers(&as_before)
        ));
    }
    if groups.len() > 1 {
        notes.push(format!(
            "this takes {} steps, one after the other; each is done whole or not at all, and when one fails those before it stay done: call again then",
            groups.len()
        ));
    }
    let (ids, list): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    let what = (entry, Effect::Write);
    let prepared = prepared_for(access, what, list, &now.context).await?;
    let mut all: Vec<RecordId> = ids.iter().flatten().copied().collect();
    all.sort_unstable();
    let count = all.len();
    let records = text::counted(count, "record");
    let head = format!(
        "Take back the update of {:.0}: {records} of {}:\n{}",
        entry.at,
        entry.model,
        shown(&now, &ids, &prepared)
    );
    let names = prepared.values.iter().flat_map(Map::keys);
    let fields: BTreeSet<FieldName> = names
        .filter_map(|name| FieldName::try_from(name.as_str()).ok())
        .collect();
    let calls = ids.into_iter().zip(prepared.values);
    Ok(Proposal {
        undo: Some(Undo::Update(fields.into_iter().collect())),
        calls: calls
            .map(|(ids, values)| {
                Call::write(entry.model.clone(), &ids, values).in_context(now.context.clone())
            })
            .collect(),
        preview: told(head, &notes),
        before: now.shot,
        makes: None,
        look: format!(
            "read_records of `{}` with ids {} shows whether it was done",
            entry.model,
            numbers(&all)
        ),
        beside: prepared.names.looked_at(),
        ..Proposal::default()
    })
}

/// What came of it.
pub(super) async fn find(access: &Access<'_>, entry: &Entry) -> Result<Found, Denied> {
    let now = look(access, entry).await?;
    let all = |wanted: &Standing| now.standings.iter().all(|(_, is)| is == wanted);
    Ok(if all(&Standing::AsBefore) {
        Found::Done(entry.ids.clone())
    } else if all(&Standing::AsLeft) || all(&Standing::AsWanted) {
        Found::Not
    } else {
        Found::Unclear(format!(
            "read_records of `{}` with ids {} shows how they are now.",
            entry.model,
            numbers(&entry.ids)
        ))
    })
}

/// What the model is told.
pub(super) async fn report(
    access: &Access<'_>,
    entry: &Entry,
    done: &Done,
) -> Result<Report, Denied> {
    let (context, companies) = entry.context(access).await?;
    let count = done.ids.len();
    let records = text::counted(count, "record");
    let mut text = format!(
        "Took back the update of {:.0}: {records} of {}:\n",
        entry.at, entry.model
    );
    let looked = look_at(access, entry, &done.ids, &context).await;
    let Ok((schema, after)) = looked else {
        // It is done all the same.
        text.push_str(&numbers(&done.ids));
        return Ok(Report { text, after: None });
    };
    let show = Show {
        schema: &schema,
        names: &Names::new(),
    };
    for id in done.ids.iter().take(MAX_SHOWN) {
        let before = entry.before.get(&i64::from(id.get()));
        let mut is = after.row(*id).cloned().unwrap_or_default();
        is.retain(|name, _| before.is_some_and(|before| before.contains_key(name)));
        let title = Show::titles(&[*id], &after);
        text::add(&mut text, format_args!("{title}: {}\n", show.values(&is)));
    }
    if count > MAX_SHOWN {
        text::add(
            &mut text,
            format_args!("and {} more, likewise\n", count - MAX_SHOWN),
        );
    }
    let lists: BTreeSet<&FieldName> = entry.lines.iter().map(|lines| &lines.field).collect();
    let mut notes = Vec::new();
    for id in &done.ids {
        let before = entry.before.get(&i64::from(id.get()));
        for (name, was, is) in unlike(before, after.row(*id)) {
            let field = schema.field(name);
            if lists.iter().any(|list| list.as_str() == name) {
                continue;
            }
            notes.push(format!(
                "`{name}` of [{id}] is {}, and was {}",
                show.value(field, is),
                show.value(field, was)
            ));
        }
    }
    if !notes.is_empty() {
        text.push_str("Not as before:");
    }
    Ok(Report {
        text: told_of(access, entry, (text, &notes), &companies),
        after: Some(after),
    })
}

async fn look(access: &Access<'_>, entry: &Entry) -> Result<Now, Denied> {
    let (context, _) = entry.context(access).await?;
    let (schema, shot) = look_at(access, entry, &entry.ids, &context).await?;
    let mut lists = Lists::new();
    for lines in &entry.lines {
        let old = lines.rows.keys().copied();
        let listed = shot.rows().flat_map(|(_, row)| ids_in(row, &lines.field));
        let ids: BTreeSet<RecordId> = old
            .filter_map(|id| RecordId::try_from(id).ok())
            .chain(listed)
            .collect();
        let ids: Vec<RecordId> = ids.into_iter().collect();
        if let Some(now) = lines.look(access, &ids, &context).await? {
            lists.insert(lines.field.clone(), now);
        }
    }
    let standings = entry.ids.iter();
    let standings = standings.map(|id| (*id, standing(entry, &schema, *id, (&shot, &lists))));
    Ok(Now {
        standings: standings.collect(),
        schema,
        context,
        shot,
        lists,
    })
}

/// The values that each record gets back, and what there is to say of them.
async fn values_back(
    access: &Access<'_>,
    entry: &Entry,
    now: &Now,
) -> Result<(Vec<(RecordId, Map<String, Value>)>, Vec<String>), Denied> {
    let open = access.writable(&entry.model, Effect::Write).await?;
    let mut notes: Vec<String> = entry
        .not_kept
        .iter()
        .map(|name| format!("`{name}` stays as it is, for what was in it is not kept"))
        .collect();
    let mut lists = Vec::new();
    for lines in &entry.lines {
        let list = match now.lists.get(&lines.field) {
            Some(shot) => List::of(access, (lines, shot), &now.context).await?,
            None => None,
        };
        match list.filter(|_| open.field(lines.field.as_str()).is_some()) {
            Some(list) => lists.push(list),
            None => notes.push(format!(
                "`{}` stays as it is, for it is not open to you any more",
                lines.field
            )),
        }
    }
    let mut sources: Vec<(&Schema, &Map<String, Value>)> = Vec::new();
    sources.extend(entry.before.values().map(|row| (&now.schema, row)));
    sources.extend(lists.iter().flat_map(List::sources));
    let gone = gone(access, &sources, &now.context).await?;
    let nothing = BTreeSet::new();
    let target = Target {
        schema: &now.schema,
        open: &open,
        effect: Effect::Write,
        gone: &gone,
        said: &nothing,
    };
    let mut all = Vec::new();
    for (id, standing) in &now.standings {
        let known = match standing {
            Standing::AsLeft => true,
            Standing::AsWanted => false,
            Standing::AsBefore | Standing::Gone | Standing::Moved(_) | Standing::Unknown => {
                continue;
            }
        };
        let (Some(before), Some(row)) = (entry.before.get(&i64::from(id.get())), now.shot.row(*id))
        else {
            continue;
        };
        let mut plain = before.clone();
        plain.retain(|name, _| {
            let written = entry.fields.iter().any(|field| field.as_str() == name);
            let list = entry.lines.iter().any(|lines| lines.field.as_str() == name);
            (known || written) && !list
        });
        let mut back = target.given_back(&plain, row);
        for (name, why) in back.lacking {
            // What Odoo worked out by the way it will work out again.
            if entry.fields.contains(&name) {
                notes.push(format!("`{name}` of [{id}] {why}"));
            }
        }
        for list in &lists {
            let field = &list.lines.field;
            // Through the lists of several records nobody can say whose it was.
            let others = match entry.ids.len() {
                1 => list.lines.others(&entry.before),
                _ => Vec::new(),
            };
            let ids = (&*listed(before, field), &*listed(row, field));
            let (commands, lacking) = list.commands(&gone, ids, &others);
            if !commands.is_empty() {
                let name = field.as_str().to_owned();
                back.values.insert(name, commands.into());
            }
            let lacking = lacking.into_iter();
            notes.extend(lacking.map(|why| format!("`{field}`: {why}")));
        }
        all.push((*id, back.values));
    }
    notes.dedup();
    Ok((all, notes))
}

/// The ids in a list of a record.
fn listed(row: &Map<String, Value>, list: &FieldName) -> Vec<i64> {
    let ids = ids_in(row, list).into_iter();
    ids.map(|id| i64::from(id.get())).collect()
}

/// The fields that have something else than before.
fn unlike<'r>(
    before: Option<&'r Map<String, Value>>,
    after: Option<&'r Map<String, Value>>,
) -> Vec<(&'r str, &'r Value, &'r Value)> {
    let Some((before, after)) = before.zip(after) else {
        return Vec::new();
    };
    let pairs = before.iter().filter_map(|(name, was)| {
        let is = after.get(name)?;
        (!is_same(was, is)).then_some((name.as_str(), was, is))
    });
    pairs.collect()
}

/// Each group of records with what is there and what would be.
fn shown(now: &Now, ids: &[Vec<RecordId>], prepared: &Prepared) -> String {
    let show = Show {
        schema: &now.schema,
        names: &prepared.names,
    };
    let mut text = String::new();
    for (at, (ids_of_one, values)) in ids.iter().zip(&prepared.values).enumerate() {
        let one = show.updates(ids_of_one, &now.shot, values);
        if at > 0 && text.len() + one.len() > MAX_SHOWN_BYTES {
            let rest: Vec<RecordId> = ids.iter().skip(at).flatten().copied().collect();
            text::add(
                &mut text,
                format_args!(
                    "and {} more, whose values are NOT SHOWN: {}",
                    rest.len(),
                    Show::names(&rest, &now.shot)
                ),
            );
            break;
        }
        text.push_str(&one);
        text.push('\n');
    }
    text
}
