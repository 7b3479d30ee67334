//! Which API keys are active now, whatever configuration a call began with, and when
//! each was last used.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use super::OperationError;
use gatepost_identity::{ApiKeyError, ApiKeyId, ApiKeyStore, Caller, CallerKind, KeyUses, Now};

/// The API keys in the keys file as it is now. A call uses the configuration that
/// it began with, for minutes if a person is asked; a key that is revoked meanwhile
/// must not write any more.
#[derive(Debug, Default)]
pub struct ActiveKeys {
    current: ArcSwapOption<ApiKeyStore>,
    uses: KeyUses,
}

impl ActiveKeys {
    /// These keys; `None` if no file is configured or it does not exist.
    pub fn new(keys: Option<ApiKeyStore>) -> Self {
        Self {
            current: ArcSwapOption::from(keys.map(Arc::new)),
            uses: KeyUses::default(),
        }
    }

    /// Takes over the keys of a newer configuration.
    pub fn replace(&self, newer: &Self) {
        self.current.store(newer.current.load_full());
    }

    /// Takes over the keys of a newer keys file.
    pub fn replace_keys(&self, newer: ApiKeyStore) {
        self.current.store(Some(Arc::new(newer)));
    }

    /// The keys; none if there is no file.
    pub fn keys(&self) -> Arc<ApiKeyStore> {
        self.current.load_full().unwrap_or_default()
    }

    /// When each was last used.
    pub fn uses(&self) -> &KeyUses {
        &self.uses
    }

    /// Verifies a key, and records its use.
    ///
    /// # Errors
    /// [`ApiKeyError`].
    pub fn verify(&self, presented: &str, now: Timestamp) -> Result<Caller, ApiKeyError> {
        let keys = self.current.load();
        let caller = match &*keys {
            Some(keys) => keys.verify(presented, now)?,
            None => ApiKeyStore::default().verify(presented, now)?,
        };
        if let Ok(id) = ApiKeyId::try_from(caller.subject.as_str()) {
            self.uses.record(&id, now);
        }
        Ok(caller)
    }

    /// Whether the caller may continue: a caller without an API key may.
    pub fn is_active(&self, caller: &Caller) -> bool {
        if caller.kind != CallerKind::ApiKey {
            return true;
        }
        let now = Now::read().wall;
        let keys = self.current.load();
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
