//! A table that Odoo tries and takes back.

use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{Call, LoadResult, OdooError, Request, Schema};
use gatepost_odoo_client::CallError;

/// Has Odoo try to load a table and take it back; false where that cannot be
/// made sure, and so nothing was sent.
///
/// What Odoo only warns of it would do otherwise than it was meant, and so it
/// does not fit either.
///
/// # Errors
/// [`Denied::Unfit`] with all rows that do not fit.
pub async fn dry_run_import(
    access: &OdooSession<'_>,
    call: &Call,
    schema: &Schema,
) -> Result<bool, OperationError> {
    let Request::Load(load) = call.request() else {
        return Ok(false);
    };
    let Some(load) = load.clone().into_dry_run(schema) else {
        return Ok(false);
    };
    let tried = Call::load(call.model().clone(), load.clone()).in_context(call.context().clone());
    let allowed = access.permit_write(tried).await?;
    let answer = access
        .send_write(allowed, None, |answer| async { answer })
        .await?
        .map_err(|denied| {
            if denied.may_have_run() {
                OperationError::InvalidArgument("Odoo's answer to the trial did not come; nothing was imported, for a trial is always taken back. Try again with fewer rows, such as 200".to_owned())
            } else {
                denied
            }
        })?;
    let loaded = LoadResult::parse(&answer, &load)?;
    if let Some(ids) = &loaded.ids {
        // Cannot be: Odoo takes all back where one cell is wrong.
        tracing::error!(odoo.model = %call.model(), "Odoo kept what it was to try only");
        return Err(OperationError::InvalidArgument(format!(
            "this Odoo did not take its trial back, and {} records are there now; do not import them again, and tell the administrator. Their ids: {ids:?}",
            ids.len(),
        )));
    }
    if loaded.is_conflict() {
        return Err(CallError::from(OdooError::Conflict).into());
    }
    let mut problems = Vec::new();
    // Without any that Odoo names it says so itself.
    if !loaded.problems.is_empty() || !loaded.dry_run_confirmed {
        problems.push(loaded.problems.to_string());
    }
    if !loaded.warnings.is_empty() {
        problems.push(loaded.warnings.to_string());
    }
    if problems.is_empty() {
        return Ok(true);
    }
    Err(OperationError::InvalidArgument(format!(
        "nothing was imported. Odoo tried it, and these rows do not fit (row 1 is the first of `rows`); correct them, or leave them out, and call again:\n{}",
        problems.join("\n")
    )))
}
