//! The name of an identity provider.

use std::sync::Arc;

use super::{checked::is_config_name, checked_name};

/// The name of an identity provider in the configuration, such as `company`.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, starting with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderName(Arc<str>);

/// A text that is no provider name.
#[derive(Debug, thiserror::Error)]
#[error("provider name `{0}` must be 1 to 63 of `a-z`, `0-9`, `-` and `_` and start with a letter")]
pub struct InvalidProviderName(String);

checked_name!(ProviderName, InvalidProviderName);

impl ProviderName {
    fn check(text: &str) -> bool {
        is_config_name(text)
    }
}
