//! A few records, and what Odoo finds among them.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use gatepost_odoo::{Call, Condition, Domain, ModelName, Operand, Operator, Request, Schema, Term};
use serde_json::{Value, json};

/// The records of each model.
const RECORDS: u32 = 4;

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    model: &'static str,
    values: BTreeMap<&'static str, Value>,
}

impl Record {
    pub(super) fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    fn id(&self) -> u32 {
        let id = self.values.get("id").and_then(Value::as_u64);
        id.and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
    }
}

/// All records.
#[derive(Debug)]
pub(super) struct World {
    records: Vec<Record>,
    schemas: BTreeMap<&'static str, Schema>,
}

impl World {
    /// Records with some values.
    pub(super) fn some(input: &mut Unstructured<'_>) -> Result<Self> {
        let mut records = Vec::new();
        for model in ["res.partner", "res.users", "sale.order", "sale.order.line"] {
            for id in 1..=RECORDS {
                let mut small = || input.int_in_range(0_u32..=3);
                let mut values = BTreeMap::from([
                    ("id", json!(id)),
                    ("company_id", json!(small()?)),
                    ("name", json!(small()?.to_string())),
                ]);
                let (link, other) = (small()?, small()?);
                let link = if link == 0 { json!(false) } else { json!(link) };
                match model {
                    "sale.order" => {
                        values.insert("partner_id", link);
                        values.insert("amount", json!(other));
                        values.insert("state", json!(other.to_string()));
                    }
                    "sale.order.line" => {
                        values.insert("order_id", link);
                        values.insert("amount", json!(other));
                    }
                    _ => {
                        values.insert("parent_id", link);
                        values.insert("salary", json!(other));
                        values.insert("state", json!(other.to_string()));
                    }
                }
                records.push(Record { model, values });
            }
        }
        Ok(Self {
            records,
            schemas: schemas(),
        })
    }

    /// The models that have a schema.
    pub(super) fn models(&self) -> impl Iterator<Item = ModelName> {
        self.schemas.keys().map(|name| ModelName::known(name))
    }

    pub(super) fn schema(&self, model: &ModelName) -> Option<Schema> {
        self.schemas.get(model.as_str()).cloned()
    }

    pub(super) fn record(&self, model: &ModelName, id: u32) -> Option<&Record> {
        let mut records = self.records.iter();
        records.find(|record| record.model == model.as_str() && record.id() == id)
    }

    /// The records that a read finds.
    pub(super) fn found(&self, call: &Call) -> Vec<&Record> {
        let found = |domain: &Domain, name: &str| {
            let records = self.records.iter();
            records
                .filter(|record| record.model == call.model().as_str())
                .filter(|record| is_named(record, name) && self.matches(record, domain))
                .collect()
        };
        match call.request() {
            Request::Count(domain) => found(domain, ""),
            Request::NameSearch { name, domain, .. } => found(domain, name),
            Request::Search(search) => found(&search.domain, ""),
            Request::Read { ids, .. } => {
                let ids = ids.iter().map(|id| id.get());
                ids.filter_map(|id| self.record(call.model(), id)).collect()
            }
            other => panic!("not a read: {other:?}"),
        }
    }

    pub(super) fn found_ids(&self, call: &Call) -> BTreeSet<i64> {
        let found = self.found(call).into_iter();
        found.map(|record| i64::from(record.id())).collect()
    }

    /// Whether a record matches, by Odoo's semantics.
    pub(super) fn matches(&self, record: &Record, domain: &Domain) -> bool {
        let mut stack: Vec<bool> = Vec::new();
        let pop = |stack: &mut Vec<bool>| stack.pop().unwrap();
        for term in domain.terms().iter().rev() {
            let truth = match term {
                Term::And => pop(&mut stack) & pop(&mut stack),
                Term::Or => pop(&mut stack) | pop(&mut stack),
                Term::Not => !pop(&mut stack),
                Term::Constant(truth) => *truth,
                Term::Condition(condition) => self.holds(record, condition),
            };
            stack.push(truth);
        }
        stack.into_iter().all(|truth| truth)
    }

    fn holds(&self, record: &Record, condition: &Condition) -> bool {
        let (first, rest) = condition.path.split_first();
        let linked = || self.linked(record, first);
        if let Some(path) = rest {
            let inner = Domain::of(Condition {
                path,
                ..condition.clone()
            });
            return linked().iter().any(|one| self.matches(one, &inner));
        }
        let is_relation = self
            .schemas
            .get(record.model)
            .and_then(|schema| schema.field(first))
            .is_some_and(|field| field.relation.is_some());
        let value = match &condition.operand {
            Operand::Domain(inner) => {
                let any = linked().iter().any(|one| self.matches(one, inner));
                return any == (condition.operator == Operator::Any);
            }
            Operand::Value(value) => value,
        };
        let own: Vec<Value> = if is_relation {
            linked().iter().map(|one| json!(one.id())).collect()
        } else {
            vec![self.value(record, first)]
        };
        let named = |text: &str| {
            if is_relation {
                linked().iter().any(|one| is_named(one, text))
            } else {
                is_named(record, text)
            }
        };
        let equal = |wanted: &Value| match wanted {
            Value::String(text) if is_relation => named(text),
            Value::Bool(false) => own.is_empty() || own.contains(wanted),
            _ => own.contains(wanted),
        };
        match (condition.operator, value) {
            (Operator::Equal, wanted) => equal(wanted),
            (Operator::NotEqual, wanted) => !equal(wanted),
            (Operator::In, Value::Array(all)) => all.iter().any(equal),
            (Operator::NotIn, Value::Array(all)) => !all.iter().any(equal),
            (Operator::Ilike, Value::String(text)) => named(text),
            (Operator::NotIlike, Value::String(text)) => !named(text),
            (Operator::Greater, wanted) => {
                let wanted = wanted.as_i64();
                let mut own = own.iter().filter_map(Value::as_i64);
                own.any(|own| wanted.is_some_and(|wanted| own > wanted))
            }
            other => panic!("{other:?}"),
        }
    }

    fn value(&self, record: &Record, field: &str) -> Value {
        match field {
            "display_name" => self.value(record, "name"),
            "partner_salary" => {
                let partner = self.linked(record, "partner_id");
                let partner = partner.first();
                partner.map_or(json!(false), |partner| self.value(partner, "salary"))
            }
            _ => record.values.get(field).cloned().unwrap_or(json!(false)),
        }
    }

    /// The records that a field links to.
    fn linked(&self, record: &Record, field: &str) -> Vec<&Record> {
        let (model, inverse) = match field {
            "order_line" => ("sale.order.line", "order_id"),
            "child_ids" => (record.model, "parent_id"),
            _ => {
                let schema = self.schemas.get(record.model);
                let field = schema.and_then(|schema| schema.field(field));
                let id = field.and_then(|field| record.values.get(field.name.as_str()));
                let id = id
                    .and_then(Value::as_u64)
                    .and_then(|id| u32::try_from(id).ok());
                let model = field.and_then(|field| field.relation.as_ref());
                let linked = model.zip(id).and_then(|(model, id)| self.record(model, id));
                return linked.into_iter().collect();
            }
        };
        let id = json!(record.id());
        let records = self.records.iter();
        records
            .filter(|one| one.model == model && one.values.get(inverse) == Some(&id))
            .collect()
    }
}

fn is_named(record: &Record, text: &str) -> bool {
    let name = record.values.get("name").and_then(Value::as_str);
    name.is_some_and(|name| name.contains(text))
}

fn schemas() -> BTreeMap<&'static str, Schema> {
    let partner = |model: &str| {
        json!({
            "name": {"type": "char"}, "salary": {"type": "integer"}, "state": {"type": "char"},
            "parent_id": {"type": "many2one", "relation": model},
            "child_ids": {"type": "one2many", "relation": model, "relation_field": "parent_id"},
        })
    };
    let models = [
        ("res.partner", partner("res.partner")),
        ("res.users", partner("res.users")),
        (
            "sale.order",
            json!({
                "name": {"type": "char"}, "amount": {"type": "integer"}, "state": {"type": "char"},
                "partner_id": {"type": "many2one", "relation": "res.partner"},
                "order_line": {"type": "one2many", "relation": "sale.order.line", "relation_field": "order_id"},
                "partner_salary": {"type": "integer", "related": "partner_id.salary"},
            }),
        ),
        (
            "sale.order.line",
            json!({
                "name": {"type": "char"}, "amount": {"type": "integer"},
                "order_id": {"type": "many2one", "relation": "sale.order"},
            }),
        ),
    ];
    let all = models.map(|(model, mut fields)| {
        fields["id"] = json!({"type": "integer"});
        fields["display_name"] = json!({"type": "char"});
        fields["company_id"] = json!({"type": "integer"});
        let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
        (model, schema)
    });
    BTreeMap::from(all)
}
