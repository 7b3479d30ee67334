//! A path through relations to a field.

use std::sync::Arc;

use crate::known_name::odoo_name;

/// A field, or a path through relations to one, such as `partner_id.country_id.code`.
///
/// 1 to 6 identifiers joined by dots. Odoo accepts paths in domains only; the
/// last step may also be a property or a part of a date (`date_order.month_number`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Arc<str>);

/// Not a field path.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a field; use a technical name such as `name`, or a path of at most 6 names such as `partner_id.country_id`"
)]
pub struct InvalidFieldPath(String);

odoo_name!(FieldPath, InvalidFieldPath);

impl FieldPath {
    fn check(text: &str) -> bool {
        text.len() <= 400
            && text.split('.').count() <= 6
            && text
                .split('.')
                .all(|step| super::FieldName::try_from(step).is_ok())
    }

    /// The names in the path, at least one.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The first name, and the rest of the path if there is one.
    pub fn split_first(&self) -> (&str, Option<Self>) {
        match self.0.split_once('.') {
            None => (&self.0, None),
            Some((first, rest)) => (first, Some(Self(Arc::from(rest)))),
        }
    }

    /// The first name: a field of the model itself.
    pub fn first(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

impl From<&super::FieldName> for FieldPath {
    fn from(name: &super::FieldName) -> Self {
        Self(Arc::from(name.as_str()))
    }
}
