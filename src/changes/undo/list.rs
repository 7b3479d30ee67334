//! A list of records, with all that is to be known to give it back.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    back::{Gone, Target, list_commands},
    entry::Rows,
    lines::Lines,
    moved::open_or,
    surroundings::filled_in,
};
use crate::{
    access::{Access, Denied},
    changes::Shot,
};
use gatepost_odoo::{Context, Effect, FieldName, Schema};

/// A list of records, with all that is to be known to give it back.
#[derive(Debug)]
pub(super) struct List<'e> {
    /// What is kept of it.
    pub(super) lines: &'e Lines,
    /// The fields of its records.
    pub(super) schema: Schema,
    change: Schema,
    make: Schema,
    said: BTreeSet<FieldName>,
    rows: Rows,
}

impl<'e> List<'e> {
    /// The list whose records are like this now; nothing where they may not be
    /// looked at.
    ///
    /// # Errors
    /// [`Denied`].
    pub(super) async fn of(
        access: &Access<'_>,
        (lines, now): (&'e Lines, &Shot),
        context: &Context,
    ) -> Result<Option<Self>, Denied> {
        if access.may_read(&lines.model).is_err() {
            return Ok(None);
        }
        let schema = access.schema(&lines.model).await?;
        let change = access.writable(&lines.model, Effect::Write).await;
        let make = access.writable(&lines.model, Effect::Create).await;
        let said = filled_in(access, (&lines.model, &schema), &lines.fields, context).await?;
        Ok(Some(Self {
            lines,
            schema,
            change: open_or(change)?,
            make: open_or(make)?,
            said,
            rows: now.rows().map(|(id, row)| (*id, row.clone())).collect(),
        }))
    }

    /// The records that are kept of it, with their fields.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Schema, &Map<String, Value>)> {
        self.lines.rows.values().map(|row| (&self.schema, row))
    }

    /// The commands that give a record its list back, and what they cannot.
    /// `others` were changed through it, and belonged to others.
    pub(super) fn commands(
        &self,
        gone: &Gone,
        (before, now): (&[i64], &[i64]),
        others: &[i64],
    ) -> (Vec<Value>, Vec<String>) {
        let target = |open, effect| Target {
            schema: &self.schema,
            open,
            effect,
            gone,
            said: &self.said,
        };
        let changing = target(&self.change, Effect::Write);
        let making = target(&self.make, Effect::Create);
        let ids = (before, now, others);
        list_commands(self.lines, ids, &self.rows, (&changing, &making))
    }
}
