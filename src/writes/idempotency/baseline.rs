//! The state right before a write, from which its outcome can be found out.

use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::odoo_time;
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    writes::WritePlan,
};
use gatepost_odoo::{Operation, RecordId};
use gatepost_state::store::StoreTime;

/// How far Odoo's clock may be from ours, if only times can be compared.
const MAX_CLOCK_SKEW_MINUTES: i64 = 5;

/// The state right before a write, as it is stored with a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// When it was taken, by our clock. Only compared with times of Odoo.
    #[serde(rename = "begun")]
    pub taken_at: Timestamp,
    /// When it was taken, by the clock of the store, which decides how old it is.
    #[serde(rename = "at", default)]
    pub begun_at: StoreTime,
    /// The records that a method is called on; empty for other writes, whose values
    /// show what came of them, and if they are too large to store.
    #[serde(default, skip_serializing_if = "RecordSnapshot::is_empty")]
    pub before: RecordSnapshot,
    /// The digest of when the records were written last
    /// ([`RecordSnapshot::write_date_digest`]).
    #[serde(rename = "stamp", default, skip_serializing_if = "Option::is_none")]
    pub write_date_digest: Option<String>,
    /// The id of the newest record of the model in which the write creates some;
    /// 0 if there was none. Ids only grow, whatever clocks say.
    #[serde(rename = "newest", default, skip_serializing_if = "Option::is_none")]
    pub newest_id: Option<u32>,
}

impl Baseline {
    /// Takes the state right before a write.
    pub(crate) async fn capture(
        access: &OdooSession<'_>,
        plan: &WritePlan,
    ) -> Result<Self, OperationError> {
        let does = |operation: Operation| {
            let mut calls = plan.calls.iter();
            calls.any(|call| call.operation() == operation)
        };
        let mut baseline = Self::time_only(Timestamp::now());
        if does(Operation::Call) {
            baseline.before = plan.before.clone();
        }
        if does(Operation::Write) {
            baseline.write_date_digest = plan.before.write_date_digest();
        }
        if let Some(model) = &plan.created_model {
            baseline.newest_id = access.newest_id(model).await?;
            baseline.taken_at = Timestamp::now();
        }
        Ok(baseline)
    }

    /// A baseline that knows only the time.
    pub fn time_only(taken_at: Timestamp) -> Self {
        Self {
            taken_at,
            begun_at: StoreTime::default(),
            before: RecordSnapshot::default(),
            write_date_digest: None,
            newest_id: None,
        }
    }

    /// The earliest time that Odoo's clock may have shown then.
    pub fn earliest_odoo_time(&self) -> Timestamp {
        let earliest = self.taken_at.checked_sub(MAX_CLOCK_SKEW_MINUTES.minutes());
        earliest.unwrap_or(self.taken_at)
    }

    /// Whether these records were not written since. Odoo records that to the
    /// second, by its own clock. Not known without the earlier times, because clocks
    /// may differ by any amount.
    pub fn is_unchanged(&self, now: &RecordSnapshot, ids: &[RecordId]) -> bool {
        let began = self.taken_at.checked_sub(2.seconds());
        let began = odoo_time(began.unwrap_or(self.taken_at));
        let digest = now.write_date_digest();
        digest.is_some()
            && digest == self.write_date_digest
            && ids.iter().all(|id| {
                let row = now.row(*id);
                row.and_then(|row| row.get("write_date")?.as_str())
                    .is_some_and(|written| *written < *began)
            })
    }
}
