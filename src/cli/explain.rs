//! `gatepost explain`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError,
    acting_roles::ActingRoles,
    names::{choose_instance, no_such_role},
    terminal,
};
use crate::config::{LocatedRules, Sources, load_rules};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{FieldName, MethodName, ModelName, Operation};
use gatepost_policy::{
    AccessQuery, Action, Decision, Forbidden, Pattern, Rule, RuleRef, WriteMode,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gatepost explain --role sales --instance production res.partner read
  gatepost explain --role sales --role reader --instance production res.partner read --field email
  gatepost explain --role sales --instance production sale.order action_confirm
  gatepost explain --role sales --all
  gatepost explain --role sales --all --json

It reads only the configuration: no secret, and no Odoo. So it does not know which fields
expose fields of other models (`related` fields, `_inherits` parents); those are readable
only if the other field is readable too. Nor does it know what the Odoo user may do, or
how much of the limits is used. --all takes the mode of each instance into account: in a
read-only instance it lists only what may be read.
Exit code 5: the call would be denied.")]
pub(super) struct ExplainArgs {
    /// The configuration [default: the one `GATEPOST_CONFIG` names, else none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A role; several add up
    #[arg(long = "role", value_name = "NAME", required = true)]
    roles: Vec<RoleName>,
    /// The instance; required if several are configured, except with --all
    #[arg(long, value_name = "NAME")]
    instance: Option<InstanceName>,
    /// List all rules of the roles
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A field of the model
    #[arg(long, value_name = "NAME")]
    field: Option<FieldName>,
    /// The model, such as `sale.order`
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    model: Option<ModelName>,
    /// `read`, `create`, `write`, `delete`, or the name of a method
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    operation: Option<String>,
}

/// Prints what policy would decide, and why.
///
/// # Errors
/// If the call would be denied, or the configuration has errors.
pub(super) fn run(explain: &ExplainArgs) -> Result<(), CliError> {
    let rules = load_rules(&Sources::new(explain.config.clone()))?;
    let mut roles = explain.roles.iter();
    if let Some(role) = roles.find(|role| !rules.config.roles.contains_key(*role)) {
        return Err(no_such_role(&rules.config, role));
    }
    let (Some(model), Some(operation)) = (&explain.model, &explain.operation) else {
        return print_all_rules(explain, &rules);
    };
    let question = AccessQuery {
        model: model.clone(),
        action: parse_action(operation)?,
        field: explain.field.clone(),
    };
    let instance = choose_instance(&rules.config, explain.instance.as_ref())?;
    let policy = rules.config.policy();
    let decision = policy.explain(&explain.roles, &instance, &question);
    let acting = ActingRoles {
        config: &rules.config,
        roles: &explain.roles,
        instance: &instance,
    };
    let (obstacle, caveat) = if decision.forbidden.is_none() {
        acting.denial_reason(&question.action)
    } else {
        (None, None)
    };
    let forbidden = decision.forbidden.as_ref();
    let why = forbidden
        .map(|forbidden| denial_by_rules(forbidden, &decision, &instance))
        .or(obstacle);
    let denied = why.is_some();
    let notes: Vec<String> = decision.notes.iter().cloned().chain(caveat).collect();
    let rule_list = |all: &[RuleRef]| -> Value {
        let list = all.iter().map(|at| json!({ "role": at.role.as_str(), "rule": at.index + 1, "place": rules.location(at) }));
        list.collect()
    };
    let text = if explain.json {
        json!({
            "allowed": !denied,
            "why": why,
            "roles": &explain.roles.iter().map(RoleName::as_str).collect::<Vec<_>>(),
            "instance": instance.as_str(),
            "model": model.as_str(),
            "operation": operation,
            "field": explain.field.as_ref().map(FieldName::as_str),
            "records": decision.row_filter.to_json(),
            "rules": rule_list(&decision.deciding_rules),
            "rules_without_field": rule_list(&decision.rules_without_field),
            "notes": notes,
            "modes": acting.modes_as_json(&question),
            "acts_as": acting.credential_as_json(),
            "limits": acting.limits_as_json(&question.action),
        })
        .to_string()
    } else {
        let report = ExplainReport {
            operation,
            question: &question,
            instance: &instance,
            denial_reason: why.as_deref(),
            notes: &notes,
            acting: &acting,
        };
        report.render(&decision, &rules)
    };
    terminal::print(&text)?;
    if denied {
        Err(CliError::Denied)
    } else {
        Ok(())
    }
}

/// Why the rules deny it, for an administrator: the error itself is for a client.
fn denial_by_rules(forbidden: &Forbidden, decision: &Decision, instance: &InstanceName) -> String {
    if let Forbidden::Instance(_) = forbidden {
        format!("no rule of these roles allows anything in `{instance}`")
    } else if !decision.deciding_rules.is_empty() {
        "a rule denies it".to_owned()
    } else if let Forbidden::Method {
        near: Some(near), ..
    } = forbidden
    {
        format!("no rule allows it; one allows `{near}`")
    } else {
        "no rule allows it".to_owned()
    }
}

/// The explanation as text.
struct ExplainReport<'a> {
    operation: &'a str,
    question: &'a AccessQuery,
    instance: &'a InstanceName,
    denial_reason: Option<&'a str>,
    notes: &'a [String],
    acting: &'a ActingRoles<'a>,
}

impl ExplainReport<'_> {
    fn render(&self, decision: &Decision, rules: &LocatedRules) -> String {
        let (question, operation, instance) = (self.question, self.operation, self.instance);
        let field = question
            .field
            .as_ref()
            .map_or_else(String::new, |field| format!(", field `{field}`,"));
        let access = format!("{operation} `{}`{field} in `{instance}`", question.model);
        let mut lines = vec![match self.denial_reason {
            None => format!("allowed: {access}"),
            Some(why) => format!("denied: {access}, because {why}"),
        }];
        if self.denial_reason.is_none() {
            let records = if decision.row_filter.is_empty() {
                "all".to_owned()
            } else {
                decision.row_filter.to_json().to_string()
            };
            lines.push(format!("  records  {records}"));
        }
        let line = |at: &RuleRef, more: &str| {
            let (number, role) = (at.index + 1, &at.role);
            format!(
                "  rule     {number} of role `{role}`, {}{more}",
                rules.location(at)
            )
        };
        let opens = if self.denial_reason.is_some() && decision.forbidden.is_none() {
            ", allows it"
        } else {
            ""
        };
        lines.extend(decision.deciding_rules.iter().map(|at| line(at, opens)));
        if decision.deciding_rules.is_empty() {
            lines.push("  rule     none allows it".to_owned());
        }
        let without = decision.rules_without_field.iter();
        lines.extend(without.map(|at| line(at, ", allows the model without it")));
        if self.denial_reason.is_none() {
            lines.extend(self.acting.describe(question));
        }
        for note in self.notes {
            lines.push(format!("  note     {note}"));
        }
        lines.join("\n")
    }
}

/// An operation, or a method by its name.
fn parse_action(operation: &str) -> Result<Action, CliError> {
    Ok(match Operation::parse(operation) {
        Some(operation) if operation != Operation::Call => Action::Operation(operation),
        Some(_) | None => Action::Method(MethodName::try_from(operation).map_err(|error| {
            CliError::UnusableConfig(format!(
                "{error}, nor is it `read`, `create`, `write` or `delete`"
            ))
        })?),
    })
}

const COLUMN_HEADERS: [&str; 10] = [
    "INSTANCE",
    "ROLE",
    "RULE",
    "DOES",
    "MODELS",
    "OPERATIONS",
    "METHODS",
    "MODE",
    "FIELDS",
    "RECORDS",
];

/// Prints every rule of the roles in every instance.
fn print_all_rules(explain: &ExplainArgs, rules: &LocatedRules) -> Result<(), CliError> {
    let policy = rules.config.policy();
    let instances: Vec<InstanceName> = match &explain.instance {
        Some(_) => vec![choose_instance(&rules.config, explain.instance.as_ref())?],
        None => rules.config.instances.keys().cloned().collect(),
    };
    let mut rows = vec![COLUMN_HEADERS.map(str::to_owned)];
    let (mut objects, mut argument_rules) = (Vec::new(), BTreeSet::new());
    let mut notes = Vec::new();
    for instance in &instances {
        let acting = ActingRoles {
            config: &rules.config,
            roles: &explain.roles,
            instance,
        };
        for action in [
            Action::Operation(Operation::Read),
            Action::Operation(Operation::Write),
        ] {
            let (why, caveat) = acting.denial_reason(&action);
            let note = why.or(caveat).map(|why| format!("{instance}: {why}"));
            notes.extend(note.filter(|note| !notes.contains(note)));
        }
        for (at, rule) in policy.rules_with_refs(&explain.roles, instance) {
            let applied = AppliedRule::new(rule, &at, &acting);
            rows.push(table_row(instance, &at, rule, &applied, rules));
            objects.push(rule_as_json(instance, &at, rule, &applied, rules));
            for (method, arguments) in &rule.arguments {
                let place = rules.location(&at);
                argument_rules.insert(format!("{method} ({place}): {arguments}"));
            }
        }
    }
    if explain.json {
        return terminal::print(&Value::Array(objects).to_string());
    }
    let mut text = terminal::columns(&rows);
    text.push_str(
        "\n\nWhat no rule allows is denied; what one rule denies stays denied. A `*` never allows a secret model or field.",
    );
    for note in notes {
        text.push_str("\n\n");
        text.push_str(&note);
    }
    if !argument_rules.is_empty() {
        text.push_str("\n\nArguments that methods accept:");
        for line in argument_rules {
            text.push_str("\n  ");
            text.push_str(&line);
        }
    }
    terminal::print(&text)
}

/// What a rule allows or denies in an instance, whose mode may restrict it.
struct AppliedRule {
    operations: Vec<&'static str>,
    methods: Vec<String>,
    /// The mode of the writes that it allows.
    mode: Option<WriteMode>,
}

impl AppliedRule {
    fn new(rule: &Rule, at: &RuleRef, acting: &ActingRoles<'_>) -> Self {
        let writes = rule.operations.iter().any(|operation| !operation.is_read());
        let mode = (writes && !rule.deny).then(|| acting.write_mode(&at.role));
        let mut applied = Self {
            operations: operation_names(rule),
            methods: method_names(rule),
            mode,
        };
        if mode == Some(WriteMode::ReadOnly) {
            applied.operations.retain(|operation| *operation == "read");
            applied.methods.clear();
        }
        applied
    }
}

fn table_row(
    instance: &InstanceName,
    at: &RuleRef,
    rule: &Rule,
    applied: &AppliedRule,
    rules: &LocatedRules,
) -> [String; 10] {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let mut fields = if rule.fields.iter().any(Pattern::is_everything) {
        "all".to_owned()
    } else if rule.fields.is_empty() {
        "none".to_owned()
    } else {
        join_patterns(&rule.fields)
    };
    if !rule.hidden_fields.is_empty() {
        fields = format!("{fields} without {}", join_patterns(&rule.hidden_fields));
    }
    if let Some(written) = &rule.write_fields {
        fields = format!("{fields}; written: {}", or_dash(join_patterns(written)));
    }
    [
        instance.to_string(),
        at.role.to_string(),
        rules.location(at),
        if rule.deny { "denies" } else { "allows" }.to_owned(),
        or_dash(join_patterns(&rule.models)),
        or_dash(applied.operations.join(",")),
        if rule.denies_every_method() {
            "all".to_owned()
        } else {
            or_dash(applied.methods.join(","))
        },
        applied.mode.map_or("-", WriteMode::as_str).to_owned(),
        fields,
        if rule.domain.is_empty() {
            "all".to_owned()
        } else {
            rule.domain.to_json().to_string()
        },
    ]
}

fn rule_as_json(
    instance: &InstanceName,
    at: &RuleRef,
    rule: &Rule,
    applied: &AppliedRule,
    rules: &LocatedRules,
) -> Value {
    let methods = |none: bool| -> Value {
        let names = rule.methods.iter().filter(|_| !none);
        names.map(MethodName::as_str).collect()
    };
    let list =
        |patterns: &[Pattern]| -> Value { patterns.iter().map(ToString::to_string).collect() };
    json!({
        "instance": instance.as_str(), "role": at.role.as_str(), "rule": at.index + 1,
        "place": rules.location(at), "deny": rule.deny, "models": list(&rule.models),
        "operations": applied.operations,
        "methods": methods(applied.mode == Some(WriteMode::ReadOnly)),
        "mode": applied.mode.map(WriteMode::as_str),
        "written": { "operations": operation_names(rule), "methods": methods(false) },
        "arguments": arguments_as_json(rule), "fields": list(&rule.fields),
        "hidden_fields": list(&rule.hidden_fields),
        "write_fields": rule.write_fields.as_deref().map(list), "domain": rule.domain.to_json(),
    })
}

fn join_patterns(patterns: &[Pattern]) -> String {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    patterns.join(",")
}

/// The operations as the configuration spells them.
fn operation_names(rule: &Rule) -> Vec<&'static str> {
    let named = rule.operations.iter().copied();
    named
        .filter(|operation| *operation != Operation::Call)
        .map(Operation::as_str)
        .collect()
}

/// The methods; those with argument rules are followed by `()` if they accept no
/// arguments, otherwise by `(…)`.
fn method_names(rule: &Rule) -> Vec<String> {
    let names = rule.methods.iter().map(|method| {
        let taken = rule.arguments.get(method);
        taken.map_or_else(
            || method.to_string(),
            |taken| {
                let bounds = if taken.iter().len() == 0 { "" } else { "…" };
                format!("{method}({bounds})")
            },
        )
    });
    names.collect()
}

/// The argument rules by method and argument.
fn arguments_as_json(rule: &Rule) -> Value {
    let methods = rule.arguments.iter().map(|(method, taken)| {
        let taken = taken
            .iter()
            .map(|(name, argument)| (name.to_string(), argument.to_string().into()));
        (method.to_string(), Value::Object(taken.collect()))
    });
    Value::Object(methods.collect())
}
