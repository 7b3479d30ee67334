//! What Gatepost itself asks Odoo in order to serve a call well.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Call, Condition, Context, Domain, FieldName, FieldPath, ModelName, Operand, Operator, Order,
    RecordId,
};

/// A question of our own: about the Odoo user we are, and about what fields
/// and models there are.
///
/// A closed set, so that policy can let these through without a rule for
/// models such as `res.users`, and nothing else by that way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SystemQuery {
    /// The names and currencies of companies.
    Companies(Vec<RecordId>),
    /// What Odoo says of a model's methods. Needs a rule that allows reading the model.
    Documentation(ModelName),
    /// Which of these external ids, each a module and a name, are given to
    /// records of the model. Needs a rule that allows reading the model.
    ExternalIds(ModelName, Vec<(String, String)>),
    /// The fields of a model. Needs a rule that allows reading the model.
    Fields(ModelName),
    /// The languages that are installed.
    Languages,
    /// Records that a user made, the oldest first: what is left of a change
    /// whose answer was lost. Nothing of it but ids is asked.
    CreatedRecords(CreatedRecordsQuery),
    /// The models this Odoo user may read.
    Models,
    /// The record of a model that was made last.
    Newest(ModelName),
    /// Which of these records exist: Odoo leaves out of this those that do not,
    /// and refuses where one is hidden from the user.
    Existing(ModelName, Vec<RecordId>),
    /// Login, name, companies of the user we are.
    User(RecordId),
    /// The id, language and time zone of the user we are.
    WhoAmI,
}

/// Records that a user made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CreatedRecordsQuery {
    /// Of this model.
    pub model: ModelName,
    /// The user.
    pub creator: RecordId,
    /// After this.
    pub after: CreatedAfter,
    /// Only messages and the like of this record.
    pub attached_to: Option<(ModelName, RecordId)>,
    /// At most so many.
    pub limit: u32,
}

/// After what records were made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CreatedAfter {
    /// A record, by its id.
    Record(u32),
    /// A moment as Odoo writes it, or at it.
    Time(String),
}

impl CreatedRecordsQuery {
    fn to_call(&self) -> Call {
        let only = |name: &'static str, operator, value: Value| {
            Domain::of(Condition {
                path: FieldPath::from(&FieldName::known(name)),
                operator,
                operand: Operand::Value(value),
            })
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

/// The ids of records, archived ones too.
fn search_ids(model: &ModelName, domain: &Domain, order: &Order, limit: u32) -> Call {
    let fields = [FieldName::known("id")];
    Call::search_read(model.clone(), domain, &fields, order, 0, limit).in_context(Context {
        include_archived: true,
        ..Context::default()
    })
}

impl SystemQuery {
    /// The call that asks it.
    pub fn to_call(&self) -> Call {
        let fields = |names: &[&'static str]| -> Vec<FieldName> {
            names.iter().map(|name| FieldName::known(name)).collect()
        };
        match self {
            Self::Companies(ids) => Call::read(
                ModelName::known("res.company"),
                ids,
                &fields(&["name", "currency_id"]),
            ),
            Self::Documentation(model) => Call::documentation(model.clone()),
            Self::ExternalIds(model, ids) => {
                let list = |part: fn(&(String, String)) -> &String| {
                    let unique: BTreeSet<&String> = ids.iter().map(part).collect();
                    Operand::Value(unique.into_iter().map(String::as_str).collect())
                };
                let only = |name: &'static str, operator, operand| {
                    Domain::of(Condition {
                        path: FieldPath::from(&FieldName::known(name)),
                        operator,
                        operand,
                    })
                };
                let model = Operand::Value(model.as_str().into());
                let domain = only("model", Operator::Equal, model)
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
                // Only installed languages are active, and Odoo leaves the others out by itself.
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
            Self::WhoAmI => Call::context_get(),
        }
    }

    /// The model whose reading must be allowed, where one is.
    pub fn required_model(&self) -> Option<&ModelName> {
        match self {
            Self::Documentation(model) | Self::ExternalIds(model, _) | Self::Fields(model) => {
                Some(model)
            }
            Self::Companies(_)
            | Self::Languages
            | Self::CreatedRecords(_)
            | Self::Models
            | Self::Newest(_)
            | Self::Existing(_, _)
            | Self::User(_)
            | Self::WhoAmI => None,
        }
    }
}
