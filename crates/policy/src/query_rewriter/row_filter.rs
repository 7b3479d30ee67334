//! Which records a query may use, and which fields it may name.

use super::{QueriedFields, QueryRewriter};
use crate::{Forbidden, Incomplete};
use gatepost_odoo::{Domain, Field, FieldName, ModelName, Operation};

impl QueryRewriter<'_> {
    /// The records that an operation with these fields may use.
    pub(super) fn row_filter_of_query(
        &self,
        model: &ModelName,
        operation: Operation,
        queried: &QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let records = self.row_filter(model, operation, &QueriedFields::new())?;
        if queried.is_empty() {
            return Ok(records);
        }
        // Whatever the operation, its fields must be readable.
        let visible = self.row_filter(model, Operation::Read, queried)?;
        Ok(if visible.implies(&records) {
            visible
        } else {
            records.and(visible)
        })
    }

    pub(super) fn row_filter(
        &self,
        model: &ModelName,
        operation: Operation,
        queried: &QueriedFields,
    ) -> Result<Domain, Incomplete> {
        self.rules.row_filter(model, operation, queried, self.facts)
    }

    /// The field, if some records show it.
    pub(super) fn visible_field(
        &self,
        model: &ModelName,
        name: &FieldName,
    ) -> Result<&Field, Incomplete> {
        // First, so that a closed model is refused before its schema is needed.
        self.row_filter(model, Operation::Read, &QueriedFields::from([name.clone()]))?;
        let schema = self.facts.schema_of(model)?;
        schema.field(name.as_str()).ok_or_else(|| {
            let (model, field) = (model.clone(), name.clone());
            Forbidden::Field { model, field }.into()
        })
    }
}
