//! One rule of a role.

use std::collections::BTreeMap;

use super::{Arguments, Pattern, protected};
use gatepost_base::InstanceName;
use gatepost_odoo::{Domain, MethodName, ModelName, Operation};

/// One thing that a role opens, or that it denies.
///
/// The default opens nothing.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In which instances.
    pub instances: Vec<Pattern>,
    /// Which models. In a rule that opens, a pattern with `*` never covers the
    /// models that [`protected`] lists; those must be named in full.
    pub models: Vec<Pattern>,
    /// For which effects.
    pub operations: Vec<Operation>,
    /// Which methods of the models may be called, for [`Effect::Run`]. In a rule
    /// that denies, an empty list is every method.
    pub methods: Vec<MethodName>,
    /// What those of the methods may be called with that take not just anything.
    pub arguments: BTreeMap<MethodName, Arguments>,
    /// Which fields may be seen; `id` and `display_name` go without saying. A
    /// pattern with `*` never covers secret fields. In a rule that denies: which
    /// fields are; with `*` the whole model is.
    pub fields: Vec<Pattern>,
    /// Which of those may not be seen after all.
    pub hidden_fields: Vec<Pattern>,
    /// Which of the fields that may be seen may be written; `None` is all of them.
    pub write_fields: Option<Vec<Pattern>>,
    /// Which records; the empty one is every record.
    pub domain: Domain,
    /// Whether the rule denies instead of opening.
    pub deny: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            instances: Vec::new(),
            models: Vec::new(),
            operations: Vec::new(),
            methods: Vec::new(),
            arguments: BTreeMap::new(),
            fields: vec![Pattern::everything()],
            hidden_fields: Vec::new(),
            write_fields: None,
            domain: Domain::default(),
            deny: false,
        }
    }
}

impl Rule {
    pub(super) fn applies(&self, instance: &InstanceName) -> bool {
        any_matches(&self.instances, instance.as_str())
    }

    /// Whether the rule speaks of this effect on this model.
    pub(super) fn covers(&self, model: &ModelName, effect: Operation) -> bool {
        let name = model.as_str();
        let closed = !self.deny && protected::is_protected(name);
        self.operations.contains(&effect)
            && self.models.iter().any(|pattern| {
                if closed {
                    pattern.is_exactly(name)
                } else {
                    pattern.matches(name)
                }
            })
    }

    /// Whether a rule that opens lets the field be seen.
    pub(super) fn exposes(&self, field: &str) -> bool {
        if field == "id" {
            return true;
        }
        if any_matches(&self.hidden_fields, field) {
            return false;
        }
        // The name of a record goes with every link to it.
        field == "display_name" || patterns_cover_field(&self.fields, field)
    }

    /// Whether a rule that opens lets the field be written.
    pub(super) fn allows_writing(&self, field: &str) -> bool {
        field != "id"
            && self.exposes(field)
            && self
                .write_fields
                .as_ref()
                .is_none_or(|fields| patterns_cover_field(fields, field))
    }

    /// Whether the rule speaks of this method. One that denies and names none
    /// speaks of all, unless it is only about some fields.
    pub(super) fn covers_method(&self, method: &MethodName) -> bool {
        self.methods.contains(method) || (self.deny && self.denies_all(Operation::Call))
    }

    /// Whether no method may be called of what the rule denies.
    pub fn denies_every_method(&self) -> bool {
        self.deny && self.operations.contains(&Operation::Call) && self.denies_all(Operation::Call)
    }

    /// Whether the rule is about every field.
    pub(super) fn covers_all_fields(&self) -> bool {
        self.fields.iter().any(Pattern::is_everything) && self.hidden_fields.is_empty()
    }

    /// Whether a rule that denies takes the whole effect, not only some
    /// fields or methods; perhaps of some records.
    pub(super) fn denies_all(&self, effect: Operation) -> bool {
        self.covers_all_fields() && (effect != Operation::Call || self.methods.is_empty())
    }

    /// Whether a rule that denies takes this field.
    pub(super) fn denies_field(&self, field: &str) -> bool {
        any_matches(&self.fields, field)
    }
}

fn any_matches(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// Whether the patterns open the field: a secret one only by its very name.
fn patterns_cover_field(patterns: &[Pattern], field: &str) -> bool {
    if protected::is_secret(field) {
        patterns.iter().any(|pattern| pattern.is_exactly(field))
    } else {
        any_matches(patterns, field)
    }
}
