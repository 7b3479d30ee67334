//! Finds out whether records were deleted.

use crate::{
    access::{ExistingRecords, OdooSession, OperationError},
    writes::RecoveredOutcome,
};
use gatepost_odoo::{ModelName, RecordId};

/// Finds out whether these records were deleted. A hidden record is not deleted.
pub async fn find_deleted(
    access: &OdooSession<'_>,
    model: &ModelName,
    ids: &[RecordId],
) -> Result<RecoveredOutcome, OperationError> {
    let text = match access.existing_records(model, ids).await? {
        Some(ExistingRecords::These(existing)) => match existing.len() {
            0 => return Ok(RecoveredOutcome::Done(ids.to_vec())),
            all if all == ids.len() => return Ok(RecoveredOutcome::NotDone),
            count => format!("{count} of the {} records still exist.", ids.len()),
        },
        Some(ExistingRecords::Hidden) => {
            "this Odoo user may not see all of the records any more. Ask the user to check in Odoo."
                .to_owned()
        }
        None => {
            "this Odoo user may not read the records. Ask the user to check in Odoo.".to_owned()
        }
    };
    Ok(RecoveredOutcome::Unclear(text))
}
