//! Reading records, also when one of the fields cannot be read.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::json;

use super::{OdooSession, OperationError};
use crate::render::Rows;
use gatepost_odoo::{Call, Context, Domain, FieldName, Order};

/// Calls that looking for the unreadable fields may take.
const MAX_CALLS: u32 = 24;

/// What was read of the same records, in one or several answers.
#[derive(Debug)]
pub struct PartialRead {
    /// The answers: each has the same records with some of the fields.
    pub responses: Vec<Bytes>,
    /// The fields that Odoo would not give.
    pub unreadable_fields: Vec<FieldName>,
}

impl OdooSession<'_> {
    /// Reads by `call`, which is given the fields to read. When Odoo refuses
    /// the whole because of one field, as it does for a relation to a model
    /// the user may not read, the others are read without it.
    ///
    /// # Errors
    /// [`Denied`] when not even the ids can be read, or for any other reason.
    pub async fn read_tolerantly(
        &self,
        fields: &[FieldName],
        call: impl Fn(&[FieldName]) -> Call,
    ) -> Result<PartialRead, OperationError> {
        let id = [FieldName::known("id")];
        // Odoo takes no field for every field. A part of it is about no other
        // records than the whole.
        let call = |part: &[FieldName]| {
            let part = if part.is_empty() { &id } else { part };
            call(part).with_answer_fields(fields)
        };
        let refused = match self.call(call(fields)).await {
            Ok(answer) => {
                return Ok(PartialRead {
                    responses: vec![answer],
                    unreadable_fields: Vec::new(),
                });
            }
            Err(OperationError::Call(error)) if error.may_be_one_field() && !fields.is_empty() => {
                error
            }
            Err(denied) => return Err(denied),
        };
        // Only the ids: if that fails too, the fields are not to blame.
        let Ok(ids) = self.call(call(&id)).await else {
            return Err(OperationError::Call(refused));
        };
        // From here on by these ids: records that come or go between the calls
        // must not look as if their fields were empty.
        let template = call(&id);
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
            unreadable_fields: Vec::new(),
        };
        let mut calls = 2;
        let mut halves: VecDeque<&[FieldName]> = VecDeque::new();
        push_halves(&mut halves, fields, &mut reading.unreadable_fields);
        while let Some(part) = halves.pop_front() {
            if calls == MAX_CALLS {
                reading.unreadable_fields.extend_from_slice(part);
                continue;
            }
            calls += 1;
            match self.call(by_ids(part)).await {
                Ok(answer) => reading.responses.push(answer),
                Err(OperationError::Call(error)) if error.may_be_one_field() => {
                    push_halves(&mut halves, part, &mut reading.unreadable_fields);
                }
                Err(denied) => return Err(denied),
            }
        }
        Ok(reading)
    }
}

/// Both halves of a part that failed, or the one field that is to blame.
fn push_halves<'f>(
    halves: &mut VecDeque<&'f [FieldName]>,
    part: &'f [FieldName],
    left_out: &mut Vec<FieldName>,
) {
    if let [only] = part {
        left_out.push(only.clone());
        return;
    }
    let (first, second) = part.split_at(part.len() / 2);
    halves.push_back(first);
    halves.push_back(second);
}
