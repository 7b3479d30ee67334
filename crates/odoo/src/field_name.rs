//! The name of a field.

use std::sync::Arc;

use gatepost_base::checked_name;

/// The technical name of one field of a model, such as `partner_id`.
///
/// A Python identifier of at most 128 bytes, without dots. A path through
/// relations is a [`super::FieldPath`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(Arc<str>);

/// A text that is no field name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a field name; write its technical name, such as `partner_id`, without dots")]
pub struct InvalidFieldName(String);

checked_name!(FieldName, InvalidFieldName);

impl FieldName {
    fn check(text: &str) -> bool {
        text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// A field that this program names itself.
    pub fn known(text: &'static str) -> Self {
        debug_assert!(Self::check(text), "not a field name: {text}");
        Self(Arc::from(text))
    }
}
