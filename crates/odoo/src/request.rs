//! The method and the arguments of a call, as types.

use serde_json::{Map, Value};

use super::{Aggregation, Domain, FieldName, Load, MethodName, Order, RecordId, Schema};

/// The method and the arguments of a call, as types.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Groups the records that match, and computes of each group.
    Aggregate(Aggregation),
    /// Counts the records that match.
    Count(Domain),
    /// Creates a record for each of these values.
    Create(Vec<Map<String, Value>>),
    /// Reads the default values of these fields.
    Defaults(Vec<FieldName>),
    /// Deletes these records.
    Delete(Vec<RecordId>),
    /// Reads the documentation of the model's methods.
    Documentation,
    /// Reads the fields of the model.
    Fields,
    /// Creates and updates records from a table, all or none.
    Load(Load),
    /// Lists the models.
    Models,
    /// Searches records by part of their name.
    NameSearch {
        /// The part of the name.
        name: String,
        /// Limits the records.
        domain: Domain,
        /// The maximum number of records.
        limit: u32,
    },
    /// Reads these records.
    Read {
        /// Their ids.
        ids: Vec<RecordId>,
        /// The fields to read.
        fields: Vec<FieldName>,
    },
    /// Calls one of the model's methods.
    Run {
        /// Its name.
        method: MethodName,
        /// The records it is called on; empty for a method of the model itself.
        ids: Vec<RecordId>,
        /// Its arguments by name.
        arguments: Map<String, Value>,
    },
    /// Searches and reads records.
    Search(Search),
    /// Reads the id of the current user.
    WhoAmI,
    /// Writes values to these records.
    Write {
        /// Their ids.
        ids: Vec<RecordId>,
        /// The values, the same for all.
        values: Map<String, Value>,
    },
}

/// A search.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// Limits the records.
    pub domain: Domain,
    /// The fields to read.
    pub fields: Vec<FieldName>,
    /// The fields of the answer that this search belongs to; not sent.
    pub answer_fields: Vec<FieldName>,
    /// The sort order.
    pub order: Order,
    /// The number of records to skip.
    pub offset: u64,
    /// The maximum number of records.
    pub limit: u32,
}

impl Request {
    pub(super) fn method(&self) -> MethodName {
        MethodName::known(match self {
            Self::Aggregate(_) => "formatted_read_group",
            Self::Count(_) => "search_count",
            Self::Create(_) => "create",
            Self::Defaults(_) => "default_get",
            Self::Delete(_) => "unlink",
            // The name of its controller: it is a page, not a method.
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
            Self::Aggregate(_)
            | Self::Count(_)
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

    /// The most rows that a response may have; `None` if the request sets no limit.
    pub fn max_rows(&self) -> Option<usize> {
        match self {
            Self::Aggregate(aggregation) => usize::try_from(aggregation.limit).ok(),
            Self::NameSearch { limit, .. } => usize::try_from(*limit).ok(),
            Self::Read { ids, .. } => Some(ids.len()),
            Self::Search(search) => usize::try_from(search.limit).ok(),
            Self::Count(_)
            | Self::Create(_)
            | Self::Defaults(_)
            | Self::Delete(_)
            | Self::Documentation
            | Self::Fields
            | Self::Load(_)
            | Self::Models
            | Self::Run { .. }
            | Self::WhoAmI
            | Self::Write { .. } => None,
        }
    }

    /// The context keys that the request needs, in addition to those of the caller.
    pub(super) fn context(&self) -> Map<String, Value> {
        if let Self::Load(load) = self {
            load.context()
        } else {
            Map::new()
        }
    }

    pub(super) fn arguments(&self) -> Map<String, Value> {
        let mut named = Map::new();
        let mut set = |name: &str, value: Value| {
            named.insert(name.to_owned(), value);
        };
        match self {
            Self::Aggregate(aggregation) => return aggregation.arguments(),
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
