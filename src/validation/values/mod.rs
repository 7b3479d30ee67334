//! Coerces values to the fields that they are for, before they are sent.
//!
//! Odoo does not type-check writes: it empties a many2one that is given a name,
//! sets a boolean that is given `"false"`, and ignores unknown x2many commands and
//! fields that it computes itself, and returns `true` each time. A value that
//! means only one thing is put into Odoo's form here, with a note; any other is an
//! error that says what would be valid.
//!
//! This checks only the form. Whether records exist, which record a name means,
//! and who may write it is checked elsewhere.

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
mod scalar;
mod selection;
#[cfg(test)]
mod tests;
mod text;
mod writable;
mod x2many;
mod x2many_command;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

pub use argument_path::{ArgumentPath, JsonPointer};
pub(crate) use datetime::{parse_civil, parse_zoned};
pub use error::{MissingRequired, ValueMessage, format_errors, format_notes};
pub use link::{LineCommand, LineRef, LinkOwner, LinkTarget, RecordLink};
pub(crate) use selection::option_list;
pub(crate) use writable::writable_field;

use gatepost_odoo::{ModelName, Operation, Schema};

/// The coerced values of one record, with errors and notes.
#[derive(Debug, Default)]
pub struct CoercedValues {
    /// The values in Odoo's form. They may be sent only if there are no errors,
    /// and after each [`RecordLink`] by name is resolved.
    pub values: Map<String, Value>,
    /// All invalid values, not only the first.
    pub errors: Vec<ValueMessage>,
    /// The records that the values link to, to be looked up before they are sent.
    pub links: Vec<RecordLink>,
    /// What was understood in one of several ways, or will be changed by Odoo.
    pub notes: Vec<ValueMessage>,
    /// Required fields of a new record that got no value.
    pub missing: Vec<MissingRequired>,
}

/// The model whose fields have to be known first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingSchema(pub ModelName);

/// Coerces the values of one record to the fields of its model.
///
/// `known` holds the fields of models that the caller may see; no message names
/// any other. With [`Operation::Create`] the values are those of a new record,
/// otherwise those of an existing one. `path` is the path of the values in the
/// arguments, such as `values[2]`; `zone` is that of times without an offset.
///
/// Coerced values stay as they are if they are coerced again.
///
/// # Errors
/// [`MissingSchema`] if `known` lacks this model, or one whose records are created
/// or updated along with this one.
pub fn coerce(
    model: &ModelName,
    known: &BTreeMap<ModelName, Schema>,
    operation: Operation,
    values: Map<String, Value>,
    (path, zone): (&ArgumentPath, Option<&TimeZone>),
) -> Result<CoercedValues, MissingSchema> {
    let mut coercer = coercer::RecordCoercer::new(known, zone);
    let root = coercer::FieldContext::root(path, operation);
    let values = coercer.coerce_record(model, operation, values, &root);
    coercer.finish(values)
}
