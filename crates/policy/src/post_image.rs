//! Whether a record is still one that may be changed, with its new values.
//!
//! A change is one transaction in Odoo, and cannot be taken back when it turns
//! out wrong. So a rule's domain is judged before: its conditions on fields that
//! are written are decided on the new values, and what is left of it is asked of
//! the records as they are.
//!
//! A record in a list of another one links to that one, whatever its own values
//! say (Odoo 19, `One2many.write_real`): conditions over that link are judged of
//! the other record and of what it gets in the same call.

use serde_json::{Map, Value};

use super::{DenialHint, Forbidden, Incomplete, record_facts::RecordFacts};
use gatepost_odoo::{
    Condition, Domain, Field, FieldKind, FieldName, FieldPath, ModelName, Operand, Operation,
    Operator, RecordId, Term,
};

/// What is left of an expression.
enum PartialValue {
    /// Nothing: it is decided.
    Value(bool),
    /// What is to be asked of the record as it is.
    Residual(Domain),
}

/// Fields that show fields that show fields …: so far we follow.
const MAX_RELATED_DEPTH: usize = 8;

/// The records in whose list a record is.
#[derive(Clone, Copy)]
pub(super) struct ParentChange<'a> {
    /// Their model.
    pub(super) model: &'a ModelName,
    /// The field by which the record links to them.
    pub(super) inverse: &'a FieldName,
    /// Whether they are new.
    pub(super) operation: Operation,
    /// Which they are, where they are not.
    pub(super) ids: &'a [RecordId],
    /// What they get in the same call.
    pub(super) values: &'a Map<String, Value>,
    /// Those in whose list they are in their turn.
    pub(super) parent: Option<&'a Self>,
}

/// What becomes of records.
#[derive(Clone, Copy)]
pub(super) struct PostImage<'a> {
    /// Their model.
    pub(super) model: &'a ModelName,
    /// Whether they are new.
    pub(super) operation: Operation,
    /// Which they are, where they are not.
    pub(super) ids: &'a [RecordId],
    /// What they get.
    pub(super) values: &'a Map<String, Value>,
    /// Those in whose list they come to be.
    pub(super) parent: Option<&'a ParentChange<'a>>,
}

/// One judgement.
struct PartialEvaluator<'a> {
    record_facts: &'a RecordFacts<'a>,
    post_image: PostImage<'a>,
    /// A field whose new value decided something.
    deciding_field: Option<FieldPath>,
    /// How many fields were gone through that show others.
    related_depth: usize,
}

/// Allows values with which the records are within the cover.
///
/// # Errors
/// [`Undecided`].
pub(super) fn satisfies_after_write(
    evidence: &RecordFacts<'_>,
    becoming: PostImage<'_>,
    cover: Domain,
) -> Result<(), Incomplete> {
    if cover.is_empty() {
        return Ok(());
    }
    let PostImage {
        model,
        operation: effect,
        ids,
        ..
    } = becoming;
    let mut judge = PartialEvaluator::new(evidence, becoming);
    let terms = cover.into_terms();
    let left = judge.evaluate(&mut terms.into_iter())?;
    let outside = |field: Option<FieldPath>| {
        Incomplete::from(Forbidden::OutsideAfterWrite {
            model: model.clone(),
            operation: effect,
            field: field.unwrap_or_else(|| FieldPath::from(&FieldName::known("id"))),
        })
    };
    match left {
        PartialValue::Value(true) => Ok(()),
        PartialValue::Value(false) => Err(outside(judge.deciding_field)),
        // Of a new record nobody knows what Odoo fills in.
        PartialValue::Residual(domain) if effect == Operation::Create => {
            Err(judge.undecidable(first_path(&domain)))
        }
        PartialValue::Residual(domain) => {
            if evidence.uncovered(model, ids, &domain).is_empty() {
                Ok(())
            } else {
                Err(outside(judge.deciding_field))
            }
        }
    }
}

impl<'a> ParentChange<'a> {
    /// These records, to those in the list that the field is; none where that is
    /// another record's list, or where the link is not known.
    pub(super) fn of(field: &'a Field, becoming: &'a PostImage<'a>) -> Option<Self> {
        let own = field.kind == FieldKind::One2many && field.stored && field.related.is_none();
        Some(Self {
            model: becoming.model,
            inverse: field.inverse.as_ref().filter(|_| own)?,
            operation: becoming.operation,
            ids: becoming.ids,
            values: becoming.values,
            parent: becoming.parent,
        })
    }
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

    /// The next expression of a domain in prefix form.
    fn evaluate(
        &mut self,
        terms: &mut impl Iterator<Item = Term>,
    ) -> Result<PartialValue, Incomplete> {
        let Some(term) = terms.next() else {
            return Ok(PartialValue::Value(true));
        };
        Ok(match term {
            Term::And => {
                let (one, other) = (self.evaluate(terms)?, self.evaluate(terms)?);
                match (one, other) {
                    (PartialValue::Value(false), _) | (_, PartialValue::Value(false)) => {
                        PartialValue::Value(false)
                    }
                    (PartialValue::Value(true), left) | (left, PartialValue::Value(true)) => left,
                    (PartialValue::Residual(one), PartialValue::Residual(other)) => {
                        PartialValue::Residual(one.and(other))
                    }
                }
            }
            Term::Condition(condition) => self.evaluate_condition(condition)?,
            Term::Constant(truth) => PartialValue::Value(truth),
            Term::Not => match self.evaluate(terms)? {
                PartialValue::Value(truth) => PartialValue::Value(!truth),
                PartialValue::Residual(domain) => PartialValue::Residual(domain.negated()),
            },
            Term::Or => {
                let (one, other) = (self.evaluate(terms)?, self.evaluate(terms)?);
                match (one, other) {
                    (PartialValue::Value(true), _) | (_, PartialValue::Value(true)) => {
                        PartialValue::Value(true)
                    }
                    (PartialValue::Value(false), left) | (left, PartialValue::Value(false)) => left,
                    (PartialValue::Residual(one), PartialValue::Residual(other)) => {
                        PartialValue::Residual(one.or(other))
                    }
                }
            }
        })
    }

    fn evaluate_condition(&mut self, condition: Condition) -> Result<PartialValue, Incomplete> {
        let PostImage {
            model,
            operation: effect,
            values,
            ..
        } = self.post_image;
        let (first, rest) = condition.path.split_first();
        if let Some(parent) = self.parent_linked_by(first)? {
            // Which of the two Odoo does last, we do not say.
            if effect != Operation::Create && values.contains_key(first) {
                return Err(self.undecidable(Some(condition.path)));
            }
            return self
                .evaluate_on_parent(parent, &condition, rest)
                .map(PartialValue::Value);
        }
        let Some(value) = values.get(first) else {
            return self.evaluate_unwritten(condition);
        };
        let name = FieldName::try_from(first).ok();
        let path = name.as_ref().map(FieldPath::from);
        self.deciding_field.clone_from(&path);
        let field = self.record_facts.facts.schema_of(model)?.field(first);
        let field = field.ok_or_else(|| self.undecidable(path.clone()))?;
        let truth = self
            .evaluate_value(field, value, &condition, rest)
            .ok_or_else(|| self.undecidable(path))?;
        Ok(PartialValue::Value(truth))
    }

    /// A condition on a field that gets no value: open, but for one that shows
    /// a field over a link which does.
    fn evaluate_unwritten(&mut self, condition: Condition) -> Result<PartialValue, Incomplete> {
        let PostImage {
            model,
            operation: effect,
            values,
            ..
        } = self.post_image;
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
            // The hierarchy is not what it was.
            let moved = FieldPath::try_from(moved.as_str()).ok();
            return Err(self.undecidable(moved));
        }
        let Some((field, shown)) = field.and_then(|field| Some((field, field.related.as_ref()?)))
        else {
            return Ok(PartialValue::Residual(Domain::of(condition)));
        };
        let decides = self.is_changed(shown.first(), 0)?
            // To be told: it cannot be given a value of its own.
            || (effect == Operation::Create && field.readonly);
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

    /// The records that the field links to, where they are those in whose list
    /// the record is.
    fn parent_linked_by(&self, field: &str) -> Result<Option<&'a ParentChange<'a>>, Incomplete> {
        let over = |parent: &&ParentChange<'_>| parent.inverse.as_str() == field;
        let Some(parent) = self.post_image.parent.filter(over) else {
            return Ok(None);
        };
        let schema = self.record_facts.facts.schema_of(self.post_image.model)?;
        let is_link = |field: &Field| {
            field.kind == FieldKind::Many2one && field.relation.as_ref() == Some(parent.model)
        };
        // A list of what hangs on a record by its id alone (`res_id`).
        if !schema.field(field).is_some_and(is_link) {
            return Err(self.undecidable(FieldPath::try_from(field).ok()));
        }
        Ok(Some(parent))
    }

    /// Whether the field, or one that it shows however far, gets another value.
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
        let Condition {
            path,
            operator,
            operand,
        } = condition;
        let (asked, holds) = match (rest, operand, operator) {
            (Some(rest), _, _) => (
                Domain::of(Condition {
                    path: rest,
                    operator: *operator,
                    operand: operand.clone(),
                }),
                true,
            ),
            (None, Operand::Domain(inner), Operator::Any) => (inner.clone(), true),
            (None, Operand::Domain(inner), Operator::NotAny) => (inner.clone(), false),
            (None, Operand::Value(wanted), _) => {
                self.deciding_field = Some(path.clone());
                return compare_parent(parent, *operator, wanted)
                    .ok_or_else(|| self.undecidable(Some(path.clone())));
            }
            (None, Operand::Domain(_), _) => return Err(self.undecidable(Some(path.clone()))),
        };
        let PostImage {
            model,
            operation: effect,
            ids,
            ..
        } = PostImage::from(parent);
        let beyond = |path: Option<FieldPath>| path_through(parent.inverse, path.as_ref());
        let mut judge = PartialEvaluator::new(self.record_facts, PostImage::from(parent));
        let left = judge.evaluate(&mut asked.clone().into_terms().into_iter());
        let decided = judge.deciding_field.take();
        let left = left.map_err(|undecided| match undecided {
            Incomplete::Denied(Forbidden::Undecidable { field, .. }) => {
                self.undecidable(Some(beyond(Some(field))))
            }
            Incomplete::Denied(_) | Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_) => {
                undecided
            }
        })?;
        self.deciding_field = Some(beyond(decided.or_else(|| first_path(&asked))));
        let is_within = match left {
            PartialValue::Value(truth) => truth,
            PartialValue::Residual(domain) if effect == Operation::Create => {
                return Err(self.undecidable(Some(beyond(first_path(&domain)))));
            }
            PartialValue::Residual(domain) => {
                let outside = self.record_facts.uncovered(model, ids, &domain).len();
                if outside != 0 && outside != ids.len() {
                    // So of some of them only.
                    return Err(self.undecidable(Some(beyond(first_path(&domain)))));
                }
                outside == 0
            }
        };
        Ok(is_within == holds)
    }

    /// Whether the condition holds for the new value; none where that cannot
    /// be said.
    fn evaluate_value(
        &self,
        field: &Field,
        value: &Value,
        condition: &Condition,
        rest: Option<FieldPath>,
    ) -> Option<bool> {
        let Condition {
            operator, operand, ..
        } = condition;
        if field.kind.is_x2many() {
            return None;
        }
        let Some(relation) = field
            .relation
            .as_ref()
            .filter(|_| field.kind == FieldKind::Many2one)
        else {
            return match (rest, operand) {
                (None, Operand::Value(wanted)) => compare(field.kind, *operator, value, wanted),
                (Some(_), _) | (None, Operand::Domain(_)) => None,
            };
        };
        let path = |name: FieldPath| {
            Domain::of(Condition {
                path: name,
                operator: *operator,
                operand: operand.clone(),
            })
        };
        let (asked, holds) = match (rest, operand, operator) {
            (Some(rest), _, _) => (path(rest), true),
            (None, Operand::Domain(inner), Operator::Any) => (inner.clone(), true),
            (None, Operand::Domain(inner), Operator::NotAny) => (inner.clone(), false),
            (None, _, Operator::ChildOf | Operator::ParentOf) => {
                (path(FieldPath::from(&FieldName::known("id"))), true)
            }
            (None, Operand::Value(wanted), _) => {
                return compare(field.kind, *operator, value, wanted);
            }
            (None, Operand::Domain(_), _) => return None,
        };
        // Nothing linked: what Odoo makes of that depends on the operator.
        let id = RecordId::from_json(value)?;
        let is_within = self
            .record_facts
            .uncovered(relation, &[id], &asked)
            .is_empty();
        Some(is_within == holds)
    }

    fn undecidable(&self, field: Option<FieldPath>) -> Incomplete {
        let PostImage {
            model,
            operation: effect,
            parent,
            ..
        } = self.post_image;
        let field = field.unwrap_or_else(|| FieldPath::from(&FieldName::known("id")));
        let schema = self.record_facts.facts.schema_of(model);
        let own = schema.ok().and_then(|schema| schema.field(field.first()));
        let remedy = match parent {
            Some(parent) => DenialHint::SeparateCall(parent.inverse.clone()),
            None if own.is_some_and(is_computed) => DenialHint::None,
            None => DenialHint::Value,
        };
        Forbidden::Undecidable {
            model: model.clone(),
            operation: effect,
            field,
            hint: remedy,
        }
        .into()
    }
}

impl<'a> From<&'a ParentChange<'a>> for PostImage<'a> {
    fn from(parent: &'a ParentChange<'a>) -> Self {
        Self {
            model: parent.model,
            operation: parent.operation,
            ids: parent.ids,
            values: parent.values,
            parent: parent.parent,
        }
    }
}

/// Whether nobody can give the field a value.
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

/// A path behind a link, as far as a path goes.
fn path_through(link: &FieldName, path: Option<&FieldPath>) -> FieldPath {
    let whole = path.map(|path| format!("{link}.{path}"));
    whole
        .and_then(|whole| FieldPath::try_from(whole.as_str()).ok())
        .unwrap_or_else(|| FieldPath::from(link))
}

/// Whether a link to the parent compares so; none where that cannot be said, or
/// is so of some of them only.
fn compare_parent(parent: &ParentChange<'_>, operator: Operator, wanted: &Value) -> Option<bool> {
    if parent.operation == Operation::Create {
        // A new record is none that a rule could name, nor none at all.
        let none = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        let is_nothing = match wanted {
            Value::Array(values) => values.iter().all(none),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => none(wanted),
        };
        return match operator {
            Operator::Equal | Operator::In if is_nothing => Some(false),
            Operator::NotEqual | Operator::NotIn if is_nothing => Some(true),
            Operator::Any
            | Operator::ChildOf
            | Operator::Equal
            | Operator::EqualIlike
            | Operator::EqualLike
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::Ilike
            | Operator::In
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Like
            | Operator::NotAny
            | Operator::NotEqual
            | Operator::NotEqualIlike
            | Operator::NotEqualLike
            | Operator::NotIlike
            | Operator::NotIn
            | Operator::NotLike
            | Operator::ParentOf => None,
        };
    }
    let mut truths = parent
        .ids
        .iter()
        .map(|id| compare(FieldKind::Many2one, operator, &id.get().into(), wanted));
    let first = truths.next()??;
    truths.all(|truth| truth == Some(first)).then_some(first)
}

/// A comparison of values as Odoo would make it; none where only Odoo knows.
fn compare(kind: FieldKind, operator: Operator, value: &Value, wanted: &Value) -> Option<bool> {
    match operator {
        Operator::Equal => equal(value, wanted),
        Operator::NotEqual => equal(value, wanted).map(|same| !same),
        Operator::In => is_in(value, wanted),
        Operator::NotIn => is_in(value, wanted).map(|among| !among),
        Operator::Greater => Some(ordering(kind, value, wanted)?.is_gt()),
        Operator::GreaterOrEqual => Some(ordering(kind, value, wanted)?.is_ge()),
        Operator::Less => Some(ordering(kind, value, wanted)?.is_lt()),
        Operator::LessOrEqual => Some(ordering(kind, value, wanted)?.is_le()),
        Operator::Any
        | Operator::ChildOf
        | Operator::EqualIlike
        | Operator::EqualLike
        | Operator::Ilike
        | Operator::Like
        | Operator::NotAny
        | Operator::NotEqualIlike
        | Operator::NotEqualLike
        | Operator::NotIlike
        | Operator::NotLike
        | Operator::ParentOf => None,
    }
}

/// Whether two values of the same kind are the same. Nothing is `null` or
/// `false`; an empty text or a nought may be nothing too, which only Odoo knows.
fn equal(value: &Value, wanted: &Value) -> Option<bool> {
    match (value, wanted) {
        (Value::Bool(one), Value::Bool(other)) => Some(one == other),
        (Value::Null, Value::Null | Value::Bool(false)) | (Value::Bool(false), Value::Null) => {
            Some(true)
        }
        (Value::Number(one), Value::Number(other)) => {
            Some(one.as_f64()?.partial_cmp(&other.as_f64()?)?.is_eq())
        }
        (Value::String(one), Value::String(other)) => Some(one == other),
        (Value::Number(one), Value::Null | Value::Bool(false))
        | (Value::Null | Value::Bool(false), Value::Number(one)) => {
            (one.as_f64()? != 0.0).then_some(false)
        }
        (Value::String(one), Value::Null | Value::Bool(false))
        | (Value::Null | Value::Bool(false), Value::String(one)) => {
            (!one.is_empty()).then_some(false)
        }
        (Value::Null | Value::Bool(_), Value::Null | Value::Bool(_))
        | (Value::Array(_) | Value::Object(_), _)
        | (_, Value::Array(_) | Value::Object(_))
        | (Value::Bool(true), Value::Number(_) | Value::String(_))
        | (Value::Number(_) | Value::String(_), Value::Bool(true))
        | (Value::Number(_), Value::String(_))
        | (Value::String(_), Value::Number(_)) => None,
    }
}

fn is_in(value: &Value, wanted: &Value) -> Option<bool> {
    let mut unknown = false;
    for one in wanted.as_array()? {
        match equal(value, one) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

/// The order of numbers, days and moments; that of texts depends on the
/// database.
fn ordering(kind: FieldKind, value: &Value, wanted: &Value) -> Option<std::cmp::Ordering> {
    match (value, wanted) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other))
            if matches!(kind, FieldKind::Date | FieldKind::Datetime)
                && one.len() == other.len()
                && [one, other]
                    .iter()
                    .all(|text| text.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            Some(one.cmp(other))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => None,
    }
}
