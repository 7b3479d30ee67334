//! What the rules of one role do to each other: they add up, so that one may
//! undo what another leaves out.

use super::ConfigChecker;
use crate::config::Rule;
use gatepost_base::RoleName;
use gatepost_odoo::{MethodName, Operation};
use gatepost_policy::{Pattern, is_protected, is_secret};

/// What two rules both open of some models.
struct RuleOverlap {
    /// A model, as the bounded rule names it.
    model: String,
    /// What is done with it.
    actions: Vec<String>,
    /// Whether fields matter to that.
    concerns_fields: bool,
}

impl ConfigChecker<'_> {
    pub(super) fn rule_conflicts(&mut self, role: &RoleName, rules: &[Rule]) {
        let opening = || rules.iter().enumerate().filter(|(_, rule)| !rule.deny);
        for (index, rule) in opening() {
            for (at, other) in opening().filter(|(at, _)| *at != index) {
                if let Some(shared) = overlap(rule, other) {
                    self.warn_overridden(role, (index, rule), (at, other), &shared);
                }
            }
            self.warn_unreadable_methods(role, index, rule, rules);
        }
    }

    /// Warns where the other rule opens what this one leaves out.
    fn warn_overridden(
        &mut self,
        role: &RoleName,
        (index, rule): (usize, &Rule),
        (at, other): (usize, &Rule),
        shared: &RuleOverlap,
    ) {
        let deeds = shared.actions.join("` and `");
        let opens = |without: &str| {
            format!(
                "rule {} of this role opens `{deeds}` of `{}` too, {without}: rules add up, so there this leaves nothing out",
                at + 1,
                shared.model
            )
        };
        let hint = format!(
            "say it in both, or do not open `{deeds}` in one of them; a rule with `deny` holds whatever others open"
        );
        if !rule.domain.is_empty() && other.domain.is_empty() {
            self.warning(
                path!["roles", role, "rules", index, "domain"],
                &opens("without a domain"),
                Some(&hint),
            );
        }
        if !shared.concerns_fields || !(other.domain.is_empty() || other.domain == rule.domain) {
            return;
        }
        for (place, hidden) in rule.hidden_fields.iter().enumerate() {
            if exposes(other, hidden) {
                self.warning(
                    path!["roles", role, "rules", index, "hidden_fields", place],
                    &opens(&format!("showing `{hidden}`")),
                    Some(&hint),
                );
            }
        }
    }

    /// Warns of methods on records that nobody can see.
    fn warn_unreadable_methods(
        &mut self,
        role: &RoleName,
        index: usize,
        rule: &Rule,
        rules: &[Rule],
    ) {
        if rule.methods.is_empty() {
            return;
        }
        let reads = |model: &Pattern| {
            rules.iter().any(|one| {
                !one.deny
                    && one.odoo_operations().contains(&Operation::Read)
                    && covers(&one.models, model)
            })
        };
        if let Some(model) = rule.models.iter().find(|model| !reads(model)) {
            self.warning(
                path!["roles", role, "rules", index, "methods"],
                &format!("no rule of this role lets `{model}` be read, so its callers do not see what these methods do"),
                Some("add `operations = [\"read\"]`, here or in a rule with its own `fields` and `domain`, unless another role of theirs has it"),
            );
        }
    }
}

/// What the other rule opens of what this one does, for all of one of its models.
fn overlap(rule: &Rule, other: &Rule) -> Option<RuleOverlap> {
    let covered = |pattern: &Pattern| covers(&other.instances, pattern);
    if !rule.instances.iter().any(covered) {
        return None;
    }
    let model = rule.models.iter().find(|one| covers(&other.models, one))?;
    let theirs = other.odoo_operations();
    let both = |effect: &Operation| *effect != Operation::Call && theirs.contains(effect);
    let effects: Vec<Operation> = rule.odoo_operations().into_iter().filter(both).collect();
    let methods = rule
        .methods
        .iter()
        .filter(|one| other.methods.contains(one));
    let deeds: Vec<String> = effects
        .iter()
        .map(|effect| effect.to_string())
        .chain(methods.map(MethodName::to_string))
        .collect();
    (!deeds.is_empty()).then(|| RuleOverlap {
        model: model.to_string(),
        actions: deeds,
        concerns_fields: effects.iter().any(|effect| *effect != Operation::Delete),
    })
}

/// Whether the patterns cover all that this one does; a secret model only by its
/// very name.
fn covers(patterns: &[Pattern], one: &Pattern) -> bool {
    let secret = !one.is_prefix() && is_protected(&one.to_string());
    patterns
        .iter()
        .any(|pattern| pattern == one || (!secret && pattern.covers(one)))
}

/// Whether a rule shows a field that this pattern hides.
fn exposes(rule: &Rule, hidden: &Pattern) -> bool {
    let name = hidden.to_string();
    let secret = !hidden.is_prefix() && is_secret(&name);
    !rule.hidden_fields.iter().any(|one| one.covers(hidden))
        && rule
            .fields
            .iter()
            .any(|one| one == hidden || hidden.covers(one) || (!secret && one.covers(hidden)))
}
