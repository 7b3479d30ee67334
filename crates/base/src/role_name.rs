//! The name of a role.

use std::sync::Arc;

use super::{checked::is_config_name, checked_name};

/// The name of a role in the configuration, such as `sales-reader`.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, starting with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Arc<str>);

/// A text that is no role name.
#[derive(Debug, thiserror::Error)]
#[error("role name `{0}` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter")]
pub struct InvalidRoleName(String);

checked_name!(RoleName, InvalidRoleName);

impl RoleName {
    fn check(text: &str) -> bool {
        is_config_name(text)
    }
}
