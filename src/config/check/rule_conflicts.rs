//! Checks of the rules of one role against each other. Rules add up, so one may
//! allow what another leaves out.

use super::{ConfigChecker, roles::RuleAt};
use crate::config::Rule;
use gatepost_base::RoleName;
use gatepost_odoo::{MethodName, Operation};
use gatepost_policy::{Pattern, is_protected, is_secret};

/// What two rules both allow.
struct RuleOverlap {
    /// A model, as the narrower rule names it.
    model: String,
    /// The operations and methods on it.
    actions: Vec<String>,
    /// Whether the fields of the rules affect these actions.
    concerns_fields: bool,
}

impl ConfigChecker<'_> {
    pub(super) fn rule_conflicts(&mut self, role: &RoleName, rules: &[Rule]) {
        let allowing = || rules.iter().enumerate().filter(|(_, rule)| !rule.deny);
        for (index, rule) in allowing() {
            let at = RuleAt { role, index, rule };
            for (other_index, other) in allowing().filter(|(other, _)| *other != index) {
                if let Some(shared) = overlap(rule, other) {
                    self.warn_overridden(at, (other_index, other), &shared);
                }
            }
            self.warn_unreadable_methods(at, rules);
        }
    }

    /// Warns if the other rule allows what this one leaves out.
    fn warn_overridden(
        &mut self,
        at: RuleAt<'_>,
        (index, other): (usize, &Rule),
        shared: &RuleOverlap,
    ) {
        let rule = at.rule;
        let actions = shared.actions.join("` and `");
        let message = |without: &str| {
            format!(
                "rule {} of this role also allows `{actions}` of `{}`, {without}; rules add up, so this restriction has no effect there",
                index + 1,
                shared.model
            )
        };
        let hint = format!(
            "write the restriction in both rules, or do not allow `{actions}` in one of them; a rule with `deny` applies whatever others allow"
        );
        if !rule.domain.is_empty() && other.domain.is_empty() {
            let path = at.path(path!["domain"]);
            self.warning(&path, &message("without a domain"), Some(&hint));
        }
        if !shared.concerns_fields || !(other.domain.is_empty() || other.domain == rule.domain) {
            return;
        }
        for (place, hidden) in rule.hidden_fields.iter().enumerate() {
            if exposes(other, hidden) {
                let path = at.path(path!["hidden_fields", place]);
                let message = message(&format!("with the field `{hidden}`"));
                self.warning(&path, &message, Some(&hint));
            }
        }
    }

    /// Warns of methods on records that the role cannot read.
    fn warn_unreadable_methods(&mut self, at: RuleAt<'_>, rules: &[Rule]) {
        if at.rule.methods.is_empty() {
            return;
        }
        let reads = |model: &Pattern| {
            rules.iter().any(|one| {
                !one.deny
                    && one.operations().contains(&Operation::Read)
                    && covers(&one.models, model)
            })
        };
        if let Some(model) = at.rule.models.iter().find(|model| !reads(model)) {
            self.warning(
                &at.path(path!["methods"]),
                &format!("no rule of this role allows reading `{model}`, so its callers cannot see what these methods do"),
                Some("add `operations = [\"read\"]`, here or in a rule with its own `fields` and `domain`, unless another role of these callers has it"),
            );
        }
    }
}

/// What the other rule allows of what this one does, for all of one of its models.
fn overlap(rule: &Rule, other: &Rule) -> Option<RuleOverlap> {
    let covered = |pattern: &Pattern| covers(&other.instances, pattern);
    if !rule.instances.iter().any(covered) {
        return None;
    }
    let model = rule.models.iter().find(|one| covers(&other.models, one))?;
    let theirs = other.operations();
    let both = |one: &Operation| *one != Operation::Call && theirs.contains(one);
    let operations: Vec<Operation> = rule.operations().into_iter().filter(both).collect();
    let methods = rule
        .methods
        .iter()
        .filter(|one| other.methods.contains(one));
    let actions: Vec<String> = operations
        .iter()
        .map(|operation| operation.as_str().to_owned())
        .chain(methods.map(MethodName::to_string))
        .collect();
    (!actions.is_empty()).then(|| RuleOverlap {
        model: model.to_string(),
        actions,
        concerns_fields: operations.iter().any(|one| *one != Operation::Delete),
    })
}

/// Whether the patterns cover all that this one does. Only its full name covers
/// a protected model.
fn covers(patterns: &[Pattern], one: &Pattern) -> bool {
    let protected = !one.is_prefix() && is_protected(&one.to_string());
    patterns
        .iter()
        .any(|pattern| pattern == one || (!protected && pattern.covers(one)))
}

/// Whether a rule shows a field that this pattern hides.
fn exposes(rule: &Rule, hidden: &Pattern) -> bool {
    let secret = !hidden.is_prefix() && is_secret(&hidden.to_string());
    let shows =
        |one: &Pattern| one == hidden || hidden.covers(one) || (!secret && one.covers(hidden));
    !rule.hidden_fields.iter().any(|one| one.covers(hidden)) && rule.fields.iter().any(shows)
}
