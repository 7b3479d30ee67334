//! What would be decided, and by which rules: for the administrator.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    Forbidden, Pattern, Rule, WriteMode,
    mandate::{Mandate, Ruled},
    protected,
};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, Effect, FieldName, MethodName, ModelName};

/// What somebody might do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// With which model.
    pub model: ModelName,
    /// What.
    pub deed: Deed,
    /// With which of its fields; none where only the model matters.
    pub field: Option<FieldName>,
}

/// What is done with a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// One of its methods is called.
    Call(MethodName),
    /// An ordinary effect.
    Do(Effect),
}

/// Where a rule stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RuleAt {
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
    pub by: Vec<RuleAt>,
    /// The records that it would be about; the empty one is every record.
    pub records: Domain,
    /// The rules that open the model, but not the field.
    pub without_field: Vec<RuleAt>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl RuleAt {
    pub(super) fn of(ruled: Ruled<'_>) -> Self {
        Self {
            role: ruled.role.clone(),
            index: ruled.index,
        }
    }
}

/// Decides. What a field shows in its turn is not looked at, for only Odoo
/// knows that.
pub(super) fn decide(
    mandate: &Mandate<'_>,
    instance: &InstanceName,
    question: &Question,
) -> Decision {
    let Question { model, deed, field } = question;
    let effect = match deed {
        Deed::Call(_) => Effect::Run,
        Deed::Do(effect) => *effect,
    };
    let concerned = |deny: bool| {
        mandate.rules().iter().filter(move |ruled| {
            let rule = ruled.rule;
            let method = match deed {
                Deed::Call(method) => rule.names(method),
                Deed::Do(_) => true,
            };
            let by_field = match (field, deny) {
                (None, true) => rule.denies_all(effect) || matches!(deed, Deed::Call(_)),
                (None, false) => true,
                (Some(field), true) => rule.denies_field(field.as_str()),
                (Some(field), false) => {
                    let writing = matches!(effect, Effect::Create | Effect::Write);
                    if writing {
                        rule.writes(field.as_str())
                    } else {
                        rule.shows(field.as_str())
                    }
                }
            };
            // A role that lets nothing be changed opens no change.
            let opens = deny || effect.is_read() || ruled.writes > WriteMode::ReadOnly;
            rule.deny == deny && opens && rule.covers(model, effect) && method && by_field
        })
    };
    let decided = if mandate.rules().iter().all(|ruled| ruled.rule.deny) {
        Err(Forbidden::Instance(instance.clone()))
    } else {
        records(mandate, question).map_err(|forbidden| mandate.with_near(forbidden))
    };
    let at = |deny: bool| concerned(deny).map(|ruled| RuleAt::of(*ruled)).collect();
    let whole = |deny: bool| {
        concerned(deny)
            .filter(|ruled| ruled.rule.domain.is_empty())
            .map(|ruled| RuleAt::of(*ruled))
            .collect()
    };
    match decided {
        Ok(records) => {
            let mut by: Vec<RuleAt> = at(false);
            if !records.is_empty() {
                by.extend(at(true));
            }
            Decision {
                forbidden: None,
                by,
                records,
                without_field: Vec::new(),
                notes: arguments(mandate, model, deed)
                    .into_iter()
                    .chain(doubts(mandate, model, effect))
                    .collect(),
            }
        }
        Err(forbidden) => {
            let opening: Vec<RuleAt> = at(false);
            Decision {
                forbidden: Some(forbidden),
                by: whole(true),
                records: Domain::nothing(),
                without_field: mandate
                    .rules()
                    .iter()
                    .filter(|_| field.is_some())
                    .filter(|ruled| !ruled.rule.deny && ruled.rule.covers(model, effect))
                    .map(|ruled| RuleAt::of(*ruled))
                    .filter(|at| !opening.contains(at))
                    .collect(),
                notes: near(mandate, model, effect, field.as_ref()),
            }
        }
    }
}

/// The records that it would be about.
///
/// # Errors
/// [`Forbidden`].
pub(super) fn records(mandate: &Mandate<'_>, question: &Question) -> Result<Domain, Forbidden> {
    let Question { model, deed, field } = question;
    match deed {
        Deed::Call(method) => mandate.allow_method(model, method, None),
        Deed::Do(effect) => mandate.records(model, *effect, field.as_ref()),
    }
}

/// What a method may be called with, by each rule that opens it.
fn arguments(mandate: &Mandate<'_>, model: &ModelName, deed: &Deed) -> Vec<String> {
    let Deed::Call(method) = deed else {
        return Vec::new();
    };
    let opening = mandate.rules().iter().filter(|ruled| {
        let rule = ruled.rule;
        let open = !rule.deny && ruled.writes > WriteMode::ReadOnly;
        open && rule.covers(model, Effect::Run) && rule.names(method)
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
fn doubts(mandate: &Mandate<'_>, model: &ModelName, effect: Effect) -> Vec<String> {
    let mut notes = Vec::new();
    for ruled in mandate.rules() {
        let rule = ruled.rule;
        let named = rule.models.iter().any(|one| one.names(model.as_str()));
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
fn near(
    mandate: &Mandate<'_>,
    model: &ModelName,
    effect: Effect,
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
            && ruled.writes == WriteMode::ReadOnly
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
        && rules().any(|rule| rule.covers(model, effect) && !rule.shows(field.as_str()))
    {
        notes.push(format!(
            "no pattern with `*` opens `{field}`, which sounds like a secret; a rule must name it in `fields`"
        ));
    }
    notes
}

/// A rule in one sentence, for the administrator.
pub(super) fn sentence(rule: &Rule) -> String {
    let mut text = String::from(if rule.deny {
        "it may never "
    } else {
        "it may "
    });
    let effects: Vec<String> = rule
        .operations
        .iter()
        .map(|effect| match effect {
            Effect::Run if !rule.methods.is_empty() => {
                let methods = rule.methods.iter().map(|method| {
                    let taken = rule.arguments.get(method);
                    taken.map_or_else(|| method.to_string(), |taken| format!("{method} ({taken})"))
                });
                format!("call {} of", methods.collect::<Vec<_>>().join(", "))
            }
            Effect::Create | Effect::Delete | Effect::Read | Effect::Run | Effect::Write => {
                effect.as_str().to_owned()
            }
        })
        .collect();
    text.push_str(&effects.join(", "));
    text.push(' ');
    text.push_str(&listed(&rule.models));
    let mut limits = Vec::new();
    if !rule.fields.iter().any(Pattern::is_everything) {
        limits.push(format!("fields {}", listed(&rule.fields)));
    }
    if !rule.hidden_fields.is_empty() {
        limits.push(format!("without {}", listed(&rule.hidden_fields)));
    }
    if let Some(fields) = &rule.write_fields {
        limits.push(format!("writing {}", listed(fields)));
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

fn listed(patterns: &[Pattern]) -> String {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    patterns.join(", ")
}
