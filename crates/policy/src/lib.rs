//! What may be done: roles, their rules, and the only maker of [`Permitted`].
//!
//! Default deny. What no rule of any of the caller's roles opens, or what one of
//! them denies, is [`Forbidden`]; a call that goes through carries the records
//! and fields that the rules cover. Nothing outside decides, and nothing in here
//! asks Odoo: what must be known of models is handed in as [`Schemas`].

mod argument;
mod becoming;
mod decision;
mod evidence;
mod forbidden;
mod loading;
mod mandate;
mod pattern;
mod permitted;
mod protected;
mod role;
mod rule;
mod schemas;
mod sieve;
#[cfg(test)]
mod tests;
mod undecided;
mod values;
mod write_mode;

use std::collections::{BTreeMap, BTreeSet};

pub use argument::{Argument, ArgumentKind, Arguments, Bounds};
pub use decision::{Decision, Deed, Question, RuleAt};
pub use evidence::Search;
pub use forbidden::{Forbidden, Remedy};
pub use pattern::{InvalidPattern, Pattern};
pub use permitted::Permitted;
pub use protected::{is_protected, is_secret};
pub use role::Role;
pub use rule::Rule;
pub use schemas::Schemas;
pub use undecided::Undecided;
pub use values::Touch;
pub use write_mode::WriteMode;

use evidence::Evidence;
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_odoo::{Call, Domain, Effect, FieldName, Inquiry, MethodName, ModelName, Schema};
use mandate::{Mandate, Ruled};
use sieve::Sieve;
use values::Look;

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
    pub fn misfits<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
        model: &'a ModelName,
        schema: &'a Schema,
    ) -> impl Iterator<Item = (RuleAt, &'a str)> {
        self.rules(roles, instance).filter_map(|ruled| {
            let mut models = ruled.rule.models.iter();
            let mut fields = ruled.rule.domain.fields();
            let named = models.any(|one| one.names(model.as_str()));
            let missing = fields.find(|field| schema.field(field).is_none());
            Some((RuleAt::of(ruled), missing.filter(|_| named)?))
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
        schemas: &Schemas,
    ) -> Result<Permitted<Call>, Undecided> {
        if !call.effect().is_read() {
            let (model, effect) = (call.model().clone(), call.effect());
            return Err(Forbidden::Operation { model, effect }.into());
        }
        let mandate = self.mandate(roles, instance);
        let sieve = Sieve {
            mandate: &mandate,
            schemas,
        };
        sieve.call(call).map(Permitted::by_policy)
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
    pub fn permit_change(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        mode: WriteMode,
        call: &Call,
        schemas: &Schemas,
    ) -> Result<(Permitted<Call>, Vec<Touch>), Undecided> {
        let mandate = self.mandate(roles, instance).in_mode(mode);
        Evidence::weigh(schemas, |evidence| {
            let mut look = Look {
                mandate: &mandate,
                evidence,
                touched: Vec::new(),
            };
            look.change(call)?;
            Ok((Permitted::by_policy(call.clone()), look.touched))
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
        let mandate = self.mandate(roles, instance);
        mandate
            .allow_method(model, method, None)
            .map_err(|forbidden| mandate.with_near(forbidden))
    }

    /// The methods of a model that may be called, of at least some records, and
    /// what with: any of these, or where there is none, anything.
    pub fn methods(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
    ) -> BTreeMap<MethodName, Vec<Arguments>> {
        self.mandate(roles, instance).methods(model)
    }

    /// The fields of a model that may be seen, of at least some records. What
    /// is left out is as if it did not exist.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn visible(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &Schemas,
    ) -> Result<Schema, Undecided> {
        self.fields(roles, instance, model, schemas, |_, _| true)
    }

    /// Those of them that may be seen of every record that may be seen: asking
    /// for them leaves no record out.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn visible_everywhere(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &Schemas,
    ) -> Result<Schema, Undecided> {
        self.fields(roles, instance, model, schemas, |every, of_field| {
            every == of_field
        })
    }

    /// The fields of a model that may be given values, in new records or in
    /// those that are there, of at least some of them.
    ///
    /// # Errors
    /// As of [`Policy::permit`].
    pub fn writable(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        (model, effect): (&ModelName, Effect),
        schemas: &Schemas,
    ) -> Result<Schema, Undecided> {
        let mandate = self.mandate(roles, instance).in_mode(WriteMode::ByPerson);
        let mut open = Vec::new();
        for field in schemas.of(model)?.fields() {
            let asked = BTreeSet::from([field.name.clone()]);
            match mandate.cover(model, effect, &asked, schemas) {
                Ok(_) => open.push(field.clone()),
                Err(Undecided::Forbidden(_)) => {}
                Err(needs @ (Undecided::Needs(_) | Undecided::Seeks(_))) => return Err(needs),
            }
        }
        Ok(Schema::from_fields(open))
    }

    fn fields(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        schemas: &Schemas,
        wanted: impl Fn(&Domain, &Domain) -> bool,
    ) -> Result<Schema, Undecided> {
        let mandate = self.mandate(roles, instance);
        let cover =
            |fields: &BTreeSet<FieldName>| mandate.cover(model, Effect::Read, fields, schemas);
        let every = cover(&BTreeSet::new())?;
        let mut seen = Vec::new();
        for field in schemas.of(model)?.fields() {
            match cover(&BTreeSet::from([field.name.clone()])) {
                Ok(of_field) if wanted(&every, &of_field) => seen.push(field.clone()),
                Ok(_) | Err(Undecided::Forbidden(_)) => {}
                Err(needs @ (Undecided::Needs(_) | Undecided::Seeks(_))) => return Err(needs),
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
    pub fn permit_inquiry(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        inquiry: &Inquiry,
    ) -> Result<Permitted<Call>, Forbidden> {
        match inquiry.about() {
            Some(model) => self.allow(roles, instance, model, Effect::Read)?,
            None => self.admit(roles, instance)?,
        }
        Ok(Permitted::by_policy(inquiry.to_call()))
    }

    /// Lets a caller into an instance if any of the roles has a rule there.
    ///
    /// # Errors
    /// [`Forbidden::Instance`] otherwise.
    pub fn admit(&self, roles: &[RoleName], instance: &InstanceName) -> Result<(), Forbidden> {
        self.rules(roles, instance)
            .find(|ruled| !ruled.rule.deny)
            .map(|_| ())
            .ok_or_else(|| Forbidden::Instance(instance.clone()))
    }

    /// Whether any model of the instance is open for the effect: a tool whose
    /// effect is open nowhere is not shown.
    pub fn opens(&self, roles: &[RoleName], instance: &InstanceName, effect: Effect) -> bool {
        self.rules(roles, instance).any(|ruled| {
            !ruled.rule.deny
                && ruled.rule.operations.contains(&effect)
                && (effect.is_read() || self.writes(ruled.role) > WriteMode::ReadOnly)
        })
    }

    /// Whether any role opens any change in the instance.
    pub fn opens_changes(&self, instance: &InstanceName) -> bool {
        let changing = self
            .roles
            .values()
            .filter(|role| role.writes > WriteMode::ReadOnly);
        changing.flat_map(|role| &role.rules).any(|rule| {
            let changes = rule.operations.iter().any(|effect| !effect.is_read());
            changes && !rule.deny && rule.applies(instance)
        })
    }

    fn writes(&self, role: &RoleName) -> WriteMode {
        self.roles
            .get(role)
            .map_or(WriteMode::ReadOnly, |role| role.writes)
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
        effect: Effect,
    ) -> Result<(), Forbidden> {
        self.mandate(roles, instance).allow(model, effect)
    }

    /// What the roles open in an instance, one line a rule, for the
    /// administrator.
    pub fn summary(&self, roles: &[RoleName], instance: &InstanceName) -> Vec<String> {
        self.rules(roles, instance)
            .map(|ruled| decision::sentence(ruled.rule))
            .collect()
    }

    /// Whether these roles would allow what was forbidden.
    pub fn would_allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        forbidden: &Forbidden,
    ) -> bool {
        let mandate = self.mandate(roles, instance);
        match forbidden {
            Forbidden::Field { model, field } => mandate.shows(model, field.as_str()),
            Forbidden::Instance(instance) => self.admit(roles, instance).is_ok(),
            Forbidden::Method { model, method, .. } => {
                mandate.allow_method(model, method, None).is_ok()
            }
            Forbidden::Operation { model, effect } => mandate.allow(model, *effect).is_ok(),
            Forbidden::Arguments { .. }
            | Forbidden::Commands { .. }
            | Forbidden::ExternalIds(_)
            | Forbidden::Linking { .. }
            | Forbidden::LinkingBlindly { .. }
            | Forbidden::LinkingByName { .. }
            | Forbidden::Outside { .. }
            | Forbidden::Records { .. }
            | Forbidden::Unjudged { .. } => false,
            Forbidden::Hierarchy(model)
            | Forbidden::Path { model, path: _ }
            | Forbidden::Sorting { model, field: _ }
            | Forbidden::Unnamed(model) => mandate.sees_whole(model),
            Forbidden::Writing { model, field } => mandate.writes(model, field.as_str()),
        }
    }

    /// What would be decided about a model, and by which rules.
    pub fn explain(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        question: &Question,
    ) -> Decision {
        decision::decide(&self.mandate(roles, instance), instance, question)
    }

    /// In which modes a change would be made where `most` is the freest, the
    /// freest first, each with the records that it is open for. A record is
    /// changed in the first mode that has it.
    pub fn modes(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        most: WriteMode,
        question: &Question,
    ) -> Vec<(WriteMode, Domain)> {
        let mut modes: Vec<(WriteMode, Domain)> = Vec::new();
        for mode in WriteMode::WRITING.into_iter().filter(|mode| *mode <= most) {
            let mandate = self.mandate(roles, instance).in_mode(mode);
            let Ok(records) = decision::records(&mandate, question) else {
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
    pub fn rules_at<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = (RuleAt, &'a Rule)> {
        self.rules(roles, instance)
            .map(|ruled| (RuleAt::of(ruled), ruled.rule))
    }

    fn mandate<'a>(&'a self, roles: &'a [RoleName], instance: &'a InstanceName) -> Mandate<'a> {
        Mandate::new(self.rules(roles, instance))
    }

    /// The rules that apply; linear, for policies have tens of rules.
    fn rules<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = Ruled<'a>> {
        roles
            .iter()
            .filter_map(|role| self.roles.get_key_value(role))
            .flat_map(|(role, one)| {
                let rules = one.rules.iter().enumerate();
                rules.map(move |(index, rule)| Ruled {
                    role,
                    index,
                    rule,
                    writes: one.writes,
                })
            })
            .filter(|ruled| ruled.rule.applies(instance))
    }
}
