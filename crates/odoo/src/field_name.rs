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
