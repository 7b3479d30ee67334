//! The tool `aggregate_records`.

use std::{collections::BTreeSet, fmt::Display};

use jiff::{civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::{parse_limit, schema_of},
    footer,
    tool::{ReadTool, run_read},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError},
    render::{self, GroupColumn, Groups, SearchPage, day_of},
    validation::{AggregationPlan, AggregationRequest, PlannedGrouping, PlannedMeasure},
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{
    Aggregation, Call, Comparison, Context, Domain, FieldKind, FieldPath, Granularity, GroupKey,
    Grouping, Measure, ModelName, Operand, Operation, Operator, RequestedMeasure, Term,
};

/// The default for `limit`.
const DEFAULT_LIMIT: u32 = 50;
/// The maximum for `limit`.
const MAX_LIMIT: u32 = 500;
/// The most currencies of a total.
const MAX_TOTALS: u32 = 50;

pub(super) const TOOL: Tool = Tool {
    name: "aggregate_records",
    title: "Aggregate records",
    description: "Group the records of an Odoo model and count, sum or average each group, with a total; \
                  cheaper and safer than adding up records yourself. Amounts of different currencies are not added unless the answer says so.",
    operation: Operation::Read,
    destructive: false,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `aggregate_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `sale.order`.
    model: ModelName,
    /// Odoo domain, such as `[["state","=","sale"]]`; default: all records.
    #[serde(default)]
    #[schemars(with = "Vec<Vec<String>>")]
    domain: Domain,
    /// Such as `["date_order:month","partner_id.country_id"]`; periods: hour, day, week, month, quarter, year. Default: one group.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    group_by: Vec<Grouping>,
    /// Such as `["amount_total:sum","count"]`, with `sum`, `avg`, `min`, `max`, `count`, `count_distinct`. Default: count.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    measures: Vec<RequestedMeasure>,
    /// Conditions on groups, such as `[["amount_total:sum",">","1000"]]`.
    #[serde(default)]
    #[schemars(with = "Vec<Vec<String>>")]
    having: Vec<Having>,
    /// Such as `amount_total:sum desc`. Default: dates in order, else the first measure, largest first.
    order: Option<String>,
    /// Whether to add empty periods to a series: dates grouped by day to year, before anything else.
    #[serde(default)]
    fill: bool,
    /// How many groups, 1 to 500. Default 50.
    #[schemars(extend("minimum" = 1, "maximum" = 500))]
    limit: Option<i64>,
    /// The cursor of the previous page, with all other arguments unchanged.
    cursor: Option<String>,
    /// Whether to include archived records.
    #[serde(default)]
    archived: bool,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    context: Option<ContextRequest>,
}

/// A condition on groups: a measure, an operator and a number.
struct Having(RequestedMeasure, Comparison, serde_json::Number);

impl<'de> Deserialize<'de> for Having {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parts = value.as_array().map(Vec::as_slice);
        if let Some([Value::String(measure), Value::String(operator), number]) = parts
            && let Some(comparison) = Comparison::parse(operator.trim())
        {
            let measure = RequestedMeasure::parse(measure).map_err(de::Error::custom)?;
            let number = match number {
                Value::Number(number) => Some(number.clone()),
                // Some clients can only send text.
                Value::String(text) => serde_json::from_str(text.trim()).ok(),
                Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
            };
            if let Some(number) = number {
                return Ok(Self(measure, comparison, number));
            }
        }
        Err(de::Error::custom(
            "a condition on groups is a measure, one of `=`, `!=`, `<`, `<=`, `>`, `>=`, and a number, such as `[\"amount_total:sum\", \">\", 1000]`",
        ))
    }
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            domain,
            group_by,
            measures,
            having,
            order,
            fill,
            limit,
            cursor,
            archived,
            context,
        } = self;
        let limit = parse_limit(limit, DEFAULT_LIMIT, MAX_LIMIT)?;
        let model_access = access.model_access(&model).await?;
        let having: Vec<_> = having
            .into_iter()
            .map(|Having(a, b, c)| (a, b, c))
            .collect();
        let request = AggregationRequest {
            group_by: &group_by,
            measures: &measures,
            having: &having,
            order: order.as_deref().unwrap_or_default(),
        };
        let plan = access
            .validate_aggregation(&model, &model_access, &request)
            .await?;
        if fill && !can_be_filled(&plan) {
            return Err(ToolError::InvalidArguments(
                "invalid argument `fill`: it needs a date by day, week, month, quarter or year as the first of `group_by`, in its own order, and no `having`".to_owned(),
            ));
        }
        let domain = access.validate_domain(&model, domain).await?;
        let (context, companies) = access.context(context.as_ref(), archived).await?;
        let context = in_time_zone_of_user(&plan, context, access).await?;
        let aggregation = aggregation(&plan, domain, limit);

        // What a cursor is bound to.
        let search = format!("{model}\n{aggregation:?}\n{context:?}");
        let page = match cursor.as_deref() {
            Some(cursor) if !cursor.is_empty() => SearchPage::parse(cursor, search.as_bytes())?,
            _ => SearchPage::start(),
        };
        let call = |aggregation: Aggregation| {
            Call::aggregate(model.clone(), aggregation).in_context(context.clone())
        };
        // One more than shown reveals whether there is a next page.
        let answer = access
            .call(call(Aggregation {
                offset: page.offset,
                limit: limit + 1,
                ..aggregation.clone()
            }))
            .await?;
        let size = answer.len();
        let mut groups =
            render::off_worker(size, || Groups::parse(&answer)).map_err(OperationError::from)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = groups.len() > limit;
        groups.truncate(limit);
        if fill {
            render::off_worker(size, || fill_periods(&mut groups, &plan, &aggregation.domain, &context))
                .filter(|()| !more && page.offset == 0)
                .ok_or_else(|| ToolError::InvalidArguments(format!(
                    "invalid argument `fill`: there are more than {limit} groups; use longer periods, a narrower domain, or a `limit` of up to {MAX_LIMIT}"
                )))?;
        }
        // One group is its own total, unless others were filtered out.
        let has_totals = !plan.groupings.iter().all(|one| one.is_added_currency)
            && page.offset == 0
            && !groups.is_empty()
            && (groups.len() > 1 || more || !plan.having.is_empty());
        let totals = if has_totals {
            let answer = access.call(call(totals(&plan, &aggregation))).await?;
            let totals = render::off_worker(answer.len(), || Groups::parse(&answer));
            Some(totals.map_err(OperationError::from)?)
        } else {
            None
        };
        let answer = Answer {
            plan: &plan,
            groups: &groups,
            totals: totals.as_ref(),
            zone: zone_of(&context),
        };
        let mut text = String::new();
        let shown = render::off_worker(size, || answer.append(&mut text, page.offset == 0));
        if more || shown < groups.len() {
            let next = page.next_cursor(shown, search.as_bytes());
            footer::append_line(
                &mut text,
                &format!(
                    "{} shown, there are more; next page: cursor `{next}`",
                    pluralize(shown, "group")
                ),
            );
        }
        render::off_worker(size, || answer.append_remarks(&mut text, &context));
        footer::append_footer(&mut text, access, &model, &companies, archived);
        Ok(text)
    }
}

/// The context with the time zone of the Odoo user, if the groups depend on one and
/// none is requested: Odoo would use UTC.
async fn in_time_zone_of_user(
    plan: &AggregationPlan,
    context: Context,
    access: &OdooSession<'_>,
) -> Result<Context, OperationError> {
    if context.tz.is_some() || !plan.depends_on_time_zone() {
        return Ok(context);
    }
    let user = access.user().await?;
    Ok(Context {
        tz: user.time_zone.as_deref().map(str::to_owned),
        ..context
    })
}

/// Whether its groups are a series of periods, all of which are in the response.
fn can_be_filled(plan: &AggregationPlan) -> bool {
    let (Some(first), Some(order)) = (plan.groupings.first(), plan.order.first()) else {
        return false;
    };
    let granularity = first.grouping.granularity;
    granularity.is_some_and(|one| one.is_period() && one != Granularity::Hour)
        && order.key == GroupKey::Grouping(first.grouping.clone())
        && !order.descending
        && plan.having.is_empty()
}

/// Adds the empty periods between the days that the domain names, or that have
/// records. Returns `None` if there are too many.
fn fill_periods(
    groups: &mut Groups,
    plan: &AggregationPlan,
    domain: &Domain,
    context: &Context,
) -> Option<()> {
    let zone = zone_of(context);
    let groupings = plan.groupings.iter().map(of_grouping);
    let measures = plan.measures.iter().map(of_measure);
    let bounds = plan
        .groupings
        .first()
        .map(|series| days_of(domain, series, &zone));
    let columns: Vec<GroupColumn> = groupings.chain(measures).collect();
    let max = usize::try_from(MAX_LIMIT).unwrap_or(usize::MAX);
    groups.fill_periods(&columns, &zone, bounds.unwrap_or_default(), max)
}

/// The first and the last day that a domain without alternatives allows.
fn days_of(
    domain: &Domain,
    series: &PlannedGrouping,
    zone: &TimeZone,
) -> (Option<Date>, Option<Date>) {
    let (mut first, mut last) = (None, None);
    for term in domain.terms() {
        let condition = match term {
            Term::Condition(condition) => condition,
            Term::And | Term::Constant(_) => continue,
            Term::Not | Term::Or => return (None, None),
        };
        let Operand::Value(Value::String(text)) = &condition.operand else {
            continue;
        };
        let day = day_of(text, series.field.kind, zone);
        let Some(day) = day.filter(|_| condition.path == series.grouping.path) else {
            continue;
        };
        let operator = condition.operator;
        if matches!(operator, Operator::Greater | Operator::GreaterOrEqual) {
            first = Some(day);
        } else if operator == Operator::LessOrEqual {
            last = Some(day);
        } else if operator == Operator::Less {
            last = day.yesterday().ok();
        }
    }
    (first, last)
}

fn zone_of(context: &Context) -> TimeZone {
    let zone = context.tz.as_deref().map(TimeZone::get);
    zone.and_then(Result::ok).unwrap_or(TimeZone::UTC)
}

/// The aggregation of the first page.
fn aggregation(plan: &AggregationPlan, domain: Domain, limit: u32) -> Aggregation {
    let groupings = plan.groupings.iter();
    let measures = plan.measures.iter();
    Aggregation {
        domain,
        groupings: groupings.map(|one| one.grouping.clone()).collect(),
        measures: measures.map(|one| one.measure.clone()).collect(),
        having: plan.having.clone(),
        order: plan.order.clone(),
        offset: 0,
        limit,
    }
}

/// The same measures of all records; of each currency where amounts are computed.
fn totals(plan: &AggregationPlan, aggregation: &Aggregation) -> Aggregation {
    let currencies = plan.currencies();
    let groupings: Vec<Grouping> = currencies.map(|one| one.grouping.clone()).collect();
    Aggregation {
        domain: aggregation.domain.clone(),
        measures: aggregation.measures.clone(),
        having: Vec::new(),
        // Odoo's order of currencies, or that of their ids.
        order: Vec::new(),
        groupings,
        offset: 0,
        limit: MAX_TOTALS,
    }
}

/// What is rendered.
struct Answer<'a> {
    plan: &'a AggregationPlan,
    groups: &'a Groups,
    totals: Option<&'a Groups>,
    zone: TimeZone,
}

impl Answer<'_> {
    /// Appends the groups and their total. Returns how many groups are shown.
    fn append(&self, text: &mut String, is_first_page: bool) -> usize {
        let measures: Vec<GroupColumn> = self.plan.measures.iter().map(of_measure).collect();
        let count = Measure::Count.to_string();
        // Odoo returns one group of nothing if there are no groupings.
        let counts_nothing =
            self.plan.groupings.is_empty() && self.groups.first_number(&count) == Some(0);
        let is_empty = self.groups.is_empty() || counts_nothing;
        if is_empty {
            let line = match (is_first_page, self.plan.having.is_empty()) {
                (true, true) => "No record matches.",
                (true, false) => "No group matches.",
                (false, _) => "There are no more groups.",
            };
            footer::append_line(text, line);
            return self.groups.len();
        }
        let mut columns = Vec::new();
        for planned in &self.plan.groupings {
            // One currency is a remark, not a column.
            if !self.is_constant_currency(planned) {
                columns.push(of_grouping(planned));
            }
        }
        if columns.is_empty() {
            text.push_str(&self.groups.lines("all records", &[], &measures));
            return self.groups.len();
        }
        columns.extend(measures);
        let rendered = self.groups.table(&columns, &self.zone, MAX_OUTPUT_BYTES);
        text.push_str(&rendered.text);
        if let Some(totals) = self.totals {
            let measures: Vec<GroupColumn> = self.plan.measures.iter().map(of_measure).collect();
            let currencies = self.plan.currencies().map(of_grouping);
            // One currency is a remark, not a column.
            let currencies: Vec<GroupColumn> = currencies
                .filter(|column| totals.constant(column).is_none())
                .collect();
            let title = if self.plan.having.is_empty() {
                "total"
            } else {
                "total with groups that do not match"
            };
            text.push_str(&totals.lines(title, &currencies, &measures));
        }
        rendered.shown
    }

    /// Whether it is a currency that was added, and all groups have the same.
    fn is_constant_currency(&self, planned: &PlannedGrouping) -> bool {
        planned.is_added_currency && self.groups.constant(&of_grouping(planned)).is_some()
    }

    fn constant_currencies(&self) -> impl Iterator<Item = &PlannedGrouping> {
        let groupings = self.plan.groupings.iter();
        groupings.filter(|planned| self.is_constant_currency(planned))
    }

    /// Appends what a reader must know to understand the numbers.
    fn append_remarks(&self, text: &mut String, context: &Context) {
        let mut remark = |line: String| footer::append_line(text, &line);
        let currencies = self.constant_currencies().map(of_grouping);
        let currencies: BTreeSet<String> = currencies
            .filter_map(|column| self.groups.constant(&column))
            .collect();
        for currency in currencies {
            remark(format!("amounts are in {currency}"));
        }
        if !self.plan.without_currency.is_empty() {
            remark(format!(
                "the currency of {} cannot be grouped by or seen, so amounts of different currencies may be added here",
                quoted(&self.plan.without_currency)
            ));
        }
        // The total needs only the measures and their currencies.
        let measured = self.plan.measures.iter();
        let measured = measured.filter_map(|one| one.measure.field().map(FieldPath::from));
        let currencies = self.plan.currencies().map(|one| one.grouping.path.clone());
        let of_total: BTreeSet<FieldPath> = measured.chain(currencies).collect();
        let hidden = self.plan.partly_hidden.iter();
        let (left_out, in_total): (Vec<_>, Vec<_>) =
            hidden.partition(|path| self.totals.is_none() || of_total.contains(*path));
        if !left_out.is_empty() {
            remark(format!(
                "records that hide {} from you are left out",
                quoted(&left_out)
            ));
        }
        if !in_total.is_empty() {
            remark(format!(
                "records that hide {} from you are in no group, but in the total",
                quoted(&in_total)
            ));
        }
        let mut several = self.plan.groupings.iter();
        if let Some(planned) = several.find(|one| one.field.kind == FieldKind::Many2many)
            && self.totals.is_some()
        {
            remark(format!(
                "a record with several `{}` is in several groups, and once in the total",
                planned.grouping
            ));
        }
        if self.plan.depends_on_time_zone() && !self.groups.is_empty() {
            let zone = context.tz.as_deref().unwrap_or("UTC");
            remark(format!("periods are in {zone}"));
        }
        let same: Vec<&str> = self
            .constant_currencies()
            .map(|one| one.grouping.path.as_str())
            .collect();
        if self.plan.groupings.len() > same.len()
            && let Some(condition) = self.groups.first_condition(&same)
        {
            remark(format!(
                "records of a group: add its condition to the domain; the first one's is {condition}"
            ));
        }
    }
}

fn of_grouping(planned: &PlannedGrouping) -> GroupColumn {
    GroupColumn {
        key: planned.grouping.to_string(),
        kind: planned.field.kind,
        granularity: planned.grouping.granularity,
        is_measure: false,
    }
}

fn of_measure(planned: &PlannedMeasure) -> GroupColumn {
    GroupColumn {
        key: planned.measure.to_string(),
        kind: planned.kind,
        granularity: None,
        is_measure: true,
    }
}

fn quoted(names: &[impl Display]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
