//! Explains to administrators what policy decides, and by which rules.

use std::collections::BTreeSet;

use super::{
    Forbidden, Rule, WriteMode,
    effective_rules::{EffectiveRules, RoleRule},
    protected,
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, FieldName, MethodName, ModelName, Operation};

/// An access to explain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessQuery {
    /// The model.
    pub model: ModelName,
    /// What a caller does with it.
    pub action: Action,
    /// One of its fields, or `None` for the model as a whole.
    pub field: Option<FieldName>,
}

/// What a caller does with a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Calls one of its methods.
    Method(MethodName),
    /// Performs an operation on its records.
    Operation(Operation),
}

/// The place of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleRef {
    /// Its role.
    pub role: RoleName,
    /// Its position in the role, from 0.
    pub index: usize,
}

/// What policy decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The reason of a denial, if it denies.
    pub forbidden: Option<Forbidden>,
    /// The rules that open the access or, for a refusal, those that deny it.
    pub deciding_rules: Vec<RuleRef>,
    /// The records that are open; an empty domain is every record.
    pub row_filter: Domain,
    /// The rules that open the model but not the field.
    pub rules_without_field: Vec<RuleRef>,
    /// Caveats, and rules that almost apply.
    pub notes: Vec<String>,
}

impl RuleRef {
    pub(super) fn of(ruled: RoleRule<'_>) -> Self {
        Self {
            role: ruled.role.clone(),
            index: ruled.index,
        }
    }
}

/// Decides. Ignores what a field shows in turn, which only Odoo knows.
pub(super) fn decide(
    rules: &EffectiveRules<'_>,
    instance: &InstanceName,
    query: &AccessQuery,
) -> Decision {
    let AccessQuery {
        model,
        action,
        field,
    } = query;
    let operation = match action {
        Action::Method(_) => Operation::Call,
        Action::Operation(operation) => *operation,
    };
    let concerned = |deny: bool| {
        rules.rules().iter().filter(move |ruled| {
            let rule = ruled.rule;
            let by_method = match action {
                Action::Method(method) => rule.covers_method(method),
                Action::Operation(_) => true,
            };
            let by_field = match (field, deny) {
                (None, true) => rule.denies_all(operation) || matches!(action, Action::Method(_)),
                (None, false) => true,
                (Some(field), true) => rule.denies_field(field.as_str()),
                (Some(field), false) if operation.writes_values() => {
                    rule.allows_writing(field.as_str())
                }
                (Some(field), false) => rule.exposes(field.as_str()),
            };
            // A role in mode `read_only` opens no change.
            let opens = deny || operation.is_read() || ruled.write_mode > WriteMode::ReadOnly;
            rule.deny == deny && opens && rule.covers(model, operation) && by_method && by_field
        })
    };
    let decided = if rules.rules().iter().all(|ruled| ruled.rule.deny) {
        Err(Forbidden::Instance(instance.clone()))
    } else {
        row_filter(rules, query).map_err(|forbidden| rules.with_suggestion(forbidden))
    };
    let opening: Vec<RuleRef> = concerned(false).map(|ruled| RuleRef::of(*ruled)).collect();
    let denying = concerned(true);
    match decided {
        Ok(row_filter) => {
            let limited = denying.filter(|_| !row_filter.is_empty());
            let limited = limited.map(|ruled| RuleRef::of(*ruled));
            let mut notes = describe_arguments(rules, model, action);
            notes.extend(schema_caveats(rules, model, operation));
            Decision {
                forbidden: None,
                deciding_rules: opening.into_iter().chain(limited).collect(),
                row_filter,
                rules_without_field: Vec::new(),
                notes,
            }
        }
        Err(forbidden) => Decision {
            forbidden: Some(forbidden),
            deciding_rules: denying
                .filter(|ruled| ruled.rule.domain.is_empty())
                .map(|ruled| RuleRef::of(*ruled))
                .collect(),
            row_filter: Domain::nothing(),
            rules_without_field: rules
                .rules()
                .iter()
                .filter(|_| field.is_some())
                .filter(|ruled| !ruled.rule.deny && ruled.rule.covers(model, operation))
                .map(|ruled| RuleRef::of(*ruled))
                .filter(|at| !opening.contains(at))
                .collect(),
            notes: near_misses(rules, model, operation, field.as_ref()),
        },
    }
}

/// The records that are open for the access.
///
/// # Errors
/// [`Forbidden`].
pub(super) fn row_filter(
    rules: &EffectiveRules<'_>,
    query: &AccessQuery,
) -> Result<Domain, Forbidden> {
    let model = &query.model;
    match &query.action {
        Action::Method(method) => rules.allow_method(model, method, None),
        Action::Operation(operation) => {
            rules.row_filter_without_schema(model, *operation, query.field.as_ref())
        }
    }
}

/// The arguments that each opening rule accepts for the method.
fn describe_arguments(
    rules: &EffectiveRules<'_>,
    model: &ModelName,
    action: &Action,
) -> Vec<String> {
    let Action::Method(method) = action else {
        return Vec::new();
    };
    let opening = rules.rules().iter().filter(|ruled| {
        let rule = ruled.rule;
        let open = !rule.deny && ruled.write_mode > WriteMode::ReadOnly;
        open && rule.covers(model, Operation::Call) && rule.covers_method(method)
    });
    let lines = opening.map(|ruled| {
        let allowed = ruled.rule.arguments.get(method);
        let allowed = allowed.map_or_else(|| "any arguments".to_owned(), ToString::to_string);
        format!(
            "rule {} of role `{}` takes {allowed}",
            ruled.index + 1,
            ruled.role
        )
    });
    lines.collect()
}

/// What depends on the fields of the model, which only Odoo knows: a rule for
/// several models may name fields that this one does not have.
fn schema_caveats(
    rules: &EffectiveRules<'_>,
    model: &ModelName,
    operation: Operation,
) -> Vec<String> {
    let mut notes = Vec::new();
    for ruled in rules.rules() {
        let rule = ruled.rule;
        let named = rule.models.iter().any(|one| one.is_exactly(model.as_str()));
        if named || !rule.covers(model, operation) {
            continue;
        }
        let does = if rule.deny {
            "denies all"
        } else {
            "opens nothing"
        };
        let fields: BTreeSet<&str> = rule.domain.fields().collect();
        for field in fields {
            notes.push(format!(
                "if `{model}` has no field `{field}`, rule {} of role `{}` {does} of it",
                ruled.index + 1,
                ruled.role
            ));
        }
    }
    notes
}

/// Why rules that seem to open the access do not.
fn near_misses(
    rules: &EffectiveRules<'_>,
    model: &ModelName,
    operation: Operation,
    field: Option<&FieldName>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let allow_rules = || {
        let allow_rules = rules.rules().iter().map(|ruled| ruled.rule);
        allow_rules.filter(|rule| !rule.deny && rule.operations.contains(&operation))
    };
    let by_pattern = |rule: &Rule| rule.models.iter().any(|one| one.matches(model.as_str()));
    if protected::is_protected(model.as_str())
        && allow_rules().any(by_pattern)
        && !allow_rules().any(|rule| rule.covers(model, operation))
    {
        notes.push(format!(
            "no pattern with `*` opens `{model}`; a rule must name it in full"
        ));
    }
    let lowered = rules.rules().iter().filter(|ruled| {
        !operation.is_read()
            && ruled.write_mode == WriteMode::ReadOnly
            && !ruled.rule.deny
            && ruled.rule.covers(model, operation)
    });
    let lowered: BTreeSet<&RoleName> = lowered.map(|ruled| ruled.role).collect();
    notes.extend(
        lowered.into_iter().map(|role| {
            format!("role `{role}` opens no change because its `writes` is `read_only`")
        }),
    );
    if let Some(field) = field
        && protected::is_secret(field.as_str())
        && allow_rules().any(|rule| rule.covers(model, operation) && !rule.exposes(field.as_str()))
    {
        notes.push(format!(
            "no pattern with `*` opens `{field}`, which sounds like a secret; a rule must name it in `fields`"
        ));
    }
    notes
}
