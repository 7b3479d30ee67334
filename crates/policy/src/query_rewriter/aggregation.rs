//! Limits groups of records to what is visible.

use super::{QueriedFields, QueryRewriter};
use crate::{Forbidden, Incomplete, effective_rules::intersect};
use gatepost_odoo::{
    Aggregation, Domain, FieldKind, FieldName, FieldPath, GroupKey, GroupOrder, Grouping,
    ModelName, Operation,
};

impl QueryRewriter<'_> {
    /// The aggregation over the records that show everything it uses, so that no
    /// group, measure or order depends on a hidden value.
    pub(super) fn rewrite_aggregation(
        &self,
        model: &ModelName,
        operation: Operation,
        aggregation: Aggregation,
    ) -> Result<Aggregation, Incomplete> {
        let mut queried = QueriedFields::new();
        let mut along_paths = Domain::default();
        for grouping in &aggregation.groupings {
            let more = self.authorize_grouping(model, grouping, &mut queried)?;
            along_paths = intersect(along_paths, more);
        }
        for field in aggregation.used_measures().filter_map(|one| one.field()) {
            self.visible_field(model, field)?;
            queried.insert(field.clone());
        }
        for order in &aggregation.order {
            self.authorize_group_order(model, order, &aggregation.groupings)?;
        }
        let order = if aggregation.order.is_empty() && !aggregation.groupings.is_empty() {
            self.unrevealing_order(model, &aggregation.groupings)?
        } else {
            aggregation.order
        };
        let domain = self.rewrite_domain(model, aggregation.domain, &mut queried)?;
        let filter = self.row_filter_of_query(model, operation, &queried)?;
        let filter = if along_paths.implies(&filter) {
            along_paths
        } else {
            intersect(filter, along_paths)
        };
        Ok(Aggregation {
            domain: domain.and(filter),
            order,
            ..aggregation
        })
    }

    /// Permits the grouping. Returns the records whose path can be followed to its
    /// end, and adds the model's own field to `queried`.
    fn authorize_grouping(
        &self,
        model: &ModelName,
        grouping: &Grouping,
        queried: &mut QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let path = &grouping.path;
        let refused = || {
            Incomplete::from(Forbidden::Grouping {
                model: model.clone(),
                path: path.clone(),
            })
        };
        let mut at = model.clone();
        let mut steps = path.steps().peekable();
        while let Some(step) = steps.next() {
            let name = FieldName::try_from(step).map_err(|_no_name| refused())?;
            let field = self.visible_field(&at, &name)?;
            if steps.peek().is_some() {
                let relation = field.relation.as_ref();
                at = relation
                    .filter(|_| field.kind == FieldKind::Many2one)
                    .ok_or_else(refused)?
                    .clone();
                continue;
            }
            match (field.kind, &field.relation) {
                // Odoo returns the names of the records, of `id` too, without checking
                // whether the user may read them. A read shows ids of these alone.
                (FieldKind::Many2many, Some(relation)) => {
                    let shown = QueriedFields::from([FieldName::known("display_name")]);
                    let filter = self.row_filter(relation, Operation::Read, &shown)?;
                    if !filter.is_empty() {
                        return Err(refused());
                    }
                }
                (
                    FieldKind::One2many | FieldKind::Properties | FieldKind::PropertiesDefinition,
                    _,
                ) => return Err(refused()),
                _ if step == "id" => return Err(refused()),
                _ => {}
            }
        }
        let first = FieldName::try_from(path.first()).map_err(|_no_name| refused())?;
        queried.insert(first);
        if path.split_first().1.is_none() {
            return Ok(Domain::default());
        }
        self.rules
            .row_filter_of_path(model, Operation::Read, path, self.facts, 0)
    }

    /// Permits the order.
    fn authorize_group_order(
        &self,
        model: &ModelName,
        order: &GroupOrder,
        groupings: &[Grouping],
    ) -> Result<(), Incomplete> {
        let path = match &order.key {
            // Its field is visible, like that of every measure.
            GroupKey::Measure(_) => return Ok(()),
            GroupKey::LinkedId(field) if groupings.contains(&Grouping::by(field)) => return Ok(()),
            GroupKey::LinkedId(field) => FieldPath::from(field),
            GroupKey::Grouping(grouping) if groupings.contains(grouping) => {
                // Odoo sorts by the linked records of a many2one field, but not of a path.
                let field = self.facts.schema_of(model)?.field(grouping.path.as_str());
                return match field.filter(|field| field.kind == FieldKind::Many2one) {
                    Some(field) => self.authorize_sorting(model, &field.name),
                    None => Ok(()),
                };
            }
            GroupKey::Grouping(grouping) => grouping.path.clone(),
        };
        let model = model.clone();
        Err(Forbidden::Grouping { model, path }.into())
    }

    /// An order that does not depend on hidden fields: Odoo's own sorts by fields of
    /// the linked records.
    fn unrevealing_order(
        &self,
        model: &ModelName,
        groupings: &[Grouping],
    ) -> Result<Vec<GroupOrder>, Incomplete> {
        let schema = self.facts.schema_of(model)?;
        let key = |grouping: &Grouping| match schema.field(grouping.path.as_str()) {
            Some(field) if field.kind == FieldKind::Many2one => {
                GroupKey::LinkedId(field.name.clone())
            }
            Some(_) | None => GroupKey::Grouping(grouping.clone()),
        };
        let ascending = |grouping: &Grouping| GroupOrder {
            key: key(grouping),
            descending: false,
        };
        Ok(groupings.iter().map(ascending).collect())
    }
}
