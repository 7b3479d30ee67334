//! `formatted_read_group`: its groups, their order and their form.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::{
    period::{PARTS, PERIODS},
    spec::Spec,
};
use crate::{
    domain,
    error::FakeOdooError,
    invocation::Invocation,
    table::{Field, Row, Table, value as value_of},
    value::{ids, python_repr},
};

/// A group: its values, and its records.
struct Group<'a> {
    values: Vec<Value>,
    rows: Vec<&'a Row>,
}

impl<'a> Invocation<'a> {
    pub(crate) fn formatted_read_group(&self) -> Result<Value, FakeOdooError> {
        let groupings = self.specs("groupby")?;
        let aggregates = self.texts("aggregates");
        let rows = self.matching_rows()?;
        for spec in &groupings {
            self.check_grouping(self.table, *spec)?;
        }
        for text in &aggregates {
            self.aggregate(text, &[])?;
        }
        let groups = self.groups(&groupings, &rows)?;
        let groups = self.sort_groups(&groupings, groups)?;
        let mut kept = Vec::new();
        for group in groups {
            if self.passes_having(&group)? {
                kept.push(group);
            }
        }
        let number = |name: &str| self.argument(name).and_then(Value::as_u64);
        let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let limit = number("limit").filter(|limit| *limit > 0);
        kept.into_iter()
            .skip(bound(number("offset").unwrap_or(0)))
            .take(limit.map_or(usize::MAX, bound))
            .map(|group| self.format_group(&groupings, &aggregates, &group))
            .collect()
    }

    fn texts(&self, name: &str) -> Vec<&'a str> {
        let list = self.argument(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    fn specs(&self, name: &str) -> Result<Vec<Spec<'a>>, FakeOdooError> {
        self.texts(name).into_iter().map(Spec::parse).collect()
    }

    /// The field of a model, if it is in the database and the user's group may see it.
    pub(super) fn column(&self, table: &'a Table, name: &str) -> Result<&'a Field, FakeOdooError> {
        let field = table.fields.get(name).ok_or_else(|| {
            FakeOdooError::value_error(format!("Invalid field '{name}' on model '{}'", table.model))
        })?;
        self.session.user.check_field_access(table, name, field)?;
        if field.stored && field.kind != "one2many" {
            Ok(field)
        } else {
            Err(FakeOdooError::value_error(format!(
                "Cannot convert {}.{name} to SQL because it is not stored",
                table.model
            )))
        }
    }

    fn check_grouping(&self, table: &'a Table, spec: Spec<'_>) -> Result<(), FakeOdooError> {
        let field = self.column(table, spec.field)?;
        if let Some(path) = spec.path {
            let related = self.database.related(field);
            let related = related
                .filter(|_| field.kind == "many2one")
                .ok_or_else(|| {
                    FakeOdooError::value_error(format!(
                        "Only many2one path is accepted for the '{}' groupby spec",
                        spec.text
                    ))
                })?;
            self.session.user.check_read_access(related)?;
            let rest = Spec {
                function: spec.function,
                ..Spec::parse(path)?
            };
            return self.check_grouping(related, rest);
        }
        let is_date = matches!(field.kind, "date" | "datetime");
        let known = |function: &str| PERIODS.contains(&function) || PARTS.contains(&function);
        let message = match spec.function {
            None if is_date => {
                format!("Granularity not set on a date(time) field: '{}'", spec.text)
            }
            Some(_) if !is_date => format!(
                "Granularity set on a no-datetime field or property: '{}'",
                spec.text
            ),
            Some(function) if !known(function) => {
                format!("Granularity specification isn't correct: '{function}'")
            }
            None | Some(_) => return Ok(()),
        };
        Err(FakeOdooError::value_error(message))
    }

    fn groups(
        &self,
        groupings: &[Spec<'_>],
        rows: &[&'a Row],
    ) -> Result<Vec<Group<'a>>, FakeOdooError> {
        if groupings.is_empty() {
            return Ok(vec![Group {
                values: Vec::new(),
                rows: rows.to_vec(),
            }]);
        }
        // By the text of the values: one group for equal ones.
        let mut groups: BTreeMap<String, Group<'a>> = BTreeMap::new();
        for row in rows {
            let mut all: Vec<Vec<Value>> = vec![Vec::new()];
            for spec in groupings {
                let values = self.group_values(self.table, row, *spec)?;
                all = all
                    .iter()
                    .flat_map(|before| {
                        values.iter().map(|value| {
                            let mut more = before.clone();
                            more.push(value.clone());
                            more
                        })
                    })
                    .collect();
            }
            for values in all {
                let group = groups.entry(format!("{values:?}")).or_insert(Group {
                    values,
                    rows: Vec::new(),
                });
                group.rows.push(row);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// The values that a record is grouped by: several for a many2many field.
    fn group_values(
        &self,
        table: &'a Table,
        row: &Row,
        spec: Spec<'_>,
    ) -> Result<Vec<Value>, FakeOdooError> {
        let field = self.column(table, spec.field)?;
        let value = value_of(row, spec.field);
        if let Some(path) = spec.path {
            let rest = Spec {
                function: spec.function,
                ..Spec::parse(path)?
            };
            let user = self.session.user;
            let linked = self.database.related(field).and_then(|related| {
                let row = related.row(*ids(value).first()?)?;
                user.passes_record_rules(related, row, &self.session.companies)
                    .then_some((related, row))
            });
            return match linked {
                Some((related, row)) => self.group_values(related, row, rest),
                None => Ok(vec![Value::Bool(false)]),
            };
        }
        Ok(match (field.kind, spec.function) {
            ("many2many", _) => {
                let linked = ids(value);
                if linked.is_empty() {
                    vec![Value::Bool(false)]
                } else {
                    linked.into_iter().map(Value::from).collect()
                }
            }
            ("many2one", _) => {
                let linked = ids(value).first().copied();
                vec![linked.map_or(Value::Bool(false), Value::from)]
            }
            ("date" | "datetime", Some(function)) => {
                vec![self.period_of(field, value, function)]
            }
            ("char" | "text", _) if value.as_str().is_some_and(str::is_empty) => {
                vec![Value::Bool(false)]
            }
            _ => vec![value.clone()],
        })
    }

    /// Sorts by the requested order, or by the groupings. As in Odoo, a many2one field
    /// sorts by the names of the linked records.
    fn sort_groups(
        &self,
        groupings: &[Spec<'_>],
        mut groups: Vec<Group<'a>>,
    ) -> Result<Vec<Group<'a>>, FakeOdooError> {
        let by_groupings: Vec<&str> = groupings.iter().map(|spec| spec.text).collect();
        let by_groupings = by_groupings.join(", ");
        let order = self.text("order").unwrap_or(&by_groupings);
        for key in order.split(',').rev().filter(|key| !key.trim().is_empty()) {
            let key = key.trim();
            let lower = key.to_ascii_lowercase();
            let nulls_last = lower.ends_with(" nulls last");
            let plain = lower.trim_end_matches(" nulls last");
            let down = plain.ends_with(" desc");
            let term = key.split_whitespace().next().unwrap_or_default();
            let at = groupings.iter().position(|spec| spec.text == term);
            let mut keyed = Vec::new();
            for group in groups {
                let key = match at {
                    Some(at) => self.group_sort_key(groupings, &group, at),
                    None => self.aggregate(term, &group.rows).map_err(|error| {
                        if error.message().starts_with("Invalid field")
                            || error.message().starts_with("Aggregate method is mandatory")
                        {
                            FakeOdooError::value_error(format!(
                                "Order term {} is not a valid aggregate nor valid groupby",
                                python_repr(&key.into())
                            ))
                        } else {
                            error
                        }
                    })?,
                };
                keyed.push((key, group));
            }
            let compare = |a: &Value, b: &Value| {
                let empty = |value: &Value| value.is_null();
                match (empty(a), empty(b)) {
                    (true, true) => Ordering::Equal,
                    // PostgreSQL: empty values are the largest.
                    (true, false) if down && !nulls_last => Ordering::Less,
                    (true, false) => Ordering::Greater,
                    (false, true) if down && !nulls_last => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    (false, false) => {
                        let order = domain::compare(a, b).unwrap_or(Ordering::Equal);
                        if down { order.reverse() } else { order }
                    }
                }
            };
            keyed.sort_by(|(a, _), (b, _)| compare(a, b));
            groups = keyed.into_iter().map(|(_, group)| group).collect();
        }
        Ok(groups)
    }

    fn group_sort_key(&self, groupings: &[Spec<'_>], group: &Group<'_>, at: usize) -> Value {
        let (Some(spec), Some(value)) = (groupings.get(at), group.values.get(at)) else {
            return Value::Null;
        };
        let field = self.table.fields.get(spec.field);
        let is_name = spec.path.is_none() && field.is_some_and(|field| field.kind == "many2one");
        let related = field
            .filter(|_| is_name)
            .and_then(|field| self.database.related(field));
        match (value, related) {
            (Value::Bool(false), _) if field.is_none_or(|field| field.kind != "boolean") => {
                Value::Null
            }
            (_, Some(related)) => {
                let linked = ids(value).first().and_then(|id| related.row(*id));
                linked.map_or(Value::Null, |row| related.display_name(row).into())
            }
            _ => value.clone(),
        }
    }

    fn passes_having(&self, group: &Group<'_>) -> Result<bool, FakeOdooError> {
        let conditions = self.argument("having").and_then(Value::as_array);
        for condition in conditions.into_iter().flatten() {
            let parts = condition.as_array().map(Vec::as_slice);
            let Some([Value::String(measure), Value::String(operator), wanted]) = parts else {
                return Err(FakeOdooError::value_error(format!(
                    "Invalid having clause {}: it should be a domain-like clause",
                    python_repr(condition)
                )));
            };
            let value = self.aggregate(measure, &group.rows)?;
            let order = domain::compare(&value, wanted);
            let holds = match operator.as_str() {
                "=" => order.is_some_and(Ordering::is_eq),
                "!=" => order.is_some_and(Ordering::is_ne),
                "<" => order.is_some_and(Ordering::is_lt),
                "<=" => order.is_some_and(Ordering::is_le),
                ">" => order.is_some_and(Ordering::is_gt),
                ">=" => order.is_some_and(Ordering::is_ge),
                _ => {
                    return Err(FakeOdooError::value_error(format!(
                        "Invalid having clause {}: supported comparators are ('in', 'not in', '<', '>', '<=', '>=', '=', '!=')",
                        python_repr(condition)
                    )));
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn format_group(
        &self,
        groupings: &[Spec<'_>],
        aggregates: &[&str],
        group: &Group<'_>,
    ) -> Result<Value, FakeOdooError> {
        let mut shown = Map::new();
        let mut conditions = Vec::new();
        for (spec, value) in groupings.iter().zip(&group.values) {
            let (value, condition) = self.format_value(self.table, *spec, value)?;
            shown.insert(spec.text.to_owned(), value);
            conditions.push(condition);
        }
        shown.insert("__extra_domain".to_owned(), all_of(conditions).into());
        for text in aggregates {
            let value = self.aggregate(text, &group.rows)?;
            let value = if value.is_null() { false.into() } else { value };
            shown.insert((*text).to_owned(), value);
        }
        Ok(Value::Object(shown))
    }

    /// The value as Odoo shows it, and the condition of the group.
    fn format_value(
        &self,
        table: &'a Table,
        spec: Spec<'_>,
        value: &Value,
    ) -> Result<(Value, Vec<Value>), FakeOdooError> {
        let name = spec.field;
        let field = self.column(table, name)?;
        let related = self.database.related(field);
        if let (Some(path), Some(related)) = (spec.path, related) {
            let rest = Spec {
                function: spec.function,
                ..Spec::parse(path)?
            };
            let (shown, inner) = self.format_value(related, rest, value)?;
            let any = json!([name, "any", inner]);
            return Ok(if value == &Value::Bool(false) {
                (shown, vec!["|".into(), json!([name, "not any", []]), any])
            } else {
                (shown, vec![any])
            });
        }
        let equal = || vec![json!([name, "=", value])];
        Ok(match (field.kind, related, spec.function) {
            ("many2many", _, _) if value == &Value::Bool(false) => {
                (value.clone(), vec![json!([name, "not any", []])])
            }
            ("many2many" | "many2one", Some(related), _) if value.is_number() => {
                let row = ids(value).first().and_then(|id| related.row(*id));
                let shown = row.map(|row| related.display_name(row));
                (json!([value, shown]), equal())
            }
            ("date" | "datetime", _, Some(function)) if PARTS.contains(&function) => (
                value.clone(),
                vec![json!([format!("{name}.{function}"), "=", value])],
            ),
            ("date" | "datetime", _, Some(function)) => match value.as_str() {
                Some(start) => self.format_period(field, name, start, function),
                None => (value.clone(), equal()),
            },
            _ => (value.clone(), equal()),
        })
    }
}

/// The domain in which all conditions hold, as Odoo writes it.
fn all_of(conditions: Vec<Vec<Value>>) -> Vec<Value> {
    if conditions.is_empty() {
        return vec![json!([1, "=", 1])];
    }
    let mut whole = vec![Value::from("&"); conditions.len() - 1];
    whole.extend(conditions.into_iter().flatten());
    whole
}
