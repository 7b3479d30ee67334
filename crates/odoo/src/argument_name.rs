//! The name of an argument of a method.

use std::sync::Arc;

use crate::known_name::{is_identifier, odoo_name};

/// The name of an argument of a method, such as `partner_ids`.
///
/// A Python identifier of at most 128 bytes without a leading underscore. Not
/// `ids` or `context`, which JSON/2 reserves, and not `self`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgumentName(Arc<str>);

/// Not the name of an argument.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not the name of an argument; use one of the method's own arguments, such as `partner_ids`, but not `ids` or `context`"
)]
pub struct InvalidArgumentName(String);

odoo_name!(ArgumentName, InvalidArgumentName);

impl ArgumentName {
    fn check(text: &str) -> bool {
        is_identifier(text) && !text.starts_with('_') && !matches!(text, "context" | "ids" | "self")
    }
}

#[cfg(test)]
mod tests {
    use super::ArgumentName;

    #[test]
    fn reserved_json2_names_are_not_argument_names() {
        assert!(ArgumentName::try_from("partner_ids").is_ok());
        for bad in [
            "",
            "ids",
            "context",
            "self",
            "_x",
            "a.b",
            "1a",
            "é",
            "__model__",
        ] {
            assert!(ArgumentName::try_from(bad).is_err(), "{bad}");
        }
    }
}
