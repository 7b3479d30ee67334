//! Responses that arrive at another replica than the one that asked.
//!
//! The waiting call stores a marker and polls it. A replica that gets a response
//! replaces the marker; a response to a request that is not pending costs one
//! read.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{ElicitationError, ElicitationOwner};
use gatepost_base::{CredentialName, RoleName};
use gatepost_mcp::elicitation::{ElicitAction, ElicitationId};
use gatepost_state::store::{StateStore, StoreError, StoreKey, StoreKeyKind};

/// How often a waiting call polls. People are slow.
const POLL_INTERVAL: Duration = Duration::from_millis(700);

/// The stored marker of a request without a response.
const PENDING: &[u8] = b"open";

/// A response, with the permissions of the caller who sent it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredResponse {
    /// `None` if the client responded with an error.
    consent: Option<ElicitAction>,
    roles: Vec<RoleName>,
    credential: Option<CredentialName>,
}

/// Stores that a call waits, for at most `timeout`, and returns the response when
/// it arrives. Never returns if the store is not shared or unavailable.
pub(crate) async fn wait_for_response(
    store: &Arc<StateStore>,
    id: ElicitationId,
    owner: &ElicitationOwner,
    timeout: Duration,
) -> Result<ElicitAction, ElicitationError> {
    let key = key(id, owner);
    if !store.is_shared()
        || store
            .put(&key, Bytes::from_static(PENDING), timeout)
            .await
            .is_err()
    {
        return std::future::pending().await;
    }
    loop {
        sleep(POLL_INTERVAL).await;
        // The store may be unavailable for a moment, and the response may arrive here.
        let Ok(Some(found)) = store.get(&key).await else {
            continue;
        };
        if found == PENDING {
            continue;
        }
        drop(store.get_and_delete(&key).await);
        let response: Option<StoredResponse> = serde_json::from_slice(&found).ok();
        return match response {
            Some(response)
                if !owner.has_permissions(&response.roles, response.credential.as_ref()) =>
            {
                Err(ElicitationError::PermissionsChanged)
            }
            Some(response) => response.consent.ok_or(ElicitationError::InvalidResponse),
            None => Err(ElicitationError::InvalidResponse),
        };
    }
}

/// Returns whether a call of this owner waits in another replica.
pub async fn is_pending(store: &StateStore, id: ElicitationId, owner: &ElicitationOwner) -> bool {
    store.is_shared()
        && matches!(store.get(&key(id, owner)).await, Ok(Some(found)) if found == PENDING)
}

/// Stores a response for the call that waits for it, once. Returns whether it
/// was waiting.
///
/// # Errors
/// [`StoreError`].
pub async fn post_response(
    store: &StateStore,
    id: ElicitationId,
    owner: &ElicitationOwner,
    consent: Option<ElicitAction>,
) -> Result<bool, StoreError> {
    let (roles, credential) = owner.permissions();
    let response = StoredResponse {
        consent,
        roles: roles.to_vec(),
        credential: credential.cloned(),
    };
    let Ok(written) = serde_json::to_vec(&response) else {
        return Ok(false);
    };
    // The waiting call reads it within moments, or is gone.
    let ttl = Duration::from_mins(1);
    store
        .compare_and_swap(&key(id, owner), PENDING, written.into(), ttl)
        .await
}

fn key(id: ElicitationId, owner: &ElicitationOwner) -> StoreKey {
    let id = id.to_string();
    let mut parts = vec![id.as_bytes()];
    let identity = owner.identity_parts();
    parts.extend(identity.iter().map(|part| part.as_bytes()));
    StoreKey::new(StoreKeyKind::ElicitationAnswer, &parts)
}
