//! What a call asks, in its parts.

use serde_json::{Map, Value};

use super::{Domain, FieldName, MethodName, Order, RecordId, Schema};

/// What a call asks: its method and its arguments, in their parts.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// How many records match.
    Count(Domain),
    /// The fields of the model.
    Fields,
    /// The models there are.
    Models,
    /// Records by a part of their name.
    Names {
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
    /// The records that match.
    Search(Search),
    /// Who the credential is.
    WhoAmI,
}

/// A search.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    /// Which records.
    pub domain: Domain,
    /// Which fields of them.
    pub fields: Vec<FieldName>,
    /// The fields of the answer that this search is a part of; not sent.
    pub about: Vec<FieldName>,
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
            Self::Fields => "fields_get",
            Self::Models => "get_available_models",
            Self::Names { .. } => "name_search",
            Self::Read { .. } => "read",
            Self::Search(_) => "search_read",
            Self::WhoAmI => "context_get",
        })
    }

    pub(super) fn ids(&self) -> &[RecordId] {
        match self {
            Self::Read { ids, .. } => ids,
            Self::Count(_)
            | Self::Fields
            | Self::Models
            | Self::Names { .. }
            | Self::Search(_)
            | Self::WhoAmI => &[],
        }
    }

    pub(super) fn arguments(&self) -> Map<String, Value> {
        let mut named = Map::new();
        let mut set = |name: &str, value: Value| {
            named.insert(name.to_owned(), value);
        };
        match self {
            Self::Count(domain) => set("domain", domain.to_json()),
            Self::Fields => set("attributes", Schema::attributes()),
            Self::Models | Self::WhoAmI => {}
            Self::Names {
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
