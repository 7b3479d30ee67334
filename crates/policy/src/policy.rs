//! All roles, and every question about them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AccessQuery, Arguments, Decision, Forbidden, Incomplete, Permitted, PolicyFacts, ReadAccess,
    RecordAccess, Role, Rule, RuleRef, WriteMode, decision,
    effective_rules::{EffectiveRules, RoleRule},
    incomplete::unless_denied,
    query_rewriter::QueryRewriter,
    record_facts::RecordFacts,
    rule_text,
    write_authorizer::WriteAuthorizer,
};
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::{Call, Domain, MethodName, ModelName, Operation, Schema, SystemQuery};

/// All roles.
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

    /// The rules of these roles that name the model in full and whose domain uses a
    /// field that it does not have, with that field. Such a rule opens nothing of
    /// the model, or denies all of it.
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

    /// Permits a read as far as the roles open it: the caller may read every field
    /// that the call returns, searches or sorts by, on every model that it reaches.
    /// The permitted call has a row filter in its domain.
    ///
    /// # Errors
    /// [`Incomplete`]: a refusal that names what the caller asked for and not the
    /// missing rule, or what `facts` lacks. Changes are always refused here.
    pub fn permit(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        call: Call,
        facts: &PolicyFacts,
    ) -> Result<Permitted<Call>, Incomplete> {
        if !call.operation().is_read() {
            return Err(Forbidden::operation_on(call.model(), call.operation()).into());
        }
        let rules = &self
            .effective_rules(roles, instance)
            .with_read_access(facts.read_access_of(roles, instance));
        let rewriter = QueryRewriter { rules, facts };
        rewriter.rewrite(call).map(Permitted::by_policy)
    }

    /// Permits a change in this mode. Returns every operation that it performs, on
    /// which models and records, including those of commands in its values.
    ///
    /// The caller may write every field, and the row filter covers every record
    /// before and after the change. Only roles whose write mode is at least `mode`
    /// open anything; denials of all roles count.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn permit_write(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        mode: WriteMode,
        call: &Call,
        facts: &PolicyFacts,
    ) -> Result<(Permitted<Call>, Vec<RecordAccess>), Incomplete> {
        let rules = &self.effective_rules(roles, instance).in_mode(mode);
        RecordFacts::evaluate(facts, |record_facts| {
            let mut authorizer = WriteAuthorizer {
                rules,
                record_facts,
                accesses: Vec::new(),
            };
            authorizer.authorize(call)?;
            Ok((Permitted::by_policy(call.clone()), authorizer.accesses))
        })
    }

    /// The records that a method may be called on; an empty domain is every record.
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
        let rules = self.effective_rules(roles, instance);
        rules
            .allow_method(model, method, None)
            .map_err(|forbidden| rules.with_suggestion(forbidden))
    }

    /// The methods that may be called on at least some records of a model, each with
    /// the arguments that a rule accepts; an empty list accepts any.
    pub fn methods(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
    ) -> BTreeMap<MethodName, Vec<Arguments>> {
        self.effective_rules(roles, instance).methods(model)
    }

    /// What the roles may read of a model.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn read_access(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        facts: &PolicyFacts,
    ) -> Result<ReadAccess, Incomplete> {
        let rules = self.effective_rules(roles, instance);
        ReadAccess::evaluate(&rules, (roles, instance), model, facts)
    }

    /// The fields of a model that may be written on at least some records, new ones
    /// or existing ones.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn writable_schema(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        what: (&ModelName, Operation),
        facts: &PolicyFacts,
    ) -> Result<Schema, Incomplete> {
        let rules = self
            .effective_rules(roles, instance)
            .in_mode(WriteMode::RequireHuman);
        let (model, operation) = what;
        let mut open = BTreeSet::new();
        let schema = facts.schema_of(model)?;
        for field in schema.fields() {
            let fields = BTreeSet::from([field.name.clone()]);
            let filter = rules.row_filter(model, operation, &fields, facts);
            if unless_denied(filter)?.is_some() {
                open.insert(&field.name);
            }
        }
        Ok(schema.restricted(|field| open.contains(&field.name)))
    }

    /// Permits a query of Gatepost's own, for any caller with access to the
    /// instance. Some need a rule that allows reading a model
    /// ([`SystemQuery::required_model`]); a search for users is closed where a role
    /// closes it, or a rule denies `res.users`.
    ///
    /// # Errors
    /// [`Forbidden`] otherwise.
    pub fn permit_system_query(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        query: &SystemQuery,
    ) -> Result<Permitted<Call>, Forbidden> {
        match query.required_model() {
            Some(model) => self.allow(roles, instance, model, Operation::Read)?,
            None => self.allow_instance(roles, instance)?,
        }
        if matches!(query, SystemQuery::Users(_)) {
            self.effective_rules(roles, instance).allow_user_search()?;
        }
        Ok(Permitted::by_policy(query.to_call()))
    }

    /// Permits access to an instance if any of the roles has a rule there.
    ///
    /// # Errors
    /// [`Forbidden::Instance`] otherwise.
    pub fn allow_instance(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
    ) -> Result<(), Forbidden> {
        if self.rules(roles, instance).any(|ruled| !ruled.rule.deny) {
            Ok(())
        } else {
            Err(Forbidden::Instance(instance.clone()))
        }
    }

    /// Whether the operation is open on any model of the instance. A tool whose
    /// operation is open nowhere is not listed.
    pub fn allows_any(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        operation: Operation,
    ) -> bool {
        self.rules(roles, instance).any(|ruled| {
            !ruled.rule.deny
                && ruled.rule.operations.contains(&operation)
                && (operation.is_read() || ruled.write_mode > WriteMode::ReadOnly)
        })
    }

    /// Whether a wanted method is open on any model of the instance.
    pub fn allows_any_method(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        is_wanted: impl Fn(&MethodName) -> bool,
    ) -> bool {
        self.rules(roles, instance).any(|ruled| {
            !ruled.rule.deny
                && ruled.write_mode > WriteMode::ReadOnly
                && ruled.rule.methods.iter().any(&is_wanted)
        })
    }

    /// The models on which the method may be called; `None` if a pattern opens it,
    /// because only Odoo knows its models.
    pub fn models_with_method(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        method: &MethodName,
    ) -> Option<BTreeSet<ModelName>> {
        let rules = self.effective_rules(roles, instance);
        let opening = rules.rules().iter().map(|ruled| ruled.rule);
        let opening = opening.filter(|rule| !rule.deny && rule.methods.contains(method));
        let mut models = BTreeSet::new();
        for pattern in opening.flat_map(|rule| &rule.models) {
            let name = pattern.to_string();
            let model = ModelName::try_from(name.as_str()).ok();
            let model = model.filter(|_| !pattern.is_prefix())?;
            if rules.allow_method(&model, method, None).is_ok() {
                models.insert(model);
            }
        }
        Some(models)
    }

    /// Whether any role opens any change in the instance.
    pub fn allows_any_write(&self, instance: &InstanceName) -> bool {
        let changing = self
            .roles
            .values()
            .filter(|role| role.write_mode > WriteMode::ReadOnly);
        changing.flat_map(|role| &role.rules).any(|rule| {
            let changes = rule.operations.iter().any(|operation| !operation.is_read());
            changes && !rule.deny && rule.applies(instance)
        })
    }

    /// The credentials of those roles that open something in the instance.
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

    /// Permits the operation on some records of the model.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub fn allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        operation: Operation,
    ) -> Result<(), Forbidden> {
        self.effective_rules(roles, instance)
            .allow(model, operation)
    }

    /// What the roles open and deny in an instance, one line per rule, for
    /// administrators.
    pub fn summary(&self, roles: &[RoleName], instance: &InstanceName) -> Vec<String> {
        self.rules(roles, instance)
            .map(|ruled| rule_text::describe_rule(ruled.rule))
            .collect()
    }

    /// Whether these roles would permit what was refused.
    pub fn would_allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        forbidden: &Forbidden,
    ) -> bool {
        let rules = self.effective_rules(roles, instance);
        match forbidden {
            Forbidden::Field { model, field } => rules.exposes(model, field.as_str()),
            Forbidden::Instance(instance) => self.allow_instance(roles, instance).is_ok(),
            Forbidden::Method { model, method, .. } => {
                rules.allow_method(model, method, None).is_ok()
            }
            Forbidden::Operation { model, operation } => rules.allow(model, *operation).is_ok(),
            Forbidden::Arguments { .. }
            | Forbidden::Commands { .. }
            | Forbidden::ExternalIds(_)
            | Forbidden::Linking { .. }
            | Forbidden::LinkingUntyped { .. }
            | Forbidden::LinkingByName { .. }
            | Forbidden::OutsideAfterWrite { .. }
            | Forbidden::Records { .. }
            | Forbidden::Undecidable { .. } => false,
            Forbidden::Grouping { model, path: _ }
            | Forbidden::Hierarchy(model)
            | Forbidden::Path { model, path: _ }
            | Forbidden::Sorting { model, field: _ }
            | Forbidden::NameSearch(model) => rules.is_unrestricted(model),
            Forbidden::Writing { model, field } => rules.allows_writing(model, field.as_str()),
        }
    }

    /// What policy decides about an access, and by which rules.
    pub fn explain(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        query: &AccessQuery,
    ) -> Decision {
        decision::decide(&self.effective_rules(roles, instance), instance, query)
    }

    /// The modes in which a change is made, the freest first and none freer than
    /// `most`, each with the records that it is open for. The first mode whose
    /// records include a record applies to it.
    pub fn write_modes(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        most: WriteMode,
        query: &AccessQuery,
    ) -> Vec<(WriteMode, Domain)> {
        let mut modes: Vec<(WriteMode, Domain)> = Vec::new();
        for mode in WriteMode::WRITING.into_iter().filter(|mode| *mode <= most) {
            let rules = self.effective_rules(roles, instance).in_mode(mode);
            let Ok(records) = decision::row_filter(&rules, query) else {
                continue;
            };
            let adds = |(_, known): &(WriteMode, Domain)| !known.is_empty() && *known != records;
            if modes.iter().all(adds) {
                modes.push((mode, records));
            }
        }
        modes
    }

    /// The rules of the roles that apply in an instance, each with its place.
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
        let mut known = roles.iter().filter_map(|role| self.roles.get(role));
        let closes_user_search = known.any(|role| role.closes_user_search);
        EffectiveRules::new(self.rules(roles, instance), closes_user_search)
    }

    /// The rules that apply. Linear, because policies have tens of rules.
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
