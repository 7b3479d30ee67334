//! Answers of people that come to another replica than the one that asked.
//!
//! The call that waits leaves word in the ledger that it does, and looks there.
//! Only an answer to what stands there is written: one that nobody waits for
//! costs one look.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{Asker, Unasked};
use gatepost_base::{CredentialName, RoleName};
use gatepost_mcp::elicitation::{Consent, QuestionId};
use gatepost_state::store::{Key, Kind, Ledger, LedgerError};

/// How often a call looks. People are slow.
const LOOK: Duration = Duration::from_millis(700);

/// What stands in the ledger while nobody has answered.
const OPEN: &[u8] = b"open";

/// An answer, and what who gave it may do.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// What was said; none where the client answered with an error.
    consent: Option<Consent>,
    roles: Vec<RoleName>,
    credential: Option<CredentialName>,
}

/// Leaves word that a call waits for so long, and gives the answer when it
/// comes. Never, where replicas share nothing, or cannot now.
pub(super) async fn wait(
    ledger: &Arc<Ledger>,
    id: QuestionId,
    asker: &Asker,
    patience: Duration,
) -> Result<Consent, Unasked> {
    let key = key(id, asker);
    if !ledger.is_shared()
        || ledger
            .put(&key, Bytes::from_static(OPEN), patience)
            .await
            .is_err()
    {
        return std::future::pending().await;
    }
    loop {
        sleep(LOOK).await;
        // It may be away for a moment; the answer may also come here.
        let Ok(Some(found)) = ledger.get(&key).await else {
            continue;
        };
        if found == OPEN {
            continue;
        }
        drop(ledger.take(&key).await);
        let answer: Option<Answer> = serde_json::from_slice(&found).ok();
        return match answer {
            Some(answer) if !asker.may(&answer.roles, answer.credential.as_ref()) => {
                Err(Unasked::Changed)
            }
            Some(answer) => answer.consent.ok_or(Unasked::Unanswered),
            None => Err(Unasked::Unanswered),
        };
    }
}

/// Whether a call of this asker waits in another replica.
pub async fn is_awaited(ledger: &Ledger, id: QuestionId, asker: &Asker) -> bool {
    ledger.is_shared()
        && matches!(ledger.get(&key(id, asker)).await, Ok(Some(found)) if found == OPEN)
}

/// Leaves an answer for the call that waits for it, once.
///
/// # Errors
/// [`LedgerError`].
pub async fn leave(
    ledger: &Ledger,
    id: QuestionId,
    asker: &Asker,
    consent: Option<Consent>,
) -> Result<bool, LedgerError> {
    let (roles, credential) = asker.means();
    let answer = Answer {
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
        .replace(&key(id, asker), OPEN, written.into(), ttl)
        .await
}

fn key(id: QuestionId, asker: &Asker) -> Key {
    let id = id.to_string();
    let mut parts = vec![id.as_bytes()];
    let who = asker.who();
    parts.extend(who.iter().map(|part| part.as_bytes()));
    Key::new(Kind::Answer, &parts)
}
