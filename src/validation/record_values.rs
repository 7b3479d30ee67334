//! Validates the values of records: coerced to Odoo's form, every link looked up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    companies, resolve_links,
    values::{self, ArgumentPath, CoercedValues, MissingRequired, MissingSchema, ValueMessage},
};
use crate::access::{DisplayNames, OdooSession, OperationError, readable};
use gatepost_odoo::{Call, Context, FieldName, ModelName, Operation, RecordId, Schema};

/// Missing fields that are named.
const MAX_MISSING: usize = 12;

/// Errors after which no further values are checked.
const MAX_ERRORS: usize = 200;

/// Validated values of records.
#[derive(Debug, Default)]
pub struct ValidatedRecords {
    /// The values of each record, as they will be sent.
    pub values: Vec<Map<String, Value>>,
    /// The names of the records that they link to.
    pub names: DisplayNames,
    /// How values were understood, and the messages in `missing`.
    pub notes: Vec<String>,
    /// Required fields of new records that have neither a value nor a known default.
    pub missing: Vec<String>,
}

impl ValidatedRecords {
    /// How values were understood, without `missing`: for records that exist.
    pub fn coercion_notes(&self) -> Vec<String> {
        let notes = self.notes.iter();
        let notes = notes.filter(|note| !self.missing.contains(note));
        notes.cloned().collect()
    }
}

/// Validates the values of records: coerces them to the model's fields, and looks
/// up the records that they link to.
///
/// `ids` are the records of an update: its lists may not change lines of others. If
/// they are not known, lists may name lines of any record.
///
/// # Errors
/// [`OperationError::InvalidArgument`] with all that is invalid, not only the first,
/// up to a number that a reader can still take in.
pub async fn validate_records(
    access: &OdooSession<'_>,
    (model, operation, ids): (&ModelName, Operation, Option<&[RecordId]>),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    let none: &[RecordId] = &[];
    let is_create = operation == Operation::Create;
    let records = if is_create { Some(none) } else { ids };
    let argument = ArgumentPath::argument("values");
    let path_of = |index: usize| {
        if is_create {
            argument.at(index)
        } else {
            argument.clone()
        }
    };
    let zone = context.tz.as_deref().map(TimeZone::get).transpose();
    let zone = zone.map_err(|error| OperationError::InvalidContext(error.to_string()))?;
    let mut known: BTreeMap<ModelName, Schema> = BTreeMap::new();
    let mut coerced = Vec::with_capacity(list.len());
    let mut invalid = 0_usize;
    for (index, values) in list.into_iter().enumerate() {
        // Up to a megabyte of values is coerced here; others must not wait for all of it.
        tokio::task::yield_now().await;
        let path = path_of(index);
        let at = (&path, zone.as_ref());
        let one = coerce_record(access, (model, operation), values, at, &mut known).await?;
        invalid += one.errors.len();
        coerced.push(one);
        if invalid > MAX_ERRORS {
            break;
        }
    }
    if invalid > MAX_ERRORS {
        let errors: Vec<ValueMessage> = coerced.into_iter().flat_map(|one| one.errors).collect();
        return Err(OperationError::InvalidArgument(format!(
            "nothing was changed, because more than {MAX_ERRORS} values are invalid; the first of them:\n{}",
            values::format_errors(&errors)
        )));
    }
    let (mut names, link_errors) =
        resolve_links::resolve(access, &mut coerced, records, context).await?;
    let own_errors = coerced.iter_mut();
    let own_errors = own_errors.flat_map(|one| std::mem::take(&mut one.errors));
    let mut errors: Vec<ValueMessage> = own_errors.chain(link_errors).collect();
    if let (Some(schema), Some(records)) = (known.get(model), records) {
        let records = (model, schema, records);
        let values = (&*coerced, path_of);
        let mismatches = companies::mismatches(access, records, values, &names, context);
        // Boxed: it is rare, and its future is large.
        errors.extend(Box::pin(mismatches).await?);
    }
    names.add_schemas(known);
    let missing: Vec<&MissingRequired> = coerced.iter().flat_map(|one| &one.missing).collect();
    let missing = without_default(access, model, missing, context).await?;
    if errors.is_empty() {
        // Odoo fills in some without saying so, and otherwise refuses the whole.
        let missing = missing.iter().take(MAX_MISSING).map(|one| {
            format!(
                "`{}` ({}) is required and has no known default; if Odoo does not fill it in, it rejects the record",
                one.path, one.label
            )
        });
        let missing: Vec<String> = missing.collect();
        let mut notes = values::format_notes(coerced.iter().flat_map(|one| &one.notes));
        notes.extend(missing.iter().cloned());
        return Ok(ValidatedRecords {
            values: coerced.into_iter().map(|one| one.values).collect(),
            names,
            notes,
            missing,
        });
    }
    errors.extend(missing.into_iter().map(|one| ValueMessage {
        path: one.path.clone(),
        text: format!(
            "({}) is required and has no known default; give it a value, unless Odoo fills it in by itself",
            one.label
        ),
    }));
    let head = match errors.len() {
        1 => "nothing was changed, because a value is invalid:".to_owned(),
        count => format!("nothing was changed, because {count} values are invalid; all of them:"),
    };
    Err(OperationError::InvalidArgument(format!(
        "{head}\n{}",
        values::format_errors(&errors)
    )))
}

async fn coerce_record(
    access: &OdooSession<'_>,
    (model, operation): (&ModelName, Operation),
    values: Map<String, Value>,
    at: (&ArgumentPath, Option<&TimeZone>),
    known: &mut BTreeMap<ModelName, Schema>,
) -> Result<CoercedValues, OperationError> {
    // Ends, because each round adds a model, and values name only so many.
    loop {
        match values::coerce(model, known, operation, values.clone(), at) {
            Ok(coerced) => return Ok(coerced),
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
    mut missing: Vec<&'m MissingRequired>,
    context: &Context,
) -> Result<Vec<&'m MissingRequired>, OperationError> {
    missing.retain(|one| one.model == *model);
    let fields: BTreeSet<&FieldName> = missing.iter().map(|one| &one.field).collect();
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let fields: Vec<FieldName> = fields.into_iter().cloned().collect();
    let call = Call::defaults(model.clone(), &fields).in_context(context.clone());
    // If it cannot be read, Odoo decides.
    let Some(response) = readable(access.call(call).await)? else {
        return Ok(Vec::new());
    };
    let defaults: Map<String, Value> = serde_json::from_slice(&response)?;
    missing.retain(|one| {
        let default = defaults.get(one.field.as_str());
        default.is_none_or(|value| matches!(value, Value::Null | Value::Bool(false)))
    });
    Ok(missing)
}
