//! Rules as text, for administrators.

use std::fmt::Write as _;

use super::{Pattern, Rule};
use gatepost_odoo::Operation;

/// A rule in one sentence.
pub(super) fn describe_rule(rule: &Rule) -> String {
    let mut text = String::from(if rule.deny {
        "it may never "
    } else {
        "it may "
    });
    let operations: Vec<String> = rule
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Call if !rule.methods.is_empty() => {
                let methods = rule.methods.iter().map(|method| {
                    let taken = rule.arguments.get(method);
                    taken.map_or_else(|| method.to_string(), |taken| format!("{method} ({taken})"))
                });
                format!("call {} of", methods.collect::<Vec<_>>().join(", "))
            }
            Operation::Call
            | Operation::Create
            | Operation::Delete
            | Operation::Read
            | Operation::Write => operation.to_string(),
        })
        .collect();
    text.push_str(&operations.join(", "));
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
