//! What shows whether a change was made, of which the answer was lost.
//!
//! Asked with the login alone: what policy hides from the caller must not look
//! as if it were not there, else a change is made a second time. Only ids come
//! of it, and only `changes` asks, for a change that the caller was allowed.

use serde::Deserialize;

use super::{OdooSession, OperationError};
use crate::render::Rows;
use gatepost_odoo::{
    CreatedAfter, CreatedRecordsQuery, ModelName, OdooError, RecordId, SystemQuery,
};
use gatepost_odoo_client::CallError;

/// What is left of records that were to be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExistingRecords {
    /// All of them exist.
    All,
    /// At least one exists that this Odoo user may not see (any more).
    Hidden,
    /// None of them exists.
    None,
    /// So many exist.
    Some(usize),
}

impl OdooSession<'_> {
    /// The id of the newest record of the model, as far as this Odoo user sees
    /// it; 0 where there is none. Nothing where Odoo does not tell.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn newest_id(&self, model: &ModelName) -> Result<Option<u32>, OperationError> {
        let found = self.query_ids(&SystemQuery::Newest(model.clone())).await?;
        Ok(found.map(|ids| ids.first().map_or(0, |id| id.get())))
    }

    /// The records of the model that our Odoo user made, the oldest first; with
    /// `on`, only messages and the like of that record. Nothing where Odoo does
    /// not tell: the user may not read such records, or the model does not note
    /// who made them.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn created_by_us(
        &self,
        model: &ModelName,
        (after, limit): (CreatedAfter, u32),
        on: Option<(ModelName, RecordId)>,
    ) -> Result<Option<Vec<RecordId>>, OperationError> {
        let inquiry = SystemQuery::CreatedRecords(CreatedRecordsQuery {
            model: model.clone(),
            creator: self.user().await?.id,
            after,
            attached_to: on,
            limit,
        });
        self.query_ids(&inquiry).await
    }

    /// What is left of these records. Nothing where Odoo does not tell.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn existing_records(
        &self,
        model: &ModelName,
        ids: &[RecordId],
    ) -> Result<Option<ExistingRecords>, OperationError> {
        let inquiry = SystemQuery::Existing(model.clone(), ids.to_vec());
        let answer = match self.run_system_query(&inquiry).await {
            Ok(answer) => answer,
            Err(OperationError::Call(error))
                if matches!(*error, CallError::Fault(OdooError::Access(_))) =>
            {
                return Ok(Some(ExistingRecords::Hidden));
            }
            Err(OperationError::Call(error)) if error.is_fault() => return Ok(None),
            Err(denied) => return Err(denied),
        };
        let there = Rows::parse(&answer)?.ids().count();
        Ok(Some(match there {
            0 => ExistingRecords::None,
            _ if there == ids.len() => ExistingRecords::All,
            _ => ExistingRecords::Some(there),
        }))
    }

    async fn query_ids(
        &self,
        inquiry: &SystemQuery,
    ) -> Result<Option<Vec<RecordId>>, OperationError> {
        #[derive(Deserialize)]
        struct Row {
            id: RecordId,
        }
        let answer = match self.run_system_query(inquiry).await {
            Ok(answer) => answer,
            Err(OperationError::Call(error)) if error.is_fault() => return Ok(None),
            Err(denied) => return Err(denied),
        };
        let rows: Vec<Row> = serde_json::from_slice(&answer)?;
        Ok(Some(rows.into_iter().map(|row| row.id).collect()))
    }
}
