//! What a call asks, in its parts.

use serde_json::{Map, Value};

use super::{Domain, FieldName, Load, MethodName, Order, RecordId, Schema};

/// What a call asks: its method and its arguments, in their parts.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// How many records match.
    Count(Domain),
    /// A new record for each of these values.
    Create(Vec<Map<String, Value>>),
    /// What a new record has in these fields if nobody says otherwise.
    Defaults(Vec<FieldName>),
    /// These records, gone.
    Delete(Vec<RecordId>),
    /// What Odoo says of the methods of the model.
    Documentation,
    /// The fields of the model.
    Fields,
    /// New records and changed ones from a table, all of them or none.
    Load(Load),
    /// The models there are.
    Models,
    /// Records by a part of their name.
    NameSearch {
        /// The part of the name.
        name: String,
        /// Which records.
        domain: Domain,
        /// How many.
        limit: u32,
    },
    /// These records.
    Read {
        /// Their ids.
        ids: Vec<RecordId>,
        /// Which fields.
        fields: Vec<FieldName>,
    },
    /// One of the model's methods.
    Run {
        /// Its name.
        method: MethodName,
        /// The records it is called on; none for a method of the model itself.
        ids: Vec<RecordId>,
        /// Its arguments by name.
        arguments: Map<String, Value>,
    },
    /// The records that match.
    Search(Search),
    /// Who the credential is.
    WhoAmI,
    /// These records, with these values.
    Write {
        /// Their ids.
        ids: Vec<RecordId>,
        /// The same for all of them.
        values: Map<String, Value>,
    },
}

/// A search.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// Which records.
    pub domain: Domain,
    /// Which fields of them.
    pub fields: Vec<FieldName>,
    /// The fields of the answer that this search is a part of; not sent.
    pub answer_fields: Vec<FieldName>,
    /// In which order.
    pub order: Order,
    /// After how many.
    pub offset: u64,
    /// How many.
    pub limit: u32,
}

impl Request {
    pub(super) fn method(&self) -> MethodName {
        MethodName::known(match self {
            Self::Count(_) => "search_count",
            Self::Create(_) => "create",
            Self::Defaults(_) => "default_get",
            Self::Delete(_) => "unlink",
            // The name in its controller: it is a page, and no method.
            Self::Documentation => "doc_model",
            Self::Fields => "fields_get",
            Self::Load(_) => "load",
            Self::Models => "get_available_models",
            Self::NameSearch { .. } => "name_search",
            Self::Read { .. } => "read",
            Self::Run { method, .. } => return method.clone(),
            Self::Search(_) => "search_read",
            Self::WhoAmI => "context_get",
            Self::Write { .. } => "write",
        })
    }

    pub(super) fn ids(&self) -> &[RecordId] {
        match self {
            Self::Delete(ids)
            | Self::Read { ids, .. }
            | Self::Run { ids, .. }
            | Self::Write { ids, .. } => ids,
            Self::Count(_)
            | Self::Create(_)
            | Self::Defaults(_)
            | Self::Documentation
            | Self::Fields
            | Self::Load(_)
            | Self::Models
            | Self::NameSearch { .. }
            | Self::Search(_)
            | Self::WhoAmI => &[],
        }
    }

    /// What it must say in the context, beside what is said of the caller there.
    pub(super) fn context(&self) -> Map<String, Value> {
        match self {
            Self::Load(load) => load.context(),
            Self::Count(_)
            | Self::Create(_)
            | Self::Defaults(_)
            | Self::Delete(_)
            | Self::Documentation
            | Self::Fields
            | Self::Models
            | Self::NameSearch { .. }
            | Self::Read { .. }
            | Self::Run { .. }
            | Self::Search(_)
            | Self::WhoAmI
            | Self::Write { .. } => Map::new(),
        }
    }

    pub(super) fn arguments(&self) -> Map<String, Value> {
        let mut named = Map::new();
        let mut set = |name: &str, value: Value| {
            named.insert(name.to_owned(), value);
        };
        match self {
            Self::Count(domain) => set("domain", domain.to_json()),
            Self::Create(values) => {
                let values = values.iter().cloned().map(Value::Object).collect();
                set("vals_list", values);
            }
            Self::Defaults(fields) => set("fields", names(fields)),
            Self::Fields => set("attributes", Schema::attributes()),
            Self::Load(load) => return load.arguments(),
            Self::Delete(_) | Self::Documentation | Self::Models | Self::WhoAmI => {}
            Self::NameSearch {
                name,
                domain,
                limit,
            } => {
                set("name", Value::from(name.as_str()));
                set("domain", domain.to_json());
                set("operator", Value::from("ilike"));
                set("limit", Value::from(*limit));
            }
            Self::Read { ids: _, fields } => set("fields", names(fields)),
            Self::Run { arguments, .. } => return arguments.clone(),
            Self::Write { ids: _, values } => set("vals", Value::Object(values.clone())),
            Self::Search(search) => {
                set("domain", search.domain.to_json());
                set("fields", names(&search.fields));
                set("limit", Value::from(search.limit));
                if !search.order.is_empty() {
                    set("order", Value::from(search.order.to_string()));
                }
                if search.offset > 0 {
                    set("offset", Value::from(search.offset));
                }
            }
        }
        named
    }
}

fn names(fields: &[FieldName]) -> Value {
    fields
        .iter()
        .map(|name| Value::from(name.as_str()))
        .collect()
}
