//! The records that values name.

use serde_json::{Map, Value};

use super::{ArgumentPath, JsonPointer};
use gatepost_odoo::{FieldName, ModelName, RecordId};

/// A record that a value names, to be looked up before it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordLink {
    /// Where the caller named it.
    pub path: ArgumentPath,
    /// Where in the fitted values its id goes.
    pub pointer: JsonPointer,
    /// The label of the field.
    pub label: Box<str>,
    /// The model of the record.
    pub model: ModelName,
    /// What is known of it.
    pub target: LinkTarget,
    /// What is to become of it, where it is named in a list.
    pub line: Option<LineRef>,
}

/// A record that is named in a list of another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineRef {
    /// What is to become of it.
    pub command: LineCommand,
    /// Its field that says to which record it belongs: a one2many has the
    /// records that link back.
    pub inverse: Option<FieldName>,
    /// The record with the list.
    pub owner: LinkOwner,
}

/// What is to become of a record that is named in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineCommand {
    /// These of its fields are written.
    Update(Vec<FieldName>),
    /// It is deleted.
    Delete,
    /// It is in the list then.
    Link,
    /// It is not in the list any more.
    Unlink,
}

/// The record with a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkOwner {
    /// One that is only made.
    New,
    /// The line of this id.
    Line(RecordId),
    /// Those that the values are for.
    Written,
}

/// What is known of a record that a value names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkTarget {
    /// Its id, which is in its place already.
    Id(RecordId),
    /// Its name, which stands in the values where its id must go: sent as it is,
    /// Odoo would empty the field.
    Name(String),
}

impl RecordLink {
    /// Puts the id of the record that was found in its place; `false` where these
    /// are not the values of this link.
    pub fn resolve(&self, values: &mut Map<String, Value>, id: RecordId) -> bool {
        match self.target {
            LinkTarget::Id(_) => true,
            LinkTarget::Name(_) => self.pointer.set(values, id.get().into()),
        }
    }
}
