//! What a call asks, seen through and fitted to what may be seen.
//!
//! One walk makes both the decision and the call that is sent, so they cannot
//! differ: what is not walked over is not sent.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Forbidden, Incomplete, PolicyFacts, effective_rules::EffectiveRules};
use gatepost_odoo::{
    Call, Condition, Context, Domain, Field, FieldKind, FieldName, FieldPath, ModelName, Operand,
    Operation, Operator, Order, RecordId, Request, Search, Term,
};

/// Fields in which people look for a name, where what Odoo looks in by itself
/// (`_rec_names_search`, which it tells nobody) may hold what is hidden.
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

/// Models whose hierarchy does not run over `parent_id` (Odoo 19, `_parent_name`).
const PARENT_FIELDS: [(&str, &str); 3] = [
    ("stock.location", "location_id"),
    ("stock.package", "parent_package_id"),
    ("uom.uom", "relative_uom_id"),
];

/// A walk over one call.
pub(super) struct QueryRewriter<'a> {
    pub(super) rules: &'a EffectiveRules<'a>,
    pub(super) facts: &'a PolicyFacts,
}

/// The fields of one model that a question is about.
type QueriedFields = BTreeSet<FieldName>;

impl QueryRewriter<'_> {
    /// The call, with every field in it one that may be seen, and with the
    /// records that the rules cover.
    ///
    /// # Errors
    /// [`Undecided`].
    pub(super) fn rewrite(&self, call: Call) -> Result<Call, Incomplete> {
        let (model, effect) = (call.model().clone(), call.operation());
        self.rules.allow(&model, effect)?;
        let mut asked = QueriedFields::new();
        let request = match call.request().clone() {
            Request::Count(domain) => {
                let domain = self.rewrite_domain(&model, domain, &mut asked)?;
                Request::Count(domain.and(self.row_filter_of_query(&model, effect, &asked)?))
            }
            Request::Defaults(fields) => {
                // Where a rule covers some records only, defaults are nobody's.
                let asked = fields.iter().cloned().collect();
                self.row_filter(&model, effect, &asked)?;
                Request::Defaults(fields)
            }
            Request::Fields => Request::Fields,
            Request::Models => Request::Models,
            Request::NameSearch {
                name,
                domain,
                limit,
            } => self.rewrite_name_search(&model, effect, &name, domain, limit)?,
            Request::Read { ids, fields } => {
                asked.extend(fields.iter().cloned());
                let cover = self.row_filter_of_query(&model, effect, &asked)?;
                if cover.is_empty() {
                    Request::Read {
                        ids,
                        fields: fields_or_id(fields),
                    }
                } else {
                    // A search checks the ids in the same breath.
                    let mut search = membership_search(&model, &ids, cover);
                    let context = Context {
                        include_archived: true,
                        ..call.context().clone()
                    };
                    if let Request::Search(parts) = search.request().clone() {
                        search = search.with_request(Request::Search(Search {
                            fields: fields_or_id(fields),
                            ..parts
                        }));
                    }
                    return Ok(search.in_context(context));
                }
            }
            Request::Search(search) => self.rewrite_search(&model, effect, search)?,
            Request::WhoAmI => Request::WhoAmI,
            // Changes are looked at elsewhere; as a read they are nothing. And the
            // documentation is only asked by ourselves: it has hidden fields.
            Request::Create(_)
            | Request::Delete(_)
            | Request::Documentation
            | Request::Load(_)
            | Request::Run { .. }
            | Request::Write { .. } => {
                return Err(Forbidden::Operation {
                    model,
                    operation: effect,
                }
                .into());
            }
        };
        Ok(call.with_request(request))
    }

    fn rewrite_search(
        &self,
        model: &ModelName,
        effect: Operation,
        search: Search,
    ) -> Result<Request, Incomplete> {
        let Search {
            domain,
            fields,
            answer_fields: about,
            mut order,
            offset,
            limit,
        } = search;
        let mut asked: QueriedFields = fields.iter().chain(&about).cloned().collect();
        self.authorize_order(model, &order, &mut asked)?;
        let domain = self.rewrite_domain(model, domain, &mut asked)?;
        if order.is_empty() && !self.rules.exposes_all_fields(model) {
            // The model's own order may be by a hidden field.
            order = Order::by_id_descending();
        }
        Ok(Request::Search(Search {
            domain: domain.and(self.row_filter_of_query(model, effect, &asked)?),
            fields: fields_or_id(fields),
            answer_fields: about,
            order,
            offset,
            limit,
        }))
    }

    fn rewrite_name_search(
        &self,
        model: &ModelName,
        effect: Operation,
        name: &str,
        domain: Domain,
        limit: u32,
    ) -> Result<Request, Incomplete> {
        let display_name = FieldName::known("display_name");
        let mut asked = QueriedFields::from([display_name.clone()]);
        let domain = self.rewrite_domain(model, domain, &mut asked)?;
        if self.rules.is_unrestricted_everywhere() {
            return Ok(Request::NameSearch {
                name: name.to_owned(),
                domain: domain.and(self.row_filter_of_query(model, effect, &asked)?),
                limit,
            });
        }
        let named = self.name_filter(model, Operator::Ilike, &Value::from(name))?;
        Ok(Request::Search(Search {
            domain: named
                .and(domain)
                .and(self.row_filter(model, effect, &asked)?),
            fields: vec![display_name],
            answer_fields: Vec::new(),
            order: Order::by_id_descending(),
            offset: 0,
            limit,
        }))
    }

    /// Allows the order. By a relation it is the related model's own order,
    /// which Odoo tells nobody, so all of that model must be open.
    fn authorize_order(
        &self,
        model: &ModelName,
        order: &Order,
        asked: &mut QueriedFields,
    ) -> Result<(), Incomplete> {
        for name in order.fields() {
            asked.insert(name.clone());
            if name.as_str() == "id" {
                continue;
            }
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
        }
        Ok(())
    }

    /// The domain over what may be seen; the model's own fields in it are added
    /// to those that are asked.
    fn rewrite_domain(
        &self,
        model: &ModelName,
        domain: Domain,
        asked: &mut QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let mut terms = Vec::with_capacity(domain.terms().len());
        for term in domain.into_terms() {
            match term {
                Term::Condition(condition) => {
                    let fitted = self
                        .rewrite_condition(model, condition, asked)?
                        .into_terms();
                    if fitted.is_empty() {
                        terms.push(Term::Constant(true));
                    }
                    terms.extend(fitted);
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
        asked: &mut QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let path = condition.path.clone();
        let lost = || {
            Incomplete::from(Forbidden::Path {
                model: model.clone(),
                path: path.clone(),
            })
        };
        let (first, rest) = path.split_first();
        let first = FieldName::try_from(first).map_err(|_no_name| lost())?;
        let field = self.visible_field(model, &first)?;
        asked.insert(first.clone());
        if let Some(rest) = rest {
            return match (&field.relation, field.kind) {
                (Some(relation), _) => {
                    let inner = Domain::of(Condition {
                        path: rest,
                        ..condition.clone()
                    });
                    let fitted = self.rewrite_related(relation, inner.clone())?;
                    // A path is what `any` is (Odoo 19, `DomainCondition._optimize_step`).
                    Ok(if fitted == inner {
                        Domain::of(condition)
                    } else {
                        related_condition(&first, Operator::Any, fitted)
                    })
                }
                // A property, or a part of a date.
                (None, FieldKind::Date | FieldKind::Datetime | FieldKind::Properties)
                    if rest.split_first().1.is_none()
                        && matches!(condition.operand, Operand::Value(_)) =>
                {
                    Ok(Domain::of(condition))
                }
                (None, _) => Err(lost()),
            };
        }
        match condition.operand {
            Operand::Domain(inner) => {
                let relation = field.relation.as_ref().ok_or_else(lost)?;
                let fitted = self.rewrite_related(relation, inner)?;
                Ok(related_condition(&first, condition.operator, fitted))
            }
            Operand::Value(value) => {
                self.rewrite_comparison(model, field, condition.operator, value, &lost)
            }
        }
    }

    /// A field compared with a value.
    fn rewrite_comparison(
        &self,
        model: &ModelName,
        field: &Field,
        operator: Operator,
        value: Value,
        lost: &impl Fn() -> Incomplete,
    ) -> Result<Domain, Incomplete> {
        let name = field.name.as_str();
        let relation = field.relation.as_ref();
        if matches!(operator, Operator::ChildOf | Operator::ParentOf) {
            let target = match relation {
                Some(relation) => relation,
                None if name == "id" => model,
                None => return Err(lost()),
            };
            let over = (target == model && name != "id").then_some(name);
            self.authorize_hierarchy(target, over)?;
            if !only_ids(&value) && !self.rules.is_unrestricted_everywhere() {
                return Err(Forbidden::Hierarchy(target.clone()).into());
            }
            return Ok(comparison(name, operator, value));
        }
        // Odoo looks a text up among the names of the records.
        let target = match relation {
            Some(relation) if !only_ids(&value) => relation,
            None if name == "display_name" => model,
            Some(_) | None => return Ok(comparison(name, operator, value)),
        };
        self.rules.allow(target, Operation::Read)?;
        if self.rules.is_unrestricted_everywhere() {
            return Ok(comparison(name, operator, value));
        }
        let (positive, negative) = positive_name_operator(operator).ok_or_else(lost)?;
        let (texts, others) = match value {
            Value::Array(values) => {
                let (texts, others) = values.into_iter().partition(Value::is_string);
                (Value::Array(texts), Value::Array(others))
            }
            one @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => (one, Value::Array(Vec::new())),
        };
        let named = self.name_filter(target, positive, &texts)?;
        if relation.is_none() {
            let few = others.as_array().is_some_and(Vec::is_empty);
            return match (few, negative) {
                (false, _) => Err(lost()),
                (true, false) => Ok(named),
                (true, true) => Ok(named.negated()),
            };
        }
        let any = if negative {
            Operator::NotAny
        } else {
            Operator::Any
        };
        let named = related_condition(
            &field.name,
            any,
            named.and(self.rewrite_related(target, Domain::default())?),
        );
        if others.as_array().is_some_and(Vec::is_empty) {
            return Ok(named);
        }
        let by_id = comparison(name, operator, others);
        Ok(if negative {
            named.and(by_id)
        } else {
            named.or(by_id)
        })
    }

    /// A domain on a related model, over those of its records that may be seen.
    fn rewrite_related(&self, model: &ModelName, domain: Domain) -> Result<Domain, Incomplete> {
        self.rules.allow(model, Operation::Read)?;
        let mut asked = QueriedFields::new();
        let domain = self.rewrite_domain(model, domain, &mut asked)?;
        Ok(domain.and(self.row_filter(model, Operation::Read, &asked)?))
    }

    /// The records whose name is meant by a text, each by those fields that may
    /// be seen of it.
    fn name_filter(
        &self,
        model: &ModelName,
        operator: Operator,
        text: &Value,
    ) -> Result<Domain, Incomplete> {
        let schema = self.facts.schema_of(model)?;
        let every = self.row_filter(model, Operation::Read, &QueriedFields::new())?;
        let mut named: Option<Domain> = None;
        for name in NAME_FIELDS {
            let Some(field) = schema.field(name) else {
                continue;
            };
            if field.kind != FieldKind::Char || !field.searchable {
                continue;
            }
            let cover = match self.row_filter(
                model,
                Operation::Read,
                &QueriedFields::from([field.name.clone()]),
            ) {
                Ok(cover) => cover,
                Err(Incomplete::Denied(_)) => continue,
                Err(needs @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) => {
                    return Err(needs);
                }
            };
            let one = comparison(name, operator, text.clone());
            let one = if every.implies(&cover) {
                one
            } else {
                one.and(cover)
            };
            named = Some(match named {
                None => one,
                Some(others) => others.or(one),
            });
        }
        named.ok_or_else(|| Forbidden::NameSearch(model.clone()).into())
    }

    /// Allows to ask what is above and below in the hierarchy, over this field.
    /// Odoo walks it past every rule, so nothing in it may be hidden.
    fn authorize_hierarchy(&self, model: &ModelName, over: Option<&str>) -> Result<(), Incomplete> {
        self.rules.allow(model, Operation::Read)?;
        if self.rules.is_unrestricted(model) {
            return Ok(());
        }
        let usual = PARENT_FIELDS
            .iter()
            .find(|(known, _)| *known == model.as_str())
            .map_or("parent_id", |(_, parent)| parent);
        let closed = || Incomplete::from(Forbidden::Hierarchy(model.clone()));
        let parent = FieldName::try_from(over.unwrap_or(usual)).map_err(|_no_name| closed())?;
        match self.row_filter(model, Operation::Read, &QueriedFields::from([parent])) {
            Ok(cover) if cover.is_empty() => Ok(()),
            Ok(_) | Err(Incomplete::Denied(_)) => Err(closed()),
            Err(needs @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) => Err(needs),
        }
    }

    fn visible_field(&self, model: &ModelName, name: &FieldName) -> Result<&Field, Incomplete> {
        // First, so that nobody looks at a model that is closed.
        self.row_filter(model, Operation::Read, &QueriedFields::from([name.clone()]))?;
        self.facts
            .schema_of(model)?
            .field(name.as_str())
            .ok_or_else(|| {
                Forbidden::Field {
                    model: model.clone(),
                    field: name.clone(),
                }
                .into()
            })
    }

    /// The records that a call with this effect is about, if it asks these fields.
    fn row_filter_of_query(
        &self,
        model: &ModelName,
        effect: Operation,
        asked: &QueriedFields,
    ) -> Result<Domain, Incomplete> {
        let records = self.row_filter(model, effect, &QueriedFields::new())?;
        if asked.is_empty() {
            return Ok(records);
        }
        // Whatever is done in the end: what is asked must be seen.
        let seen = self.row_filter(model, Operation::Read, asked)?;
        Ok(if seen.implies(&records) {
            seen
        } else {
            records.and(seen)
        })
    }

    fn row_filter(
        &self,
        model: &ModelName,
        effect: Operation,
        asked: &QueriedFields,
    ) -> Result<Domain, Incomplete> {
        self.rules.row_filter(model, effect, asked, self.facts)
    }
}

/// The search for those of the records that are covered, archived ones too.
pub(super) fn membership_search(model: &ModelName, ids: &[RecordId], cover: Domain) -> Call {
    let numbers = ids.iter().map(|id| Value::from(id.get())).collect();
    let domain = comparison("id", Operator::In, Value::Array(numbers)).and(cover);
    let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let context = Context {
        include_archived: true,
        ..Context::default()
    };
    Call::search_read(
        model.clone(),
        &domain,
        &[FieldName::known("id")],
        &Order::by_id_descending(),
        0,
        limit,
    )
    .in_context(context)
}

/// The fields to send: for an empty list Odoo gives every field.
fn fields_or_id(fields: Vec<FieldName>) -> Vec<FieldName> {
    if fields.is_empty() {
        vec![FieldName::known("id")]
    } else {
        fields
    }
}

/// Whether a value names no record by a text.
fn only_ids(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(only_ids),
        Value::Bool(_) | Value::Null | Value::Number(_) => true,
        Value::Object(_) | Value::String(_) => false,
    }
}

/// The comparison of names that an operator makes or denies, and whether it
/// denies; none for those that compare no names.
fn positive_name_operator(operator: Operator) -> Option<(Operator, bool)> {
    Some(match operator {
        Operator::Equal
        | Operator::EqualIlike
        | Operator::EqualLike
        | Operator::Ilike
        | Operator::In
        | Operator::Like => (operator, false),
        Operator::NotEqual => (Operator::Equal, true),
        Operator::NotEqualIlike => (Operator::EqualIlike, true),
        Operator::NotEqualLike => (Operator::EqualLike, true),
        Operator::NotIlike => (Operator::Ilike, true),
        Operator::NotIn => (Operator::In, true),
        Operator::NotLike => (Operator::Like, true),
        Operator::Any
        | Operator::ChildOf
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::NotAny
        | Operator::ParentOf => return None,
    })
}

fn comparison(name: &str, operator: Operator, value: Value) -> Domain {
    FieldPath::try_from(name).map_or_else(
        |_no_name| Domain::nothing(),
        |path| {
            Domain::of(Condition {
                path,
                operator,
                operand: Operand::Value(value),
            })
        },
    )
}

fn related_condition(field: &FieldName, operator: Operator, inner: Domain) -> Domain {
    Domain::of(Condition {
        path: FieldPath::from(field),
        operator,
        operand: Operand::Domain(inner),
    })
}
