//! The rules that hold for one caller in one instance, taken together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Arguments, Forbidden, Incomplete, Pattern, PolicyFacts, Rule, WriteMode, protected};
use gatepost_base::RoleName;
use gatepost_odoo::{
    Condition, Domain, FieldName, FieldPath, MethodName, ModelName, Operand, Operation, Operator,
    Schema,
};

/// Fields that show fields that show fields …: so far we follow.
const MAX_RELATED_DEPTH: usize = 8;

/// The rules of all of a caller's roles that hold in one instance.
///
/// A record shows a field to whom any one rule opens both: the rule's domain
/// covers the record and its fields have the field. So a question about several
/// fields is answered for those records that show all of them.
#[derive(Clone, Debug)]
pub(super) struct EffectiveRules<'a> {
    rules: Vec<RoleRule<'a>>,
    /// How freely a role must let changes be made to open any.
    mode: WriteMode,
}

/// A rule, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoleRule<'a> {
    pub(super) role: &'a RoleName,
    /// From 0, in the role.
    pub(super) index: usize,
    pub(super) rule: &'a Rule,
    /// How freely the role lets changes be made.
    pub(super) write_mode: WriteMode,
}

impl<'a> EffectiveRules<'a> {
    pub(super) fn new(rules: impl Iterator<Item = RoleRule<'a>>) -> Self {
        Self {
            rules: rules.collect(),
            mode: WriteMode::RequireHuman,
        }
    }

    /// The same, as far as changes may be made in this mode; in
    /// [`WriteMode::ReadOnly`] that is as far as in any other.
    pub(super) fn in_mode(self, mode: WriteMode) -> Self {
        let mode = mode.max(WriteMode::RequireHuman);
        Self { mode, ..self }
    }

    pub(super) fn rules(&self) -> &[RoleRule<'a>] {
        &self.rules
    }

    fn allow_rules(&self, model: &ModelName, effect: Operation) -> impl Iterator<Item = &'a Rule> {
        self.rules_for(false, model, effect)
    }

    fn deny_rules(&self, model: &ModelName, effect: Operation) -> impl Iterator<Item = &'a Rule> {
        self.rules_for(true, model, effect)
    }

    /// Linear; policies have tens of rules.
    fn rules_for(
        &self,
        deny: bool,
        model: &ModelName,
        effect: Operation,
    ) -> impl Iterator<Item = &'a Rule> {
        let mode = self.mode;
        self.rules
            .iter()
            .filter(move |ruled| deny || effect.is_read() || ruled.write_mode >= mode)
            .map(|ruled| ruled.rule)
            .filter(move |rule| rule.deny == deny && rule.covers(model, effect))
    }

    /// Allows the effect on some records and fields of the model.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub(super) fn allow(&self, model: &ModelName, effect: Operation) -> Result<(), Forbidden> {
        let denied = self
            .deny_rules(model, effect)
            .any(|rule| rule.denies_all(effect) && rule.domain.is_empty());
        if !denied && self.allow_rules(model, effect).next().is_some() {
            Ok(())
        } else {
            Err(operation_denied(model, effect))
        }
    }

    /// Allows the method on those records that the domain covers. With the
    /// model's fields, a rule whose domain names others counts as in `showing`.
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

    /// The rules that open the method, whatever it is called with.
    pub(super) fn allow_rules_for_method(
        &self,
        model: &ModelName,
        method: &MethodName,
        schema: Option<&Schema>,
    ) -> impl Iterator<Item = &'a Rule> {
        let fits = move |rule: &Rule| schema.is_none_or(|schema| has_filter_fields(rule, schema));
        self.allow_rules(model, Operation::Call)
            .filter(move |rule| fits(rule) && rule.covers_method(method))
    }

    /// Allows the method as far as these of the rules that open it do.
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
        let fits = |rule: &Rule| schema.is_none_or(|schema| has_filter_fields(rule, schema));
        let opened = listing.map(|rule| rule.domain.clone()).reduce(Domain::or);
        let names = |rule: &&Rule| rule.covers_method(method);
        let closed = || self.deny_rules(model, Operation::Call).filter(names);
        let open = if closed().all(fits) {
            subtract_denied(opened, closed())
        } else {
            None
        };
        open.ok_or_else(|| Forbidden::Method {
            model: model.clone(),
            method: method.clone(),
            near: None,
        })
    }

    /// The same refusal, of a method with the name of one that may be called if
    /// that is much the same.
    pub(super) fn with_suggestion(&self, forbidden: Forbidden) -> Forbidden {
        let Forbidden::Method { model, method, .. } = forbidden else {
            return forbidden;
        };
        let wanted = method.as_str();
        let near = self.methods(&model).into_keys();
        let near = near
            .map(|name| (strsim::damerau_levenshtein(name.as_str(), wanted), name))
            .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
            .min();
        let near = near.map(|(_, name)| name);
        Forbidden::Method {
            model,
            method,
            near,
        }
    }

    /// The methods that may be called on some records, with what each rule that
    /// opens one lets it be called with; empty where one of them says nothing.
    pub(super) fn methods(&self, model: &ModelName) -> BTreeMap<MethodName, Vec<Arguments>> {
        let mut found = BTreeMap::new();
        for rule in self.allow_rules(model, Operation::Call) {
            for method in &rule.methods {
                if found.contains_key(method) || self.allow_method(model, method, None).is_err() {
                    continue;
                }
                let listing = self.allow_rules_for_method(model, method, None);
                let taken = listing.map(|rule| rule.arguments.get(method).cloned());
                let taken: Option<Vec<Arguments>> = taken.collect();
                found.insert(method.clone(), taken.unwrap_or_default());
            }
        }
        found
    }

    /// Whether some rule shows the field, whatever it shows in its turn.
    pub(super) fn exposes(&self, model: &ModelName, field: &str) -> bool {
        self.allow(model, Operation::Read).is_ok()
            && self
                .rule_filter_for_field(model, Operation::Read, field, None)
                .is_some()
    }

    /// The records that the effect is open for, and that show the field where
    /// one is named; what it shows in its turn is not looked at, nor whether the
    /// model has the fields of the rules' domains.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub(super) fn row_filter_without_schema(
        &self,
        model: &ModelName,
        effect: Operation,
        field: Option<&FieldName>,
    ) -> Result<Domain, Forbidden> {
        self.allow(model, effect)?;
        let every = self
            .rule_filter_for_field(model, effect, "id", None)
            .unwrap_or_else(Domain::nothing);
        let Some(field) = field else {
            return Ok(every);
        };
        if field.as_str() == "id" && matches!(effect, Operation::Create | Operation::Write) {
            return Err(field_denied(model, effect, field));
        }
        let of_field = self
            .rule_filter_for_field(model, effect, field.as_str(), None)
            .ok_or_else(|| field_denied(model, effect, field))?;
        Ok(intersect(every, of_field))
    }

    /// Whether some rule lets the field be written.
    pub(super) fn allows_writing(&self, model: &ModelName, field: &str) -> bool {
        [Operation::Create, Operation::Write]
            .into_iter()
            .any(|effect| {
                self.rule_filter_for_field(model, effect, field, None)
                    .is_some()
            })
    }

    /// The records on which the field may be seen, or written where that is
    /// the effect; none where no rule says so. With the model's fields, a rule
    /// whose domain names others opens nothing of it, and one that denies, all.
    fn rule_filter_for_field(
        &self,
        model: &ModelName,
        effect: Operation,
        field: &str,
        schema: Option<&Schema>,
    ) -> Option<Domain> {
        let fits = |rule: &Rule| schema.is_none_or(|schema| has_filter_fields(rule, schema));
        let writing = matches!(effect, Operation::Create | Operation::Write);
        let opened = self
            .allow_rules(model, effect)
            .filter(|rule| fits(rule))
            .filter(|rule| {
                if writing && field != "id" {
                    rule.allows_writing(field)
                } else {
                    rule.exposes(field)
                }
            })
            .map(|rule| rule.domain.clone())
            .reduce(Domain::or);
        let denies = |rule: &&Rule| {
            if field == "id" {
                rule.denies_all(effect)
            } else {
                rule.denies_field(field)
            }
        };
        let closed = || self.deny_rules(model, effect).filter(denies);
        if closed().any(|rule| !fits(rule)) {
            return None;
        }
        subtract_denied(opened, closed())
    }

    /// The fields of the model, where a rule's domain asks for some: a rule for
    /// several models may name what this one does not have, and Odoo would
    /// answer with the rule in its words.
    pub(super) fn schema_for_rules<'s>(
        &self,
        model: &ModelName,
        effect: Operation,
        schemas: &'s PolicyFacts,
    ) -> Result<Option<&'s Schema>, Incomplete> {
        let bounded = |rule: &Rule| !rule.domain.is_empty();
        let mut rules = self
            .allow_rules(model, effect)
            .chain(self.deny_rules(model, effect));
        if rules.any(bounded) {
            schemas.schema_of(model).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Which records of the model these fields may be asked of, all of them
    /// together; every record where the domain is empty.
    ///
    /// # Errors
    /// [`Forbidden::Operation`], [`Forbidden::Field`], or what is to be known.
    pub(super) fn row_filter(
        &self,
        model: &ModelName,
        effect: Operation,
        fields: &BTreeSet<FieldName>,
        schemas: &PolicyFacts,
    ) -> Result<Domain, Incomplete> {
        self.allow(model, effect)?;
        let schema = self.schema_for_rules(model, effect, schemas)?;
        let mut cover = self
            .rule_filter_for_field(model, effect, "id", schema)
            .ok_or_else(|| operation_denied(model, effect))?;
        for field in fields {
            let more = self.row_filter_of_field(model, effect, field, schemas, 0)?;
            cover = intersect(cover, more);
        }
        Ok(cover)
    }

    /// Which records show the field; a field that shows another one, where that
    /// may be seen too.
    fn row_filter_of_field(
        &self,
        model: &ModelName,
        effect: Operation,
        field: &FieldName,
        schemas: &PolicyFacts,
        depth: usize,
    ) -> Result<Domain, Incomplete> {
        let hidden = || Incomplete::from(field_denied(model, effect, field));
        let of_rules = self.schema_for_rules(model, effect, schemas)?;
        let cover = self
            .rule_filter_for_field(model, effect, field.as_str(), of_rules)
            .ok_or_else(hidden)?;
        if matches!(field.as_str(), "id" | "display_name") {
            return Ok(cover);
        }
        let schema = schemas.schema_of(model)?;
        let Some(shown) = &schema.field(field.as_str()).ok_or_else(hidden)?.related else {
            return Ok(cover);
        };
        if depth == MAX_RELATED_DEPTH {
            return Err(hidden());
        }
        // The way to it is looked at; only its end may be written.
        let far = self
            .row_filter_of_path(model, effect, shown, schemas, depth + 1)
            .map_err(|undecided| match undecided {
                Incomplete::Denied(_) => hidden(),
                Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_) => undecided,
            })?;
        Ok(intersect(cover, far))
    }

    /// Which records let the path be followed to its end.
    fn row_filter_of_path(
        &self,
        model: &ModelName,
        effect: Operation,
        path: &FieldPath,
        schemas: &PolicyFacts,
        depth: usize,
    ) -> Result<Domain, Incomplete> {
        self.allow(model, effect)?;
        let (first, rest) = path.split_first();
        let unknown = || Forbidden::Path {
            model: model.clone(),
            path: path.clone(),
        };
        let name = FieldName::try_from(first).map_err(|_no_name| unknown())?;
        let Some(rest) = rest else {
            return self.row_filter_of_field(model, effect, &name, schemas, depth);
        };
        self.allow(model, Operation::Read)?;
        let cover = self.row_filter_of_field(model, Operation::Read, &name, schemas, depth)?;
        let relation = relation_of(schemas.schema_of(model)?, first).ok_or_else(unknown)?;
        let far = self.row_filter_of_path(relation, effect, &rest, schemas, depth)?;
        let base = self.with_model_filter(relation, far, effect, schemas)?;
        if base.is_empty() {
            return Ok(cover);
        }
        // Where nothing is linked there is nothing to be seen.
        let step = FieldPath::from(&name);
        let unlinked = Domain::of(Condition {
            path: step.clone(),
            operator: Operator::Equal,
            operand: Operand::Value(false.into()),
        });
        let linked = Domain::of(Condition {
            path: step,
            operator: Operator::Any,
            operand: Operand::Domain(base),
        });
        Ok(intersect(cover, unlinked.or(linked)))
    }

    /// The same, with what holds for every record of the model.
    fn with_model_filter(
        &self,
        model: &ModelName,
        cover: Domain,
        effect: Operation,
        schemas: &PolicyFacts,
    ) -> Result<Domain, Incomplete> {
        let every = self.row_filter(model, effect, &BTreeSet::new(), schemas)?;
        Ok(intersect(every, cover))
    }

    /// Whether every record and field of the model may be seen, so that
    /// whatever Odoo makes of them tells nothing that is hidden.
    pub(super) fn is_unrestricted(&self, model: &ModelName) -> bool {
        self.deny_rules(model, Operation::Read).next().is_none()
            && self
                .allow_rules(model, Operation::Read)
                .any(|rule| rule.covers_all_fields() && rule.domain.is_empty())
    }

    /// Whether every field may be seen of each record that may be seen.
    pub(super) fn exposes_all_fields(&self, model: &ModelName) -> bool {
        let of_some_fields = |rule: &Rule| !rule.covers_all_fields();
        !self.deny_rules(model, Operation::Read).any(of_some_fields)
            && (!self.allow_rules(model, Operation::Read).any(of_some_fields)
                || self
                    .allow_rules(model, Operation::Read)
                    .any(|rule| rule.covers_all_fields() && rule.domain.is_empty()))
    }

    /// Whether one rule opens all that a pattern can open for reading, none
    /// denies anything of it, and no secret model is open by halves.
    pub(super) fn is_unrestricted_everywhere(&self) -> bool {
        let reads = |rule: &Rule| rule.operations.contains(&Operation::Read);
        let rules = || self.rules.iter().map(|ruled| ruled.rule);
        // No star opens these, so what the star shows says nothing of them.
        let by_halves = |pattern: &Pattern| {
            let name = pattern.to_string();
            protected::is_protected(&name)
                && !ModelName::try_from(name).is_ok_and(|model| self.is_unrestricted(&model))
        };
        !rules().any(|rule| rule.deny && reads(rule))
            && !rules()
                .filter(|rule| reads(rule))
                .flat_map(|rule| &rule.models)
                .filter(|pattern| !pattern.is_prefix())
                .any(by_halves)
            && rules().any(|rule| {
                !rule.deny
                    && reads(rule)
                    && rule.models.iter().any(Pattern::is_everything)
                    && rule.covers_all_fields()
                    && rule.domain.is_empty()
            })
    }
}

/// The model that a relation leads to.
pub(super) fn relation_of<'s>(schema: &'s Schema, field: &str) -> Option<&'s ModelName> {
    schema.field(field)?.relation.as_ref()
}

fn operation_denied(model: &ModelName, effect: Operation) -> Forbidden {
    Forbidden::Operation {
        model: model.clone(),
        operation: effect,
    }
}

fn field_denied(model: &ModelName, effect: Operation, field: &FieldName) -> Forbidden {
    let (model, field) = (model.clone(), field.clone());
    if matches!(effect, Operation::Create | Operation::Write) {
        Forbidden::Writing { model, field }
    } else {
        Forbidden::Field { model, field }
    }
}

/// Whether the model has the fields that the rule's domain looks at.
fn has_filter_fields(rule: &Rule, schema: &Schema) -> bool {
    let mut fields = rule.domain.fields();
    fields.all(|field| schema.field(field).is_some())
}

/// What is opened, without what is closed; nothing where all of it is.
fn subtract_denied<'a>(
    opened: Option<Domain>,
    closed: impl Iterator<Item = &'a Rule>,
) -> Option<Domain> {
    let mut open = opened?;
    for rule in closed {
        if rule.domain.is_empty() {
            return None;
        }
        open = intersect(open, rule.domain.clone().negated());
    }
    Some(open)
}

/// Both, where one does not say it already.
fn intersect(cover: Domain, more: Domain) -> Domain {
    if cover.implies(&more) {
        cover
    } else {
        cover.and(more)
    }
}
