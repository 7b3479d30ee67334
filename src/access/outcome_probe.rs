//! Queries that show whether a write was done whose response was lost.
//!
//! They bypass the policy's row filters: a record that the policy hides from
//! the caller must not be taken for missing, or the write is repeated.
//! They return only ids, and only `writes` uses them, for writes that the caller
//! was permitted to make.

use serde::Deserialize;

use super::{OdooSession, OperationError, error::NoneIfFault};
use gatepost_odoo::{
    CreatedAfter, CreatedRecordsQuery, ModelName, OdooError, RecordId, SystemQuery,
};
use gatepost_odoo_client::CallError;

/// Which of the records that were to be deleted still exist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExistingRecords {
    /// At least one exists that this Odoo user may not see, or no longer.
    Hidden,
    /// These exist, and the others do not.
    These(Vec<RecordId>),
}

impl OdooSession<'_> {
    /// Returns the id of the newest record of the model that this Odoo user may
    /// see, 0 if there is none, or `None` if Odoo refuses the query.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn newest_id(&self, model: &ModelName) -> Result<Option<u32>, OperationError> {
        let found = self.query_ids(&SystemQuery::Newest(model.clone())).await?;
        Ok(found.map(|ids| ids.first().map_or(0, |id| id.get())))
    }

    /// Returns the records of the model that this Odoo user created, oldest
    /// first; with `attached_to`, only messages and the like of that record.
    /// `None` if Odoo refuses the query: the user may not read such records, or
    /// the model does not store who created them.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn created_by_us(
        &self,
        model: &ModelName,
        (after, limit): (CreatedAfter, u32),
        attached_to: Option<(ModelName, RecordId)>,
    ) -> Result<Option<Vec<RecordId>>, OperationError> {
        let query = SystemQuery::CreatedRecords(CreatedRecordsQuery {
            model: model.clone(),
            creator: self.user().await?.id,
            after,
            attached_to,
            limit,
        });
        self.query_ids(&query).await
    }

    /// Returns which of these records exist, or `None` if Odoo refuses the query.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn existing_records(
        &self,
        model: &ModelName,
        ids: &[RecordId],
    ) -> Result<Option<ExistingRecords>, OperationError> {
        let query = SystemQuery::Existing(model.clone(), ids.to_vec());
        let answer = match self.run_system_query(&query).await {
            Ok(answer) => answer,
            Err(OperationError::Call(error))
                if matches!(*error, CallError::Fault(OdooError::Access(_))) =>
            {
                return Ok(Some(ExistingRecords::Hidden));
            }
            Err(error) if error.is_fault() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(ExistingRecords::These(ids_of_rows(&answer)?)))
    }

    async fn query_ids(
        &self,
        query: &SystemQuery,
    ) -> Result<Option<Vec<RecordId>>, OperationError> {
        let answer = self.run_system_query(query).await.none_if_fault()?;
        answer.map(|answer| ids_of_rows(&answer)).transpose()
    }
}

fn ids_of_rows(answer: &[u8]) -> Result<Vec<RecordId>, OperationError> {
    #[derive(Deserialize)]
    struct IdRow {
        id: RecordId,
    }
    let rows: Vec<IdRow> = serde_json::from_slice(answer)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
