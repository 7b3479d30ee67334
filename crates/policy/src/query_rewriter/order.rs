//! Which orders a query may have.

use super::{QueriedFields, QueryRewriter};
use crate::{Forbidden, Incomplete};
use gatepost_odoo::{FieldName, ModelName, Operation, Order};

impl QueryRewriter<'_> {
    /// Permits the order. Sorting by a relation uses the related model's own
    /// order, which Odoo does not disclose, so all of that model must be visible.
    pub(super) fn authorize_order(
        &self,
        model: &ModelName,
        order: &Order,
        queried: &mut QueriedFields,
    ) -> Result<(), Incomplete> {
        for name in order.fields() {
            queried.insert(name.clone());
            if name.as_str() == "id" {
                continue;
            }
            self.authorize_sorting(model, name)?;
        }
        Ok(())
    }

    /// Permits sorting by a field of the model.
    pub(super) fn authorize_sorting(
        &self,
        model: &ModelName,
        name: &FieldName,
    ) -> Result<(), Incomplete> {
        let field = self.visible_field(model, name)?;
        if let Some(relation) = &field.relation
            && !self.rules.is_unrestricted(relation)
        {
            self.rules.allow(relation, Operation::Read)?;
            return Err(Forbidden::Sorting {
                model: model.clone(),
                field: name.clone(),
            }
            .into());
        }
        Ok(())
    }
}
