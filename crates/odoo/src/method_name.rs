//! The name of a public method of a model.

use std::sync::Arc;

use gatepost_base::checked_name;

/// The name of a public method of an Odoo model, such as `action_confirm`.
///
/// A Python identifier without a leading underscore: Odoo refuses private
/// methods (`odoo/service/model.py`, `get_public_method`), and so do we.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodName(Arc<str>);

/// A text that is no name of a public method.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the name of a public Odoo method, such as `action_confirm`")]
pub struct InvalidMethodName(String);

checked_name!(MethodName, InvalidMethodName);

impl MethodName {
    fn check(text: &str) -> bool {
        text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// A method that this program names itself.
    pub fn known(text: &'static str) -> Self {
        debug_assert!(Self::check(text), "not a method name: {text}");
        Self(Arc::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::MethodName;

    #[test]
    fn private_or_malformed_method_name_is_rejected() {
        assert!(MethodName::try_from("action_confirm").is_ok());
        for bad in ["", "_compute", "a.b", "a/b", "a-b", "1a", "é"] {
            assert!(MethodName::try_from(bad).is_err(), "{bad}");
        }
    }
}
