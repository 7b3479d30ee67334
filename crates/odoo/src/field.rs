//! One field of a model.

use super::{FieldKind, FieldName, FieldPath, ModelName};

/// One field of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its technical name.
    pub name: FieldName,
    /// Its type.
    pub kind: FieldKind,
    /// Its label on forms.
    pub label: Box<str>,
    /// Its help text, if it has one.
    pub help: Option<Box<str>>,
    /// The model that it links to.
    pub relation: Option<ModelName>,
    /// Whether a new record must have it.
    pub required: bool,
    /// Whether users cannot change it on forms.
    pub readonly: bool,
    /// Whether it is a database column; other fields are computed when read.
    pub stored: bool,
    /// Whether a domain may use it.
    pub searchable: bool,
    /// Whether an order may use it.
    pub sortable: bool,
    /// The values of a selection.
    pub selection: Vec<SelectionOption>,
    /// For a monetary field: the field with its currency.
    pub currency_field: Option<FieldName>,
    /// The field that it shows, on this model or a related one; reading it reads that
    /// field. Fields of `_inherits` parents are related fields, too.
    pub related: Option<FieldPath>,
    /// The fields of this model that Odoo computes it from, including those that lead
    /// to fields of other models.
    pub depends: Vec<FieldName>,
    /// For one line of text: the maximum number of characters. Odoo silently cuts off
    /// the rest.
    pub size: Option<usize>,
    /// For a number with a fraction: the number of decimals.
    pub decimals: Option<usize>,
    /// For a one2many field: the field of the lines that links here.
    pub inverse: Option<FieldName>,
    /// For the id of a record of any model: the field that holds the model.
    pub model_field: Option<FieldName>,
    /// For a link to a record that must be of the same company (`check_company`).
    pub check_company: Option<SameCompany>,
}

/// The company that a linked record must belong to, if it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameCompany {
    /// That of the linking record, or a parent of it.
    SameOrParent,
    /// That of the linking record.
    Same,
}

/// One value of a selection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectionOption {
    /// The stored value.
    pub key: Box<str>,
    /// Its label.
    pub label: Box<str>,
}
