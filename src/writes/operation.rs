//! What a tool that changes records has to implement.

use std::{future::Future, time::Duration};

use super::{Baseline, CompletedWrite, RecoveredOutcome, Report, WritePlan};
use crate::access::{OdooSession, OperationError};

/// One kind of write, with the arguments of one tool call.
///
/// It says only what to do and how to see whether it was done. Permission,
/// approval, idempotency, audit and undo are the same for all of them
/// ([`execute`](super::execute())).
pub trait WriteOperation: Sync {
    /// Validates the arguments against the records as they are now, and plans
    /// the calls. Called again if a person took time to approve.
    fn plan(
        &self,
        access: &OdooSession<'_>,
    ) -> impl Future<Output = Result<WritePlan, OperationError>> + Send;

    /// Finds out from Odoo's records whether a write whose response was lost was
    /// done. `plan` is `None` if an earlier call sent it.
    fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        baseline: &Baseline,
    ) -> impl Future<Output = Result<RecoveredOutcome, OperationError>> + Send;

    /// Reads the records after the write and describes them for the model.
    /// `plan` is `None` if an earlier call sent it.
    fn summarize(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> impl Future<Output = Result<Report, OperationError>> + Send;
}

/// How long Odoo may work on a call after the connection was lost. Odoo's own
/// limit is two minutes by default (`limit_time_real`).
pub(super) const MAX_ODOO_WORK_TIME: Duration = Duration::from_secs(150);
