//! The name of a credential.

use std::sync::Arc;

use super::{checked::is_config_name, checked_name};

/// The name of a further Odoo user in the configuration, such as `sales`.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, starting with a letter. It
/// is no secret: the key that it stands for is in `upstream`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(Arc<str>);

/// A text that is no credential name.
#[derive(Debug, thiserror::Error)]
#[error(
    "credential name `{0}` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter"
)]
pub struct InvalidCredentialName(String);

checked_name!(CredentialName, InvalidCredentialName);

impl CredentialName {
    fn check(text: &str) -> bool {
        is_config_name(text)
    }
}
