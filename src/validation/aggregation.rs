//! Validates what records are grouped by and what is computed of each group.

use std::{collections::BTreeSet, sync::Arc};

use super::query::require_field;
use crate::access::{ModelAccess, OdooSession, OperationError};
use gatepost_odoo::{
    Aggregate, Comparison, Field, FieldClass, FieldKind, FieldName, FieldPath, Granularity,
    GroupCondition, GroupKey, GroupOrder, Grouping, Measure, ModelName, RequestedMeasure, Schema,
};

/// The most groupings of a call.
const MAX_GROUPINGS: usize = 4;
/// The most measures, conditions on groups or keys of an order of a call.
const MAX_MEASURES: usize = 12;

/// What a caller wants to know of groups of records.
#[derive(Debug)]
pub struct AggregationRequest<'a> {
    /// What the records are grouped by.
    pub group_by: &'a [Grouping],
    /// What is computed; the number of records if it is empty.
    pub measures: &'a [RequestedMeasure],
    /// Conditions on the groups: a measure, an operator and a number.
    pub having: &'a [(RequestedMeasure, Comparison, serde_json::Number)],
    /// Groupings or measures, each with `asc` or `desc`.
    pub order: &'a str,
}

/// A valid aggregation, with what its rendering must know.
#[derive(Debug)]
pub struct AggregationPlan {
    /// The groupings: those that were requested, then currencies.
    pub groupings: Vec<PlannedGrouping>,
    /// The measures, at least one.
    pub measures: Vec<PlannedMeasure>,
    /// The conditions on the groups.
    pub having: Vec<GroupCondition>,
    /// A total order of the groups.
    pub order: Vec<GroupOrder>,
    /// Amounts whose currency cannot be grouped by or seen, so that different ones may be added.
    pub without_currency: Vec<FieldName>,
    /// What some visible records hide; the groups leave those records out.
    pub partly_hidden: Vec<FieldPath>,
}

/// A grouping, and the field at its end.
#[derive(Clone, Debug)]
pub struct PlannedGrouping {
    /// The grouping.
    pub grouping: Grouping,
    /// The field at the end of its path.
    pub field: Arc<Field>,
    /// Whether it is the currency of amounts that are computed.
    pub is_currency: bool,
    /// Whether it was added, because amounts of different currencies cannot be added.
    pub is_added_currency: bool,
}

/// A measure, and the kind of its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedMeasure {
    /// The measure.
    pub measure: Measure,
    /// The kind of its value.
    pub kind: FieldKind,
}

impl AggregationPlan {
    /// The currencies that amounts are computed for.
    pub fn currencies(&self) -> impl Iterator<Item = &PlannedGrouping> {
        self.groupings.iter().filter(|one| one.is_currency)
    }

    /// Whether the time zone decides which group a record belongs to.
    pub fn depends_on_time_zone(&self) -> bool {
        self.groupings
            .iter()
            .any(|one| one.field.kind == FieldKind::Datetime)
    }
}

impl OdooSession<'_> {
    /// The aggregation with everything that Odoo needs, if every field in it exists,
    /// can be seen, and can be grouped by or computed with.
    ///
    /// # Errors
    /// [`OperationError`] names what would be valid.
    pub async fn validate_aggregation(
        &self,
        model: &ModelName,
        access: &ModelAccess,
        request: &AggregationRequest<'_>,
    ) -> Result<AggregationPlan, OperationError> {
        let schema = access.visible();
        check_number("group_by", request.group_by.len(), MAX_GROUPINGS)?;
        check_number("measures", request.measures.len(), MAX_MEASURES)?;
        check_number("having", request.having.len(), MAX_MEASURES)?;
        let mut groupings: Vec<PlannedGrouping> = Vec::new();
        for grouping in request.group_by {
            let planned = self.validate_grouping(model, grouping).await?;
            if !groupings.iter().any(|one| one.grouping == planned.grouping) {
                groupings.push(planned);
            }
        }
        let mut measures: Vec<PlannedMeasure> = Vec::new();
        for measure in request.measures {
            let planned = validate_measure(schema, model, measure)?;
            if !measures.contains(&planned) {
                measures.push(planned);
            }
        }
        if measures.is_empty() {
            measures.push(PlannedMeasure {
                measure: Measure::Count,
                kind: FieldKind::Integer,
            });
        }
        let mut having = Vec::new();
        for (measure, comparison, number) in request.having {
            having.push(GroupCondition {
                measure: validate_measure(schema, model, measure)?.measure,
                comparison: *comparison,
                number: number.clone(),
            });
        }
        let requested_order =
            validate_group_order(schema, model, request.order, &groupings, &measures)?;
        let sorted_by = requested_order.iter().filter_map(|order| match &order.key {
            GroupKey::Measure(measure) => Some(measure),
            GroupKey::Grouping(_) | GroupKey::LinkedId(_) => None,
        });
        let amounts: BTreeSet<&FieldName> = measures
            .iter()
            .map(|one| &one.measure)
            .chain(having.iter().map(|one| &one.measure))
            .chain(sorted_by)
            .filter_map(|measure| amount_field(schema, measure))
            .collect();
        let mut without_currency = Vec::new();
        for amount in amounts {
            let currency = schema
                .field(amount.as_str())
                .and_then(|field| schema.shared_field(field.currency_field.as_ref()?.as_str()));
            match currency {
                Some(currency) if is_groupable(currency) => {
                    let grouping = Grouping::by(&currency.name);
                    let mut requested = groupings.iter_mut();
                    match requested.find(|one| one.grouping == grouping) {
                        Some(requested) => requested.is_currency = true,
                        None => groupings.push(PlannedGrouping {
                            grouping,
                            field: Arc::clone(currency),
                            is_currency: true,
                            is_added_currency: true,
                        }),
                    }
                }
                Some(_) | None => without_currency.push(amount.clone()),
            }
        }
        let order = total_order(requested_order, &groupings, &measures);
        let in_all = access.visible_in_all_records();
        let sorted_by = order.iter().filter_map(|order| match &order.key {
            GroupKey::Measure(measure) => Some(measure),
            GroupKey::Grouping(_) | GroupKey::LinkedId(_) => None,
        });
        let mut partly_hidden: BTreeSet<FieldPath> = measures
            .iter()
            .map(|one| &one.measure)
            .chain(having.iter().map(|one| &one.measure))
            .chain(sorted_by)
            .filter_map(Measure::field)
            .filter(|name| in_all.field(name.as_str()).is_none())
            .map(FieldPath::from)
            .collect();
        for planned in &groupings {
            let path = &planned.grouping.path;
            if self.is_partly_hidden(model, path).await? {
                partly_hidden.insert(path.clone());
            }
        }
        Ok(AggregationPlan {
            groupings,
            measures,
            having,
            order,
            without_currency,
            partly_hidden: partly_hidden.into_iter().collect(),
        })
    }

    /// Whether a record on the path, or a field of one, may be hidden.
    async fn is_partly_hidden(
        &self,
        model: &ModelName,
        path: &FieldPath,
    ) -> Result<bool, OperationError> {
        let mut at = model.clone();
        for (number, step) in path.steps().enumerate() {
            let access = self.model_access(&at).await?;
            let hides_records = number > 0 && access.hides_records();
            if hides_records || access.visible_in_all_records().field(step).is_none() {
                return Ok(true);
            }
            let field = access.visible().field(step);
            let Some(relation) = field.and_then(|field| field.relation.as_ref()) else {
                break;
            };
            at = relation.clone();
        }
        Ok(false)
    }

    /// The grouping with the field at the end of its path. A date without a period is
    /// grouped by month, as in Odoo's own lists.
    async fn validate_grouping(
        &self,
        model: &ModelName,
        grouping: &Grouping,
    ) -> Result<PlannedGrouping, OperationError> {
        let mut at = model.clone();
        let mut steps = grouping.path.steps().peekable();
        let mut found = None;
        while let Some(step) = steps.next() {
            let access = self.model_access(&at).await?;
            let field = Arc::clone(require_field(access.visible(), &at, step)?);
            if steps.peek().is_some() {
                match (&field.relation, field.kind) {
                    (Some(relation), FieldKind::Many2one) => at = relation.clone(),
                    _ => return Err(not_a_link(&at, &field)),
                }
            }
            found = Some((at.clone(), field));
        }
        let (at, field) = found.ok_or_else(|| {
            OperationError::InvalidArgument("a grouping names a field".to_owned())
        })?;
        if !is_groupable(&field) {
            return Err(not_groupable(&at, &field));
        }
        let mut grouping = grouping.clone();
        match (grouping.granularity, field.kind.is_date()) {
            (None, true) => grouping.granularity = Some(Granularity::Month),
            (Some(granularity), false) => {
                return Err(OperationError::InvalidArgument(format!(
                    "`{}` of `{at}` is {}, not a date, so it has no `{}`; group by `{}`",
                    field.name,
                    field.kind,
                    granularity.as_str(),
                    grouping.path
                )));
            }
            (None, false) | (Some(_), true) => {}
        }
        let needs_time = |one| matches!(one, Granularity::Hour | Granularity::HourNumber);
        if field.kind == FieldKind::Date && grouping.granularity.is_some_and(needs_time) {
            return Err(OperationError::InvalidArgument(format!(
                "`{}` of `{at}` is a day without a time; group by day or a longer period",
                field.name
            )));
        }
        Ok(PlannedGrouping {
            grouping,
            field,
            is_currency: false,
            is_added_currency: false,
        })
    }
}

fn check_number(name: &str, given: usize, max: usize) -> Result<(), OperationError> {
    if given <= max {
        return Ok(());
    }
    Err(OperationError::InvalidArgument(format!(
        "invalid argument `{name}`: give at most {max}, not {given}"
    )))
}

/// Whether records can be grouped by the field (Odoo 19,
/// `Field._description_groupable`), and whether groups say something.
fn is_groupable(field: &Field) -> bool {
    match field.kind.class() {
        FieldClass::Binary
        | FieldClass::Document
        | FieldClass::One2many
        | FieldClass::Properties
        | FieldClass::Unknown => false,
        FieldClass::Many2many => field.stored,
        FieldClass::Many2one
        | FieldClass::Number
        | FieldClass::Reference
        | FieldClass::Scalar
        | FieldClass::UntypedId => field.sortable && field.name.as_str() != "id",
    }
}

fn not_groupable(model: &ModelName, field: &Field) -> OperationError {
    let name = &field.name;
    OperationError::InvalidArgument(match (field.kind, &field.relation) {
        (FieldKind::One2many, Some(lines)) => format!(
            "`{name}` of `{model}` is a list of records, which cannot be grouped by; aggregate `{lines}` instead{}",
            field
                .inverse
                .as_ref()
                .map_or_else(String::new, |inverse| format!(", by `{inverse}`"))
        ),
        _ if name.as_str() == "id" => format!(
            "each record of `{model}` has its own `id`, so it cannot be grouped by; use search_records"
        ),
        (FieldKind::Many2many, _) => not_stored(model, name),
        _ if !field.sortable => not_stored(model, name),
        (kind, _) => format!("`{name}` of `{model}` is {kind}, which cannot be grouped by"),
    })
}

fn not_stored(model: &ModelName, name: &FieldName) -> String {
    format!(
        "`{name}` of `{model}` is computed when it is read and not stored, so Odoo can neither group by it nor compute with it; use a stored field, or read the records with search_records"
    )
}

fn not_a_link(model: &ModelName, field: &Field) -> OperationError {
    OperationError::InvalidArgument(format!(
        "`{}` of `{model}` is {}; a path of a grouping follows many2one fields only, such as `partner_id.country_id`",
        field.name, field.kind
    ))
}

/// The measure with its function, if the function can be computed of the field.
fn validate_measure(
    schema: &Schema,
    model: &ModelName,
    requested: &RequestedMeasure,
) -> Result<PlannedMeasure, OperationError> {
    let RequestedMeasure::Of(name, function) = requested else {
        return Ok(PlannedMeasure {
            measure: Measure::Count,
            kind: FieldKind::Integer,
        });
    };
    let field = require_field(schema, model, name.as_str())?;
    let possible = Aggregate::of_kind(field.kind);
    if possible.is_empty() {
        return Err(OperationError::InvalidArgument(
            match (&field.relation, field.kind.is_x2many()) {
                (Some(lines), true) => format!(
                    "`{name}` of `{model}` is a list of records, of which nothing can be computed; aggregate `{lines}` instead"
                ),
                _ => format!(
                    "`{name}` of `{model}` is {}, of which nothing can be computed",
                    field.kind
                ),
            },
        ));
    }
    if !field.sortable {
        return Err(OperationError::InvalidArgument(not_stored(model, name)));
    }
    let is_id = name.as_str() == "id";
    let function =
        function.or((possible.contains(&Aggregate::Sum) && !is_id).then_some(Aggregate::Sum));
    let function = function.filter(|function| {
        possible.contains(function)
            && !(is_id && matches!(function, Aggregate::Sum | Aggregate::Avg))
    });
    let Some(function) = function else {
        let possible: Vec<String> = possible
            .iter()
            .filter(|one| !(is_id && matches!(one, Aggregate::Sum | Aggregate::Avg)))
            .map(|one| format!("`{name}:{}`", one.as_str()))
            .collect();
        return Err(OperationError::InvalidArgument(format!(
            "`{name}` of `{model}` is {}; what can be computed of it is {}",
            field.kind,
            possible.join(", ")
        )));
    };
    let kind = match function {
        Aggregate::Count | Aggregate::CountDistinct => FieldKind::Integer,
        Aggregate::Avg => FieldKind::Float,
        Aggregate::BoolAnd | Aggregate::BoolOr => FieldKind::Boolean,
        Aggregate::Max | Aggregate::Min | Aggregate::Sum => field.kind,
    };
    Ok(PlannedMeasure {
        measure: Measure::Of(name.clone(), function),
        kind,
    })
}

/// The monetary field of which the measure is an amount.
fn amount_field<'m>(schema: &Schema, measure: &'m Measure) -> Option<&'m FieldName> {
    let Measure::Of(name, function) = measure else {
        return None;
    };
    let field = schema.field(name.as_str())?;
    (function.returns_amount() && field.kind == FieldKind::Monetary).then_some(name)
}

/// The requested order: each key is a grouping or a measure, perhaps without its
/// period or function.
fn validate_group_order(
    schema: &Schema,
    model: &ModelName,
    order: &str,
    groupings: &[PlannedGrouping],
    measures: &[PlannedMeasure],
) -> Result<Vec<GroupOrder>, OperationError> {
    let mut keys = Vec::new();
    for part in order.split(',').filter(|part| !part.trim().is_empty()) {
        let (term, direction) = match part.trim().rsplit_once(char::is_whitespace) {
            Some((term, word)) => (term.trim(), word.to_ascii_lowercase()),
            None => (part.trim(), String::new()),
        };
        let descending = match direction.as_str() {
            "" | "asc" => false,
            "desc" => true,
            _ => return Err(invalid_order(part, groupings, measures)),
        };
        let of_path = || {
            let path = term.split(':').next().unwrap_or(term);
            let mut named = groupings
                .iter()
                .filter(|one| one.grouping.path.as_str() == path);
            named.next().filter(|_| named.next().is_none())
        };
        let of_field = || {
            let mut named = measures.iter().filter(|one| {
                one.measure
                    .field()
                    .is_some_and(|field| field.as_str() == term)
            });
            named.next().filter(|_| named.next().is_none())
        };
        let grouping = groupings
            .iter()
            .find(|one| one.grouping.to_string() == term);
        let key = if let Some(planned) = grouping {
            GroupKey::Grouping(planned.grouping.clone())
        } else if let Some(planned) = of_field() {
            GroupKey::Measure(planned.measure.clone())
        } else if let Some(planned) = of_path().filter(|_| Grouping::parse(term).is_ok()) {
            GroupKey::Grouping(planned.grouping.clone())
        } else {
            let requested = RequestedMeasure::parse(term)
                .map_err(|_no_measure| invalid_order(term, groupings, measures))?;
            let is_field = matches!(&requested, RequestedMeasure::Of(_, None));
            if is_field {
                return Err(invalid_order(term, groupings, measures));
            }
            GroupKey::Measure(validate_measure(schema, model, &requested)?.measure)
        };
        keys.push(GroupOrder { key, descending });
    }
    check_number("order", keys.len(), MAX_MEASURES)?;
    Ok(keys)
}

fn invalid_order(
    term: &str,
    groupings: &[PlannedGrouping],
    measures: &[PlannedMeasure],
) -> OperationError {
    let term: String = term.trim().chars().take(80).collect();
    let keys = groupings.iter().map(|one| one.grouping.to_string());
    let keys = keys.chain(measures.iter().map(|one| one.measure.to_string()));
    let keys: Vec<String> = keys
        .map(|key| format!("`{}`", key.trim_start_matches("__")))
        .collect();
    OperationError::InvalidArgument(format!(
        "groups cannot be ordered by `{term}`; order by {}, each with `asc` or `desc`",
        keys.join(", ")
    ))
}

/// An order in which no two groups are equal, so that pages cannot overlap. Without
/// a request, several groupings and dates are in their own order, and one other
/// grouping by the first measure, the largest first.
fn total_order(
    requested: Vec<GroupOrder>,
    groupings: &[PlannedGrouping],
    measures: &[PlannedMeasure],
) -> Vec<GroupOrder> {
    if groupings.is_empty() {
        return Vec::new();
    }
    let mut order = requested;
    let own = groupings.iter().filter(|one| !one.is_added_currency);
    let is_ranking =
        own.clone().count() == 1 && own.clone().all(|one| one.grouping.granularity.is_none());
    if order.is_empty()
        && is_ranking
        && let Some(first) = measures.first()
    {
        order.push(GroupOrder {
            key: GroupKey::Measure(first.measure.clone()),
            descending: true,
        });
    }
    for planned in groupings {
        let by_grouping = GroupKey::Grouping(planned.grouping.clone());
        // Odoo sorts links by the order of their model, which may tie; their ids do not.
        let key = match FieldName::try_from(planned.grouping.path.as_str()) {
            Ok(field) if planned.field.kind == FieldKind::Many2one => GroupKey::LinkedId(field),
            Ok(_) | Err(_) => by_grouping,
        };
        if order.iter().any(|one| one.key == key) {
            continue;
        }
        order.push(GroupOrder {
            key,
            descending: false,
        });
    }
    order
}
