//! The rules that apply to one caller in one instance.

use std::collections::BTreeMap;

use super::{Arguments, Forbidden, Pattern, ReadAccess, Rule, WriteMode, protected};
use gatepost_base::RoleName;
use gatepost_odoo::{Domain, MethodName, ModelName, Operation, Schema};

/// The rules of all of a caller's roles that apply in one instance.
///
/// A record shows a field if any one rule opens both: the rule's domain covers
/// the record and its fields include the field. So a question about several
/// fields is answered for the records that show all of them.
#[derive(Clone, Debug)]
pub(super) struct EffectiveRules<'a> {
    rules: Vec<RoleRule<'a>>,
    /// A role opens a change only if its write mode is at least this one.
    mode: WriteMode,
    /// Whether one of the roles closes the search for users.
    pub(super) closes_user_search: bool,
    /// What was decided before about reading one model.
    read_access: Option<&'a ReadAccess>,
}

/// A rule and its role.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoleRule<'a> {
    pub(super) role: &'a RoleName,
    /// Its position in the role, from 0.
    pub(super) index: usize,
    pub(super) rule: &'a Rule,
    /// The role's write mode.
    pub(super) write_mode: WriteMode,
}

impl<'a> EffectiveRules<'a> {
    pub(super) fn new(rules: impl Iterator<Item = RoleRule<'a>>, closes_user_search: bool) -> Self {
        Self {
            rules: rules.collect(),
            mode: WriteMode::RequireHuman,
            closes_user_search,
            read_access: None,
        }
    }

    /// The same rules, which need not decide again what was decided before.
    pub(super) fn with_read_access(self, read_access: Option<&'a ReadAccess>) -> Self {
        Self {
            read_access,
            ..self
        }
    }

    /// What was decided before about reading the model.
    pub(super) fn read_access(&self, model: &ModelName) -> Option<&'a ReadAccess> {
        self.read_access.filter(|access| access.model() == model)
    }

    /// The same rules for changes in this mode. [`WriteMode::ReadOnly`] counts as
    /// [`WriteMode::RequireHuman`].
    pub(super) fn in_mode(self, mode: WriteMode) -> Self {
        let mode = mode.max(WriteMode::RequireHuman);
        Self { mode, ..self }
    }

    pub(super) fn rules(&self) -> &[RoleRule<'a>] {
        &self.rules
    }

    pub(super) fn allow_rules(
        &self,
        model: &ModelName,
        operation: Operation,
    ) -> impl Iterator<Item = &'a Rule> {
        self.rules_for(false, model, operation)
    }

    pub(super) fn deny_rules(
        &self,
        model: &ModelName,
        operation: Operation,
    ) -> impl Iterator<Item = &'a Rule> {
        self.rules_for(true, model, operation)
    }

    /// Linear; policies have tens of rules.
    fn rules_for(
        &self,
        deny: bool,
        model: &ModelName,
        operation: Operation,
    ) -> impl Iterator<Item = &'a Rule> {
        let mode = self.mode;
        self.rules
            .iter()
            .filter(move |ruled| deny || operation.is_read() || ruled.write_mode >= mode)
            .map(|ruled| ruled.rule)
            .filter(move |rule| rule.deny == deny && rule.covers(model, operation))
    }

    /// Permits the operation on some records and fields of the model.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub(super) fn allow(&self, model: &ModelName, operation: Operation) -> Result<(), Forbidden> {
        let denied = self
            .deny_rules(model, operation)
            .any(|rule| rule.denies_all(operation) && rule.domain.is_empty());
        if !denied && self.allow_rules(model, operation).next().is_some() {
            Ok(())
        } else {
            Err(Forbidden::operation_on(model, operation))
        }
    }

    /// Permits the method on the records that the returned domain covers. With a
    /// schema, a rule whose domain names a field that the model does not have
    /// opens nothing, or denies everything.
    ///
    /// # Errors
    /// [`Forbidden::Method`].
    pub(super) fn allow_method(
        &self,
        model: &ModelName,
        method: &MethodName,
        schema: Option<&Schema>,
    ) -> Result<Domain, Forbidden> {
        let listing = self.allow_rules_for_method(model, method, schema);
        self.allow_method_by_rules(listing, model, method, schema)
    }

    /// The rules that open the method, whatever its arguments.
    pub(super) fn allow_rules_for_method(
        &self,
        model: &ModelName,
        method: &MethodName,
        schema: Option<&Schema>,
    ) -> impl Iterator<Item = &'a Rule> {
        self.allow_rules(model, Operation::Call)
            .filter(move |rule| rule.has_filter_fields(schema) && rule.covers_method(method))
    }

    /// Permits the method as far as these of the rules that open it do.
    ///
    /// # Errors
    /// [`Forbidden::Method`].
    pub(super) fn allow_method_by_rules<'r>(
        &self,
        listing: impl Iterator<Item = &'r Rule>,
        model: &ModelName,
        method: &MethodName,
        schema: Option<&Schema>,
    ) -> Result<Domain, Forbidden> {
        let opened = listing.map(|rule| rule.domain.clone()).reduce(Domain::or);
        let denying = self
            .deny_rules(model, Operation::Call)
            .filter(|rule| rule.covers_method(method));
        subtract_denied(opened, denying, schema).ok_or_else(|| Forbidden::Method {
            model: model.clone(),
            method: method.clone(),
            near: None,
        })
    }

    /// The same refusal, with the name of a permitted method if one is similar.
    pub(super) fn with_suggestion(&self, forbidden: Forbidden) -> Forbidden {
        let Forbidden::Method { model, method, .. } = forbidden else {
            return forbidden;
        };
        let wanted = method.as_str();
        let names = self.methods(&model).into_keys();
        let near = names
            .map(|name| (strsim::damerau_levenshtein(name.as_str(), wanted), name))
            .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
            .min()
            .map(|(_, name)| name);
        Forbidden::Method {
            model,
            method,
            near,
        }
    }

    /// The methods that may be called on some records, with the arguments that
    /// each opening rule allows; an empty list where one of them allows any.
    pub(super) fn methods(&self, model: &ModelName) -> BTreeMap<MethodName, Vec<Arguments>> {
        let mut found = BTreeMap::new();
        for rule in self.allow_rules(model, Operation::Call) {
            for method in &rule.methods {
                if found.contains_key(method) || self.allow_method(model, method, None).is_err() {
                    continue;
                }
                let listing = self.allow_rules_for_method(model, method, None);
                let allowed = listing.map(|rule| rule.arguments.get(method).cloned());
                let allowed: Option<Vec<Arguments>> = allowed.collect();
                found.insert(method.clone(), allowed.unwrap_or_default());
            }
        }
        found
    }

    /// Whether every record and field of the model is visible, so that nothing
    /// that Odoo derives from them reveals what is hidden.
    pub(super) fn is_unrestricted(&self, model: &ModelName) -> bool {
        self.deny_rules(model, Operation::Read).next().is_none()
            && self
                .allow_rules(model, Operation::Read)
                .any(Rule::covers_everything)
    }

    /// Whether every field of each visible record is visible.
    pub(super) fn exposes_all_fields(&self, model: &ModelName) -> bool {
        let of_some_fields = |rule: &Rule| !rule.covers_all_fields();
        !self.deny_rules(model, Operation::Read).any(of_some_fields)
            && (!self.allow_rules(model, Operation::Read).any(of_some_fields)
                || self
                    .allow_rules(model, Operation::Read)
                    .any(Rule::covers_everything))
    }

    /// Whether one rule opens everything that a pattern can open for reading, no
    /// rule denies reading, and no protected model is open in part.
    pub(super) fn is_unrestricted_everywhere(&self) -> bool {
        let rules = || {
            let rules = self.rules.iter().map(|ruled| ruled.rule);
            rules.filter(|rule| rule.operations.contains(&Operation::Read))
        };
        // No `*` opens these, so a rule with `*` says nothing about them.
        let open_in_part = |pattern: &Pattern| {
            let name = pattern.to_string();
            protected::is_protected(&name)
                && !ModelName::try_from(name).is_ok_and(|model| self.is_unrestricted(&model))
        };
        let mut named = rules()
            .flat_map(|rule| &rule.models)
            .filter(|pattern| !pattern.is_prefix());
        !rules().any(|rule| rule.deny)
            && !named.any(open_in_part)
            && rules().any(|rule| {
                rule.models.iter().any(Pattern::is_everything) && rule.covers_everything()
            })
    }
}

/// What is opened without what these rules deny, or `None` where nothing remains.
pub(super) fn subtract_denied<'a>(
    opened: Option<Domain>,
    denying: impl Iterator<Item = &'a Rule>,
    schema: Option<&Schema>,
) -> Option<Domain> {
    let mut open = opened?;
    for rule in denying {
        if rule.domain.is_empty() || !rule.has_filter_fields(schema) {
            return None;
        }
        open = intersect(open, rule.domain.clone().negated());
    }
    Some(open)
}

/// Both domains, or the first alone where it implies the second.
pub(super) fn intersect(filter: Domain, more: Domain) -> Domain {
    if filter.implies(&more) {
        filter
    } else {
        filter.and(more)
    }
}
