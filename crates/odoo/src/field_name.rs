//! The name of a field.

use std::sync::Arc;

use crate::known_name::{is_identifier, odoo_name};

/// The technical name of one field of a model, such as `partner_id`.
///
/// A Python identifier of at most 128 bytes, without dots. A path through
/// relations is a [`super::FieldPath`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(Arc<str>);

/// Not a field name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a field name; write its technical name, such as `partner_id`, without dots")]
pub struct InvalidFieldName(String);

odoo_name!(FieldName, InvalidFieldName);

impl FieldName {
    fn check(text: &str) -> bool {
        is_identifier(text)
    }
}

#[cfg(test)]
mod tests {
    use super::FieldName;

    #[test]
    fn field_path_is_not_a_field_name() {
        let error = FieldName::try_from("partner_id.name").unwrap_err();
        insta::assert_snapshot!(error, @"`partner_id.name` is not a field name; write its technical name, such as `partner_id`, without dots");
    }
}
