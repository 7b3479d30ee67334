//! Checks of the rules of one role against each other. Rules add up, so one may
//! allow what another leaves out.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConfigChecker, roles::RuleLocation};
use crate::config::RuleConfig;
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

/// Rules that are compared with one rule. More that override it say nothing new.
const MAX_COMPARED: usize = 20;

/// The rules of a role that allow something, by what they may have in common with
/// others: a role may have tens of thousands of rules.
struct RuleIndex {
    /// By a pattern in `models`, and the domain as JSON.
    by_model: BTreeMap<(String, String), Vec<usize>>,
    /// The patterns in `models` of the rules that allow reading.
    readable: BTreeSet<String>,
}

impl RuleIndex {
    fn of(rules: &[RuleConfig]) -> Self {
        let mut index = Self {
            by_model: BTreeMap::new(),
            readable: BTreeSet::new(),
        };
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.deny) {
            let domain = domain_json(rule);
            let reads = rule.operations().contains(&Operation::Read);
            for model in &rule.models {
                let key = (model.to_string(), domain.clone());
                index.by_model.entry(key).or_default().push(at);
                if reads {
                    index.readable.insert(model.to_string());
                }
            }
        }
        index
    }

    /// The first rules that may allow what this one leaves out, without itself.
    fn overriding(&self, at: usize, rule: &RuleConfig) -> BTreeSet<usize> {
        let domains: BTreeSet<String> = ["[]".to_owned(), domain_json(rule)].into();
        let models = rule.models.iter().flat_map(covering);
        let keys = models.flat_map(|model| {
            let domains = domains.iter();
            domains.map(move |domain| (model.clone(), domain.clone()))
        });
        keys.filter_map(|key| self.by_model.get(&key))
            .flatten()
            .copied()
            .filter(|other| *other != at)
            .take(MAX_COMPARED)
            .collect()
    }

    /// Whether a rule allows reading all that the pattern covers.
    fn reads(&self, model: &Pattern) -> bool {
        covering(model).any(|pattern| self.readable.contains(&pattern))
    }
}

fn domain_json(rule: &RuleConfig) -> String {
    serde_json::Value::Array(rule.domain.clone()).to_string()
}

/// The patterns that cover all that this one does, as [`covers`] decides.
fn covering(one: &Pattern) -> impl Iterator<Item = String> {
    let text = one.to_string();
    let is_protected = !one.is_prefix() && is_protected(&text);
    let body = text.trim_end_matches('*').to_owned();
    let prefixes = (0..=body.len()).filter_map(move |end| Some(format!("{}*", body.get(..end)?)));
    let prefixes = prefixes.filter(move |_| !is_protected);
    let exact = (!one.is_prefix()).then_some(text);
    exact.into_iter().chain(prefixes)
}

impl ConfigChecker<'_> {
    pub(super) fn rule_conflicts(&mut self, role: &RoleName, rules: &[RuleConfig]) {
        let known = RuleIndex::of(rules);
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.deny) {
            let at = RuleLocation { role, index, rule };
            let is_restricted = !rule.domain.is_empty() || !rule.hidden_fields.is_empty();
            let others = is_restricted.then(|| known.overriding(index, rule));
            for other_index in others.into_iter().flatten() {
                if let Some(other) = rules.get(other_index)
                    && let Some(shared) = overlap(rule, other)
                {
                    self.warn_overridden(at, (other_index, other), &shared);
                }
            }
            self.warn_unreadable(at, &known);
        }
    }

    /// Warns if the other rule allows what this one leaves out.
    fn warn_overridden(
        &mut self,
        at: RuleLocation<'_>,
        (index, other): (usize, &RuleConfig),
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

    /// Warns of changes to records that the role cannot read.
    fn warn_unreadable(&mut self, at: RuleLocation<'_>, rules: &RuleIndex) {
        let written = at.rule.operations.iter().flatten();
        let (key, effect) = if written.clone().any(|operation| !operation.is_read()) {
            ("operations", "changes of its records are refused")
        } else if at.rule.methods.is_empty() {
            return;
        } else {
            ("methods", "its callers cannot see what these methods do")
        };
        if let Some(model) = at.rule.models.iter().find(|model| !rules.reads(model)) {
            self.warning(
                &at.path(path![key]),
                &format!("no rule of this role allows reading `{model}`, so {effect}"),
                Some("add `operations = [\"read\"]`, here or in a rule with its own `fields` and `domain`, unless another role of these callers has it"),
            );
        }
    }
}

/// What the other rule allows of what this one does, for all of one of its models.
fn overlap(rule: &RuleConfig, other: &RuleConfig) -> Option<RuleOverlap> {
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
fn exposes(rule: &RuleConfig, hidden: &Pattern) -> bool {
    let secret = !hidden.is_prefix() && is_secret(&hidden.to_string());
    let shows =
        |one: &Pattern| one == hidden || hidden.covers(one) || (!secret && one.covers(hidden));
    !rule.hidden_fields.iter().any(|one| one.covers(hidden)) && rule.fields.iter().any(shows)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{MAX_COMPARED, RuleIndex, covering, covers};
    use crate::config::RuleConfig;
    use gatepost_policy::Pattern;

    // A11: each rule was compared with all others.
    #[test]
    fn rules_are_compared_with_the_few_that_may_override_them() {
        let rules_of = |model: &dyn Fn(usize) -> String| -> Vec<RuleConfig> {
            let rule = |at| RuleConfig {
                models: vec![Pattern::parse(&model(at)).unwrap()],
                hidden_fields: vec![Pattern::parse("email").unwrap()],
                ..RuleConfig::default()
            };
            (0..20_000).map(rule).collect()
        };
        let comparisons = |rules: &[RuleConfig]| -> usize {
            let index = RuleIndex::of(rules);
            let all = rules.iter().enumerate();
            all.map(|(at, rule)| index.overriding(at, rule).len()).sum()
        };
        let apart = rules_of(&|at| format!("x_model_{at:05}"));
        assert_eq!(comparisons(&apart), 0);
        let alike = rules_of(&|_| "res.partner".to_owned());
        assert_eq!(comparisons(&alike), alike.len() * MAX_COMPARED);
    }

    #[test]
    fn covering_patterns_are_those_that_cover() {
        let patterns = [
            "*",
            "s*",
            "sale.*",
            "sale.order*",
            "sale.order",
            "sale.order.*",
            "sale.order.line",
            "res.*",
            "res.users",
            "res.users*",
            "x",
        ]
        .map(|text| Pattern::parse(text).unwrap());
        for one in &patterns {
            let known: BTreeSet<String> = covering(one).collect();
            for other in &patterns {
                let list = std::slice::from_ref(other);
                assert_eq!(
                    known.contains(&other.to_string()),
                    covers(list, one),
                    "{other} of {one}"
                );
            }
        }
    }
}
