//! What Gatepost itself asks Odoo in order to serve a call well.

use std::collections::BTreeSet;

use super::{
    Call, Condition, Domain, FieldName, FieldPath, ModelName, Operand, Operator, Order, RecordId,
};

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
    /// Which of these external ids, each a module and a name, are given to
    /// records of the model. Needs a rule that allows reading the model.
    ExternalIds(ModelName, Vec<(String, String)>),
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
                    &Order::by_id(),
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
            Self::Documentation(model) | Self::ExternalIds(model, _) | Self::Fields(model) => {
                Some(model)
            }
            Self::Companies(_) | Self::Languages | Self::Models | Self::User(_) | Self::WhoAmI => {
                None
            }
        }
    }
}
