//! Values as they will be sent: in Odoo's form, every link looked up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    companies, resolve_links,
    values::{self, ArgumentPath, CoercedValues, FieldValueError, MissingRequired, MissingSchema},
};
use crate::access::DisplayNames;
use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{Call, Context, FieldName, ModelName, Operation, RecordId, Schema};

/// Values as they will be sent.
#[derive(Debug, Default)]
pub struct ValidatedRecords {
    /// The values of each record.
    pub values: Vec<Map<String, Value>>,
    /// The names of the records that they link to.
    pub names: DisplayNames,
    /// How they were understood, where there was something to understand, and
    /// what is missing.
    pub notes: Vec<String>,
    /// Fields that new records must have and of which nobody tells a value.
    pub missing: Vec<String>,
}

impl ValidatedRecords {
    /// How the values were understood, where it does not count any more what
    /// Odoo may refuse.
    pub fn coercion_notes(&self) -> Vec<String> {
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
pub async fn validate_records(
    access: &OdooSession<'_>,
    (model, effect): (&ModelName, Operation),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    let none: &[RecordId] = &[];
    let these = (effect == Operation::Create).then_some(none);
    validate_all(access, (model, effect, these), list, context).await
}

/// The same for the values that these records are to get: their lists change
/// no lines of others.
///
/// # Errors
/// [`Denied::Unfit`] with all that is wrong, not only the first.
pub async fn validate_update(
    access: &OdooSession<'_>,
    (model, ids): (&ModelName, &[RecordId]),
    values: Map<String, Value>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    let what = (model, Operation::Write, Some(ids));
    validate_all(access, what, vec![values], context).await
}

async fn validate_all(
    access: &OdooSession<'_>,
    (model, effect, these): (&ModelName, Operation, Option<&[RecordId]>),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    let argument = ArgumentPath::argument("values");
    let zone = context.tz.as_deref().map(TimeZone::get).transpose();
    let zone = zone.map_err(|error| OperationError::InvalidContext(error.to_string()))?;
    let mut known: BTreeMap<ModelName, Schema> = BTreeMap::new();
    let mut fitted = Vec::with_capacity(list.len());
    let place_of = |index: usize| {
        if effect == Operation::Create {
            argument.at(index)
        } else {
            argument.clone()
        }
    };
    for (index, values) in list.into_iter().enumerate() {
        let place = place_of(index);
        let at = (&place, zone.as_ref());
        fitted.push(coerce_record(access, (model, effect), values, at, &mut known).await?);
    }
    let (mut names, mut problems) =
        resolve_links::resolve(access, &mut fitted, these, context).await?;
    if let (Some(schema), Some(these)) = (known.get(model), these) {
        let records = (model, schema, these);
        let values = (&*fitted, place_of);
        let mismatches = companies::mismatches(access, records, values, &names, context);
        // Boxed: it is rare, and large.
        problems.extend(Box::pin(mismatches).await?);
    }
    names.add_schemas(known);
    problems.splice(
        0..0,
        fitted
            .iter_mut()
            .flat_map(|one| std::mem::take(&mut one.errors)),
    );
    let mut notes = values::format_notes(fitted.iter().flat_map(|one| &one.notes));
    let missing: Vec<&MissingRequired> = fitted.iter().flat_map(|one| &one.missing).collect();
    let missing = without_default(access, model, missing, context).await?;
    if problems.is_empty() {
        // Odoo fills in some by itself, of which it tells nobody. It refuses the
        // whole where it does not.
        let missing = missing.iter().map(|one| {
            format!("`{}` ({}) is required and has no default that Odoo tells; if Odoo does not fill it in, it refuses", one.path, one.label)
        });
        let missing: Vec<String> = missing.take(MAX_MISSING).collect();
        notes.extend(missing.iter().cloned());
        return Ok(ValidatedRecords {
            values: fitted.into_iter().map(|one| one.values).collect(),
            names,
            notes,
            missing,
        });
    }
    problems.extend(missing.into_iter().map(|one| FieldValueError {
        path: one.path.clone(),
        text: format!("({}) is required and has no default that Odoo tells; name it, unless Odoo fills it in by itself", one.label),
    }));
    let count = problems.len();
    let head = if count == 1 {
        "nothing was changed, for a value does not fit:".to_owned()
    } else {
        format!("nothing was changed, for {count} values do not fit; all of them:")
    };
    Err(OperationError::InvalidArgument(format!(
        "{head}\n{}",
        values::format_errors(&problems)
    )))
}

/// Missing fields that are told.
const MAX_MISSING: usize = 12;

async fn coerce_record(
    access: &OdooSession<'_>,
    (model, effect): (&ModelName, Operation),
    values: Map<String, Value>,
    at: (&ArgumentPath, Option<&TimeZone>),
    known: &mut BTreeMap<ModelName, Schema>,
) -> Result<CoercedValues, OperationError> {
    // Ends, for each round adds a model, and values name so many.
    loop {
        match values::coerce(model, known, effect, values.clone(), at) {
            Ok(fitted) => return Ok(fitted),
            Err(MissingSchema(other)) => {
                let schema = access.schema(&other).await?;
                known.insert(other, schema);
            }
        }
    }
}

/// Those of the missing fields of the model itself that have no default.
async fn without_default<'m>(
    access: &OdooSession<'_>,
    model: &ModelName,
    missing: Vec<&'m MissingRequired>,
    context: &Context,
) -> Result<Vec<&'m MissingRequired>, OperationError> {
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
        Err(OperationError::Forbidden(_)) => return Ok(Vec::new()),
        Err(OperationError::Call(error)) if error.is_fault() => return Ok(Vec::new()),
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
