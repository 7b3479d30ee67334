//! Which API keys are active now, whatever configuration a call began with.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::OperationError;
use gatepost_identity::{ApiKeyId, ApiKeyStore, Caller, CallerKind, Now};

/// The API keys of the current configuration. A call keeps the configuration that
/// it began with, for minutes if a person is asked; a key that is revoked meanwhile
/// must not write any more.
#[derive(Debug, Default)]
pub struct ActiveKeys(ArcSwapOption<ApiKeyStore>);

impl ActiveKeys {
    /// These keys.
    pub fn new(keys: Option<ApiKeyStore>) -> Self {
        Self(ArcSwapOption::from(keys.map(Arc::new)))
    }

    /// Takes over the keys of a newer configuration.
    pub fn replace(&self, newer: &Self) {
        self.0.store(newer.0.load_full());
    }

    /// Whether the caller may continue: a caller without an API key may.
    pub fn is_active(&self, caller: &Caller) -> bool {
        if caller.kind != CallerKind::ApiKey {
            return true;
        }
        let now = Now::read().wall;
        let keys = self.0.load();
        let Ok(id) = ApiKeyId::try_from(caller.subject.as_str()) else {
            return false;
        };
        keys.as_ref().is_some_and(|keys| {
            let mut found = keys.iter().filter(|(known, _)| **known == id);
            found.any(|(_, key)| key.is_active(now))
        })
    }

    /// Refuses a write of a caller whose key is not active any more.
    ///
    /// # Errors
    /// [`OperationError::NotApproved`].
    pub(super) fn allow(&self, caller: &Caller) -> Result<(), OperationError> {
        if self.is_active(caller) {
            return Ok(());
        }
        Err(OperationError::NotApproved(
            "the API key was revoked or has expired while the call was in flight, so the change was not sent. Nothing was changed. Retrying will not help; tell the administrator".to_owned(),
        ))
    }
}
