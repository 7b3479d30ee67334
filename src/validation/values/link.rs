//! The records that values link to.

use serde_json::{Map, Value};

use super::{ArgumentPath, JsonPointer};
use gatepost_odoo::{FieldName, ModelName, RecordId};

/// A record that a value links to, to be looked up before it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordLink {
    /// Its path in the arguments.
    pub path: ArgumentPath,
    /// Where its id goes in the coerced values.
    pub pointer: JsonPointer,
    /// The label of the field.
    pub label: Box<str>,
    /// The model of the record.
    pub model: ModelName,
    /// Its id or name.
    pub target: LinkTarget,
    /// What happens to it, if it is in a list.
    pub line: Option<LineRef>,
}

/// A record in the list of another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineRef {
    /// What happens to it.
    pub command: LineCommand,
    /// Its field that links to its record: a one2many has the records that link
    /// back.
    pub inverse: Option<FieldName>,
    /// The record with the list.
    pub owner: LinkOwner,
}

/// What happens to a record in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineCommand {
    /// These of its fields are written.
    Update(Vec<FieldName>),
    /// It is deleted.
    Delete,
    /// It is added to the list.
    Link,
    /// It is removed from the list.
    Unlink,
}

/// The record with a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkOwner {
    /// One that is created by the same call.
    New,
    /// The line of this id.
    Line(RecordId),
    /// Those that the values are for.
    Written,
}

/// The id or the name of a linked record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkTarget {
    /// Its id, which is in the values already.
    Id(RecordId),
    /// Its name, which has to be replaced by its id: Odoo would empty the field.
    Name(String),
}

impl RecordLink {
    /// Replaces the name by the id that was found; `false` if these are not the values
    /// of this link.
    pub fn resolve(&self, values: &mut Map<String, Value>, id: RecordId) -> bool {
        match self.target {
            LinkTarget::Id(_) => true,
            LinkTarget::Name(_) => self.pointer.set(values, id.get().into()),
        }
    }
}
