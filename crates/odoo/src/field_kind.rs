//! The types of fields, and the classes that the gateway treats alike.

use std::fmt;

use serde::Deserialize;

gatepost_base::words! {
    /// The type of a field (Odoo 19, `odoo/orm/fields*.py`).
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum FieldKind {
        /// Bytes, as base64.
        Binary = "binary",
        /// True or false.
        Boolean = "boolean",
        /// One line of text.
        Char = "char",
        /// A day.
        Date = "date",
        /// A date and time, in UTC.
        Datetime = "datetime",
        /// A number with a fraction.
        Float = "float",
        /// Formatted text.
        Html = "html",
        /// A picture, as base64.
        Image = "image",
        /// A whole number.
        Integer = "integer",
        /// Structured data.
        Json = "json",
        /// A link to records of another model, both ways.
        Many2many = "many2many",
        /// A link to one record.
        Many2one = "many2one",
        /// The id of a record whose model is in another field.
        Many2oneReference = "many2one_reference",
        /// An amount of money.
        Monetary = "monetary",
        /// The records that link here.
        One2many = "one2many",
        /// The values of fields that a parent record defines.
        Properties = "properties",
        /// The definition of such fields.
        PropertiesDefinition = "properties_definition",
        /// A record of any model, as `model,id`.
        Reference = "reference",
        /// One of a few values.
        Selection = "selection",
        /// Text of several lines.
        Text = "text",
        /// A type this version does not know.
        #[serde(other)]
        Unknown = "unknown",
    }

    /// The type as Odoo spells it.
    pub fn as_str(self);
}

/// What kinds of fields have in common when their values are read, compared,
/// restored or authorized.
///
/// Code that treats kinds alike matches on the class, so a new kind is added in
/// [`FieldKind::class`] alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldClass {
    /// Bytes: large, and read only on request.
    Binary,
    /// A value that Odoo reformats or structures, so it differs from what was
    /// written: HTML, JSON, definitions of properties.
    Document,
    /// A link to several records, written by commands.
    Many2many,
    /// A link to one record of a known model.
    Many2one,
    /// A number, 0 where it is empty.
    Number,
    /// The records that link here, written by commands.
    One2many,
    /// Values of properties, read in another form than they are written.
    Properties,
    /// A link whose value names the model.
    Reference,
    /// A single value that Odoo returns as it was written: text, a day, a choice.
    Scalar,
    /// A kind that this version does not know.
    Unknown,
    /// The id of a record whose model another field names.
    UntypedId,
}

impl FieldKind {
    /// The class of the kind.
    pub fn class(self) -> FieldClass {
        match self {
            Self::Binary | Self::Image => FieldClass::Binary,
            Self::Boolean
            | Self::Char
            | Self::Date
            | Self::Datetime
            | Self::Selection
            | Self::Text => FieldClass::Scalar,
            Self::Float | Self::Integer | Self::Monetary => FieldClass::Number,
            Self::Html | Self::Json | Self::PropertiesDefinition => FieldClass::Document,
            Self::Many2many => FieldClass::Many2many,
            Self::Many2one => FieldClass::Many2one,
            Self::Many2oneReference => FieldClass::UntypedId,
            Self::One2many => FieldClass::One2many,
            Self::Properties => FieldClass::Properties,
            Self::Reference => FieldClass::Reference,
            Self::Unknown => FieldClass::Unknown,
        }
    }

    /// Whether a field can be without a value. Numbers are then 0, and booleans
    /// `false`.
    pub fn can_be_empty(self) -> bool {
        self != Self::Boolean && self.class() != FieldClass::Number
    }

    /// Whether it links to several records.
    pub fn is_x2many(self) -> bool {
        matches!(self, Self::Many2many | Self::One2many)
    }

    /// Whether it holds bytes.
    pub fn is_binary(self) -> bool {
        self.class() == FieldClass::Binary
    }

    /// Whether it holds properties, or their definition.
    pub fn is_properties(self) -> bool {
        matches!(self, Self::Properties | Self::PropertiesDefinition)
    }

    /// Whether it holds a day, or a date and time.
    pub fn is_date(self) -> bool {
        matches!(self, Self::Date | Self::Datetime)
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
