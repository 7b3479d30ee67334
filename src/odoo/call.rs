//! One call of a method of a model.

use serde_json::{Map, Value};

use super::{Context, Domain, Effect, FieldName, MethodName, ModelName, Order, RecordId};

/// One call of a method of an Odoo model, in no protocol's form yet.
///
/// Made by the constructors below, so that the effect always fits the method:
/// nobody can call `unlink` a read.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    model: ModelName,
    method: MethodName,
    effect: Effect,
    ids: Vec<RecordId>,
    arguments: Map<String, Value>,
    context: Context,
}

impl Call {
    fn reading(model: ModelName, method: &'static str) -> Self {
        Self {
            model,
            method: MethodName::known(method),
            effect: Effect::Read,
            ids: Vec::new(),
            arguments: Map::new(),
            context: Context::default(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    /// `search_read`: the records that match, with the fields named.
    ///
    /// `limit` is always sent: without one Odoo hands out the whole table.
    pub fn search_read(
        model: ModelName,
        domain: &Domain,
        fields: &[FieldName],
        order: &Order,
        offset: u64,
        limit: u32,
    ) -> Self {
        let mut call = Self::reading(model, "search_read")
            .with("domain", domain.to_json())
            .with("fields", names(fields))
            .with("limit", limit.max(1));
        if !order.is_empty() {
            call = call.with("order", order.to_string());
        }
        if offset > 0 {
            call = call.with("offset", offset);
        }
        call
    }

    /// `search_count`: how many records match.
    pub fn search_count(model: ModelName, domain: &Domain) -> Self {
        Self::reading(model, "search_count").with("domain", domain.to_json())
    }

    /// `read`: the named fields of the named records. Odoo leaves out, without
    /// a word, ids that do not exist.
    pub fn read(model: ModelName, ids: &[RecordId], fields: &[FieldName]) -> Self {
        let mut call = Self::reading(model, "read").with("fields", names(fields));
        call.ids = ids.to_vec();
        call
    }

    /// `name_search`: ids and display names of records whose name matches.
    pub fn name_search(model: ModelName, name: &str, domain: &Domain, limit: u32) -> Self {
        Self::reading(model, "name_search")
            .with("name", name)
            .with("domain", domain.to_json())
            .with("operator", "ilike")
            .with("limit", limit.max(1))
    }

    /// `fields_get`: the fields this Odoo user may see, with the attributes
    /// that [`super::Schema`] reads.
    pub fn fields_get(model: ModelName) -> Self {
        Self::reading(model, "fields_get").with("attributes", super::Schema::attributes())
    }

    /// `ir.model/get_available_models`: the models this Odoo user may read.
    pub fn available_models() -> Self {
        Self::reading(ModelName::known("ir.model"), "get_available_models")
    }

    /// `res.users/context_get`: who the credential is, in 52 bytes.
    pub fn context_get() -> Self {
        Self::reading(ModelName::known("res.users"), "context_get")
    }

    /// The same call in a context.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The same call as if it had this effect: there is none yet that changes
    /// anything, and what holds for those is tested all the same.
    #[cfg(test)]
    pub(crate) fn pretending(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// The model that is called.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// The method that is called.
    pub fn method(&self) -> &MethodName {
        &self.method
    }

    /// What the call does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The records it is called on; empty for a method of the model itself.
    pub fn ids(&self) -> &[RecordId] {
        &self.ids
    }

    /// The arguments by name, without `ids` and `context`.
    pub fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// The context it runs in.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

fn names(fields: &[FieldName]) -> Value {
    fields
        .iter()
        .map(|name| Value::from(name.as_str()))
        .collect()
}
