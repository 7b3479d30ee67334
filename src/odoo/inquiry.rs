//! What Gatepost itself asks Odoo in order to serve a call well.

use super::{Call, Domain, FieldName, ModelName, Order, RecordId};

/// A question of our own: about the Odoo user we are, and about what fields
/// and models there are.
///
/// A closed set, so that policy can let these through without a rule for
/// models such as `res.users`, and nothing else by that way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Inquiry {
    /// The names and currencies of companies.
    Companies(Vec<RecordId>),
    /// What Odoo says of a model's methods. Needs a rule that allows reading the model.
    Documentation(ModelName),
    /// The fields of a model. Needs a rule that allows reading the model.
    Fields(ModelName),
    /// The languages that are installed.
    Languages,
    /// The models this Odoo user may read.
    Models,
    /// Login, name, companies of the user we are.
    User(RecordId),
    /// The id, language and time zone of the user we are.
    WhoAmI,
}

impl Inquiry {
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
            Self::Models => Call::available_models(),
            Self::User(id) => Call::read(
                ModelName::known("res.users"),
                &[*id],
                &fields(&["login", "name", "company_id", "company_ids", "lang", "tz"]),
            ),
            Self::WhoAmI => Call::context_get(),
        }
    }

    /// The model whose reading must be allowed, where one is.
    pub fn about(&self) -> Option<&ModelName> {
        match self {
            Self::Documentation(model) | Self::Fields(model) => Some(model),
            Self::Companies(_) | Self::Languages | Self::Models | Self::User(_) | Self::WhoAmI => {
                None
            }
        }
    }
}
