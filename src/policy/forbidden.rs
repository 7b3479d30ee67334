//! What policy says no to.

use crate::{
    names::InstanceName,
    odoo::{Effect, FieldName, FieldPath, MethodName, ModelName},
};

/// A refusal by our own policy. Names what was asked; never the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The value of a relation to many is not made of commands, or the field
    /// has no name that a field could have.
    #[error(
        "the value of `{field}` of `{model}` cannot be judged; write commands such as `[4, id]` or `[0, 0, {{...}}]`, at most six levels deep"
    )]
    Commands {
        /// The model.
        model: ModelName,
        /// The field as it was written, cut short.
        field: String,
    },
    /// The field is not to be seen, together with what else was asked. Told like
    /// one that does not exist.
    #[error(
        "`{model}` has no field `{field}` that you can see; `describe_model` lists the fields of `{model}`"
    )]
    Field {
        /// The model.
        model: ModelName,
        /// The field.
        field: FieldName,
    },
    /// Only a part of the records or fields may be seen, so what is above and
    /// below which record cannot be asked.
    #[error(
        "you may not search the hierarchy of `{0}` with `child_of` or `parent_of`; compare the field itself with ids instead"
    )]
    Hierarchy(ModelName),
    /// No role of the caller has any rule in the instance.
    #[error(
        "you have no access to the Odoo instance `{0}`; retrying will not help, ask the administrator for a role"
    )]
    Instance(InstanceName),
    /// The method is not listed.
    #[error(
        "you may not call `{method}` of `{model}` through this gateway; retrying will not help, ask the administrator for it"
    )]
    Method {
        /// The model.
        model: ModelName,
        /// Its method.
        method: MethodName,
    },
    /// No rule allows the effect on the model.
    #[error(
        "you may not {} records of `{model}` through this gateway; retrying will not help, `list_models` names the models you can read",
        effect.as_str()
    )]
    Operation {
        /// The model that was asked for.
        model: ModelName,
        /// What was to be done.
        effect: Effect,
    },
    /// The path does not lead from field to field.
    #[error(
        "`{path}` of `{model}` cannot be compared like this; write a field, or a path through relations such as `partner_id.country_id`"
    )]
    Path {
        /// The model it starts from.
        model: ModelName,
        /// The path.
        path: FieldPath,
    },
    /// Sorting by a relation sorts by fields of the related model.
    #[error(
        "you may not sort `{model}` by `{field}`, for it sorts by fields of the related records; order by a field of `{model}` itself"
    )]
    Sorting {
        /// The model.
        model: ModelName,
        /// The relation.
        field: FieldName,
    },
    /// None of the fields in which a name is looked for may be seen.
    #[error(
        "records of `{0}` cannot be found by a part of their name here; search by the fields that `describe_model` lists, or by ids"
    )]
    Unnamed(ModelName),
    /// The field may be seen, but not written.
    #[error(
        "you may not write `{field}` of `{model}` through this gateway; retrying will not help, leave it out"
    )]
    Writing {
        /// The model.
        model: ModelName,
        /// The field.
        field: FieldName,
    },
}

impl Forbidden {
    /// The model that was asked for, if one was.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Instance(_) => None,
            Self::Commands { model, .. }
            | Self::Field { model, .. }
            | Self::Hierarchy(model)
            | Self::Method { model, .. }
            | Self::Operation { model, .. }
            | Self::Path { model, .. }
            | Self::Sorting { model, .. }
            | Self::Unnamed(model)
            | Self::Writing { model, .. } => Some(model),
        }
    }

    /// What was to be done, if that was the question.
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Self::Operation { effect, .. } => Some(*effect),
            Self::Hierarchy(_) | Self::Path { .. } | Self::Sorting { .. } | Self::Unnamed(_) => {
                Some(Effect::Read)
            }
            Self::Method { .. } => Some(Effect::Run),
            Self::Writing { .. } => Some(Effect::Write),
            Self::Commands { .. } | Self::Field { .. } | Self::Instance(_) => None,
        }
    }
}
