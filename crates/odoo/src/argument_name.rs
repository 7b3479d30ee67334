//! The name of an argument of a method.

use std::sync::Arc;

use gatepost_base::checked_name;

/// The name of an argument of a method, such as `partner_ids`.
///
/// A Python identifier of at most 128 bytes without a leading underscore. Not
/// `ids` and `context`, which JSON/2 keeps for itself, nor `self`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgumentName(Arc<str>);

/// A text that is no name of an argument.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not the name of an argument; write one of the method's own, such as `partner_ids`, and neither `ids` nor `context`"
)]
pub struct InvalidArgumentName(String);

checked_name!(ArgumentName, InvalidArgumentName);

impl ArgumentName {
    fn check(text: &str) -> bool {
        text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !matches!(text, "context" | "ids" | "self")
    }

    /// An argument that this program names itself.
    pub fn known(text: &'static str) -> Self {
        debug_assert!(Self::check(text), "not an argument: {text}");
        Self(Arc::from(text))
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
