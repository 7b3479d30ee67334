//! Odoo methods that a rule must not simply list in `methods`.

use std::{collections::BTreeMap, sync::LazyLock};

use gatepost_odoo::{MethodName, Operation};

/// Why calling a method by its name would bypass what rules check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodRisk {
    /// The method does what this operation does, or reads records that no rule
    /// then checks. A rule must open the operation instead.
    Operation(Operation),
    /// The method sends a text that no caller has seen: rendered from a template,
    /// with any value of a record, or to any address. `message_post` does not.
    SendsUnseenText,
    /// The method writes its arguments to any field, so it is safe only with
    /// argument rules: `action_set_lost` of a lead with `name` renames the lead.
    WritesArguments,
}

impl MethodRisk {
    /// The risk of a method, or `None` if a rule may list it.
    pub fn of(method: &MethodName) -> Option<Self> {
        RISKS.get(method.as_str()).copied()
    }

    /// The risk of the methods in a section of the list.
    fn of_section(name: &str) -> Option<Self> {
        match name {
            "sends_unseen_text" => Some(Self::SendsUnseenText),
            "writes_arguments" => Some(Self::WritesArguments),
            operation => Operation::parse(operation).map(Self::Operation),
        }
    }
}

/// The list of methods: each section starts with a name in brackets.
const LIST: &str = include_str!("../data/method_risks.txt");

static RISKS: LazyLock<BTreeMap<&str, MethodRisk>> = LazyLock::new(|| {
    let mut risk = None;
    let mut risks = BTreeMap::new();
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        match line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            Some(section) => risk = MethodRisk::of_section(section),
            None => risks.extend(risk.map(|risk| (line, risk))),
        }
    }
    risks
});

#[cfg(test)]
mod tests {
    use super::{LIST, MethodRisk};
    use gatepost_odoo::MethodName;

    #[test]
    fn every_listed_method_has_the_risk_of_its_section() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#'));
        let mut section = None;
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix('[') {
                section = MethodRisk::of_section(name.trim_end_matches(']'));
                assert!(section.is_some(), "{line}");
            } else {
                let method = MethodName::try_from(line).unwrap();
                assert_eq!(MethodRisk::of(&method), section, "{line}");
            }
        }
    }
}
