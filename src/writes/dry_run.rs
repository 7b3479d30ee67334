//! The dry run of an import: Odoo tries the rows and rolls them back.

use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{Call, LoadResult, OdooError, Request, Schema};
use gatepost_odoo_client::CallError;

/// Has Odoo try an import and roll it back. Returns `false`, and sends nothing, if
/// a rollback cannot be guaranteed.
///
/// Rows that Odoo only warns about would not be imported as meant, so they are
/// errors, too.
///
/// # Errors
/// [`OperationError::InvalidArgument`] lists all invalid rows.
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
    let dry_run = Call::load(call.model().clone(), load.clone()).in_context(call.context().clone());
    let allowed = access.permit_write(dry_run).await?;
    let response = access
        .send_write(allowed, None, |response| async { response })
        .await?
        .map_err(|error| {
            if error.may_have_run() {
                OperationError::InvalidArgument("Odoo's response to the dry run was lost; nothing was imported, because a dry run is always rolled back. Try again with fewer rows, such as 200".to_owned())
            } else {
                error
            }
        })?;
    let loaded = LoadResult::parse(&response, &load)?;
    if let Some(ids) = &loaded.ids {
        // Should not happen: Odoo rolls everything back if one cell is wrong.
        tracing::error!(odoo.model = %call.model(), "Found that Odoo committed a dry run");
        return Err(OperationError::InvalidArgument(format!(
            "this Odoo did not roll back the dry run, and {} records exist now. Do not import them again, and tell the administrator. Their ids: {ids:?}",
            ids.len(),
        )));
    }
    if loaded.is_conflict() {
        return Err(CallError::from(OdooError::Conflict).into());
    }
    let mut problems = Vec::new();
    // Without details, the text says that Odoo gave none.
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
        "nothing was imported. Odoo tried the rows, and these are invalid (row 1 is the first of `rows`). Correct them or leave them out, and call again:\n{}",
        problems.join("\n")
    )))
}
