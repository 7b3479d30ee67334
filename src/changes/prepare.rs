//! Values as they will be sent: in Odoo's form, every link looked up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    Names, companies,
    fit::{self, Fitted, Missing, Needs, Place, Problem},
    links,
};
use crate::access::{Access, Denied};
use gatepost_odoo::{Call, Context, Effect, FieldName, ModelName, RecordId, Schema};

/// Values as they will be sent.
#[derive(Debug, Default)]
pub struct Prepared {
    /// The values of each record.
    pub values: Vec<Map<String, Value>>,
    /// The names of the records that they link to.
    pub names: Names,
    /// How they were understood, where there was something to understand, and
    /// what is missing.
    pub notes: Vec<String>,
    /// Fields that new records must have and of which nobody tells a value.
    pub missing: Vec<String>,
}

impl Prepared {
    /// How the values were understood, where it does not count any more what
    /// Odoo may refuse.
    pub fn understood(&self) -> Vec<String> {
        let notes = self.notes.iter();
        let notes = notes.filter(|note| !self.missing.contains(note));
        notes.cloned().collect()
    }
}

/// Fits the values of records to the model's fields, and looks up whatever they
/// link to.
///
/// # Errors
/// [`Denied::Unfit`] with all that is wrong, not only the first.
pub async fn prepare(
    access: &Access<'_>,
    (model, effect): (&ModelName, Effect),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<Prepared, Denied> {
    let none: &[RecordId] = &[];
    let these = (effect == Effect::Create).then_some(none);
    fit_all(access, (model, effect, these), list, context).await
}

/// The same for the values that these records are to get: their lists change
/// no lines of others.
///
/// # Errors
/// [`Denied::Unfit`] with all that is wrong, not only the first.
pub async fn prepare_update(
    access: &Access<'_>,
    (model, ids): (&ModelName, &[RecordId]),
    values: Map<String, Value>,
    context: &Context,
) -> Result<Prepared, Denied> {
    let what = (model, Effect::Write, Some(ids));
    fit_all(access, what, vec![values], context).await
}

async fn fit_all(
    access: &Access<'_>,
    (model, effect, these): (&ModelName, Effect, Option<&[RecordId]>),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<Prepared, Denied> {
    let argument = Place::argument("values");
    let zone = context.tz.as_deref().map(TimeZone::get).transpose();
    let zone = zone.map_err(|error| Denied::Context(error.to_string()))?;
    let mut known: BTreeMap<ModelName, Schema> = BTreeMap::new();
    let mut fitted = Vec::with_capacity(list.len());
    let place_of = |index: usize| {
        if effect == Effect::Create {
            argument.at(index)
        } else {
            argument.clone()
        }
    };
    for (index, values) in list.into_iter().enumerate() {
        let place = place_of(index);
        let at = (&place, zone.as_ref());
        fitted.push(fit_one(access, (model, effect), values, at, &mut known).await?);
    }
    let (mut names, mut problems) = links::look_up(access, &mut fitted, these, context).await?;
    if let (Some(schema), Some(these)) = (known.get(model), these) {
        let records = (model, schema, these);
        let values = (&*fitted, place_of);
        let mismatches = companies::mismatches(access, records, values, &names, context);
        // Boxed: it is rare, and large.
        problems.extend(Box::pin(mismatches).await?);
    }
    names.know(known);
    problems.splice(
        0..0,
        fitted
            .iter_mut()
            .flat_map(|one| std::mem::take(&mut one.problems)),
    );
    let mut notes = fit::tell_notes(fitted.iter().flat_map(|one| &one.notes));
    let missing: Vec<&Missing> = fitted.iter().flat_map(|one| &one.missing).collect();
    let missing = without_default(access, model, missing, context).await?;
    if problems.is_empty() {
        // Odoo fills in some by itself, of which it tells nobody. It refuses the
        // whole where it does not.
        let missing = missing.iter().map(|one| {
            format!("`{}` ({}) is required and has no default that Odoo tells; if Odoo does not fill it in, it refuses", one.place, one.label)
        });
        let missing: Vec<String> = missing.take(MAX_MISSING).collect();
        notes.extend(missing.iter().cloned());
        return Ok(Prepared {
            values: fitted.into_iter().map(|one| one.values).collect(),
            names,
            notes,
            missing,
        });
    }
    problems.extend(missing.into_iter().map(|one| Problem {
        place: one.place.clone(),
        text: format!("({}) is required and has no default that Odoo tells; name it, unless Odoo fills it in by itself", one.label),
    }));
    let count = problems.len();
    let head = if count == 1 {
        "nothing was changed, for a value does not fit:".to_owned()
    } else {
        format!("nothing was changed, for {count} values do not fit; all of them:")
    };
    Err(Denied::Unfit(format!("{head}\n{}", fit::tell(&problems))))
}

/// Missing fields that are told.
const MAX_MISSING: usize = 12;

async fn fit_one(
    access: &Access<'_>,
    (model, effect): (&ModelName, Effect),
    values: Map<String, Value>,
    at: (&Place, Option<&TimeZone>),
    known: &mut BTreeMap<ModelName, Schema>,
) -> Result<Fitted, Denied> {
    // Ends, for each round adds a model, and values name so many.
    loop {
        match fit::fit(model, known, effect, values.clone(), at) {
            Ok(fitted) => return Ok(fitted),
            Err(Needs(other)) => {
                let schema = access.schema(&other).await?;
                known.insert(other, schema);
            }
        }
    }
}

/// Those of the missing fields of the model itself that have no default.
async fn without_default<'m>(
    access: &Access<'_>,
    model: &ModelName,
    missing: Vec<&'m Missing>,
    context: &Context,
) -> Result<Vec<&'m Missing>, Denied> {
    let own: BTreeSet<&FieldName> = missing
        .iter()
        .filter(|one| one.model == *model)
        .map(|one| &one.field)
        .collect();
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let fields: Vec<FieldName> = own.into_iter().cloned().collect();
    let ask = Call::defaults(model.clone(), &fields).in_context(context.clone());
    let defaults: Map<String, Value> = match access.call(ask).await {
        Ok(answer) => serde_json::from_slice(&answer)?,
        // Then Odoo decides.
        Err(Denied::Forbidden(_)) => return Ok(Vec::new()),
        Err(Denied::Call(error)) if error.is_fault() => return Ok(Vec::new()),
        Err(denied) => return Err(denied),
    };
    Ok(missing
        .into_iter()
        .filter(|one| one.model == *model)
        .filter(|one| {
            let default = defaults.get(one.field.as_str());
            default.is_none_or(|value| matches!(value, Value::Null | Value::Bool(false)))
        })
        .collect())
}
