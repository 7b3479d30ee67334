//! What may be done: roles, their rules, and the only maker of [`Permitted`].
//!
//! Default deny. What no rule of any of the caller's roles opens, or what one of
//! them denies, is [`Forbidden`]; a call that goes through carries the records
//! and fields that the rules cover. Nothing outside decides, and nothing in here
//! asks Odoo: what must be known of models is handed in as [`Schemas`].

mod argument;
mod decision;
mod effective_rules;
mod facts;
mod forbidden;
mod import_rules;
mod incomplete;
mod method_risk;
mod pattern;
mod permitted;
mod post_image;
mod protected;
mod query_rewriter;
mod record_facts;
mod role;
mod rule;
#[cfg(test)]
mod tests;
mod write_authorizer;
mod write_mode;

use std::collections::{BTreeMap, BTreeSet};

pub use argument::{Argument, ArgumentKind, Arguments, Bounds};
pub use decision::{AccessQuery, Action, Decision, RuleRef};
pub use facts::PolicyFacts;
pub use forbidden::{DenialHint, Forbidden};
pub use incomplete::Incomplete;
pub use method_risk::MethodRisk;
pub use pattern::{InvalidPattern, Pattern};
pub use permitted::Permitted;
pub use protected::{is_masked, is_protected, is_secret, mentions_secret};
pub use record_facts::MembershipQuery;
pub use role::Role;
pub use rule::Rule;
pub use write_authorizer::RecordAccess;
pub use write_mode::WriteMode;

use effective_rules::{EffectiveRules, RoleRule};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::{
    Call, Domain, FieldName, MethodName, ModelName, Operation, Schema, SystemQuery,
};
use query_rewriter::QueryRewriter;
use record_facts::RecordFacts;
use write_authorizer::WriteAuthorizer;

/// All roles there are.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    roles: BTreeMap<RoleName, Role>,
}

impl Policy {
    /// The policy of these roles.
    pub fn new(roles: BTreeMap<RoleName, Role>) -> Self {
        Self { roles }
    }

    /// The names of the roles.
    pub fn roles(&self) -> impl Iterator<Item = &RoleName> {
        self.roles.keys()
    }

    /// The rules of these roles that name the model in full, and look at a field
    /// that it does not have: they open nothing of it, or deny all.
    pub fn unresolved_rules<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
        model: &'a ModelName,
        schema: &'a Schema,
    ) -> impl Iterator<Item = (RuleRef, &'a str)> {
        self.rules(roles, instance).filter_map(|ruled| {
            let mut models = ruled.rule.models.iter();
            let mut fields = ruled.rule.domain.fields();
            let named = models.any(|one| one.is_exactly(model.as_str()));
            let missing = fields.find(|field| schema.field(field).is_none());
            Some((RuleRef::of(ruled), missing.filter(|_| named)?))
        })
    }

    /// Lets a read through as far as the roles open it: every field that it
    /// asks, searches or sorts by may be seen, on every model on the way, and
    /// its domain leaves out the records that the roles do not cover. `schemas`
    /// has the fields of the models on the way.
    ///
    /// # Errors
    /// [`Forbidden`], which says what was asked and not which rule is missing;
    /// or what is to be handed in as well. A change is always forbidden here.
    pub fn permit(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        call: Call,
        schemas: &PolicyFacts,
    ) -> Result<Permitted<Call>, Incomplete> {
        if !call.operation().is_read() {
            let (model, effect) = (call.model().clone(), call.operation());
            return Err(Forbidden::Operation {
                model,
                operation: effect,
            }
            .into());
        }
        let mandate = self.effective_rules(roles, instance);
        let sieve = QueryRewriter {
            rules: &mandate,
            facts: schemas,
        };
        sieve.rewrite(call).map(Permitted::by_policy)
    }

    /// Lets a change through that may be made in this mode, and says all that it
    /// does, to which models and records, also by the commands in its values.
    ///
    /// Every field may be written, every record that it touches is covered, and
    /// stays so with the new values. Only roles that let changes be made so
    /// freely open any; what the others deny is denied all the same.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn permit_write(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        mode: WriteMode,
        call: &Call,
        schemas: &PolicyFacts,
    ) -> Result<(Permitted<Call>, Vec<RecordAccess>), Incomplete> {
        let mandate = self.effective_rules(roles, instance).in_mode(mode);
        RecordFacts::evaluate(schemas, |evidence| {
            let mut look = WriteAuthorizer {
                rules: &mandate,
                record_facts: evidence,
                accesses: Vec::new(),
            };
            look.authorize(call)?;
            Ok((Permitted::by_policy(call.clone()), look.accesses))
        })
    }

    /// Which records a listed method may be called on; every record where the
    /// domain is empty.
    ///
    /// # Errors
    /// [`Forbidden::Method`].
    pub fn allow_method(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        method: &MethodName,
    ) -> Result<Domain, Forbidden> {
        let mandate = self.effective_rules(roles, instance);
        mandate
            .allow_method(model, method, None)
            .map_err(|forbidden| mandate.with_suggestion(forbidden))
    }

    /// The methods of a model that may be called, of at least some records, and
    /// what with: any of these, or where there is none, anything.
    pub fn methods(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
    ) -> BTreeMap<MethodName, Vec<Arguments>> {
        self.effective_rules(roles, instance).methods(model)
    }

    /// The fields of a model that may be seen, of at least some records. What
    /// is left out is as if it did not exist.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn visible_schema(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &PolicyFacts,
    ) -> Result<Schema, Incomplete> {
        self.filtered_schema(roles, instance, model, schemas, |_, _| true)
    }

    /// Those of them that may be seen of every record that may be seen: asking
    /// for them leaves no record out.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn schema_visible_in_all_records(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &PolicyFacts,
    ) -> Result<Schema, Incomplete> {
        self.filtered_schema(roles, instance, model, schemas, |every, of_field| {
            every == of_field
        })
    }

    /// The fields of a model that may be given values, in new records or in
    /// those that are there, of at least some of them.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn writable_schema(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        (model, effect): (&ModelName, Operation),
        schemas: &PolicyFacts,
    ) -> Result<Schema, Incomplete> {
        let mandate = self
            .effective_rules(roles, instance)
            .in_mode(WriteMode::RequireHuman);
        let mut open = Vec::new();
        for field in schemas.schema_of(model)?.fields() {
            let asked = BTreeSet::from([field.name.clone()]);
            match mandate.row_filter(model, effect, &asked, schemas) {
                Ok(_) => open.push(field.clone()),
                Err(Incomplete::Denied(_)) => {}
                Err(needs @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) => {
                    return Err(needs);
                }
            }
        }
        Ok(Schema::from_fields(open))
    }

    fn filtered_schema(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &PolicyFacts,
        wanted: impl Fn(&Domain, &Domain) -> bool,
    ) -> Result<Schema, Incomplete> {
        let mandate = self.effective_rules(roles, instance);
        let cover = |fields: &BTreeSet<FieldName>| {
            mandate.row_filter(model, Operation::Read, fields, schemas)
        };
        let every = cover(&BTreeSet::new())?;
        let mut seen = Vec::new();
        for field in schemas.schema_of(model)?.fields() {
            match cover(&BTreeSet::from([field.name.clone()])) {
                Ok(of_field) if wanted(&every, &of_field) => seen.push(field.clone()),
                Ok(_) | Err(Incomplete::Denied(_)) => {}
                Err(needs @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_))) => {
                    return Err(needs);
                }
            }
        }
        Ok(Schema::from_fields(seen))
    }

    /// Lets a question of our own through: anybody who may do anything at all
    /// in the instance may have it asked, the fields of a model only by who
    /// may read the model.
    ///
    /// # Errors
    /// [`Forbidden`] otherwise.
    pub fn permit_system_query(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        inquiry: &SystemQuery,
    ) -> Result<Permitted<Call>, Forbidden> {
        match inquiry.required_model() {
            Some(model) => self.allow(roles, instance, model, Operation::Read)?,
            None => self.allow_instance(roles, instance)?,
        }
        Ok(Permitted::by_policy(inquiry.to_call()))
    }

    /// Lets a caller into an instance if any of the roles has a rule there.
    ///
    /// # Errors
    /// [`Forbidden::Instance`] otherwise.
    pub fn allow_instance(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
    ) -> Result<(), Forbidden> {
        self.rules(roles, instance)
            .find(|ruled| !ruled.rule.deny)
            .map(|_| ())
            .ok_or_else(|| Forbidden::Instance(instance.clone()))
    }

    /// Whether any model of the instance is open for the effect: a tool whose
    /// effect is open nowhere is not shown.
    pub fn allows_any(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        effect: Operation,
    ) -> bool {
        self.rules(roles, instance).any(|ruled| {
            !ruled.rule.deny
                && ruled.rule.operations.contains(&effect)
                && (effect.is_read() || self.write_mode_of(ruled.role) > WriteMode::ReadOnly)
        })
    }

    /// Whether any role opens any change in the instance.
    pub fn allows_any_write(&self, instance: &InstanceName) -> bool {
        let changing = self
            .roles
            .values()
            .filter(|role| role.write_mode > WriteMode::ReadOnly);
        changing.flat_map(|role| &role.rules).any(|rule| {
            let changes = rule.operations.iter().any(|effect| !effect.is_read());
            changes && !rule.deny && rule.applies(instance)
        })
    }

    fn write_mode_of(&self, role: &RoleName) -> WriteMode {
        self.roles
            .get(role)
            .map_or(WriteMode::ReadOnly, |role| role.write_mode)
    }

    /// The credentials that the roles name, of those that [admit](Self::admit)
    /// to the instance: a role that opens nothing there names nobody there.
    pub fn credentials<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = &'a CredentialName> {
        roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .filter(|role| {
                let mut rules = role.rules.iter();
                rules.any(|rule| !rule.deny && rule.applies(instance))
            })
            .filter_map(|role| role.credential.as_ref())
    }

    /// Allows the effect on the model, or says that it is forbidden.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub fn allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        effect: Operation,
    ) -> Result<(), Forbidden> {
        self.effective_rules(roles, instance).allow(model, effect)
    }

    /// What the roles open in an instance, one line a rule, for the
    /// administrator.
    pub fn summary(&self, roles: &[RoleName], instance: &InstanceName) -> Vec<String> {
        self.rules(roles, instance)
            .map(|ruled| decision::describe_rule(ruled.rule))
            .collect()
    }

    /// Whether these roles would allow what was forbidden.
    pub fn would_allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        forbidden: &Forbidden,
    ) -> bool {
        let mandate = self.effective_rules(roles, instance);
        match forbidden {
            Forbidden::Field { model, field } => mandate.exposes(model, field.as_str()),
            Forbidden::Instance(instance) => self.allow_instance(roles, instance).is_ok(),
            Forbidden::Method { model, method, .. } => {
                mandate.allow_method(model, method, None).is_ok()
            }
            Forbidden::Operation {
                model,
                operation: effect,
            } => mandate.allow(model, *effect).is_ok(),
            Forbidden::Arguments { .. }
            | Forbidden::Commands { .. }
            | Forbidden::ExternalIds(_)
            | Forbidden::Linking { .. }
            | Forbidden::LinkingUntyped { .. }
            | Forbidden::LinkingByName { .. }
            | Forbidden::OutsideAfterWrite { .. }
            | Forbidden::Records { .. }
            | Forbidden::Undecidable { .. } => false,
            Forbidden::Hierarchy(model)
            | Forbidden::Path { model, path: _ }
            | Forbidden::Sorting { model, field: _ }
            | Forbidden::NameSearch(model) => mandate.is_unrestricted(model),
            Forbidden::Writing { model, field } => mandate.allows_writing(model, field.as_str()),
        }
    }

    /// What would be decided about a model, and by which rules.
    pub fn explain(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        question: &AccessQuery,
    ) -> Decision {
        decision::decide(&self.effective_rules(roles, instance), instance, question)
    }

    /// In which modes a change would be made where `most` is the freest, the
    /// freest first, each with the records that it is open for. A record is
    /// changed in the first mode that has it.
    pub fn write_modes(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        most: WriteMode,
        question: &AccessQuery,
    ) -> Vec<(WriteMode, Domain)> {
        let mut modes: Vec<(WriteMode, Domain)> = Vec::new();
        for mode in WriteMode::WRITING.into_iter().filter(|mode| *mode <= most) {
            let mandate = self.effective_rules(roles, instance).in_mode(mode);
            let Ok(records) = decision::row_filter(&mandate, question) else {
                continue;
            };
            let adds = |(_, known): &(WriteMode, Domain)| !known.is_empty() && *known != records;
            if modes.iter().all(adds) {
                modes.push((mode, records));
            }
        }
        modes
    }

    /// The rules of the roles that hold in an instance, each with its place.
    pub fn rules_with_refs<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = (RuleRef, &'a Rule)> {
        self.rules(roles, instance)
            .map(|ruled| (RuleRef::of(ruled), ruled.rule))
    }

    fn effective_rules<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> EffectiveRules<'a> {
        EffectiveRules::new(self.rules(roles, instance))
    }

    /// The rules that apply; linear, for policies have tens of rules.
    fn rules<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = RoleRule<'a>> {
        roles
            .iter()
            .filter_map(|role| self.roles.get_key_value(role))
            .flat_map(|(role, one)| {
                let rules = one.rules.iter().enumerate();
                rules.map(move |(index, rule)| RoleRule {
                    role,
                    index,
                    rule,
                    write_mode: one.write_mode,
                })
            })
            .filter(|ruled| ruled.rule.applies(instance))
    }
}
