//! Checks that a record still satisfies the row filter after the write, like
//! `WITH CHECK` in PostgreSQL.
//!
//! A change is one transaction in Odoo and cannot be undone when its result is
//! wrong, so the filter is evaluated before: conditions on fields that are
//! written are evaluated on the new values, and a search of the records as they
//! are answers the rest.
//!
//! A record in the list of another one links to that one, whatever its own
//! values say (Odoo 19, `One2many.write_real`): conditions over that link are
//! evaluated on the other record and the values that it gets in the same call.

use serde_json::Value;

use super::{
    DenialHint, Forbidden, Incomplete,
    comparison::compare,
    post_image::{ParentChange, PostImage, id_path},
    record_facts::RecordFacts,
};
use gatepost_odoo::{
    Condition, Domain, Field, FieldKind, FieldName, FieldPath, Operand, Operation, Operator,
    RecordId, Term,
};

/// How many `related` fields that lead to `related` fields are followed.
const MAX_RELATED_DEPTH: usize = 8;

/// What remains of an expression.
enum PartialValue {
    /// Nothing: this is its value.
    Value(bool),
    /// A condition on the record as it is.
    Residual(Domain),
}

/// Evaluates one row filter.
struct PartialEvaluator<'a> {
    record_facts: &'a RecordFacts<'a>,
    post_image: PostImage<'a>,
    /// A field whose new value decided something.
    deciding_field: Option<FieldPath>,
    /// How many `related` fields were followed.
    related_depth: usize,
}

/// Permits values with which the records satisfy the row filter.
///
/// # Errors
/// [`Incomplete`].
pub(super) fn satisfies_after_write(
    record_facts: &RecordFacts<'_>,
    post_image: PostImage<'_>,
    filter: Domain,
) -> Result<(), Incomplete> {
    if filter.is_empty() {
        return Ok(());
    }
    let mut evaluator = PartialEvaluator::new(record_facts, post_image);
    let satisfied = match evaluator.evaluate_all(filter)? {
        PartialValue::Value(satisfied) => satisfied,
        // What Odoo fills into a new record is unknown.
        PartialValue::Residual(domain) if post_image.operation == Operation::Create => {
            return Err(evaluator.undecidable(first_path(&domain)));
        }
        PartialValue::Residual(domain) => record_facts
            .uncovered(post_image.model, post_image.ids, &domain)
            .is_empty(),
    };
    if satisfied {
        return Ok(());
    }
    Err(Forbidden::OutsideAfterWrite {
        model: post_image.model.clone(),
        operation: post_image.operation,
        field: evaluator.deciding_field.unwrap_or_else(id_path),
    }
    .into())
}

impl<'a> PartialEvaluator<'a> {
    fn new(record_facts: &'a RecordFacts<'a>, post_image: PostImage<'a>) -> Self {
        Self {
            record_facts,
            post_image,
            deciding_field: None,
            related_depth: 0,
        }
    }

    fn evaluate_all(&mut self, domain: Domain) -> Result<PartialValue, Incomplete> {
        self.evaluate(&mut domain.into_terms().into_iter())
    }

    /// The next expression of a domain in prefix form.
    fn evaluate(
        &mut self,
        terms: &mut impl Iterator<Item = Term>,
    ) -> Result<PartialValue, Incomplete> {
        let Some(term) = terms.next() else {
            return Ok(PartialValue::Value(true));
        };
        Ok(match term {
            Term::And => self.evaluate_both(terms, false, Domain::and)?,
            Term::Condition(condition) => self.evaluate_condition(condition)?,
            Term::Constant(truth) => PartialValue::Value(truth),
            Term::Not => match self.evaluate(terms)? {
                PartialValue::Value(truth) => PartialValue::Value(!truth),
                PartialValue::Residual(domain) => PartialValue::Residual(domain.negated()),
            },
            Term::Or => self.evaluate_both(terms, true, Domain::or)?,
        })
    }

    /// The next two expressions, joined; `decisive` is the value that decides
    /// whatever the other one is.
    fn evaluate_both(
        &mut self,
        terms: &mut impl Iterator<Item = Term>,
        decisive: bool,
        join: impl Fn(Domain, Domain) -> Domain,
    ) -> Result<PartialValue, Incomplete> {
        use PartialValue::{Residual, Value};
        Ok(match (self.evaluate(terms)?, self.evaluate(terms)?) {
            (Value(one), _) | (_, Value(one)) if one == decisive => Value(decisive),
            (Value(_), other) | (other, Value(_)) => other,
            (Residual(one), Residual(other)) => Residual(join(one, other)),
        })
    }

    fn evaluate_condition(&mut self, condition: Condition) -> Result<PartialValue, Incomplete> {
        let PostImage { model, values, .. } = self.post_image;
        let (first, rest) = condition.path.split_first();
        if let Some(parent) = self.parent_linked_by(first)? {
            // Which of the two Odoo applies last is not defined.
            if self.post_image.operation != Operation::Create && values.contains_key(first) {
                return Err(self.undecidable(Some(condition.path)));
            }
            return self
                .evaluate_on_parent(parent, &condition, rest)
                .map(PartialValue::Value);
        }
        if let Some(written) = self.written_through(&condition.path)? {
            let hint = DenialHint::LeaveOut(written);
            return Err(self.undecidable_with(hint, condition.path.clone()));
        }
        let Some(value) = values.get(first) else {
            return self.evaluate_unwritten(condition);
        };
        let path = FieldPath::try_from(first).ok();
        self.deciding_field.clone_from(&path);
        let field = self.record_facts.facts.schema_of(model)?.field(first);
        field
            .and_then(|field| self.evaluate_value(field, value, &condition, rest))
            .map(PartialValue::Value)
            .ok_or_else(|| self.undecidable(path))
    }

    /// A condition on a field that the call does not write: it remains, unless the
    /// field shows one over a link that the call does write.
    fn evaluate_unwritten(&mut self, condition: Condition) -> Result<PartialValue, Incomplete> {
        let PostImage { model, values, .. } = self.post_image;
        let (first, rest) = condition.path.split_first();
        let schema = self.record_facts.facts.schema_of(model)?;
        let field = schema.field(first);
        if matches!(condition.operator, Operator::ChildOf | Operator::ParentOf)
            && first == "id"
            && let Some(moved) = values.keys().find(|name| {
                let field = schema.field(name);
                field.is_some_and(|field| field.relation.as_ref() == Some(model))
            })
        {
            // The write moves the record in the hierarchy.
            let moved = FieldPath::try_from(moved.as_str()).ok();
            return Err(self.undecidable(moved));
        }
        let Some((field, shown)) = field.and_then(|field| Some((field, field.related.as_ref()?)))
        else {
            return Ok(PartialValue::Residual(Domain::of(condition)));
        };
        let decides = self.is_changed(shown.first(), 0)?
            // For the hint: the client cannot write such a field itself.
            || (self.post_image.operation == Operation::Create && field.readonly);
        if !decides {
            return Ok(PartialValue::Residual(Domain::of(condition)));
        }
        let whole = match &rest {
            Some(rest) => format!("{shown}.{rest}"),
            None => shown.to_string(),
        };
        let path = match FieldPath::try_from(whole.as_str()) {
            Ok(path) if self.related_depth < MAX_RELATED_DEPTH => path,
            Ok(_) | Err(_) => return Err(self.undecidable(Some(condition.path))),
        };
        self.related_depth += 1;
        let left = self.evaluate_condition(Condition { path, ..condition });
        self.related_depth -= 1;
        left
    }

    /// A written field that Odoo stores in the field at the path: one that shows it, or one
    /// that is computed from it, whose inverse may write it (`company_type` and
    /// `is_company`).
    fn written_through(&self, path: &FieldPath) -> Result<Option<FieldName>, Incomplete> {
        let PostImage { model, values, .. } = self.post_image;
        let schema = self.record_facts.facts.schema_of(model)?;
        let (first, _) = path.split_first();
        let writes = |field: &&Field| match &field.related {
            Some(shown) => shown == path || shown.to_string() == first,
            None => !field.stored && field.depends.iter().any(|name| name.as_str() == first),
        };
        let mut written = values.keys().filter_map(|name| schema.field(name));
        Ok(written.find(writes).map(|field| field.name.clone()))
    }

    /// The records that the field links to, if those are the ones whose list the
    /// record will be in.
    fn parent_linked_by(&self, field: &str) -> Result<Option<&'a ParentChange<'a>>, Incomplete> {
        let over = |parent: &&ParentChange<'_>| parent.inverse.as_str() == field;
        let Some(parent) = self.post_image.parent.filter(over) else {
            return Ok(None);
        };
        let schema = self.record_facts.facts.schema_of(self.post_image.model)?;
        let is_link = |field: &Field| {
            field.kind == FieldKind::Many2one
                && field.relation.as_ref() == Some(parent.record.model)
        };
        // A list of records that link by an id alone (`res_id`).
        if !schema.field(field).is_some_and(is_link) {
            return Err(self.undecidable(FieldPath::try_from(field).ok()));
        }
        Ok(Some(parent))
    }

    /// Whether the call writes the field, or one that it shows.
    fn is_changed(&self, name: &str, depth: usize) -> Result<bool, Incomplete> {
        if self.post_image.values.contains_key(name) || self.parent_linked_by(name)?.is_some() {
            return Ok(true);
        }
        let schema = self.record_facts.facts.schema_of(self.post_image.model)?;
        match schema.field(name).and_then(|field| field.related.as_ref()) {
            Some(shown) if depth < MAX_RELATED_DEPTH => self.is_changed(shown.first(), depth + 1),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// Whether the condition over the link to the parent holds.
    fn evaluate_on_parent(
        &mut self,
        parent: &'a ParentChange<'a>,
        condition: &Condition,
        rest: Option<FieldPath>,
    ) -> Result<bool, Incomplete> {
        let path = &condition.path;
        let Some((asked, holds)) = condition_behind_link(condition, rest) else {
            let Operand::Value(wanted) = &condition.operand else {
                return Err(self.undecidable(Some(path.clone())));
            };
            self.deciding_field = Some(path.clone());
            return parent
                .compare(condition.operator, wanted)
                .ok_or_else(|| self.undecidable(Some(path.clone())));
        };
        let PostImage { model, ids, .. } = parent.record;
        let behind = |path: Option<FieldPath>| path_through(parent.inverse, path.as_ref());
        let mut evaluator = PartialEvaluator::new(self.record_facts, parent.record);
        let left = evaluator.evaluate_all(asked.clone());
        let decided = evaluator.deciding_field.take();
        let left = left.map_err(|incomplete| match incomplete {
            Incomplete::Denied(Forbidden::Undecidable { field, .. }) => {
                self.undecidable(Some(behind(Some(field))))
            }
            Incomplete::Denied(_) | Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_) => {
                incomplete
            }
        })?;
        self.deciding_field = Some(behind(decided.or_else(|| first_path(&asked))));
        let is_within = match left {
            PartialValue::Value(truth) => truth,
            PartialValue::Residual(domain) => {
                let is_new = parent.record.operation == Operation::Create;
                let outside = if is_new {
                    0
                } else {
                    self.record_facts.uncovered(model, ids, &domain).len()
                };
                // Unknown, or different between the parents.
                if is_new || (outside != 0 && outside != ids.len()) {
                    return Err(self.undecidable(Some(behind(first_path(&domain)))));
                }
                outside == 0
            }
        };
        Ok(is_within == holds)
    }

    /// Whether the condition holds for the new value; `None` where that is unknown.
    fn evaluate_value(
        &self,
        field: &Field,
        value: &Value,
        condition: &Condition,
        rest: Option<FieldPath>,
    ) -> Option<bool> {
        let operator = condition.operator;
        if field.kind.is_x2many() {
            return None;
        }
        let is_link = field.kind == FieldKind::Many2one;
        let link = field.relation.as_ref().filter(|_| is_link);
        let has_rest = rest.is_some();
        let asked = match condition_behind_link(condition, rest) {
            None if matches!(operator, Operator::ChildOf | Operator::ParentOf) => {
                let operand = condition.operand.clone();
                let path = id_path();
                Some((
                    Domain::of(Condition {
                        path,
                        operator,
                        operand,
                    }),
                    true,
                ))
            }
            asked => asked,
        };
        let (Some(relation), Some((asked, holds))) = (link, asked) else {
            return match &condition.operand {
                Operand::Value(wanted) if !has_rest => compare(field.kind, operator, value, wanted),
                Operand::Value(_) | Operand::Domain(_) => None,
            };
        };
        // What Odoo makes of an empty link depends on the operator.
        let id = RecordId::from_json(value)?;
        let outside = self.record_facts.uncovered(relation, &[id], &asked);
        Some(outside.is_empty() == holds)
    }

    fn undecidable(&self, field: Option<FieldPath>) -> Incomplete {
        let PostImage { model, parent, .. } = self.post_image;
        let field = field.unwrap_or_else(id_path);
        let schema = self.record_facts.facts.schema_of(model);
        let own = schema.ok().and_then(|schema| schema.field(field.first()));
        let hint = match parent {
            Some(parent) => DenialHint::SeparateCall(parent.inverse.clone()),
            None if own.is_some_and(is_computed) => DenialHint::None,
            None => DenialHint::Value,
        };
        self.undecidable_with(hint, field)
    }

    fn undecidable_with(&self, hint: DenialHint, field: FieldPath) -> Incomplete {
        Forbidden::Undecidable {
            model: self.post_image.model.clone(),
            operation: self.post_image.operation,
            field,
            hint,
        }
        .into()
    }
}

/// The condition on the record that a link leads to, and whether that record must
/// satisfy it; `None` where the condition is on the link itself.
fn condition_behind_link(condition: &Condition, rest: Option<FieldPath>) -> Option<(Domain, bool)> {
    if let Some(path) = rest {
        let behind = Condition {
            path,
            ..condition.clone()
        };
        return Some((Domain::of(behind), true));
    }
    match (&condition.operand, condition.operator.without_negation()) {
        (Operand::Domain(inner), (Operator::Any, negated)) => Some((inner.clone(), !negated)),
        (Operand::Domain(_) | Operand::Value(_), _) => None,
    }
}

/// Whether no client can write the field.
fn is_computed(field: &Field) -> bool {
    field.readonly && (!field.stored || !field.depends.is_empty() || field.related.is_some())
}

/// The path of the first condition in a domain.
fn first_path(domain: &Domain) -> Option<FieldPath> {
    domain.terms().iter().find_map(|term| match term {
        Term::Condition(condition) => Some(condition.path.clone()),
        Term::And | Term::Constant(_) | Term::Not | Term::Or => None,
    })
}

/// A path behind a link, or the link alone where the path would be too long.
fn path_through(link: &FieldName, path: Option<&FieldPath>) -> FieldPath {
    let whole = path.map(|path| format!("{link}.{path}"));
    whole
        .and_then(|whole| FieldPath::try_from(whole.as_str()).ok())
        .unwrap_or_else(|| FieldPath::from(link))
}
