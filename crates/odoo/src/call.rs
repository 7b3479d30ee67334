//! One call of a method of a model.

use serde_json::{Map, Value};

use super::{
    Aggregation, Context, Domain, FieldName, Load, MethodName, ModelName, Operation, Order,
    RecordId, Request, Search,
};

/// One call of a method of an Odoo model, independent of the protocol.
///
/// The constructors below set the operation, so it always matches the method:
/// `unlink` is never a read. The request remains structured until it is sent, so
/// policy decides on exactly what Odoo receives.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    model: ModelName,
    operation: Operation,
    request: Request,
    context: Context,
}

impl Call {
    fn reading(model: ModelName, request: Request) -> Self {
        Self {
            model,
            operation: Operation::Read,
            request,
            context: Context::default(),
        }
    }

    fn changing(model: ModelName, operation: Operation, request: Request) -> Self {
        Self {
            operation,
            ..Self::reading(model, request)
        }
    }

    /// `search_read`: the records that match, with the fields named.
    ///
    /// `limit` is always sent: without one Odoo returns the whole table.
    pub fn search_read(
        model: ModelName,
        domain: &Domain,
        fields: &[FieldName],
        order: &Order,
        offset: u64,
        limit: u32,
    ) -> Self {
        let search = Search {
            domain: domain.clone(),
            fields: fields.to_vec(),
            answer_fields: Vec::new(),
            order: order.clone(),
            offset,
            limit: limit.max(1),
        };
        Self::reading(model, Request::Search(search))
    }

    /// `formatted_read_group`: groups of the records that match, with what is computed
    /// of each.
    pub fn aggregate(model: ModelName, aggregation: Aggregation) -> Self {
        Self::reading(model, Request::Aggregate(aggregation))
    }

    /// `search_count`: how many records match.
    pub fn search_count(model: ModelName, domain: &Domain) -> Self {
        Self::reading(model, Request::Count(domain.clone()))
    }

    /// `read`: the named fields of the named records. Odoo silently
    /// omits ids that do not exist.
    pub fn read(model: ModelName, ids: &[RecordId], fields: &[FieldName]) -> Self {
        let request = Request::Read {
            ids: ids.to_vec(),
            fields: fields.to_vec(),
        };
        Self::reading(model, request)
    }

    /// `name_search`: ids and display names of records whose name matches.
    pub fn name_search(model: ModelName, name: &str, domain: &Domain, limit: u32) -> Self {
        let request = Request::NameSearch {
            name: name.to_owned(),
            domain: domain.clone(),
            limit: limit.max(1),
        };
        Self::reading(model, request)
    }

    /// `fields_get`: the fields this Odoo user may see, with the attributes
    /// that [`super::Schema`] reads.
    pub fn fields_get(model: ModelName) -> Self {
        Self::reading(model, Request::Fields)
    }

    /// `/doc-bearer/<model>.json`: the fields and methods of the model, for users in
    /// the group `api_doc.group_allow_doc`.
    pub fn documentation(model: ModelName) -> Self {
        Self::reading(model, Request::Documentation)
    }

    /// `ir.model/get_available_models`: the models this Odoo user may read.
    pub fn available_models() -> Self {
        Self::reading(ModelName::known("ir.model"), Request::Models)
    }

    /// `res.users/context_get`: who the credential is, in 52 bytes.
    pub fn context_get() -> Self {
        Self::reading(ModelName::known("res.users"), Request::WhoAmI)
    }

    /// `default_get`: the default values of these fields; the response omits fields
    /// without a default.
    pub fn defaults(model: ModelName, fields: &[FieldName]) -> Self {
        Self::reading(model, Request::Defaults(fields.to_vec()))
    }

    /// `create`: a new record for each of the values, all of them or none.
    /// Returns their ids.
    pub fn create(model: ModelName, values: Vec<Map<String, Value>>) -> Self {
        Self::changing(model, Operation::Create, Request::Create(values))
    }

    /// `write`: the same values for all of the records. Returns `true`, even
    /// without ids.
    pub fn write(model: ModelName, ids: &[RecordId], values: Map<String, Value>) -> Self {
        let ids = ids.to_vec();
        Self::changing(model, Operation::Write, Request::Write { ids, values })
    }

    /// `unlink`: deletes the records. Returns `true`, even without ids.
    pub fn delete(model: ModelName, ids: &[RecordId]) -> Self {
        Self::changing(model, Operation::Delete, Request::Delete(ids.to_vec()))
    }

    /// A method of these records, or of the model itself if there are none.
    pub fn run(
        model: ModelName,
        method: MethodName,
        ids: &[RecordId],
        arguments: Map<String, Value>,
    ) -> Self {
        let ids = ids.to_vec();
        let request = Request::Run {
            method,
            ids,
            arguments,
        };
        Self::changing(model, Operation::Call, request)
    }

    /// `load`: creates records, and updates those that the rows name, all or none.
    /// Errors arrive in a response with status 200.
    pub fn load(model: ModelName, load: Load) -> Self {
        let operation = if load.only_updates() {
            Operation::Write
        } else {
            Operation::Create
        };
        Self::changing(model, operation, Request::Load(load))
    }

    /// The same call in a context.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The same search as part of an answer with these fields: it omits records that
    /// do not show all of them.
    #[must_use]
    pub fn with_answer_fields(mut self, fields: &[FieldName]) -> Self {
        if let Request::Search(search) = &mut self.request {
            search.answer_fields = fields.to_vec();
        }
        self
    }

    /// The same call with another request.
    #[must_use]
    pub fn with_request(self, request: Request) -> Self {
        Self { request, ..self }
    }

    /// The model that is called.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// The method that is called.
    pub fn method(&self) -> MethodName {
        self.request.method()
    }

    /// What the call does.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The records it is called on; empty for a method of the model itself.
    pub fn ids(&self) -> &[RecordId] {
        self.request.ids()
    }

    /// The arguments by name, without `ids` and `context`.
    pub fn arguments(&self) -> Map<String, Value> {
        self.request.arguments()
    }

    /// The context as it is sent, including the keys of the request.
    pub fn sent_context(&self) -> Map<String, Value> {
        let mut keys = self.context.to_json();
        keys.extend(self.request.context());
        keys
    }

    /// The context it runs in.
    pub fn context(&self) -> &Context {
        &self.context
    }
}
