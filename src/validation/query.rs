//! Validates domains, fields and orders against the model's fields before they are
//! sent.
//!
//! Odoo filters by fields that the user may not read, silently matches nothing if a
//! selection has no such value, and answers an unknown name with an SQL error. All
//! of that is an error here, which says what would be valid.

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};

use super::operand::coerce_operand;
use crate::access::{ModelAccess, OdooSession, OperationError};
use gatepost_odoo::{
    Condition, Domain, Field, FieldKind, FieldName, FieldPath, ModelName, Operand, Order, Schema,
    Term,
};
use gatepost_policy::only_ids;

/// The most fields that a call may name.
const MAX_FIELDS: usize = 500;
/// Unknown fields that an error names, each with similar names.
const MAX_UNKNOWN: usize = 5;

/// The fields to show: those that are named or, by default, the most useful ones
/// that are visible in all records.
///
/// # Errors
/// As of [`validate_fields`].
pub fn fields_to_show(
    access: &ModelAccess,
    model: &ModelName,
    named: &[FieldName],
) -> Result<Vec<FieldName>, OperationError> {
    if named.is_empty() {
        Ok(access.default_fields().to_vec())
    } else {
        validate_fields(access.visible(), model, named)
    }
}

impl OdooSession<'_> {
    /// The domain with its values in Odoo's form, if every field in it exists, can
    /// be seen and searched, and every model on its paths can be read.
    pub fn validate_domain<'b>(
        &'b self,
        model: &'b ModelName,
        domain: Domain,
    ) -> Pin<Box<dyn Future<Output = Result<Domain, OperationError>> + Send + 'b>> {
        Box::pin(async move {
            // In order, so that the first error is the one reported.
            let mut validated = Vec::with_capacity(domain.terms().len());
            for term in domain.into_terms() {
                validated.push(match term {
                    Term::Condition(condition) => {
                        Term::Condition(self.validate_condition(model, condition).await?)
                    }
                    Term::And | Term::Constant(_) | Term::Not | Term::Or => term,
                });
            }
            Ok(Domain::from_normalised(validated))
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
                            "`{path}` is not a relation, so `{}` cannot search in it",
                            operator.as_str()
                        ))
                    })?;
                // Even for an empty domain, which reads nothing else of the model.
                self.may_read(&relation)?;
                Operand::Domain(self.validate_domain(&relation, domain).await?)
            }
            Operand::Value(value) => Operand::Value(match &target {
                Some(field) => {
                    let value = coerce_operand(field, &path, operator, value)?;
                    // Odoo looks texts up among the names of the related records.
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

    /// The field at the end of a path; `None` if the last step is a property or a
    /// part of a date, whose type Odoo does not return.
    async fn resolve_path(
        &self,
        model: &ModelName,
        path: &FieldPath,
    ) -> Result<Option<Arc<Field>>, OperationError> {
        let mut model = model.clone();
        let mut steps = path.steps().peekable();
        while let Some(step) = steps.next() {
            let access = self.model_access(&model).await?;
            let field = require_field(access.visible(), &model, step)?;
            if !field.searchable {
                return Err(OperationError::InvalidArgument(format!(
                    "`{step}` of `{model}` is computed and cannot be searched; search by a stored field"
                )));
            }
            if steps.peek().is_none() {
                return Ok(Some(Arc::clone(field)));
            }
            match (&field.relation, field.kind) {
                (Some(relation), _) => model = relation.clone(),
                (None, FieldKind::Properties | FieldKind::Date | FieldKind::Datetime) => {
                    steps.next();
                    return if steps.peek().is_none() {
                        Ok(None)
                    } else {
                        Err(OperationError::InvalidArgument(format!(
                            "`{path}` continues after a value"
                        )))
                    };
                }
                (None, kind) => {
                    return Err(OperationError::InvalidArgument(format!(
                        "`{step}` of `{model}` is {kind}, not a relation, so `{path}` is not a path"
                    )));
                }
            }
        }
        Ok(None)
    }
}

/// The requested fields, each once, if all exist. `id` is left out, because every
/// record has it.
///
/// # Errors
/// [`OperationError::InvalidArgument`] if there are too many, or with the first
/// unknown fields, each with similar names, and the number of the others.
pub fn validate_fields(
    schema: &Schema,
    model: &ModelName,
    requested: &[FieldName],
) -> Result<Vec<FieldName>, OperationError> {
    if requested.len() > MAX_FIELDS {
        return Err(OperationError::InvalidArgument(format!(
            "invalid argument `fields`: give at most {MAX_FIELDS}, not {}; by default the most useful ones are shown",
            requested.len()
        )));
    }
    let mut seen = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    let mut fields = Vec::with_capacity(requested.len());
    let mut errors = Vec::new();
    for name in requested {
        if schema.field(name.as_str()).is_some() {
            if name.as_str() != "id" && seen.insert(name) {
                fields.push(name.clone());
            }
        } else if unknown.insert(name) && errors.len() < MAX_UNKNOWN {
            errors.push(unknown_field(schema, model, name.as_str()).to_string());
        }
    }
    if unknown.is_empty() {
        return Ok(fields);
    }
    let rest = unknown.len() - errors.len();
    if rest > 0 {
        errors.push(format!("and {rest} more unknown fields"));
    }
    Err(OperationError::InvalidArgument(errors.join("; ")))
}

/// Allows an order by fields that exist and can be sorted by, and by relations
/// whose models may be read.
///
/// # Errors
/// [`OperationError::InvalidArgument`], or the error of `may_read`.
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

pub(super) fn require_field<'s>(
    schema: &'s Schema,
    model: &ModelName,
    name: &str,
) -> Result<&'s Arc<Field>, OperationError> {
    schema
        .shared_field(name)
        .ok_or_else(|| unknown_field(schema, model, name))
}

fn unknown_field(schema: &Schema, model: &ModelName, name: &str) -> OperationError {
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
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{validate_fields, validate_order};
    use crate::validation::operand::coerce_operand;
    use gatepost_odoo::{FieldName, FieldPath, ModelName, Operator, Order, Schema};

    fn schema() -> Schema {
        Schema::parse(
            br#"{"id":{"type":"integer"},"name":{"type":"char"},"active":{"type":"boolean"},
                 "amount":{"type":"monetary"},"count":{"type":"integer","sortable":false},
                 "partner_id":{"type":"many2one","relation":"res.partner"},
                 "date":{"type":"datetime"},"deadline":{"type":"date"},
                 "priority":{"type":"selection","selection":[["0","Normal"],["1","Urgent"]]},
                 "state":{"type":"selection","selection":[["draft","Quotation"],["sale","Sales Order"]]}}"#,
        )
        .unwrap()
    }

    fn coerced(field: &str, value: Value) -> Result<Value, String> {
        let operator = if value.is_array() {
            Operator::In
        } else {
            Operator::Equal
        };
        coerced_for(field, operator, value)
    }

    #[expect(clippy::unwrap_in_result, reason = "a test")]
    fn coerced_for(field: &str, operator: Operator, value: Value) -> Result<Value, String> {
        let schema = schema();
        let path = FieldPath::try_from(field).unwrap();
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
        assert_eq!(coerced("id", json!(10.0)).unwrap(), json!(10));
        assert_eq!(coerced("id", json!("10.0")).unwrap(), json!(10));
        assert_eq!(
            coerced("date", json!(["2026-01-31T10:00:00+02:00", false])).unwrap(),
            json!(["2026-01-31 08:00:00", false])
        );
        assert_eq!(coerced("deadline", json!("today")).unwrap(), json!("today"));
        assert_eq!(coerced("priority", json!(1)).unwrap(), json!("1"));
    }

    #[test]
    fn whole_number_is_accepted_in_any_notation() {
        for written in ["10.00", "1e1", "10", " 10.0 "] {
            assert_eq!(coerced("id", json!(written)).unwrap(), json!(10));
        }
        assert_eq!(coerced("id", json!(i64::MAX)).unwrap(), json!(i64::MAX));
        assert_eq!(coerced("active", json!(1.0)).unwrap(), json!(true));
        assert_eq!(coerced("active", json!(0.0)).unwrap(), json!(false));
        assert_eq!(coerced("priority", json!(1.0)).unwrap(), json!("1"));
        for inexact in ["9007199254740993.0", "1e99", "inf", "nan"] {
            assert!(coerced("id", json!(inexact)).is_err(), "{inexact}");
        }
    }

    // Odoo finds the second at midnight; with `>`, `>=`, `<` and `<=` it uses the day.
    #[test]
    fn equality_of_a_time_and_a_day_is_refused() {
        let day = json!("2026-01-31");
        for operator in [
            Operator::Greater,
            Operator::GreaterOrEqual,
            Operator::Less,
            Operator::LessOrEqual,
        ] {
            assert_eq!(coerced_for("date", operator, day.clone()).unwrap(), day);
        }
        insta::assert_snapshot!(coerced_for("date", Operator::Equal, day.clone()).unwrap_err(), @r#"`date` is datetime, so `=` compares with one second of `2026-01-31`, not with the whole day; write two conditions instead: `[["date",">=","2026-01-31"],["date","<","2026-02-01"]]`"#);
        insta::assert_snapshot!(coerced_for("date", Operator::NotIn, json!(["today"])).unwrap_err(), @r#"`date` is datetime, so `not in` compares with one second of `today`, not with the whole day; write two conditions instead: `["|",["date","<","today"],["date",">=","today +1d"]]`"#);
        for (operator, value) in [
            (Operator::NotEqual, day),
            (Operator::In, json!(["2026-01-31 10:00:00", "2026-02-01"])),
            (Operator::Equal, json!("-1d")),
        ] {
            assert!(
                coerced_for("date", operator, value.clone()).is_err(),
                "{value}"
            );
        }
        let time = json!("2026-01-31 00:00:00");
        assert_eq!(coerced("date", time.clone()).unwrap(), time);
    }

    #[test]
    fn incompatible_value_is_rejected_with_the_accepted_kind() {
        insta::assert_snapshot!(coerced("state", json!("confirmed")).unwrap_err(), @r#"`state` is selection and compares with one of `draft` (Quotation), `sale` (Sales Order), not with `"confirmed"`"#);
        insta::assert_snapshot!(coerced("amount", json!("much")).unwrap_err(), @r#"`amount` is monetary and compares with a number, not with `"much"`"#);
        insta::assert_snapshot!(coerced("id", json!(1.5)).unwrap_err(), @"`id` is integer and compares with a whole number, not with `1.5`");
        insta::assert_snapshot!(coerced("date", json!("yesterday-ish")).unwrap_err(), @r#"`date` is datetime and compares with a time in UTC such as `"2026-01-31 13:45:00"`, of which Odoo finds the whole second, not with `"yesterday-ish"`"#);
        insta::assert_snapshot!(coerced_for("date", Operator::Less, json!("yesterday-ish")).unwrap_err(), @r#"`date` is datetime and compares with a time in UTC such as `"2026-01-31 13:45:00"`, a day, or a time from now such as `"today -7d"`, `"-2H"` or `"=monday"`, not with `"yesterday-ish"`"#);
        insta::assert_snapshot!(coerced("deadline", json!(["2026-13-45"])).unwrap_err(), @r#"`deadline` is date and compares with a day such as `"2026-01-31"`, or one from now such as `"today -7d"`, `"-1m"` or `"=monday"`, not with `"2026-13-45"`"#);
        let like = |part: &str| {
            let (schema, path) = (schema(), FieldPath::try_from("state").unwrap());
            let field = schema.field("state").unwrap();
            coerce_operand(field, &path, Operator::Ilike, json!(part))
        };
        assert!(like("Quotation").is_err());
        for part in ["SAL", "draft", "%q%", "s_l", ""] {
            assert_eq!(like(part).unwrap(), json!(part));
        }
        for (field, value) in [
            ("amount", json!(true)),
            ("amount", json!("nan")),
            ("amount", json!("1e999")),
            ("count", json!(true)),
            ("id", json!("7.25")),
            ("date", json!(true)),
            ("deadline", json!(20_260_131)),
            ("priority", json!(2)),
            ("state", json!(true)),
            ("state", json!("   ")),
            ("active", json!(0.5)),
        ] {
            assert!(coerced(field, value.clone()).is_err(), "{field}: {value}");
        }
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
        let numbered = |count: usize| -> Vec<FieldName> {
            (0..count)
                .map(|at| {
                    FieldName::try_from(format!("{}_{at}", "x".repeat(120)).as_str()).unwrap()
                })
                .collect()
        };
        let error = validate_fields(&schema(), &model, &numbered(500)).unwrap_err();
        let error = error.to_string();
        assert!(error.len() < 1_000, "{error}");
        insta::assert_snapshot!(error.rsplit("; ").next().unwrap(), @"and 495 more unknown fields");
        let error = validate_fields(&schema(), &model, &numbered(501)).unwrap_err();
        insta::assert_snapshot!(error, @"invalid argument `fields`: give at most 500, not 501; by default the most useful ones are shown");
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
