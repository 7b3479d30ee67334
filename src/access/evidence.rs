//! What shows whether a change was made, of which the answer was lost.
//!
//! Asked with the login alone: what policy hides from the caller must not look
//! as if it were not there, else a change is made a second time. Only ids come
//! of it, and only `changes` asks, for a change that the caller was allowed.

use serde::Deserialize;

use super::{Access, Denied};
use crate::shape::Rows;
use gatepost_odoo::{After, Fault, Inquiry, Made, ModelName, RecordId};
use gatepost_odoo_client::CallError;

/// What is left of records that were to be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remains {
    /// All of them exist.
    All,
    /// At least one exists that this Odoo user may not see (any more).
    Hidden,
    /// None of them exists.
    None,
    /// So many exist.
    Some(usize),
}

impl Access<'_> {
    /// The id of the newest record of the model, as far as this Odoo user sees
    /// it; 0 where there is none. Nothing where Odoo does not tell.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn newest(&self, model: &ModelName) -> Result<Option<u32>, Denied> {
        let found = self.ids(&Inquiry::Newest(model.clone())).await?;
        Ok(found.map(|ids| ids.first().map_or(0, |id| id.get())))
    }

    /// The records of the model that our Odoo user made, the oldest first; with
    /// `on`, only messages and the like of that record. Nothing where Odoo does
    /// not tell: the user may not read such records, or the model does not note
    /// who made them.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn made(
        &self,
        model: &ModelName,
        (after, limit): (After, u32),
        on: Option<(ModelName, RecordId)>,
    ) -> Result<Option<Vec<RecordId>>, Denied> {
        let inquiry = Inquiry::Made(Made {
            model: model.clone(),
            by: self.user().await?.id,
            after,
            on,
            limit,
        });
        self.ids(&inquiry).await
    }

    /// What is left of these records. Nothing where Odoo does not tell.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn remains(
        &self,
        model: &ModelName,
        ids: &[RecordId],
    ) -> Result<Option<Remains>, Denied> {
        let inquiry = Inquiry::Remains(model.clone(), ids.to_vec());
        let answer = match self.inquire(&inquiry).await {
            Ok(answer) => answer,
            Err(Denied::Call(error)) if matches!(*error, CallError::Fault(Fault::Access(_))) => {
                return Ok(Some(Remains::Hidden));
            }
            Err(Denied::Call(error)) if error.is_fault() => return Ok(None),
            Err(denied) => return Err(denied),
        };
        let there = Rows::parse(&answer)?.ids().count();
        Ok(Some(match there {
            0 => Remains::None,
            _ if there == ids.len() => Remains::All,
            _ => Remains::Some(there),
        }))
    }

    async fn ids(&self, inquiry: &Inquiry) -> Result<Option<Vec<RecordId>>, Denied> {
        #[derive(Deserialize)]
        struct Row {
            id: RecordId,
        }
        let answer = match self.inquire(inquiry).await {
            Ok(answer) => answer,
            Err(Denied::Call(error)) if error.is_fault() => return Ok(None),
            Err(denied) => return Err(denied),
        };
        let rows: Vec<Row> = serde_json::from_slice(&answer)?;
        Ok(Some(rows.into_iter().map(|row| row.id).collect()))
    }
}
