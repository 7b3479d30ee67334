//! Authorizes what values link to: single records, and the commands of relations
//! to many.

use serde_json::{Map, Value};

use super::{
    DenialHint, Forbidden, Incomplete,
    post_image::{ParentChange, PostImage, id_path},
    with_check::satisfies_after_write,
    write_authorizer::{AccessError, WriteAuthorizer},
};
use gatepost_odoo::{
    Field, FieldClass, FieldKind, FieldName, FieldPath, ModelName, Operation, RecordId,
};

impl WriteAuthorizer<'_> {
    /// Permits the record that a value links to. Linking a record reveals at least
    /// its name, so the caller must be allowed to read it.
    pub(super) fn authorize_linked_record(
        &mut self,
        model: &ModelName,
        field: &Field,
        value: &Value,
    ) -> Result<(), Incomplete> {
        let refused = || Forbidden::Linking {
            model: model.clone(),
            field: field.name.clone(),
        };
        let untyped = || Forbidden::LinkingUntyped {
            model: model.clone(),
            field: field.name.clone(),
        };
        if matches!(value, Value::Null | Value::Bool(false)) {
            return Ok(());
        }
        let unrestricted = || self.rules.is_unrestricted_everywhere();
        let (relation, id) = match field.kind.class() {
            FieldClass::Many2one => (field.relation.clone(), value.as_i64()),
            FieldClass::Reference => {
                let pair = value.as_str().and_then(|text| text.split_once(','));
                let (model, id) = pair.ok_or_else(refused)?;
                (ModelName::try_from(model).ok(), id.parse().ok())
            }
            // Another field holds the model, and Odoo does not say which.
            FieldClass::UntypedId if !unrestricted() => return Err(untyped().into()),
            // Odoo does not say what JSON means.
            FieldClass::Document if field.kind == FieldKind::Json => {
                let parsed = value.as_str().map(serde_json::from_str::<Value>);
                let parsed = parsed.and_then(Result::ok);
                let value = parsed.as_ref().unwrap_or(value);
                if field.name.as_str() == "analytic_distribution"
                    && let Some(members) = value.as_object()
                {
                    let accounts = analytic_accounts(members).ok_or_else(refused)?;
                    let model = ModelName::known("account.analytic.account");
                    return if accounts.is_empty() || self.may_read(&model, &accounts)? {
                        Ok(())
                    } else {
                        Err(refused().into())
                    };
                }
                return if json_may_contain_record_id(value) && !unrestricted() {
                    Err(untyped().into())
                } else {
                    Ok(())
                };
            }
            FieldClass::Unknown if !unrestricted() => return Err(untyped().into()),
            // Odoo does not compare the type that a client gives a property with
            // its definition.
            FieldClass::Document | FieldClass::Properties
                if field.kind.is_properties()
                    && may_contain_record_id(value)
                    && !unrestricted() =>
            {
                return Err(untyped().into());
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
        let (relation, id) = relation.zip(id).ok_or_else(refused)?;
        if self.may_read(&relation, &[id])? || self.may_link_users(model, &relation, &[id]) {
            Ok(())
        } else {
            Err(refused().into())
        }
    }

    /// Whether a record of the model may link to these users, although no rule opens
    /// `res.users`.
    fn may_link_users(&self, model: &ModelName, relation: &ModelName, ids: &[RecordId]) -> bool {
        let users = self.rules.linkable_users(model, relation);
        users.is_some_and(|users| {
            let outside = self.record_facts.uncovered(relation, ids, &users);
            outside.is_empty()
        })
    }

    /// Permits the commands of a relation to many (Odoo 19, `odoo/orm/commands.py`),
    /// each as the operation that it performs.
    pub(super) fn authorize_commands(
        &mut self,
        field: &Field,
        value: &Value,
        of: PostImage<'_>,
        depth: usize,
    ) -> Result<(), AccessError> {
        let malformed = || AccessError::Unnamed;
        let relation = field.relation.as_ref().ok_or_else(malformed)?;
        let owned = field.kind == FieldKind::One2many;
        let parent = ParentChange::of(field, of);
        let parent = parent.as_ref();
        // A list that shows another record's links the line to that record,
        // whatever its values say, so where the line will be is unknown.
        let shows_other = owned && parent.is_none();
        // Such a list may also be emptied, which shows no user.
        let lists_users = !owned && self.rules.linkable_users(of.model, relation).is_some();
        for command in value.as_array().ok_or_else(malformed)? {
            let parts = command.as_array().ok_or_else(malformed)?;
            let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
            let record_id = |value: &Value| RecordId::from_json(value).ok_or_else(malformed);
            let id = || record_id(part(1));
            let values = || part(2).as_object().ok_or_else(malformed);
            let code = part(0).as_u64();
            match code {
                Some(0) if shows_other => {
                    self.require_no_row_filter(relation, Operation::Create, values()?)?;
                }
                Some(4 | 6) if shows_other => {
                    self.require_no_row_filter(relation, Operation::Write, &Map::new())?;
                }
                Some(_) | None => {}
            }
            match code {
                Some(0) => {
                    let line = PostImage::new_record(relation, values()?);
                    self.authorize_values(PostImage { parent, ..line }, depth + 1)?;
                }
                // It may be in another record's list, and remains there.
                Some(1) => {
                    let ids = [id()?];
                    self.authorize_values(PostImage::of(relation, &ids, values()?), depth + 1)?;
                }
                Some(2) => {
                    self.authorize_access(relation, Operation::Delete, &[id()?])?;
                }
                Some(3 | 5) if lists_users => {}
                Some(4) if lists_users => {
                    self.authorize_linked_users(of.model, relation, field, &[id()?])?;
                }
                Some(6) if lists_users => {
                    let ids = part(2).as_array().ok_or_else(malformed)?;
                    let ids = ids.iter().map(record_id).collect::<Result<Vec<_>, _>>()?;
                    self.authorize_linked_users(of.model, relation, field, &ids)?;
                }
                Some(3) => self.authorize_unlink(relation, owned, &[id()?])?,
                Some(4) => self.authorize_link(relation, owned, &[id()?], parent)?,
                // Only Odoo knows which records these are.
                Some(5) => self.authorize_unlink(relation, owned, &[])?,
                Some(6) => {
                    let ids = part(2).as_array().ok_or_else(malformed)?;
                    let ids = ids.iter().map(record_id).collect::<Result<Vec<_>, _>>()?;
                    self.authorize_unlink(relation, owned, &[])?;
                    self.authorize_link(relation, owned, &ids, parent)?;
                }
                Some(_) | None => return Err(malformed()),
            }
        }
        Ok(())
    }

    /// Permits linking these users in a list, although no rule opens `res.users`.
    fn authorize_linked_users(
        &self,
        model: &ModelName,
        relation: &ModelName,
        field: &Field,
        ids: &[RecordId],
    ) -> Result<(), AccessError> {
        if self.may_link_users(model, relation, ids) {
            return Ok(());
        }
        Err(Forbidden::Linking {
            model: model.clone(),
            field: field.name.clone(),
        }
        .into())
    }

    /// Refuses records of a model if the rules limit those with these values.
    fn require_no_row_filter(
        &self,
        model: &ModelName,
        operation: Operation,
        values: &Map<String, Value>,
    ) -> Result<(), AccessError> {
        let names = values.keys();
        let fields = names.filter_map(|name| FieldName::try_from(name.as_str()).ok());
        let facts = self.record_facts.facts;
        let filter = self
            .rules
            .row_filter(model, operation, &fields.collect(), facts)?;
        let Some(field) = filter.fields().next() else {
            return if filter.is_empty() {
                Ok(())
            } else {
                Err(AccessError::Unnamed)
            };
        };
        Err(Forbidden::Undecidable {
            model: model.clone(),
            operation,
            field: FieldPath::try_from(field).unwrap_or_else(|_no_path| id_path()),
            hint: DenialHint::OwningList,
        }
        .into())
    }

    /// Permits linking records. That changes them if they hold the link.
    fn authorize_link(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: &[RecordId],
        parent: Option<&ParentChange<'_>>,
    ) -> Result<(), AccessError> {
        let operation = if owned {
            Operation::Write
        } else {
            Operation::Read
        };
        let filter = self.authorize_access(relation, operation, ids)?;
        if parent.is_some() {
            let no_values = Map::new();
            let post_image = PostImage {
                operation,
                parent,
                ..PostImage::of(relation, ids, &no_values)
            };
            satisfies_after_write(self.record_facts, post_image, filter)?;
        }
        Ok(())
    }

    /// Permits removing records from a list. That changes them if they hold the
    /// link, and deletes those that must have one.
    pub(super) fn authorize_unlink(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: &[RecordId],
    ) -> Result<(), AccessError> {
        let operations: &[Operation] = if owned {
            &[Operation::Write, Operation::Delete]
        } else {
            &[Operation::Read]
        };
        for operation in operations {
            self.authorize_access(relation, *operation, ids)?;
        }
        Ok(())
    }
}

/// The accounts among which an `analytic_distribution` divides an amount: its members are
/// named by IDs with commas, such as `{"7,12": 50.0}`, and one by `__update__` (Odoo 19,
/// `addons/analytic/models/analytic_mixin.py`). `None` if a name cannot be read.
fn analytic_accounts(members: &Map<String, Value>) -> Option<Vec<RecordId>> {
    let names = members.keys().filter(|name| *name != "__update__");
    let ids = names.flat_map(|name| name.split(','));
    let ids = ids.map(|id| RecordId::try_from(id.trim().parse::<i64>().ok()?).ok());
    ids.collect()
}

/// Whether JSON holds a value or a name that may be the id of a record.
fn json_may_contain_record_id(value: &Value) -> bool {
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    match value {
        Value::Array(values) => values.iter().any(json_may_contain_record_id),
        Value::Bool(_) | Value::Null => false,
        Value::Number(_) => true,
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| has_digit(name) || json_may_contain_record_id(value)),
        Value::String(text) => has_digit(text),
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
        Value::Array(list) => list.iter().any(|property| {
            ["value", "default"]
                .iter()
                .any(|name| property.get(name).is_some_and(is_id))
        }),
        Value::Object(members) => members.values().any(is_id),
        // A cell of a table, where a name may be a link, too.
        Value::String(text) => !text.is_empty(),
        Value::Bool(_) | Value::Null | Value::Number(_) => false,
    }
}
