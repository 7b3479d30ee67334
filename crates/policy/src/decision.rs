//! What would be decided, and by which rules: for the administrator.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    Forbidden, Pattern, Rule, WriteMode,
    effective_rules::{EffectiveRules, RoleRule},
    protected,
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, FieldName, MethodName, ModelName, Operation};

/// What somebody might do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessQuery {
    /// With which model.
    pub model: ModelName,
    /// What.
    pub action: Action,
    /// With which of its fields; none where only the model matters.
    pub field: Option<FieldName>,
}

/// What is done with a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// One of its methods is called.
    Method(MethodName),
    /// An ordinary effect.
    Operation(Operation),
}

/// Where a rule stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleRef {
    /// In which role.
    pub role: RoleName,
    /// Which of its rules, from 0.
    pub index: usize,
}

/// What would be decided.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// Why not, where it would be refused.
    pub forbidden: Option<Forbidden>,
    /// The rules that open it, or where it is refused, those that deny it.
    pub deciding_rules: Vec<RuleRef>,
    /// The records that it would be about; the empty one is every record.
    pub row_filter: Domain,
    /// The rules that open the model, but not the field.
    pub rules_without_field: Vec<RuleRef>,
    /// What else there is to know.
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

/// Decides. What a field shows in its turn is not looked at, for only Odoo
/// knows that.
pub(super) fn decide(
    mandate: &EffectiveRules<'_>,
    instance: &InstanceName,
    question: &AccessQuery,
) -> Decision {
    let AccessQuery {
        model,
        action: deed,
        field,
    } = question;
    let effect = match deed {
        Action::Method(_) => Operation::Call,
        Action::Operation(effect) => *effect,
    };
    let concerned = |deny: bool| {
        mandate.rules().iter().filter(move |ruled| {
            let rule = ruled.rule;
            let method = match deed {
                Action::Method(method) => rule.covers_method(method),
                Action::Operation(_) => true,
            };
            let by_field = match (field, deny) {
                (None, true) => rule.denies_all(effect) || matches!(deed, Action::Method(_)),
                (None, false) => true,
                (Some(field), true) => rule.denies_field(field.as_str()),
                (Some(field), false) => {
                    let writing = matches!(effect, Operation::Create | Operation::Write);
                    if writing {
                        rule.allows_writing(field.as_str())
                    } else {
                        rule.exposes(field.as_str())
                    }
                }
            };
            // A role that lets nothing be changed opens no change.
            let opens = deny || effect.is_read() || ruled.write_mode > WriteMode::ReadOnly;
            rule.deny == deny && opens && rule.covers(model, effect) && method && by_field
        })
    };
    let decided = if mandate.rules().iter().all(|ruled| ruled.rule.deny) {
        Err(Forbidden::Instance(instance.clone()))
    } else {
        row_filter(mandate, question).map_err(|forbidden| mandate.with_suggestion(forbidden))
    };
    let at = |deny: bool| concerned(deny).map(|ruled| RuleRef::of(*ruled)).collect();
    let whole = |deny: bool| {
        concerned(deny)
            .filter(|ruled| ruled.rule.domain.is_empty())
            .map(|ruled| RuleRef::of(*ruled))
            .collect()
    };
    match decided {
        Ok(records) => {
            let mut by: Vec<RuleRef> = at(false);
            if !records.is_empty() {
                by.extend(at(true));
            }
            Decision {
                forbidden: None,
                deciding_rules: by,
                row_filter: records,
                rules_without_field: Vec::new(),
                notes: describe_arguments(mandate, model, deed)
                    .into_iter()
                    .chain(schema_caveats(mandate, model, effect))
                    .collect(),
            }
        }
        Err(forbidden) => {
            let opening: Vec<RuleRef> = at(false);
            Decision {
                forbidden: Some(forbidden),
                deciding_rules: whole(true),
                row_filter: Domain::nothing(),
                rules_without_field: mandate
                    .rules()
                    .iter()
                    .filter(|_| field.is_some())
                    .filter(|ruled| !ruled.rule.deny && ruled.rule.covers(model, effect))
                    .map(|ruled| RuleRef::of(*ruled))
                    .filter(|at| !opening.contains(at))
                    .collect(),
                notes: near_misses(mandate, model, effect, field.as_ref()),
            }
        }
    }
}

/// The records that it would be about.
///
/// # Errors
/// [`Forbidden`].
pub(super) fn row_filter(
    mandate: &EffectiveRules<'_>,
    question: &AccessQuery,
) -> Result<Domain, Forbidden> {
    let AccessQuery {
        model,
        action: deed,
        field,
    } = question;
    match deed {
        Action::Method(method) => mandate.allow_method(model, method, None),
        Action::Operation(effect) => {
            mandate.row_filter_without_schema(model, *effect, field.as_ref())
        }
    }
}

/// What a method may be called with, by each rule that opens it.
fn describe_arguments(
    mandate: &EffectiveRules<'_>,
    model: &ModelName,
    deed: &Action,
) -> Vec<String> {
    let Action::Method(method) = deed else {
        return Vec::new();
    };
    let opening = mandate.rules().iter().filter(|ruled| {
        let rule = ruled.rule;
        let open = !rule.deny && ruled.write_mode > WriteMode::ReadOnly;
        open && rule.covers(model, Operation::Call) && rule.covers_method(method)
    });
    let told = opening.map(|ruled| {
        let taken = ruled.rule.arguments.get(method);
        let taken = taken.map_or_else(|| "any arguments".to_owned(), ToString::to_string);
        format!(
            "rule {} of role `{}` takes {taken}",
            ruled.index + 1,
            ruled.role
        )
    });
    told.collect()
}

/// What depends on the fields that the model has, which only Odoo knows: a rule
/// for several models may look at some that this one lacks.
fn schema_caveats(
    mandate: &EffectiveRules<'_>,
    model: &ModelName,
    effect: Operation,
) -> Vec<String> {
    let mut notes = Vec::new();
    for ruled in mandate.rules() {
        let rule = ruled.rule;
        let named = rule.models.iter().any(|one| one.is_exactly(model.as_str()));
        if named || !rule.covers(model, effect) {
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

/// Why rules that seem to open it do not.
fn near_misses(
    mandate: &EffectiveRules<'_>,
    model: &ModelName,
    effect: Operation,
    field: Option<&FieldName>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let rules = || {
        mandate
            .rules()
            .iter()
            .map(|ruled| ruled.rule)
            .filter(|rule| !rule.deny && rule.operations.contains(&effect))
    };
    let by_pattern = |rule: &Rule| rule.models.iter().any(|one| one.matches(model.as_str()));
    if protected::is_protected(model.as_str())
        && rules().any(by_pattern)
        && !rules().any(|rule| rule.covers(model, effect))
    {
        notes.push(format!(
            "no pattern with `*` opens `{model}`; a rule must name it in full"
        ));
    }
    let lowered = mandate.rules().iter().filter(|ruled| {
        !effect.is_read()
            && ruled.write_mode == WriteMode::ReadOnly
            && !ruled.rule.deny
            && ruled.rule.covers(model, effect)
    });
    let lowered: BTreeSet<&RoleName> = lowered.map(|ruled| ruled.role).collect();
    notes.extend(
        lowered.into_iter().map(|role| {
            format!("role `{role}` lets nothing be changed: its `writes` is `read_only`")
        }),
    );
    if let Some(field) = field
        && protected::is_secret(field.as_str())
        && rules().any(|rule| rule.covers(model, effect) && !rule.exposes(field.as_str()))
    {
        notes.push(format!(
            "no pattern with `*` opens `{field}`, which sounds like a secret; a rule must name it in `fields`"
        ));
    }
    notes
}

/// A rule in one sentence, for the administrator.
pub(super) fn describe_rule(rule: &Rule) -> String {
    let mut text = String::from(if rule.deny {
        "it may never "
    } else {
        "it may "
    });
    let effects: Vec<String> = rule
        .operations
        .iter()
        .map(|effect| match effect {
            Operation::Call if !rule.methods.is_empty() => {
                let methods = rule.methods.iter().map(|method| {
                    let taken = rule.arguments.get(method);
                    taken.map_or_else(|| method.to_string(), |taken| format!("{method} ({taken})"))
                });
                format!("call {} of", methods.collect::<Vec<_>>().join(", "))
            }
            Operation::Create
            | Operation::Delete
            | Operation::Read
            | Operation::Call
            | Operation::Write => effect.to_string(),
        })
        .collect();
    text.push_str(&effects.join(", "));
    text.push(' ');
    text.push_str(&join_patterns(&rule.models));
    let mut limits = Vec::new();
    if !rule.fields.iter().any(Pattern::is_everything) {
        limits.push(format!("fields {}", join_patterns(&rule.fields)));
    }
    if !rule.hidden_fields.is_empty() {
        limits.push(format!("without {}", join_patterns(&rule.hidden_fields)));
    }
    if let Some(fields) = &rule.write_fields {
        limits.push(format!("writing {}", join_patterns(fields)));
    }
    if !rule.domain.is_empty() {
        limits.push(format!("records {}", rule.domain.to_json()));
    }
    if !limits.is_empty() {
        // Writing into a string does not fail.
        let _infallible = write!(text, " ({})", limits.join("; "));
    }
    text
}

fn join_patterns(patterns: &[Pattern]) -> String {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    patterns.join(", ")
}
