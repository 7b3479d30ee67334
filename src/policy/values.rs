//! What the values of a change really do, and to which models.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Forbidden, Schemas, Undecided, mandate::Mandate};
use crate::odoo::{Effect, Field, FieldKind, FieldName, ModelName};

/// Levels of records inside the values of others.
const MAX_DEPTH: usize = 6;

/// One thing that values do: this effect on this model, with these of its fields.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Touch {
    /// The model.
    pub model: ModelName,
    /// What is done to records of it.
    pub effect: Effect,
    /// With which fields.
    pub fields: BTreeSet<FieldName>,
    /// The records that are named, where they are; they are to be checked.
    pub ids: Vec<i64>,
}

/// A look into the values of one change.
pub(super) struct Look<'a> {
    pub(super) mandate: &'a Mandate<'a>,
    pub(super) schemas: &'a Schemas,
    pub(super) touched: Vec<Touch>,
}

impl Look<'_> {
    /// Allows the values, with all that the commands in them do.
    ///
    /// # Errors
    /// [`Undecided`].
    pub(super) fn values(
        &mut self,
        model: &ModelName,
        effect: Effect,
        values: &Map<String, Value>,
        depth: usize,
    ) -> Result<(), Undecided> {
        self.mandate.allow(model, effect)?;
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
            self.mandate.cover(model, effect, &asked, self.schemas)?;
            let field = self.schemas.of(model)?.field(name.as_str()).cloned();
            let field = field.ok_or_else(unknown)?;
            if field.kind.is_x2many() {
                if depth == MAX_DEPTH {
                    return Err(unknown().into());
                }
                self.commands(&field, value, depth)
                    .map_err(|refused| refused.unwrap_or_else(|| unknown().into()))?;
            }
            fields.insert(name);
        }
        self.touch(model, effect, fields, Vec::new());
        Ok(())
    }

    /// The commands of a relation to many (Odoo 19, `odoo/orm/commands.py`):
    /// each is the operation that it really is. `None` is what is no command.
    fn commands(
        &mut self,
        field: &Field,
        value: &Value,
        depth: usize,
    ) -> Result<(), Option<Undecided>> {
        let relation = field.relation.clone().ok_or(None)?;
        let owned = field.kind == FieldKind::One2many;
        for command in value.as_array().ok_or(None)? {
            let parts = command.as_array().ok_or(None)?;
            let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
            let id = || part(1).as_i64().filter(|id| *id > 0).ok_or(None);
            let values = || part(2).as_object().ok_or(None);
            match part(0).as_u64() {
                Some(0) => self
                    .values(&relation, Effect::Create, values()?, depth + 1)
                    .map_err(Some)?,
                Some(1) => {
                    let id = id()?;
                    self.values(&relation, Effect::Write, values()?, depth + 1)
                        .map_err(Some)?;
                    self.act(&relation, Effect::Write, vec![id])?;
                }
                Some(2) => self.act(&relation, Effect::Delete, vec![id()?])?,
                Some(3) => self.unlink(&relation, owned, vec![id()?])?,
                Some(4) => self.link(&relation, owned, vec![id()?])?,
                // Which records that is about stands in Odoo.
                Some(5) => self.unlink(&relation, owned, Vec::new())?,
                Some(6) => {
                    let ids = part(2).as_array().ok_or(None)?;
                    let ids = ids.iter().map(|id| id.as_i64().ok_or(None));
                    let ids = ids.collect::<Result<Vec<_>, _>>()?;
                    self.unlink(&relation, owned, Vec::new())?;
                    self.link(&relation, owned, ids)?;
                }
                Some(_) | None => return Err(None),
            }
        }
        Ok(())
    }

    /// Linking a record changes it where the link stands in it.
    fn link(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: Vec<i64>,
    ) -> Result<(), Option<Undecided>> {
        let effect = if owned { Effect::Write } else { Effect::Read };
        self.act(relation, effect, ids)
    }

    /// Taking a record out of a list changes it where the link stands in it, and
    /// deletes it where it cannot be without.
    fn unlink(
        &mut self,
        relation: &ModelName,
        owned: bool,
        ids: Vec<i64>,
    ) -> Result<(), Option<Undecided>> {
        if !owned {
            return self.act(relation, Effect::Read, ids);
        }
        self.act(relation, Effect::Write, ids.clone())?;
        self.act(relation, Effect::Delete, ids)
    }

    fn act(
        &mut self,
        model: &ModelName,
        effect: Effect,
        ids: Vec<i64>,
    ) -> Result<(), Option<Undecided>> {
        self.mandate
            .allow(model, effect)
            .map_err(|forbidden| Some(forbidden.into()))?;
        self.touch(model, effect, BTreeSet::new(), ids);
        Ok(())
    }

    fn touch(
        &mut self,
        model: &ModelName,
        effect: Effect,
        fields: BTreeSet<FieldName>,
        ids: Vec<i64>,
    ) {
        self.touched.push(Touch {
            model: model.clone(),
            effect,
            fields,
            ids,
        });
    }
}
