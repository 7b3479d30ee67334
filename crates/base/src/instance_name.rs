//! The name of a configured Odoo instance.

use std::sync::Arc;

use super::checked_name;

/// The name of one configured Odoo instance, which is also its route prefix.
///
/// 1 to 63 characters of `a-z`, `0-9` and `-`, starting with a letter and not
/// ending with `-`: a DNS label (RFC 1035 section 2.3.1), so the name can
/// become a host name later.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(Arc<str>);

/// A text that is not an instance name.
#[derive(Debug, thiserror::Error)]
#[error(
    "instance name `{0}` must be 1 to 63 of `a-z`, `0-9` and `-`, start with a letter and not end with `-`"
)]
pub struct InvalidInstanceName(String);

checked_name!(InstanceName, InvalidInstanceName);

impl InstanceName {
    fn check(text: &str) -> bool {
        text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
}

#[cfg(test)]
mod tests {
    use super::InstanceName;

    #[test]
    fn instance_name_must_be_a_lowercase_dns_label() {
        for good in ["a", "production", "eu-1", &"x".repeat(63)] {
            assert!(InstanceName::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Prod",
            "1st",
            "-a",
            "a-",
            "a_b",
            "a.b",
            "ä",
            &"x".repeat(64),
        ] {
            assert!(InstanceName::try_from(bad).is_err(), "{bad}");
        }
    }
}
