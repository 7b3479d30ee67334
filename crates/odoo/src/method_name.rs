//! The name of a public method of a model.

use std::sync::Arc;

use crate::known_name::{is_identifier, odoo_name};

/// The name of a public method of an Odoo model, such as `action_confirm`.
///
/// A Python identifier without a leading underscore: Odoo rejects private
/// methods (`odoo/service/model.py`, `get_public_method`), and so does Gatepost.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodName(Arc<str>);

/// Not the name of a public method.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the name of a public Odoo method, such as `action_confirm`")]
pub struct InvalidMethodName(String);

odoo_name!(MethodName, InvalidMethodName);

impl MethodName {
    fn check(text: &str) -> bool {
        is_identifier(text) && !text.starts_with('_')
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
        let error = MethodName::try_from("_compute").unwrap_err();
        insta::assert_snapshot!(error, @"`_compute` is not the name of a public Odoo method, such as `action_confirm`");
    }
}
