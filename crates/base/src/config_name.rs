//! Names that an administrator chooses in the configuration.

use std::sync::Arc;

use super::checked_name;

/// Defines a name of 1 to 63 characters of `a-z`, `0-9`, `-` and `_` that starts
/// with a letter.
macro_rules! config_name {
    ($(#[$doc:meta])* $name:ident, $error:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, starting with a letter.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        #[doc = concat!("A text that is not a ", $what, " name.")]
        #[derive(Debug, thiserror::Error)]
        #[error(
            "{what} name `{0}` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter",
            what = $what
        )]
        pub struct $error(String);

        checked_name!($name, $error);

        impl $name {
            fn check(text: &str) -> bool {
                is_config_name(text)
            }
        }
    };
}

config_name! {
    /// The name of an additional Odoo user, such as `sales`. It is not a secret:
    /// the user's API key is set elsewhere.
    CredentialName, InvalidCredentialName, "credential"
}
config_name! {
    /// The name of an identity provider, such as `company`.
    ProviderName, InvalidProviderName, "provider"
}
config_name! {
    /// The name of a role, such as `sales-reader`.
    RoleName, InvalidRoleName, "role"
}

fn is_config_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{CredentialName, ProviderName, RoleName};

    #[test]
    fn config_name_must_be_lowercase_and_start_with_a_letter() {
        for good in ["a", "sales-reader", "b_2", &"x".repeat(63)] {
            assert!(RoleName::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Sales",
            "1st",
            "-a",
            "_a",
            "a.b",
            "a b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(RoleName::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn invalid_name_texts() {
        let texts = [
            CredentialName::try_from("A").unwrap_err().to_string(),
            ProviderName::try_from("A").unwrap_err().to_string(),
            RoleName::try_from("A").unwrap_err().to_string(),
            crate::InstanceName::try_from("A").unwrap_err().to_string(),
        ];
        insta::assert_snapshot!(texts.join("\n"), @"
        credential name `A` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter
        provider name `A` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter
        role name `A` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter
        instance name `A` must be 1 to 63 of `a-z`, `0-9` and `-`, start with a letter and not end with `-`
        ");
    }
}
