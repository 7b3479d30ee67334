//! One rule of a role.

use std::collections::BTreeMap;

use super::{Arguments, Pattern, protected};
use gatepost_base::InstanceName;
use gatepost_odoo::{Domain, MethodName, ModelName, Operation, Schema};

/// One thing that a role opens or denies.
///
/// The default opens nothing.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The instances where it applies.
    pub instances: Vec<Pattern>,
    /// Its models. In a rule that opens, a pattern with `*` never covers the
    /// models that [`protected`] lists; those must be named in full.
    pub models: Vec<Pattern>,
    /// Its operations.
    pub operations: Vec<Operation>,
    /// The methods that may be called, for [`Operation::Call`]. In a rule that
    /// denies, an empty list is every method.
    pub methods: Vec<MethodName>,
    /// The arguments that these methods accept. A method that is not here accepts
    /// any.
    pub arguments: BTreeMap<MethodName, Arguments>,
    /// The visible fields, in addition to `id` and `display_name`. A pattern with
    /// `*` never covers secret fields. In a rule that denies: the denied fields;
    /// `*` denies the whole model.
    pub fields: Vec<Pattern>,
    /// Exceptions from `fields`.
    pub hidden_fields: Vec<Pattern>,
    /// Which of the visible fields may be written; `None` is all of them.
    pub write_fields: Option<Vec<Pattern>>,
    /// The records; an empty domain is every record.
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

    /// Whether the rule is about this operation on this model.
    pub(super) fn covers(&self, model: &ModelName, operation: Operation) -> bool {
        let name = model.as_str();
        let closed = !self.deny && protected::is_protected(name);
        self.operations.contains(&operation)
            && self.models.iter().any(|pattern| {
                if closed {
                    pattern.is_exactly(name)
                } else {
                    pattern.matches(name)
                }
            })
    }

    /// Whether a rule that opens shows the field.
    pub(super) fn exposes(&self, field: &str) -> bool {
        if field == "id" {
            return true;
        }
        if any_matches(&self.hidden_fields, field) {
            return false;
        }
        // Every link to a record shows its name.
        field == "display_name" || patterns_cover_field(&self.fields, field)
    }

    /// Whether a rule that opens allows writing the field.
    pub(super) fn allows_writing(&self, field: &str) -> bool {
        field != "id"
            && self.exposes(field)
            && self
                .write_fields
                .as_ref()
                .is_none_or(|fields| patterns_cover_field(fields, field))
    }

    /// Whether a rule that opens lets the field take part in the operation.
    pub(super) fn opens_field(&self, field: &str, operation: Operation) -> bool {
        if operation.writes_values() && field != "id" {
            self.allows_writing(field)
        } else {
            self.exposes(field)
        }
    }

    /// Whether the rule is about this method. A rule that denies without naming
    /// methods is about all, unless it is about some fields only.
    pub(super) fn covers_method(&self, method: &MethodName) -> bool {
        self.methods.contains(method) || (self.deny && self.denies_all(Operation::Call))
    }

    /// Whether the rule denies every method.
    pub fn denies_every_method(&self) -> bool {
        self.deny && self.operations.contains(&Operation::Call) && self.denies_all(Operation::Call)
    }

    /// Whether the rule is about every field.
    pub(super) fn covers_all_fields(&self) -> bool {
        self.fields.iter().any(Pattern::is_everything) && self.hidden_fields.is_empty()
    }

    /// Whether a rule that opens opens every field of every record.
    pub(super) fn covers_everything(&self) -> bool {
        !self.deny && self.covers_all_fields() && self.domain.is_empty()
    }

    /// Whether a rule that denies is about the whole operation, not only some
    /// fields or methods; its domain may still limit it to some records.
    pub(super) fn denies_all(&self, operation: Operation) -> bool {
        self.covers_all_fields() && (operation != Operation::Call || self.methods.is_empty())
    }

    /// Whether the model has the fields that the rule's domain names; assumed
    /// where its schema is unknown.
    pub(super) fn has_filter_fields(&self, schema: Option<&Schema>) -> bool {
        let mut fields = self.domain.fields();
        schema.is_none_or(|schema| fields.all(|field| schema.field(field).is_some()))
    }

    /// Whether a rule that denies is about this field.
    pub(super) fn denies_field(&self, field: &str) -> bool {
        any_matches(&self.fields, field)
    }
}

fn any_matches(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// Whether the patterns open the field. A secret one must be named in full.
fn patterns_cover_field(patterns: &[Pattern], field: &str) -> bool {
    if protected::is_secret(field) {
        patterns.iter().any(|pattern| pattern.is_exactly(field))
    } else {
        any_matches(patterns, field)
    }
}
