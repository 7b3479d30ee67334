//! Whether records that were to be deleted are gone.

use super::Found;
use crate::access::{Access, Denied, Remains};
use gatepost_odoo::{ModelName, RecordId};

/// What came of the deletion of these records, from what Odoo has now. A record
/// that is hidden is not gone.
///
/// # Errors
/// [`Denied`].
pub async fn gone(
    access: &Access<'_>,
    model: &ModelName,
    ids: &[RecordId],
) -> Result<Found, Denied> {
    Ok(match access.remains(model, ids).await? {
        Some(Remains::None) => Found::Done(ids.to_vec()),
        Some(Remains::All) => Found::Not,
        Some(Remains::Some(count)) => Found::Unclear(format!(
            "some of the records are still there, {count} of {}.",
            ids.len()
        )),
        Some(Remains::Hidden) => Found::Unclear(
            "this Odoo user may not see all of the records any more; tell the user to look in Odoo."
                .to_owned(),
        ),
        None => Found::Unclear(
            "Odoo does not let this user look; tell the user to look in Odoo.".to_owned(),
        ),
    })
}
