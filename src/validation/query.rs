//! Arguments, fitted to the model's real fields before they are sent.
//!
//! Odoo filters by fields that the user may not read, matches nothing without
//! a word when a selection has no such value, and answers a wrong name with an
//! SQL error. All of that stops here, with what would be right.

use std::{future::Future, pin::Pin};

use serde_json::Value;

use crate::{
    access::{OdooSession, OperationError},
    render,
};
use gatepost_odoo::{
    Condition, Domain, Field, FieldKind, FieldName, FieldPath, ModelName, Operand, OperandKind,
    Operator, Order, Schema, Term,
};
use gatepost_policy::only_ids;

impl OdooSession<'_> {
    /// The fields to show: those that are named, or where nobody names any, the
    /// most useful ones of which none leaves records out, as long as there are
    /// such.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn fields_to_show(
        &self,
        schema: &Schema,
        model: &ModelName,
        named: &[FieldName],
    ) -> Result<Vec<FieldName>, OperationError> {
        if !named.is_empty() {
            return validate_fields(schema, model, named);
        }
        Ok(render::default_fields(
            &self.schema_visible_in_all_records(model).await?,
        ))
    }

    /// The domain with every field known, visible and searchable, every model
    /// on the way readable, and values in the form that the field takes.
    ///
    /// # Errors
    /// [`Denied::Unfit`], [`Denied::Forbidden`], [`Denied::Call`].
    pub fn validate_domain<'b>(
        &'b self,
        model: &'b ModelName,
        domain: Domain,
    ) -> Pin<Box<dyn Future<Output = Result<Domain, OperationError>> + Send + 'b>> {
        Box::pin(async move {
            // In order, so that the first mistake is the first one told.
            let mut fitted = Vec::with_capacity(domain.terms().len());
            for term in domain.into_terms() {
                fitted.push(match term {
                    Term::Condition(condition) => {
                        Term::Condition(self.validate_condition(model, condition).await?)
                    }
                    Term::And | Term::Constant(_) | Term::Not | Term::Or => term,
                });
            }
            Ok(Domain::from_normalised(fitted))
        })
    }

    async fn validate_condition(
        &self,
        model: &ModelName,
        condition: Condition,
    ) -> Result<Condition, OperationError> {
        let Condition {
            path,
            operator,
            operand,
        } = condition;
        let target = self.resolve_path(model, &path).await?;
        let operand = match operand {
            Operand::Domain(domain) => {
                let relation = target
                    .as_ref()
                    .and_then(|field| field.relation.clone())
                    .ok_or_else(|| {
                        OperationError::InvalidArgument(format!(
                            "`{path}` does not lead to records, so `{}` cannot search in them",
                            operator.as_str()
                        ))
                    })?;
                // Also for an empty one, which asks nothing else of the model.
                self.may_read(&relation)?;
                Operand::Domain(self.validate_domain(&relation, domain).await?)
            }
            Operand::Value(value) => Operand::Value(match &target {
                Some(field) => {
                    let value = coerce_operand(field, &path, operator, value)?;
                    // Odoo looks a text up among the names of the related records.
                    if let Some(relation) = &field.relation
                        && !only_ids(&value)
                    {
                        self.may_read(relation)?;
                    }
                    value
                }
                None => value,
            }),
        };
        Ok(Condition {
            path,
            operator,
            operand,
        })
    }

    /// The field at the end of a path; `None` where the last step is a
    /// property or a part of a date, of which Odoo tells no type.
    async fn resolve_path(
        &self,
        model: &ModelName,
        path: &FieldPath,
    ) -> Result<Option<Field>, OperationError> {
        let mut model = model.clone();
        let mut steps = path.steps().peekable();
        while let Some(step) = steps.next() {
            let schema = self.schema(&model).await?;
            let field = require_field(&schema, &model, step)?;
            if !field.searchable {
                return Err(OperationError::InvalidArgument(format!(
                    "`{step}` of `{model}` is computed and cannot be searched; search by a stored field"
                )));
            }
            if steps.peek().is_none() {
                return Ok(Some(field.clone()));
            }
            match (&field.relation, field.kind) {
                (Some(relation), _) => model = relation.clone(),
                (None, FieldKind::Properties | FieldKind::Date | FieldKind::Datetime) => {
                    steps.next();
                    return if steps.peek().is_none() {
                        Ok(None)
                    } else {
                        Err(OperationError::InvalidArgument(format!(
                            "`{path}` goes on behind a value"
                        )))
                    };
                }
                (None, kind) => {
                    return Err(OperationError::InvalidArgument(format!(
                        "`{step}` of `{model}` is {kind}, not a relation, so `{path}` leads nowhere"
                    )));
                }
            }
        }
        Ok(None)
    }
}

/// The fields that were asked for, each known and once. `id` is left out: it
/// comes with every record.
///
/// # Errors
/// [`Denied::Unfit`] names all that are unknown, each with near names.
pub fn validate_fields(
    schema: &Schema,
    model: &ModelName,
    asked: &[FieldName],
) -> Result<Vec<FieldName>, OperationError> {
    let mut fields: Vec<FieldName> = Vec::with_capacity(asked.len());
    let mut unknown = Vec::new();
    for name in asked {
        match require_field(schema, model, name.as_str()) {
            Err(OperationError::InvalidArgument(text)) => unknown.push(text),
            Err(other) => return Err(other),
            Ok(_) if name.as_str() == "id" || fields.contains(name) => {}
            Ok(_) => fields.push(name.clone()),
        }
    }
    if unknown.is_empty() {
        Ok(fields)
    } else {
        Err(OperationError::InvalidArgument(unknown.join("; ")))
    }
}

/// The order, if every field in it is known and can be sorted by, and every
/// model whose own order that means may be read.
///
/// # Errors
/// [`Denied::Unfit`], or what `may_read` says.
pub fn validate_order(
    schema: &Schema,
    model: &ModelName,
    order: &Order,
    may_read: impl Fn(&ModelName) -> Result<(), OperationError>,
) -> Result<(), OperationError> {
    for name in order.fields() {
        let field = require_field(schema, model, name.as_str())?;
        if !field.sortable {
            return Err(OperationError::InvalidArgument(format!(
                "`{name}` of `{model}` cannot be sorted by; order by a stored field"
            )));
        }
        if let Some(relation) = &field.relation {
            may_read(relation)?;
        }
    }
    Ok(())
}

fn require_field<'s>(
    schema: &'s Schema,
    model: &ModelName,
    name: &str,
) -> Result<&'s Field, OperationError> {
    schema.field(name).ok_or_else(|| {
        let near: Vec<String> = schema
            .similar_names(name, 4)
            .into_iter()
            .map(|near| format!("`{near}`"))
            .collect();
        let hint = if near.is_empty() {
            format!("`describe_model` lists the fields of `{model}`")
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        let name: String = name.chars().take(60).collect();
        OperationError::InvalidArgument(format!(
            "`{model}` has no field `{name}` that you can see; {hint}"
        ))
    })
}

fn coerce_operand(
    field: &Field,
    path: &FieldPath,
    operator: Operator,
    value: Value,
) -> Result<Value, OperationError> {
    match operator.operand_kind() {
        OperandKind::List => match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| coerce_value(field, path, value))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => Ok(other),
        },
        OperandKind::Scalar | OperandKind::Sortable => coerce_value(field, path, value),
        OperandKind::Domain | OperandKind::Hierarchy | OperandKind::Text => Ok(value),
    }
}

/// One value in the form that the field takes. Some clients can only send
/// text, so a number or a truth written as text is taken for what it says.
fn coerce_value(field: &Field, path: &FieldPath, value: Value) -> Result<Value, OperationError> {
    let Value::String(text) = &value else {
        return match (field.kind, &value) {
            (FieldKind::Boolean, Value::Number(number))
                if matches!(number.as_u64(), Some(0 | 1)) =>
            {
                Ok(Value::Bool(number.as_u64() == Some(1)))
            }
            (FieldKind::Boolean, Value::Number(_)) => {
                Err(incompatible_value(path, field, "`true` or `false`", &value))
            }
            (FieldKind::Date | FieldKind::Datetime, Value::Number(_)) => Err(incompatible_value(
                path,
                field,
                "a day such as `\"2026-01-31\"`",
                &value,
            )),
            _ => Ok(value),
        };
    };
    match field.kind {
        FieldKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" | "" => Ok(Value::Bool(false)),
            _ => Err(incompatible_value(path, field, "`true` or `false`", &value)),
        },
        FieldKind::Integer | FieldKind::Many2oneReference => text
            .trim()
            .parse::<i64>()
            .ok()
            .map(Value::from)
            .ok_or_else(|| incompatible_value(path, field, "a whole number", &value)),
        FieldKind::Float | FieldKind::Monetary => text
            .trim()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| incompatible_value(path, field, "a number", &value)),
        // A name is fine too, and Odoo looks for it; digits alone are an id.
        FieldKind::Many2one | FieldKind::Many2many | FieldKind::One2many => Ok(text
            .trim()
            .parse::<u32>()
            .map_or_else(|_name| value.clone(), Value::from)),
        FieldKind::Selection if !field.selection.is_empty() && !text.is_empty() => {
            if field.selection.iter().any(|choice| *choice.key == **text) {
                return Ok(value);
            }
            // The label is what people say.
            let by_label = field
                .selection
                .iter()
                .find(|choice| choice.label.eq_ignore_ascii_case(text));
            by_label
                .map(|choice| Value::from(&*choice.key))
                .ok_or_else(|| {
                    let choices: Vec<String> = field
                        .selection
                        .iter()
                        .take(30)
                        .map(|choice| format!("`{}` ({})", choice.key, choice.label))
                        .collect();
                    incompatible_value(
                        path,
                        field,
                        &format!("one of {}", choices.join(", ")),
                        &value,
                    )
                })
        }
        FieldKind::Date | FieldKind::Datetime => Ok(Value::from(datetime_to_utc(text))),
        FieldKind::Binary
        | FieldKind::Char
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text
        | FieldKind::Unknown => Ok(value),
    }
}

/// A moment with an offset becomes UTC in Odoo's form, for Odoo fails on the
/// offset; everything else (`today -7d` too) is left for Odoo to judge.
fn datetime_to_utc(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(
        |_no_offset| text.to_owned(),
        |moment| moment.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

fn incompatible_value(
    path: &FieldPath,
    field: &Field,
    wanted: &str,
    value: &Value,
) -> OperationError {
    let found: String = value.to_string().chars().take(60).collect();
    OperationError::InvalidArgument(format!(
        "`{path}` is {} and compares with {wanted}, not with `{found}`",
        field.kind
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{coerce_operand, datetime_to_utc, validate_fields, validate_order};
    use gatepost_odoo::{FieldName, FieldPath, ModelName, Operator, Order, Schema};

    fn schema() -> Schema {
        Schema::parse(
            br#"{"id":{"type":"integer"},"name":{"type":"char"},"active":{"type":"boolean"},
                 "amount":{"type":"monetary"},"count":{"type":"integer","sortable":false},
                 "partner_id":{"type":"many2one","relation":"res.partner"},
                 "date":{"type":"datetime"},
                 "state":{"type":"selection","selection":[["draft","Quotation"],["sale","Sales Order"]]}}"#,
        )
        .unwrap()
    }

    #[expect(clippy::unwrap_in_result, reason = "a test")]
    fn coerced(field: &str, value: Value) -> Result<Value, String> {
        let schema = schema();
        let path = FieldPath::try_from(field).unwrap();
        let operator = if value.is_array() {
            Operator::In
        } else {
            Operator::Equal
        };
        coerce_operand(schema.field(field).unwrap(), &path, operator, value)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn text_is_coerced_to_the_field_type() {
        assert_eq!(coerced("active", json!("True")).unwrap(), json!(true));
        assert_eq!(coerced("active", json!(0)).unwrap(), json!(false));
        assert_eq!(coerced("amount", json!("12.5")).unwrap(), json!(12.5));
        assert_eq!(coerced("id", json!(["1", 2])).unwrap(), json!([1, 2]));
        assert_eq!(coerced("partner_id", json!("7")).unwrap(), json!(7));
        assert_eq!(
            coerced("partner_id", json!("Azure")).unwrap(),
            json!("Azure")
        );
        assert_eq!(
            coerced("state", json!("sales order")).unwrap(),
            json!("sale")
        );
        assert_eq!(coerced("state", json!(false)).unwrap(), json!(false));
        assert_eq!(
            datetime_to_utc("2026-01-31T10:00:00+02:00"),
            "2026-01-31 08:00:00"
        );
        assert_eq!(datetime_to_utc("today -7d"), "today -7d");
    }

    #[test]
    fn incompatible_value_is_rejected_with_the_accepted_kind() {
        insta::assert_snapshot!(coerced("state", json!("confirmed")).unwrap_err(), @r#"`state` is selection and compares with one of `draft` (Quotation), `sale` (Sales Order), not with `"confirmed"`"#);
        insta::assert_snapshot!(coerced("amount", json!("much")).unwrap_err(), @r#"`amount` is monetary and compares with a number, not with `"much"`"#);
        insta::assert_snapshot!(coerced("active", json!("maybe")).unwrap_err(), @r#"`active` is boolean and compares with `true` or `false`, not with `"maybe"`"#);
    }

    #[test]
    fn unknown_fields_are_reported_together_with_similar_names() {
        let model = ModelName::try_from("sale.order").unwrap();
        let names: Vec<FieldName> = ["nam", "id", "name", "name", "zzzzzzzz"]
            .iter()
            .map(|n| FieldName::try_from(*n).unwrap())
            .collect();
        insta::assert_snapshot!(
            validate_fields(&schema(), &model, &names).unwrap_err(),
            @"`sale.order` has no field `nam` that you can see; did you mean `name`?; `sale.order` has no field `zzzzzzzz` that you can see; `describe_model` lists the fields of `sale.order`"
        );
        let fields = validate_fields(&schema(), &model, &names[1..4]).unwrap();
        assert_eq!(fields.len(), 1);
        assert!(
            validate_order(
                &schema(),
                &model,
                &Order::parse("count desc").unwrap(),
                |_| Ok(())
            )
            .is_err()
        );
    }
}
