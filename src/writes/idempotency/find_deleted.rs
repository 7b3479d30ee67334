//! Whether records that were to be deleted are gone.

use crate::access::{ExistingRecords, OdooSession, OperationError};
use crate::writes::RecoveredOutcome;
use gatepost_odoo::{ModelName, RecordId};

/// What came of the deletion of these records, from what Odoo has now. A record
/// that is hidden is not gone.
///
/// # Errors
/// [`Denied`].
pub async fn find_deleted(
    access: &OdooSession<'_>,
    model: &ModelName,
    ids: &[RecordId],
) -> Result<RecoveredOutcome, OperationError> {
    Ok(match access.existing_records(model, ids).await? {
        Some(ExistingRecords::None) => RecoveredOutcome::Done(ids.to_vec()),
        Some(ExistingRecords::All) => RecoveredOutcome::NotDone,
        Some(ExistingRecords::Some(count)) => RecoveredOutcome::Unclear(format!(
            "some of the records are still there, {count} of {}.",
            ids.len()
        )),
        Some(ExistingRecords::Hidden) => RecoveredOutcome::Unclear(
            "this Odoo user may not see all of the records any more; tell the user to look in Odoo."
                .to_owned(),
        ),
        None => RecoveredOutcome::Unclear(
            "Odoo does not let this user look; tell the user to look in Odoo.".to_owned(),
        ),
    })
}
