//! Limits the conditions of a domain to what is visible.

use serde_json::Value;

use super::{QueriedFields, QueryRewriter};
use crate::{Forbidden, Incomplete, comparison::only_ids, incomplete::unless_denied};
use gatepost_odoo::{
    Condition, Domain, Field, FieldKind, FieldName, FieldPath, ModelName, Operand, OperandKind,
    Operation, Operator, Term,
};

/// Fields in which a name is searched. Odoo's own choice (`_rec_names_search`)
/// is not disclosed and may contain hidden fields.
const NAME_FIELDS: [&str; 10] = [
    "name",
    "x_name",
    "complete_name",
    "code",
    "default_code",
    "barcode",
    "ref",
    "reference",
    "email",
    "login",
];

/// Models whose hierarchy does not use `parent_id` (Odoo 19, `_parent_name`).
const PARENT_FIELDS: [(&str, &str); 3] = [
    ("stock.location", "location_id"),
    ("stock.package", "parent_package_id"),
    ("uom.uom", "relative_uom_id"),
];

impl QueryRewriter<'_> {
    /// The domain limited to what is visible. Adds the model's own fields in it to
    /// `queried`.
    pub(super) fn rewrite_domain(
        &self,
        model: &ModelName,
        domain: Domain,
        queried: &mut QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let mut terms = Vec::with_capacity(domain.terms().len());
        for term in domain.into_terms() {
            match term {
                Term::Condition(condition) => {
                    let rewritten = self.rewrite_condition(model, condition, queried)?;
                    if rewritten.is_empty() {
                        terms.push(Term::Constant(true));
                    }
                    terms.extend(rewritten.into_terms());
                }
                Term::And | Term::Constant(_) | Term::Not | Term::Or => terms.push(term),
            }
        }
        // Each condition became one complete expression, so the whole is one.
        Ok(Domain::from_normalised(terms))
    }

    fn rewrite_condition(
        &self,
        model: &ModelName,
        condition: Condition,
        queried: &mut QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let path = condition.path.clone();
        let unusable = || {
            Incomplete::from(Forbidden::Path {
                model: model.clone(),
                path: path.clone(),
            })
        };
        let (first, rest) = path.split_first();
        let first = FieldName::try_from(first).map_err(|_no_name| unusable())?;
        let field = self.visible_field(model, &first)?;
        queried.insert(first.clone());
        let Some(rest) = rest else {
            return match condition.operand {
                Operand::Domain(inner) => {
                    let relation = field.relation.as_ref().ok_or_else(unusable)?;
                    let inner = self.rewrite_related(relation, inner)?;
                    Ok(Domain::related(
                        FieldPath::from(&first),
                        condition.operator,
                        inner,
                    ))
                }
                Operand::Value(value) => {
                    self.rewrite_comparison(model, field, condition.operator, value, &unusable)
                }
            };
        };
        let Some(relation) = &field.relation else {
            // A property, or a part of a date.
            let has_parts = field.kind.is_date() || field.kind == FieldKind::Properties;
            let is_value = matches!(condition.operand, Operand::Value(_));
            return if has_parts && rest.split_first().1.is_none() && is_value {
                Ok(Domain::of(condition))
            } else {
                Err(unusable())
            };
        };
        let inner = Domain::of(Condition {
            path: rest,
            ..condition.clone()
        });
        let rewritten = self.rewrite_related(relation, inner.clone())?;
        // A path means the same as `any` (Odoo 19, `DomainCondition._optimize_step`).
        Ok(if rewritten == inner {
            Domain::of(condition)
        } else {
            Domain::related(FieldPath::from(&first), Operator::Any, rewritten)
        })
    }

    /// A field compared with a value.
    fn rewrite_comparison(
        &self,
        model: &ModelName,
        field: &Field,
        operator: Operator,
        value: Value,
        unusable: &impl Fn() -> Incomplete,
    ) -> Result<Domain, Incomplete> {
        let name = field.name.as_str();
        let compare = |value: Value| Domain::compare(FieldPath::from(&field.name), operator, value);
        let relation = field.relation.as_ref();
        if operator.operand_kind() == OperandKind::Hierarchy {
            let target = match relation {
                Some(relation) => relation,
                None if name == "id" => model,
                None => return Err(unusable()),
            };
            let over = (target == model && name != "id").then_some(name);
            self.authorize_hierarchy(target, over)?;
            if !only_ids(&value) && !self.rules.is_unrestricted_everywhere() {
                return Err(Forbidden::Hierarchy(target.clone()).into());
            }
            return Ok(compare(value));
        }
        // Odoo searches a text in the names of the records.
        let target = match relation {
            Some(relation) if !only_ids(&value) => relation,
            None if name == "display_name" => model,
            Some(_) | None => return Ok(compare(value)),
        };
        self.rules.allow(target, Operation::Read)?;
        if self.rules.is_unrestricted_everywhere() {
            return Ok(compare(value));
        }
        let (positive, negative) = match operator.operand_kind() {
            OperandKind::List | OperandKind::Scalar | OperandKind::Text => {
                operator.without_negation()
            }
            OperandKind::Domain | OperandKind::Hierarchy | OperandKind::Sortable => {
                return Err(unusable());
            }
        };
        let (texts, others) = match value {
            Value::Array(values) => {
                let (texts, others): (_, Vec<_>) = values.into_iter().partition(Value::is_string);
                (Value::Array(texts), others)
            }
            one @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => (one, Vec::new()),
        };
        let named = self.name_filter(target, positive, &texts)?;
        if relation.is_none() {
            return match (others.is_empty(), negative) {
                (false, _) => Err(unusable()),
                (true, false) => Ok(named),
                (true, true) => Ok(named.negated()),
            };
        }
        let any = if negative {
            Operator::NotAny
        } else {
            Operator::Any
        };
        let named = named.and(self.rewrite_related(target, Domain::default())?);
        let named = Domain::related(FieldPath::from(&field.name), any, named);
        if others.is_empty() {
            return Ok(named);
        }
        let by_id = compare(Value::Array(others));
        Ok(if negative {
            named.and(by_id)
        } else {
            named.or(by_id)
        })
    }

    /// A domain on a related model, limited to the visible records.
    fn rewrite_related(&self, model: &ModelName, domain: Domain) -> Result<Domain, Incomplete> {
        self.rules.allow(model, Operation::Read)?;
        let mut queried = QueriedFields::new();
        let domain = self.rewrite_domain(model, domain, &mut queried)?;
        Ok(domain.and(self.row_filter(model, Operation::Read, &queried)?))
    }

    /// The records whose name matches a text, each by its visible name fields.
    pub(super) fn name_filter(
        &self,
        model: &ModelName,
        operator: Operator,
        text: &Value,
    ) -> Result<Domain, Incomplete> {
        let schema = self.facts.schema_of(model)?;
        let every = self.row_filter(model, Operation::Read, &QueriedFields::new())?;
        let mut named: Option<Domain> = None;
        for name in NAME_FIELDS {
            let field = schema.field(name);
            let Some(field) = field.filter(|one| one.kind == FieldKind::Char && one.searchable)
            else {
                continue;
            };
            let queried = QueriedFields::from([field.name.clone()]);
            let filter = self.row_filter(model, Operation::Read, &queried);
            let Some(filter) = unless_denied(filter)? else {
                continue;
            };
            let matching = Domain::compare(FieldPath::from(&field.name), operator, text.clone());
            let matching = if every.implies(&filter) {
                matching
            } else {
                matching.and(filter)
            };
            named = Some(match named {
                None => matching,
                Some(others) => others.or(matching),
            });
        }
        named.ok_or_else(|| Forbidden::NameSearch(model.clone()).into())
    }

    /// Permits a search of the hierarchy over this field. Odoo walks it without
    /// checking any rule, so nothing in it may be hidden.
    fn authorize_hierarchy(&self, model: &ModelName, over: Option<&str>) -> Result<(), Incomplete> {
        self.rules.allow(model, Operation::Read)?;
        if self.rules.is_unrestricted(model) {
            return Ok(());
        }
        let usual = PARENT_FIELDS
            .iter()
            .find(|(known, _)| *known == model.as_str())
            .map_or("parent_id", |(_, parent)| parent);
        let denied = || Incomplete::from(Forbidden::Hierarchy(model.clone()));
        let parent = FieldName::try_from(over.unwrap_or(usual)).map_err(|_no_name| denied())?;
        let filter = self.row_filter(model, Operation::Read, &QueriedFields::from([parent]));
        match unless_denied(filter)? {
            Some(filter) if filter.is_empty() => Ok(()),
            Some(_) | None => Err(denied()),
        }
    }
}
