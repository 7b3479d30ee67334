//! Answers of people that come to another replica than the one that asked.
//!
//! The call that waits leaves word in the ledger that it does, and looks there.
//! Only an answer to what stands there is written: one that nobody waits for
//! costs one look.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{ElicitationError, ElicitationOwner};
use gatepost_base::{CredentialName, RoleName};
use gatepost_mcp::elicitation::{ElicitAction, ElicitationId};
use gatepost_state::store::{StateStore, StoreError, StoreKey, StoreKeyKind};

/// How often a call looks. People are slow.
const POLL_INTERVAL: Duration = Duration::from_millis(700);

/// What stands in the ledger while nobody has answered.
const PENDING: &[u8] = b"open";

/// An answer, and what who gave it may do.
#[derive(Debug, Serialize, Deserialize)]
struct StoredResponse {
    /// What was said; none where the client answered with an error.
    consent: Option<ElicitAction>,
    roles: Vec<RoleName>,
    credential: Option<CredentialName>,
}

/// Leaves word that a call waits for so long, and gives the answer when it
/// comes. Never, where replicas share nothing, or cannot now.
pub(crate) async fn wait_for_response(
    ledger: &Arc<StateStore>,
    id: ElicitationId,
    asker: &ElicitationOwner,
    patience: Duration,
) -> Result<ElicitAction, ElicitationError> {
    let key = key(id, asker);
    if !ledger.is_shared()
        || ledger
            .put(&key, Bytes::from_static(PENDING), patience)
            .await
            .is_err()
    {
        return std::future::pending().await;
    }
    loop {
        sleep(POLL_INTERVAL).await;
        // It may be away for a moment; the answer may also come here.
        let Ok(Some(found)) = ledger.get(&key).await else {
            continue;
        };
        if found == PENDING {
            continue;
        }
        drop(ledger.get_and_delete(&key).await);
        let answer: Option<StoredResponse> = serde_json::from_slice(&found).ok();
        return match answer {
            Some(answer) if !asker.has_permissions(&answer.roles, answer.credential.as_ref()) => {
                Err(ElicitationError::PermissionsChanged)
            }
            Some(answer) => answer.consent.ok_or(ElicitationError::InvalidResponse),
            None => Err(ElicitationError::InvalidResponse),
        };
    }
}

/// Whether a call of this asker waits in another replica.
pub async fn is_pending(ledger: &StateStore, id: ElicitationId, asker: &ElicitationOwner) -> bool {
    ledger.is_shared()
        && matches!(ledger.get(&key(id, asker)).await, Ok(Some(found)) if found == PENDING)
}

/// Leaves an answer for the call that waits for it, once.
///
/// # Errors
/// [`LedgerError`].
pub async fn post_response(
    ledger: &StateStore,
    id: ElicitationId,
    asker: &ElicitationOwner,
    consent: Option<ElicitAction>,
) -> Result<bool, StoreError> {
    let (roles, credential) = asker.permissions();
    let answer = StoredResponse {
        consent,
        roles: roles.to_vec(),
        credential: credential.cloned(),
    };
    let Ok(written) = serde_json::to_vec(&answer) else {
        return Ok(false);
    };
    // It is taken within moments, or nobody waits any more.
    let ttl = Duration::from_mins(1);
    ledger
        .compare_and_swap(&key(id, asker), PENDING, written.into(), ttl)
        .await
}

fn key(id: ElicitationId, asker: &ElicitationOwner) -> StoreKey {
    let id = id.to_string();
    let mut parts = vec![id.as_bytes()];
    let who = asker.identity_parts();
    parts.extend(who.iter().map(|part| part.as_bytes()));
    StoreKey::new(StoreKeyKind::ElicitationAnswer, &parts)
}
