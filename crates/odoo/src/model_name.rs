//! The name of an Odoo model.

use std::sync::Arc;

use crate::known_name::odoo_name;

/// The technical name of an Odoo model, such as `res.partner` (Odoo's `_name`).
///
/// Lower-case words of `a-z`, `0-9` and `_` joined by dots, at most 128 bytes:
/// safe in a path without encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

/// Not a model name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a model name; write it in Odoo's dotted form, such as `res.partner`")]
pub struct InvalidModelName(String);

odoo_name!(ModelName, InvalidModelName);

impl ModelName {
    fn check(text: &str) -> bool {
        text.len() <= 128
            && text.split('.').all(|word| {
                word.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                    && word
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            })
    }
}

#[cfg(test)]
mod tests {
    use super::ModelName;

    #[test]
    fn a_model_name_is_dotted_lower_case() {
        for good in [
            "base",
            "res.partner",
            "account.move.line",
            "x_studio.thing_2",
            "_unknown",
        ] {
            assert!(ModelName::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "res.",
            ".res",
            "Res.Partner",
            "res/partner",
            "res..partner",
            "a b",
            "ä",
            "../x",
            "%2e",
        ] {
            assert!(ModelName::try_from(bad).is_err(), "{bad}");
        }
        assert!(ModelName::try_from("a".repeat(129)).is_err());
    }

    #[test]
    fn invalid_model_name_error_shows_correct_form() {
        insta::assert_snapshot!(
            ModelName::try_from("Res Partner").unwrap_err(),
            @"`Res Partner` is not a model name; write it in Odoo's dotted form, such as `res.partner`"
        );
    }
}
