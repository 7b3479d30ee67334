//! Evaluates domains.
//!
//! It shares no code with the gateway's own parser, because it checks what the
//! gateway sends.

use serde_json::Value;

use super::{
    access::User,
    database::Database,
    error::FakeOdooError,
    table::{Field, Row, Table, value as value_of},
    value::{ids, python_repr},
};

/// Whether a record matches a domain.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
pub(super) fn matches(
    database: &Database,
    user: User,
    table: &Table,
    row: &Row,
    domain: &[Value],
) -> Result<bool, FakeOdooError> {
    // From the right: prefix notation.
    let mut stack: Vec<bool> = Vec::new();
    for term in domain.iter().rev() {
        match term {
            Value::String(sign) if sign == "!" => {
                let one = stack.pop().ok_or_else(|| invalid_item_error(term))?;
                stack.push(!one);
            }
            Value::String(sign) if sign == "&" || sign == "|" => {
                let one = stack.pop().ok_or_else(|| invalid_item_error(term))?;
                let other = stack.pop().ok_or_else(|| invalid_item_error(term))?;
                stack.push(if sign == "&" {
                    one && other
                } else {
                    one || other
                });
            }
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(path), Value::String(operator), operand] => {
                    let whole = Condition {
                        path,
                        operator,
                        operand,
                    };
                    stack.push(whole.evaluate(database, user, table, row, path)?);
                }
                [left, Value::String(_), right] if left.is_number() => stack.push(left == right),
                _ => return Err(invalid_item_error(term)),
            },
            _ => return Err(invalid_item_error(term)),
        }
    }
    Ok(stack.into_iter().all(|one| one))
}

/// Checks the names in a domain, even if the table is empty.
pub(super) fn check_domain(
    database: &Database,
    user: User,
    table: &Table,
    domain: &[Value],
) -> Result<(), FakeOdooError> {
    matches(database, user, table, &Row::new(), domain).map(drop)
}

fn invalid_item_error(term: &Value) -> FakeOdooError {
    FakeOdooError::value_error(format!(
        "Domain() invalid item in domain: {}",
        python_repr(term)
    ))
}

struct Condition<'a> {
    path: &'a str,
    operator: &'a str,
    operand: &'a Value,
}

impl Condition<'_> {
    fn evaluate(
        &self,
        database: &Database,
        user: User,
        table: &Table,
        row: &Row,
        path: &str,
    ) -> Result<bool, FakeOdooError> {
        let (first, rest) = path
            .split_once('.')
            .map_or((path, None), |(first, rest)| (first, Some(rest)));
        let unknown = || {
            FakeOdooError::value_error(format!(
                "Invalid field {}.{first} in condition ({}, {}, {})",
                table.model,
                python_repr(&Value::from(self.path)),
                python_repr(&Value::from(self.operator)),
                python_repr(self.operand)
            ))
        };
        let field = table.fields.get(first).ok_or_else(unknown)?;
        if field.stored {
            user.check_field_access(table, first, field)?;
        }
        let value = value_of(row, first);
        let Some(rest) = rest else {
            return match self.operator {
                "any" | "not any" => {
                    let (Some(related), Value::Array(domain)) =
                        (database.related(field), self.operand)
                    else {
                        return Err(unknown());
                    };
                    check_domain(database, user, related, domain)?;
                    let mut found = false;
                    let linked = database.linked_ids(table, row, first, field);
                    for other in linked.iter().filter_map(|id| related.row(*id)) {
                        found |= matches(database, user, related, other, domain)?;
                    }
                    Ok(found == (self.operator == "any"))
                }
                "child_of" | "parent_of" => Ok(self.in_hierarchy(table, row, value)),
                _ if field.inverse.is_some() || first == "message_partner_ids" => {
                    let linked = database.linked_ids(table, row, first, field);
                    self.matches_value(database, field, &Value::from(linked))
                }
                _ => self.matches_value(database, field, value),
            };
        };
        let Some(related) = database.related(field) else {
            return Err(unknown());
        };
        user.check_read_access(related)?;
        // The names in the path are checked even if nothing is linked.
        let unlinked = self.evaluate(database, user, related, &Row::new(), rest)?;
        let linked = database.linked_ids(table, row, first, field);
        let linked: Vec<_> = linked.iter().filter_map(|id| related.row(*id)).collect();
        if linked.is_empty() {
            return Ok(unlinked && self.operand == &Value::Bool(false));
        }
        for other in linked {
            if self.evaluate(database, user, related, other, rest)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn in_hierarchy(&self, table: &Table, row: &Row, value: &Value) -> bool {
        let wanted = ids(self.operand);
        let mut seen = row.get("id").map(ids).unwrap_or_default();
        if self.path != "id" {
            seen = ids(value);
        }
        let mut parent = value_of(row, "parent_id").clone();
        for _ in 0..20 {
            let up = ids(&parent);
            seen.extend(&up);
            let Some(next) = up.first().and_then(|id| table.row(*id)) else {
                break;
            };
            parent = value_of(next, "parent_id").clone();
        }
        seen.iter().any(|id| wanted.contains(id))
    }

    fn matches_value(
        &self,
        database: &Database,
        field: &Field,
        value: &Value,
    ) -> Result<bool, FakeOdooError> {
        let operand = self.operand;
        // A relation is compared with text by display name.
        let named;
        let value = match (database.related(field), operand) {
            (Some(related), Value::String(_)) => {
                let names: Vec<String> = ids(value)
                    .iter()
                    .filter_map(|id| related.row(*id))
                    .map(|row| related.display_name(row))
                    .collect();
                named = Value::from(names.join(", "));
                &named
            }
            _ => value,
        };
        Ok(match self.operator {
            "=" => equal(value, operand),
            "!=" => !equal(value, operand),
            "in" | "not in" => {
                // Odoo silently matches nothing if the operand is not a list.
                let found = operand
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| equal(value, one)));
                found == (self.operator == "in")
            }
            "<" | "<=" | ">" | ">=" => {
                let order = compare(value, operand);
                match self.operator {
                    "<" => order.is_some_and(std::cmp::Ordering::is_lt),
                    "<=" => order.is_some_and(std::cmp::Ordering::is_le),
                    ">" => order.is_some_and(std::cmp::Ordering::is_gt),
                    _ => order.is_some_and(std::cmp::Ordering::is_ge),
                }
            }
            "like" | "ilike" | "not like" | "not ilike" | "=like" | "=ilike" => {
                let insensitive = self.operator.contains("ilike");
                let fold = |text: &str| {
                    if insensitive {
                        text.to_lowercase()
                    } else {
                        text.to_owned()
                    }
                };
                let text = fold(value.as_str().unwrap_or_default());
                let wanted = fold(operand.as_str().unwrap_or_default());
                let found = if self.operator.starts_with('=') {
                    matches_like(&text, &wanted)
                } else {
                    matches_like(&text, &format!("%{wanted}%"))
                };
                found != self.operator.starts_with("not")
            }
            other => {
                return Err(FakeOdooError::value_error(format!(
                    "Invalid operator in ('{}', '{other}', {})",
                    self.path,
                    python_repr(operand)
                )));
            }
        })
    }
}

fn equal(value: &Value, operand: &Value) -> bool {
    match (value, operand) {
        // x2many: any of them.
        (Value::Array(values), _) if operand.is_number() => values.contains(operand),
        (Value::Array(values), Value::Bool(false)) => values.is_empty(),
        (Value::String(text), Value::Bool(false)) => text.is_empty(),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => value == operand,
    }
}

pub(super) fn compare(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Matches SQL wildcards: `%` for any text, `_` for one character.
fn matches_like(text: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = pattern.get(first.len_utf8()..).unwrap_or_default();
    match first {
        '%' => (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .any(|at| text.get(at..).is_some_and(|tail| matches_like(tail, rest))),
        one => {
            let mut chars = text.chars();
            chars.next().is_some_and(|char| char == one || one == '_')
                && matches_like(chars.as_str(), rest)
        }
    }
}
