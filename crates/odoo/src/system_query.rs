//! The queries that Gatepost itself makes in order to serve a call.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Call, Context, Domain, FieldName, FieldPath, ModelName, Operator, Order, RecordId};

/// A query of Gatepost's own, about the current Odoo user, and about fields, models
/// and record ids.
///
/// A closed set, so that policy can permit these without a rule for models such as
/// `res.users`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SystemQuery {
    /// When the API keys of the current user, with this id, expire. Odoo shows all keys
    /// to administrators, and does not report which one is in use.
    ApiKeys(RecordId),
    /// The names and currencies of companies.
    Companies(Vec<RecordId>),
    /// The documentation of a model's methods. Needs a rule that allows reading the model.
    Documentation(ModelName),
    /// Which of these external ids, as module and name, belong to records of the
    /// model. Needs a rule that allows reading the model.
    ExternalIds(ModelName, Vec<(String, String)>),
    /// The fields of a model. Needs a rule that allows reading the model.
    Fields(ModelName),
    /// The installed languages.
    Languages,
    /// The ids of records that a user created, the oldest first: the trace of a change
    /// whose response was lost.
    CreatedRecords(CreatedRecordsQuery),
    /// The models this Odoo user may read.
    Models,
    /// The newest record of a model.
    Newest(ModelName),
    /// Which of these records exist. Odoo omits those that do not, and refuses if one is
    /// hidden from the user.
    Existing(ModelName, Vec<RecordId>),
    /// Login, name and companies of the current user.
    User(RecordId),
    /// Active internal users, by id and name. Policy decides who may search.
    Users(UserSearch),
    /// The id, language and time zone of the current user.
    WhoAmI,
}

/// A search for active internal users, of whom only the id and the name are read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum UserSearch {
    /// Those of these users.
    Ids(Vec<RecordId>),
    /// Those with this in their name. Unlike Odoo's `name_search`, it does not search
    /// the login.
    Name {
        /// A part of the name.
        part: String,
        /// The maximum number.
        limit: u32,
    },
}

impl UserSearch {
    /// The model `res.users`.
    pub fn model() -> ModelName {
        ModelName::known("res.users")
    }

    /// The users who are active and internal: neither portal users nor the public one.
    pub fn active_internal() -> Domain {
        let only = |name: &'static str, value: bool| {
            Domain::compare(FieldPath::known(name), Operator::Equal, value)
        };
        only("active", true).and(only("share", false))
    }

    fn to_call(&self) -> Call {
        let (path, operator, value, limit) = match self {
            Self::Ids(ids) => {
                let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                let ids: Value = ids.iter().map(|id| Value::from(id.get())).collect();
                ("id", Operator::In, ids, limit)
            }
            Self::Name { part, limit } => {
                let part = Value::from(part.as_str());
                ("name", Operator::Ilike, part, *limit)
            }
        };
        let domain = Domain::compare(FieldPath::known(path), operator, value);
        Call::search_read(
            Self::model(),
            &domain.and(Self::active_internal()),
            &[FieldName::known("display_name")],
            &Order::default(),
            0,
            limit,
        )
    }
}

/// A query for records that a user created.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CreatedRecordsQuery {
    /// Their model.
    pub model: ModelName,
    /// The user.
    pub creator: RecordId,
    /// The lower limit.
    pub after: CreatedAfter,
    /// Only messages and similar records of this record.
    pub attached_to: Option<(ModelName, RecordId)>,
    /// The maximum number.
    pub limit: u32,
}

/// The lower limit of a search for created records.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CreatedAfter {
    /// After the record with this id.
    Record(u32),
    /// At or after this time, in Odoo's form.
    Time(String),
}

impl CreatedRecordsQuery {
    fn to_call(&self) -> Call {
        let only = |name: &'static str, operator, value: Value| {
            Domain::compare(FieldPath::known(name), operator, value)
        };
        let id = |id: RecordId| Value::from(id.get());
        let mut domain =
            only("create_uid", Operator::Equal, id(self.creator)).and(match &self.after {
                CreatedAfter::Record(id) => only("id", Operator::Greater, Value::from(*id)),
                CreatedAfter::Time(moment) => only(
                    "create_date",
                    Operator::GreaterOrEqual,
                    Value::from(moment.as_str()),
                ),
            });
        if let Some((model, record)) = &self.attached_to {
            let model = Value::from(model.as_str());
            domain = domain.and(only("model", Operator::Equal, model)).and(only(
                "res_id",
                Operator::Equal,
                id(*record),
            ));
        }
        search_ids(&self.model, &domain, &Order::by_id_ascending(), self.limit)
    }
}

/// A search for ids, archived records included.
fn search_ids(model: &ModelName, domain: &Domain, order: &Order, limit: u32) -> Call {
    let fields = [FieldName::known("id")];
    Call::search_read(model.clone(), domain, &fields, order, 0, limit).in_context(Context {
        include_archived: true,
        ..Context::default()
    })
}

impl SystemQuery {
    /// The call that makes the query.
    pub fn to_call(&self) -> Call {
        let fields = |names: &[&'static str]| -> Vec<FieldName> {
            names.iter().map(|name| FieldName::known(name)).collect()
        };
        match self {
            Self::ApiKeys(user) => Call::search_read(
                ModelName::known("res.users.apikeys"),
                &Domain::compare(
                    FieldPath::known("user_id"),
                    Operator::Equal,
                    Value::from(user.get()),
                ),
                &fields(&["scope", "expiration_date"]),
                &Order::default(),
                0,
                1_000,
            ),
            Self::Companies(ids) => Call::read(
                ModelName::known("res.company"),
                ids,
                &fields(&["name", "currency_id"]),
            ),
            Self::Documentation(model) => Call::documentation(model.clone()),
            Self::ExternalIds(model, ids) => {
                let list = |part: fn(&(String, String)) -> &String| -> Value {
                    let unique: BTreeSet<&String> = ids.iter().map(part).collect();
                    unique.into_iter().map(String::as_str).collect()
                };
                let only = |name: &'static str, operator, value: Value| {
                    Domain::compare(FieldPath::known(name), operator, value)
                };
                let domain = only("model", Operator::Equal, model.as_str().into())
                    .and(only("module", Operator::In, list(|(module, _)| module)))
                    .and(only("name", Operator::In, list(|(_, name)| name)));
                Call::search_read(
                    ModelName::known("ir.model.data"),
                    &domain,
                    &fields(&["module", "name", "res_id"]),
                    &Order::by_id_descending(),
                    0,
                    u32::try_from(ids.len().saturating_mul(2)).unwrap_or(u32::MAX),
                )
            }
            Self::Fields(model) => Call::fields_get(model.clone()),
            Self::Languages => Call::search_read(
                ModelName::known("res.lang"),
                // Only installed languages are active, and Odoo omits the others.
                &Domain::default(),
                &fields(&["code"]),
                &Order::default(),
                0,
                200,
            ),
            Self::CreatedRecords(made) => made.to_call(),
            Self::Models => Call::available_models(),
            Self::Newest(model) => {
                search_ids(model, &Domain::default(), &Order::by_id_descending(), 1)
            }
            Self::Existing(model, ids) => Call::read(model.clone(), ids, &fields(&["write_date"])),
            Self::User(id) => Call::read(
                ModelName::known("res.users"),
                &[*id],
                &fields(&["login", "name", "company_id", "company_ids", "lang", "tz"]),
            ),
            Self::Users(search) => search.to_call(),
            Self::WhoAmI => Call::context_get(),
        }
    }

    /// The model that a rule must open for reading, if the query needs one.
    pub fn required_model(&self) -> Option<&ModelName> {
        match self {
            Self::Documentation(model) | Self::ExternalIds(model, _) | Self::Fields(model) => {
                Some(model)
            }
            Self::ApiKeys(_)
            | Self::Companies(_)
            | Self::Languages
            | Self::CreatedRecords(_)
            | Self::Models
            | Self::Newest(_)
            | Self::Existing(_, _)
            | Self::User(_)
            | Self::Users(_)
            | Self::WhoAmI => None,
        }
    }
}
