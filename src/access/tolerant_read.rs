//! Reading records although some of the fields cannot be read.

use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use serde_json::json;

use super::{OdooSession, OperationError};
use crate::render::Rows;
use gatepost_odoo::{Call, Context, Domain, FieldName, Order};
use gatepost_odoo_client::CallError;

/// Calls that the search for the unreadable fields may take.
const MAX_CALLS: u32 = 24;

/// The same records, read in one or several responses.
#[derive(Debug)]
pub struct PartialRead {
    /// The responses, each with some of the fields.
    pub responses: Vec<Bytes>,
    /// The fields that Odoo refused to read.
    pub unreadable_fields: Vec<FieldName>,
}

impl PartialRead {
    /// The size of the responses in bytes.
    pub fn size(&self) -> usize {
        self.responses.iter().map(Bytes::len).sum()
    }
}

impl OdooSession<'_> {
    /// Reads with the call that `call` makes of a list of fields. Odoo refuses
    /// the whole call because of one field, such as a relation to a model that
    /// the user may not read; then the other fields are read without it. A field
    /// that Odoo's access rights deny is left out of later reads at once.
    ///
    /// # Errors
    /// [`OperationError`], if not even the ids can be read or for another reason.
    pub async fn read_tolerantly(
        &self,
        fields: &[FieldName],
        call: impl Fn(&[FieldName]) -> Call,
    ) -> Result<PartialRead, OperationError> {
        let id = [FieldName::known("id")];
        // Odoo reads no fields as all fields. All parts must select the same
        // records as the whole.
        let call = |part: &[FieldName]| {
            let part = if part.is_empty() { &id } else { part };
            call(part).with_answer_fields(fields)
        };
        let whole = call(fields);
        let refusals = self.account()?.refusals();
        let refused = refusals.refused_fields(whole.model(), fields);
        let (first, requested) = if refused.is_empty() {
            (whole, Cow::Borrowed(fields))
        } else {
            let requested = fields.iter().filter(|name| !refused.contains(name));
            let requested: Vec<FieldName> = requested.cloned().collect();
            (call(&requested), Cow::Owned(requested))
        };
        let refusal = match self.call(first).await {
            Ok(answer) => {
                return Ok(PartialRead {
                    responses: vec![answer],
                    unreadable_fields: refused,
                });
            }
            Err(OperationError::Call(error))
                if error.may_be_one_field() && !requested.is_empty() =>
            {
                error
            }
            Err(error) => return Err(error),
        };
        let template = call(&id);
        // If even the ids alone fail, no field is to blame.
        let Ok(ids) = self.call(call(&id)).await else {
            return Err(OperationError::Call(refusal));
        };
        // Read these ids from now on: records created or deleted between the
        // calls must not appear to have empty fields.
        let found: Vec<i64> = Rows::parse(&ids)?.ids().collect();
        let domain = Domain::parse(&json!([["id", "in", found]]))?;
        let context = Context {
            include_archived: true,
            ..template.context().clone()
        };
        let limit = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let by_ids = |part: &[FieldName]| {
            Call::search_read(
                template.model().clone(),
                &domain,
                part,
                &Order::default(),
                0,
                limit,
            )
            .in_context(context.clone())
            .with_answer_fields(fields)
        };
        let mut reading = PartialRead {
            responses: vec![ids],
            unreadable_fields: refused,
        };
        let mut calls = 2;
        let mut denied_fields: Vec<FieldName> = Vec::new();
        let mut halves: VecDeque<&[FieldName]> = VecDeque::new();
        let mut split = |error: &CallError, part, halves: &mut _, unreadable: &mut Vec<_>| {
            let single = push_halves(halves, part);
            denied_fields.extend(single.filter(|_| error.is_lack_of_rights()).cloned());
            unreadable.extend(single.cloned());
        };
        split(
            &refusal,
            &requested,
            &mut halves,
            &mut reading.unreadable_fields,
        );
        while let Some(part) = halves.pop_front() {
            if calls == MAX_CALLS {
                reading.unreadable_fields.extend_from_slice(part);
                continue;
            }
            calls += 1;
            match self.call(by_ids(part)).await {
                Ok(answer) => reading.responses.push(answer),
                Err(OperationError::Call(error)) if error.may_be_one_field() => {
                    split(&error, part, &mut halves, &mut reading.unreadable_fields);
                }
                Err(error) => return Err(error),
            }
        }
        refusals.insert_fields(template.model(), &denied_fields);
        Ok(reading)
    }
}

/// Queues both halves of fields that failed, or returns the one that is to blame.
fn push_halves<'f>(
    halves: &mut VecDeque<&'f [FieldName]>,
    part: &'f [FieldName],
) -> Option<&'f FieldName> {
    if let [only] = part {
        return Some(only);
    }
    let (first, second) = part.split_at(part.len() / 2);
    halves.push_back(first);
    halves.push_back(second);
    None
}
