//! What a change really does, to which models and records.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    DenialHint, Forbidden, Incomplete, Rule,
    effective_rules::EffectiveRules,
    post_image::{self, ParentChange, PostImage},
    record_facts::RecordFacts,
};
use gatepost_odoo::{
    ArgumentName, Call, Domain, Field, FieldClass, FieldKind, FieldName, FieldPath, MethodName,
    ModelName, Operation, RecordId, Request,
};

/// Levels of records inside the values of others.
pub(super) const MAX_DEPTH: usize = 6;

/// One thing that values do: this effect on this model, with these of its fields.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordAccess {
    /// The model.
    pub model: ModelName,
    /// What is done to records of it.
    pub operation: Operation,
    /// With which fields.
    pub fields: BTreeSet<FieldName>,
    /// The records that are named, where they are.
    pub ids: Vec<RecordId>,
}

/// A look into one change.
pub(super) struct WriteAuthorizer<'a> {
    pub(super) rules: &'a EffectiveRules<'a>,
    pub(super) record_facts: &'a RecordFacts<'a>,
    pub(super) accesses: Vec<RecordAccess>,
}

impl WriteAuthorizer<'_> {
    /// Allows a change: its fields, its method, every record that it touches,
    /// and what the records become.
    ///
    /// # Errors
    /// [`Undecided`].
    pub(super) fn authorize(&mut self, call: &Call) -> Result<(), Incomplete> {
        let (model, effect) = (call.model(), call.operation());
        self.rules.allow(model, effect)?;
        match call.request() {
            Request::Create(list) => {
                for values in list {
                    self.authorize_values(
                        PostImage {
                            model,
                            operation: Operation::Create,
                            ids: &[],
                            values,
                            parent: None,
                        },
                        0,
                    )?;
                }
                Ok(())
            }
            Request::Delete(ids) => self
                .authorize_access(model, Operation::Delete, ids)
                .map(drop)
                .map_err(
                    // There is no command in it that could be wrong.
                    |refused| refused.unwrap_or_else(|| operation_denied(model, effect).into()),
                ),
            Request::Load(load) => self.authorize_import(model, load),
            Request::Run {
                method,
                ids,
                arguments,
            } => self.authorize_method(model, method, ids, arguments),
            Request::Write { ids, values } => self.authorize_values(
                PostImage {
                    model,
                    operation: Operation::Write,
                    ids,
                    values,
                    parent: None,
                },
                0,
            ),
            Request::Count(_)
            | Request::Defaults(_)
            | Request::Documentation
            | Request::Fields
            | Request::Models
            | Request::NameSearch { .. }
            | Request::Read { .. }
            | Request::Search(_)
            | Request::WhoAmI => Err(operation_denied(model, effect).into()),
        }
    }

    /// Allows a method with these arguments: by those of the rules that list it
    /// which take them, on the records that those cover.
    ///
    /// # Errors
    /// [`Undecided`].
    fn authorize_method(
        &mut self,
        model: &ModelName,
        method: &MethodName,
        ids: &[RecordId],
        arguments: &Map<String, Value>,
    ) -> Result<(), Incomplete> {
        let effect = Operation::Call;
        let known = self
            .rules
            .schema_for_rules(model, effect, self.record_facts.facts)?;
        // Not to be called at all is another answer than not so.
        self.rules.allow_method(model, method, known)?;
        let refused = |why: &[String]| {
            Incomplete::from(Forbidden::Arguments {
                model: model.clone(),
                method: method.clone(),
                why: why.join("; "),
            })
        };
        // The ids and the context are said elsewhere, and looked at there.
        for name in arguments.keys() {
            if let Err(error) = ArgumentName::try_from(name.as_str()) {
                return Err(refused(&[error.to_string()]));
            }
        }
        let (mut taking, mut nearest): (Vec<&Rule>, Option<Vec<String>>) = (Vec::new(), None);
        for rule in self.rules.allow_rules_for_method(model, method, known) {
            let misfits = self.argument_errors(rule, method, arguments)?;
            if misfits.is_empty() {
                taking.push(rule);
            } else if nearest
                .as_ref()
                .is_none_or(|near| misfits.len() < near.len())
            {
                nearest = Some(misfits);
            }
        }
        if taking.is_empty() {
            return Err(refused(&nearest.unwrap_or_default()));
        }
        let taking = taking.into_iter();
        let cover = self
            .rules
            .allow_method_by_rules(taking, model, method, known)?;
        if ids.is_empty() && !cover.is_empty() {
            return Err(operation_denied(model, effect).into());
        }
        self.add_access(model, effect, BTreeSet::new(), ids.to_vec());
        self.require_covered(model, effect, ids, &cover)
    }

    /// Why a rule does not let the method be called with these arguments; none
    /// where it does.
    fn argument_errors(
        &mut self,
        rule: &Rule,
        method: &MethodName,
        arguments: &Map<String, Value>,
    ) -> Result<Vec<String>, Incomplete> {
        let Some(taken) = rule.arguments.get(method) else {
            return Ok(Vec::new());
        };
        let mut misfits = taken.mismatches(arguments);
        if !misfits.is_empty() {
            return Ok(misfits);
        }
        for (name, relation, ids) in taken.records(arguments) {
            if ids.is_empty() {
                continue;
            }
            match self.authorize_access(relation, Operation::Read, &ids) {
                Ok(_) => {}
                Err(Some(undecided @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_)))) => {
                    return Err(undecided);
                }
                Err(Some(Incomplete::Denied(_)) | None) => misfits.push(format!(
                    "`{name}` names records of `{relation}` that you may not read through this gateway, or that do not exist"
                )),
            }
        }
        Ok(misfits)
    }

    /// Allows the values of new records, or for these ones, with all that the
    /// commands in them do.
    ///
    /// # Errors
    /// [`Undecided`].
    fn authorize_values(
        &mut self,
        becoming: PostImage<'_>,
        depth: usize,
    ) -> Result<(), Incomplete> {
        let PostImage {
            model,
            operation: effect,
            ids,
            values,
            ..
        } = becoming;
        self.rules.allow(model, effect)?;
        let mut fields = BTreeSet::new();
        for (name, value) in values {
            let unknown = || Forbidden::Commands {
                model: model.clone(),
                field: name.chars().take(60).collect(),
            };
            let name = FieldName::try_from(name.as_str()).map_err(|_no_name| unknown())?;
            if name.as_str() == "id" {
                return Err(Forbidden::Writing {
                    model: model.clone(),
                    field: name,
                }
                .into());
            }
            let asked = BTreeSet::from([name.clone()]);
            self.rules
                .row_filter(model, effect, &asked, self.record_facts.facts)?;
            let field = self
                .record_facts
                .facts
                .schema_of(model)?
                .field(name.as_str())
                .cloned();
            let field = field.ok_or_else(unknown)?;
            if field.kind.is_x2many() {
                if depth == MAX_DEPTH {
                    return Err(unknown().into());
                }
                self.authorize_commands(&field, value, &becoming, depth)
                    .map_err(|refused| refused.unwrap_or_else(|| unknown().into()))?;
            } else {
                self.authorize_linked_record(model, &field, value)?;
            }
            fields.insert(name);
        }
        let cover = self
            .rules
            .row_filter(model, effect, &fields, self.record_facts.facts)?;
        self.add_access(model, effect, fields, ids.to_vec());
        if effect == Operation::Write {
            self.require_covered(model, effect, ids, &cover)?;
        }
        post_image::satisfies_after_write(self.record_facts, becoming, cover)
    }

    /// Allows the record that a value links to: whoever links one, reads at
    /// least its name.
    pub(super) fn authorize_linked_record(
        &mut self,
        model: &ModelName,
        field: &Field,
        value: &Value,
    ) -> Result<(), Incomplete> {
        let refuse = || {
            Incomplete::from(Forbidden::Linking {
                model: model.clone(),
                field: field.name.clone(),
            })
        };
        let untyped = || {
            Incomplete::from(Forbidden::LinkingUntyped {
                model: model.clone(),
                field: field.name.clone(),
            })
        };
        if matches!(value, Value::Null | Value::Bool(false)) {
            return Ok(());
        }
        let unrestricted = || self.rules.is_unrestricted_everywhere();
        let (relation, id) = match field.kind.class() {
            FieldClass::Many2one => (field.relation.clone(), value.as_i64()),
            FieldClass::Reference => {
                let (model, id) = value
                    .as_str()
                    .and_then(|text| text.split_once(','))
                    .ok_or_else(refuse)?;
                (ModelName::try_from(model).ok(), id.parse().ok())
            }
            // Another field holds the model, and Odoo does not say which.
            FieldClass::UntypedId if !unrestricted() => return Err(untyped()),
            // Odoo does not compare the type that a client gives a property with
            // its definition.
            FieldClass::Document | FieldClass::Properties
                if field.kind.is_properties()
                    && may_contain_record_id(value)
                    && !unrestricted() =>
            {
                return Err(untyped());
            }
            FieldClass::Binary
            | FieldClass::Document
            | FieldClass::Many2many
            | FieldClass::Number
            | FieldClass::One2many
            | FieldClass::Properties
            | FieldClass::Scalar
            | FieldClass::Unknown
            | FieldClass::UntypedId => return Ok(()),
        };
        let id = id.and_then(|id| RecordId::try_from(id).ok());
        let (relation, id) = relation.zip(id).ok_or_else(refuse)?;
        match self.authorize_access(&relation, Operation::Read, &[id]) {
            Ok(_) => Ok(()),
            Err(Some(undecided @ (Incomplete::NeedsSchema(_) | Incomplete::NeedsRecords(_)))) => {
                Err(undecided)
            }
            Err(Some(Incomplete::Denied(_)) | None) => Err(refuse()),
        }
    }

    /// Allows the effect on these records if the cover has all of them.
    pub(super) fn require_covered(
        &self,
        model: &ModelName,
        effect: Operation,
        ids: &[RecordId],
        cover: &Domain,
    ) -> Result<(), Incomplete> {
        if cover.is_empty() || ids.is_empty() {
            return Ok(());
        }
        let outside = self.record_facts.uncovered(model, ids, cover);
        if outside.is_empty() {
            return Ok(());
        }
        Err(Forbidden::Records {
            model: model.clone(),
            operation: effect,
            ids: outside,
        }
        .into())
    }

    /// The commands of a relation to many (Odoo 19, `odoo/orm/commands.py`):
    /// each is the operation that it really is. `None` is what is no command.
    fn authorize_commands(
        &mut self,
        field: &Field,
        value: &Value,
        of: &PostImage<'_>,
        depth: usize,
    ) -> Result<(), Option<Incomplete>> {
        let relation = field.relation.clone().ok_or(None)?;
        let owned = field.kind == FieldKind::One2many;
        let parent = ParentChange::of(field, of);
        let parent = parent.as_ref();
        // Of a list that shows another record's, nobody can say where a record
        // comes to be: Odoo links it to that one, whatever its values say.
        let astray = owned && parent.is_none();
        for command in value.as_array().ok_or(None)? {
            let parts = command.as_array().ok_or(None)?;
            let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
            let number = |value: &Value| RecordId::from_json(value).ok_or(None);
            let id = || number(part(1));
            let values = || part(2).as_object().ok_or(None);
            let code = part(0).as_u64();
            match code {
                Some(0) if astray => {
                    self.require_no_row_filter(&relation, Operation::Create, values()?)?
                }
                Some(4 | 6) if astray => {
                    self.require_no_row_filter(&relation, Operation::Write, &Map::new())?
                }
                Some(_) | None => {}
            }
            match code {
                Some(0) => self
                    .authorize_values(
                        PostImage {
                            model: &relation,
                            operation: Operation::Create,
                            ids: &[],
                            values: values()?,
                            parent,
                        },
                        depth + 1,
                    )
                    .map_err(Some)?,
                Some(1) => self
                    .authorize_values(
                        // Perhaps it is in another one's list, and stays there.
                        PostImage {
                            model: &relation,
                            operation: Operation::Write,
                            ids: &[id()?],
                            values: values()?,
                            parent: None,
                        },
                        depth + 1,
                    )
                    .map_err(Some)?,
                Some(2) => self
                    .authorize_access(&relation, Operation::Delete, &[id()?])
                    .map(drop)?,
                Some(3) => self.authorize_unlink(&relation, owned, &[id()?])?,
                Some(4) => self.authorize_link(&relation, owned, &[id()?], parent)?,
                // Which records that is about stands in Odoo.
                Some(5) => self.authorize_unlink(&relation, owned, &[])?,
                Some(6) => {
                    let ids = part(2).as_array().ok_or(None)?;
                    let ids = ids.iter().map(number).collect::<Result<Vec<_>, _>>()?;
                    self.authorize_unlink(&relation, owned, &[])?;
                    self.authorize_link(&relation, owned, &ids, parent)?;
                }
                Some(_) | None => return Err(None),
            }
        }
        Ok(())
    }

    /// Refuses records of a model of which a rule bounds those with these values.
    fn require_no_row_filter(
        &self,
        model: &ModelName,
        effect: Operation,
        values: &Map<String, Value>,
    ) -> Result<(), Option<Incomplete>> {
        let names = values.keys();
        let fields = names.filter_map(|name| FieldName::try_from(name.as_str()).ok());
        let cover = self
            .rules
            .row_filter(model, effect, &fields.collect(), self.record_facts.facts)
            .map_err(Some)?;
        let Some(field) = cover.fields().next() else {
            return if cover.is_empty() { Ok(()) } else { Err(None) };
        };
        let id = || FieldPath::from(&FieldName::known("id"));
        Err(Some(
            Forbidden::Undecidable {
                model: model.clone(),
                operation: effect,
                field: FieldPath::try_from(field).unwrap_or_else(|_no_path| id()),
                hint: DenialHint::OwningList,
            }
            .into(),
        ))
    }

    /// Linking a record changes it where the link stands in it.
    fn authorize_link(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: &[RecordId],
        parent: Option<&ParentChange<'_>>,
    ) -> Result<(), Option<Incomplete>> {
        let effect = if owned {
            Operation::Write
        } else {
            Operation::Read
        };
        let cover = self.authorize_access(relation, effect, ids)?;
        let Some(parent) = parent else {
            return Ok(());
        };
        let becoming = PostImage {
            model: relation,
            operation: effect,
            ids,
            values: &Map::new(),
            parent: Some(parent),
        };
        post_image::satisfies_after_write(self.record_facts, becoming, cover).map_err(Some)
    }

    /// Taking a record out of a list changes it where the link stands in it, and
    /// deletes it where it cannot be without.
    pub(super) fn authorize_unlink(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: &[RecordId],
    ) -> Result<(), Option<Incomplete>> {
        if !owned {
            return self
                .authorize_access(relation, Operation::Read, ids)
                .map(drop);
        }
        self.authorize_access(relation, Operation::Write, ids)?;
        self.authorize_access(relation, Operation::Delete, ids)
            .map(drop)
    }

    /// Allows the effect on these records; gives those that it is open for.
    pub(super) fn authorize_access(
        &mut self,
        model: &ModelName,
        effect: Operation,
        ids: &[RecordId],
    ) -> Result<Domain, Option<Incomplete>> {
        let cover = self
            .rules
            .row_filter(model, effect, &BTreeSet::new(), self.record_facts.facts)
            .map_err(Some)?;
        // Which records that is about, only Odoo knows.
        if ids.is_empty() && !cover.is_empty() {
            return Err(None);
        }
        self.add_access(model, effect, BTreeSet::new(), ids.to_vec());
        self.require_covered(model, effect, ids, &cover)
            .map_err(Some)?;
        Ok(cover)
    }

    pub(super) fn add_access(
        &mut self,
        model: &ModelName,
        effect: Operation,
        fields: BTreeSet<FieldName>,
        ids: Vec<RecordId>,
    ) {
        self.accesses.push(RecordAccess {
            model: model.clone(),
            operation: effect,
            fields,
            ids,
        });
    }
}

/// Whether properties hold a value that may be the id of a record.
fn may_contain_record_id(properties: &Value) -> bool {
    fn is_id(value: &Value) -> bool {
        match value {
            Value::Array(values) => values.iter().any(is_id),
            Value::Number(_) => true,
            Value::Bool(_) | Value::Null | Value::Object(_) | Value::String(_) => false,
        }
    }
    match properties {
        Value::Array(list) => {
            let told =
                |one: &Value| ["value", "default"].map(|name| one.get(name).is_some_and(is_id));
            list.iter().any(|one| told(one).contains(&true))
        }
        Value::Object(members) => members.values().any(is_id),
        // A cell of a table, in which a link may be a name as well.
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Null | Value::Number(_) => false,
    }
}

fn operation_denied(model: &ModelName, effect: Operation) -> Forbidden {
    Forbidden::Operation {
        model: model.clone(),
        operation: effect,
    }
}
