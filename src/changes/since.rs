//! What is known of how things were when a change was begun.

use jiff::{Timestamp, ToSpan as _};

use super::{Proposal, Shot, odoo_time};
use crate::access::{Access, Denied};
use gatepost_odoo::{Effect, RecordId};

/// How far Odoo's clock may be from ours, where only clocks can tell.
const CLOCKS_APART_MIN: i64 = 5;

/// What is known of how things were when a change was begun, of which the
/// answer was lost.
#[derive(Clone, PartialEq, Debug)]
pub struct Since {
    /// When, by our clock.
    pub at: Timestamp,
    /// The records, before a method was called on them; of large changes, and
    /// of all others, that is not kept.
    pub before: Shot,
    /// The stamp of the records that were to be written ([`Shot::stamp`]).
    pub stamp: Option<String>,
    /// The id of the newest record of the model of which the change makes some;
    /// 0 where there was none. Ids only grow, whatever clocks say.
    pub newest: Option<u32>,
}

impl Since {
    /// How things are now, right before a change begins.
    ///
    /// # Errors
    /// [`Denied`].
    pub(super) async fn now(access: &Access<'_>, proposal: &Proposal) -> Result<Self, Denied> {
        let does = |effect: Effect| proposal.calls.iter().any(|call| call.effect() == effect);
        // Of other changes the values say what came of them.
        let before = if does(Effect::Run) {
            proposal.before.clone()
        } else {
            Shot::default()
        };
        let stamp = if does(Effect::Write) {
            proposal.before.stamp()
        } else {
            None
        };
        let newest = match &proposal.makes {
            Some(model) => access.newest(model).await?,
            None => None,
        };
        Ok(Self {
            at: Timestamp::now(),
            before,
            stamp,
            newest,
        })
    }

    /// Nothing is known but when it was.
    pub fn moment(at: Timestamp) -> Self {
        Self {
            at,
            before: Shot::default(),
            stamp: None,
            newest: None,
        }
    }

    /// The earliest moment that Odoo's clock may have shown then.
    pub fn earliest(&self) -> Timestamp {
        let earliest = self.at.checked_sub(CLOCKS_APART_MIN.minutes());
        earliest.unwrap_or(self.at)
    }

    /// Whether nobody has written these records since. Odoo says when to the
    /// second by its clock, which may not be ours.
    pub fn left_alone(&self, now: &Shot, ids: &[RecordId]) -> bool {
        let (same, began) = match &self.stamp {
            Some(stamp) => {
                let began = self.at.checked_sub(2.seconds()).unwrap_or(self.at);
                (now.stamp().as_ref() == Some(stamp), began)
            }
            None => (true, self.earliest()),
        };
        let began = odoo_time(began);
        same && ids.iter().all(|id| {
            let row = now.row(*id);
            row.and_then(|row| row.get("write_date")?.as_str())
                .is_some_and(|written| *written < *began)
        })
    }
}
