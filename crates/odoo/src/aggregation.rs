//! Groups of records with what is computed of each.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Domain, FieldName, Grouping, Measure};

/// Groups of records with what is computed of each (`formatted_read_group`).
#[derive(Clone, PartialEq, Debug)]
pub struct Aggregation {
    /// Limits the records.
    pub domain: Domain,
    /// What they are grouped by; all records are one group if it is empty.
    pub groupings: Vec<Grouping>,
    /// What is computed of each group.
    pub measures: Vec<Measure>,
    /// Limits the groups; all must hold.
    pub having: Vec<GroupCondition>,
    /// The order of the groups. Never empty where there are groupings: Odoo would then
    /// sort by them, and by fields of the linked records.
    pub order: Vec<GroupOrder>,
    /// The number of groups to skip.
    pub offset: u64,
    /// The maximum number of groups.
    pub limit: u32,
}

/// A condition on the groups: a measure compared with a number.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupCondition {
    /// The measure.
    pub measure: Measure,
    /// How it is compared.
    pub comparison: Comparison,
    /// The number.
    pub number: serde_json::Number,
}

gatepost_base::words! {
    /// How a measure is compared with a number (Odoo 19, `_read_group_having`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Comparison {
        /// Is equal.
        Equal = "=",
        /// Is greater.
        Greater = ">",
        /// Is greater or equal.
        GreaterOrEqual = ">=",
        /// Is less.
        Less = "<",
        /// Is less or equal.
        LessOrEqual = "<=",
        /// Is different.
        NotEqual = "!=",
    }

    /// The operator in Odoo.
    pub fn as_str(self);
}

impl Comparison {
    /// Every comparison, in order.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::NotEqual,
    ];

    /// The comparison of this operator.
    pub fn parse(operator: &str) -> Option<Self> {
        let plain = match operator {
            "==" => "=",
            "<>" => "!=",
            other => other,
        };
        Self::ALL.into_iter().find(|one| one.as_str() == plain)
    }
}

/// One key of the order of groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupOrder {
    /// What it compares.
    pub key: GroupKey,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// What the order of groups compares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupKey {
    /// A grouping. For a many2one field, Odoo sorts by the order of the linked model.
    Grouping(Grouping),
    /// The id of the linked record of a many2one field that is a grouping, which
    /// reveals nothing else of it.
    LinkedId(FieldName),
    /// A measure; groups without a value come last.
    Measure(Measure),
}

impl Aggregation {
    /// The arguments by name.
    pub(super) fn arguments(&self) -> Map<String, Value> {
        let mut named = Map::new();
        let mut set = |name: &str, value: Value| {
            named.insert(name.to_owned(), value);
        };
        let texts = |texts: Vec<String>| Value::from(texts);
        let groupings = self.groupings.iter().map(Grouping::to_string).collect();
        let measures = self.measures.iter().map(Measure::to_string).collect();
        set("domain", self.domain.to_json());
        set("groupby", texts(groupings));
        set("aggregates", texts(measures));
        if !self.having.is_empty() {
            let conditions = self
                .having
                .iter()
                .map(|one| json!([one.measure.to_string(), one.comparison.as_str(), one.number]));
            set("having", conditions.collect());
        }
        if !self.order.is_empty() {
            let keys: Vec<String> = self.order.iter().map(GroupOrder::to_string).collect();
            set("order", keys.join(", ").into());
        }
        if self.offset > 0 {
            set("offset", self.offset.into());
        }
        set("limit", self.limit.into());
        named
    }

    /// The measures that it computes or compares.
    pub fn used_measures(&self) -> impl Iterator<Item = &Measure> {
        let compared = self.having.iter().map(|condition| &condition.measure);
        let sorted = self.order.iter().filter_map(|order| match &order.key {
            GroupKey::Measure(measure) => Some(measure),
            GroupKey::Grouping(_) | GroupKey::LinkedId(_) => None,
        });
        self.measures.iter().chain(compared).chain(sorted)
    }
}

impl fmt::Display for GroupOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " desc" } else { "" };
        match &self.key {
            GroupKey::Grouping(grouping) => write!(f, "{grouping}{direction}"),
            // An aggregate, because Odoo sorts by the linked model if the key is the
            // grouping itself.
            GroupKey::LinkedId(field) => write!(f, "{field}:min{direction}"),
            GroupKey::Measure(measure) => write!(f, "{measure}{direction} nulls last"),
        }
    }
}
