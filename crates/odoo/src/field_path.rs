//! A path through relations to a field.

use std::sync::Arc;

use gatepost_base::checked_name;

/// A field, or a path through relations to one, such as `partner_id.country_id.code`.
///
/// 1 to 6 identifiers joined by dots. Odoo takes paths in domains only; the
/// last step may also be a property or a part of a date (`date_order.month_number`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Arc<str>);

/// A text that is no field path.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a field; write a technical name such as `name`, or a path of at most 6 of them such as `partner_id.country_id`"
)]
pub struct InvalidFieldPath(String);

checked_name!(FieldPath, InvalidFieldPath);

impl FieldPath {
    fn check(text: &str) -> bool {
        text.len() <= 400
            && text.split('.').count() <= 6
            && text
                .split('.')
                .all(|step| super::FieldName::try_from(step).is_ok())
    }

    /// The names on the way, at least one.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The first name on the way, and the path that goes on behind it.
    pub fn split_first(&self) -> (&str, Option<Self>) {
        match self.0.split_once('.') {
            None => (&self.0, None),
            Some((first, rest)) => (first, Some(Self(Arc::from(rest)))),
        }
    }

    /// The first name on the way: a field of the model itself.
    pub fn first(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }
}

impl From<&super::FieldName> for FieldPath {
    fn from(name: &super::FieldName) -> Self {
        Self(Arc::from(name.as_str()))
    }
}
