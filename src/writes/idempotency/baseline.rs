//! What is known of how things were when a change was begun.

use jiff::{Timestamp, ToSpan as _};

use crate::access::{OdooSession, OperationError};
use crate::{
    access::RecordSnapshot,
    writes::{WritePlan, odoo_time},
};
use gatepost_odoo::{Operation, RecordId};

/// How far Odoo's clock may be from ours, where only clocks can tell.
const MAX_CLOCK_SKEW_MINUTES: i64 = 5;

/// What is known of how things were when a change was begun, of which the
/// answer was lost.
#[derive(Clone, PartialEq, Debug)]
pub struct Baseline {
    /// When, by our clock.
    pub taken_at: Timestamp,
    /// The records, before a method was called on them; of large changes, and
    /// of all others, that is not kept.
    pub before: RecordSnapshot,
    /// The stamp of the records that were to be written ([`Shot::stamp`]).
    pub write_date_digest: Option<String>,
    /// The id of the newest record of the model of which the change makes some;
    /// 0 where there was none. Ids only grow, whatever clocks say.
    pub newest_id: Option<u32>,
}

impl Baseline {
    /// How things are now, right before a change begins.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) async fn capture(
        access: &OdooSession<'_>,
        proposal: &WritePlan,
    ) -> Result<Self, OperationError> {
        let does = |effect: Operation| proposal.calls.iter().any(|call| call.operation() == effect);
        // Of other changes the values say what came of them.
        let before = if does(Operation::Call) {
            proposal.before.clone()
        } else {
            RecordSnapshot::default()
        };
        let stamp = if does(Operation::Write) {
            proposal.before.write_date_digest()
        } else {
            None
        };
        let newest = match &proposal.created_model {
            Some(model) => access.newest_id(model).await?,
            None => None,
        };
        Ok(Self {
            taken_at: Timestamp::now(),
            before,
            write_date_digest: stamp,
            newest_id: newest,
        })
    }

    /// Nothing is known but when it was.
    pub fn time_only(taken_at: Timestamp) -> Self {
        Self {
            taken_at,
            before: RecordSnapshot::default(),
            write_date_digest: None,
            newest_id: None,
        }
    }

    /// The earliest moment that Odoo's clock may have shown then.
    pub fn earliest_odoo_time(&self) -> Timestamp {
        let earliest = self.taken_at.checked_sub(MAX_CLOCK_SKEW_MINUTES.minutes());
        earliest.unwrap_or(self.taken_at)
    }

    /// Whether nobody has written these records since. Odoo says when to the
    /// second by its clock, which may not be ours.
    pub fn is_unchanged(&self, now: &RecordSnapshot, ids: &[RecordId]) -> bool {
        let (same, began) = match &self.write_date_digest {
            Some(stamp) => {
                let began = self
                    .taken_at
                    .checked_sub(2.seconds())
                    .unwrap_or(self.taken_at);
                (now.write_date_digest().as_ref() == Some(stamp), began)
            }
            None => (true, self.earliest_odoo_time()),
        };
        let began = odoo_time(began);
        same && ids.iter().all(|id| {
            let row = now.row(*id);
            row.and_then(|row| row.get("write_date")?.as_str())
                .is_some_and(|written| *written < *began)
        })
    }
}
