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

mod binary;
mod link;
mod many;
mod moment;
mod number;
mod place;
mod problem;
mod properties;
mod record;
mod selection;
mod taken;
#[cfg(test)]
mod tests;
mod text;
mod truth;
mod values;
mod writable;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

pub use link::{Fate, Link, Listed, Owner, Wanted};
pub use place::{Place, Pointer};
pub use problem::{Missing, Note, Problem, tell, tell_notes};
pub(super) use writable::writable;

use gatepost_odoo::{Effect, ModelName, Schema};

/// One record's values, as far as they fit.
#[derive(Debug, Default)]
pub struct Fitted {
    /// The values in Odoo's form. Only to be sent where there is no problem, and
    /// after each [`Link`] by name was put in its place.
    pub values: Map<String, Value>,
    /// What does not fit; all of it, not only the first.
    pub problems: Vec<Problem>,
    /// The records that values name, to be looked up before they are sent.
    pub links: Vec<Link>,
    /// What was understood in one of several forms, or will be changed by Odoo.
    pub notes: Vec<Note>,
    /// Fields that a new record must have and that got no value.
    pub missing: Vec<Missing>,
}

/// The model whose fields are to be known first. Whoever is told this asks for
/// them and comes again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needs(pub ModelName);

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
pub fn fit(
    model: &ModelName,
    known: &BTreeMap<ModelName, Schema>,
    effect: Effect,
    values: Map<String, Value>,
    (at, zone): (&Place, Option<&TimeZone>),
) -> Result<Fitted, Needs> {
    let mut fitting = values::Fitting::new(known, zone);
    let values = fitting.record(model, effect, values, &values::Spot::root(at, effect))?;
    Ok(fitting.finish(values))
}
