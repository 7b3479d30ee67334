//! Values, held against the fields they are for before they are sent.
//!
//! Odoo's writes are not type-checked: a many2one that is given a name is
//! emptied, a boolean that is given `"false"` is set, an unknown x2many command
//! and a field that Odoo works out itself are passed over, each with `true` for
//! an answer. What means one thing only is put in Odoo's form here, with a note;
//! all else is a problem, told with what would be right.
//!
//! This judges form alone. Whether records exist, what a text names, and who
//! may do it is for others.

mod argument_path;
mod binary;
mod boolean;
mod coerced;
mod coercer;
mod datetime;
mod error;
mod link;
mod number;
mod properties;
mod record;
mod selection;
#[cfg(test)]
mod tests;
mod text;
mod writable;
mod x2many;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

pub use argument_path::{ArgumentPath, JsonPointer};
pub use error::{CoercionNote, FieldValueError, MissingRequired, format_errors, format_notes};
pub use link::{LineCommand, LineRef, LinkOwner, LinkTarget, RecordLink};
pub(crate) use writable::writable_field;

use gatepost_odoo::{ModelName, Operation, Schema};

/// One record's values, as far as they fit.
#[derive(Debug, Default)]
pub struct CoercedValues {
    /// The values in Odoo's form. Only to be sent where there is no problem, and
    /// after each [`Link`] by name was put in its place.
    pub values: Map<String, Value>,
    /// What does not fit; all of it, not only the first.
    pub errors: Vec<FieldValueError>,
    /// The records that values name, to be looked up before they are sent.
    pub links: Vec<RecordLink>,
    /// What was understood in one of several forms, or will be changed by Odoo.
    pub notes: Vec<CoercionNote>,
    /// Fields that a new record must have and that got no value.
    pub missing: Vec<MissingRequired>,
}

/// The model whose fields are to be known first. Whoever is told this asks for
/// them and comes again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingSchema(pub ModelName);

/// Fits one record's values to the fields of its model.
///
/// `known` holds the fields of models as the caller may see them: names of
/// others are not told in what this says. With [`Effect::Create`] the values are
/// those of a new record, with any other those of one that is there. `at` is
/// what the caller calls the place of these values, such as `values[2]`. `zone`
/// is that of times without an offset.
///
/// What was fitted fits again, and stays as it is.
///
/// # Errors
/// [`Needs`] a model that `known` does not hold: this one, or one whose records
/// are made or changed along with this one.
pub fn coerce(
    model: &ModelName,
    known: &BTreeMap<ModelName, Schema>,
    effect: Operation,
    values: Map<String, Value>,
    (at, zone): (&ArgumentPath, Option<&TimeZone>),
) -> Result<CoercedValues, MissingSchema> {
    let mut fitting = coercer::RecordCoercer::new(known, zone);
    let values = fitting.coerce_record(
        model,
        effect,
        values,
        &coercer::FieldContext::root(at, effect),
    )?;
    Ok(fitting.finish(values))
}
