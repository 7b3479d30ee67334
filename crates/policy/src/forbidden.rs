//! What policy says no to.

use gatepost_base::InstanceName;
use gatepost_odoo::{FieldName, FieldPath, MethodName, ModelName, Operation, RecordId};

/// A refusal by our own policy. Names what was asked; never the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The method may be called, but not with these arguments.
    #[error(
        "`{method}` of `{model}` may not be called with these arguments through this gateway: {why}; nothing was changed, correct them"
    )]
    Arguments {
        /// The model.
        model: ModelName,
        /// Its method.
        method: MethodName,
        /// All that does not fit, with what would.
        why: String,
    },
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
    /// What the external ids of rows name may be any record.
    #[error(
        "a row with an external id updates the record that has it already, and you may not update every record of `{0}` through this gateway; leave out the column `id` to create records, or name those to be updated in a column `.id`"
    )]
    ExternalIds(ModelName),
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
    /// The value links to a record that may not be read.
    #[error(
        "the value of `{field}` of `{model}` links to a record that you may not read through this gateway, or that does not exist; leave it out or choose another"
    )]
    Linking {
        /// The model that has the field.
        model: ModelName,
        /// The field.
        field: FieldName,
    },
    /// Which model the value links to is not known here.
    #[error(
        "a number in the value of `{field}` of `{model}` may be a link to any record; only who may read everything through this gateway can write one there. Leave it out"
    )]
    LinkingUntyped {
        /// The model that has the field.
        model: ModelName,
        /// The field.
        field: FieldName,
    },
    /// The value names a record otherwise than by its id, and some of them are
    /// hidden, or something of them.
    #[error(
        "the records that `{field}` of `{model}` links to are named here by their database ids only, in a column `{field}/.id`: some of them, or of what Odoo looks for names in, are hidden from you"
    )]
    LinkingByName {
        /// The model that has the field.
        model: ModelName,
        /// The field.
        field: FieldName,
    },
    /// The method is not listed.
    #[error(
        "you may not call `{method}` of `{model}` through this gateway; {}",
        method_suggestion(near.as_ref())
    )]
    Method {
        /// The model.
        model: ModelName,
        /// Its method.
        method: MethodName,
        /// One that may be called, and is called much the same.
        near: Option<MethodName>,
    },
    /// No rule allows the effect on the model.
    #[error(
        "you may not {} records of `{model}` through this gateway; retrying will not help, {}",
        operation.as_str(),
        operation_advice(*operation)
    )]
    Operation {
        /// The model that was asked for.
        model: ModelName,
        /// What was to be done.
        operation: Operation,
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
    /// The values would take a record out of what may be changed.
    #[error(
        "with this value of `{field}` the record of `{model}` would not be one that you may {} through this gateway; choose another value",
        operation.as_str()
    )]
    OutsideAfterWrite {
        /// The model.
        model: ModelName,
        /// What was to be done.
        operation: Operation,
        /// A field that decides, perhaps of the record in whose list it is.
        field: FieldPath,
    },
    /// These records are not among those that may be changed, or do not exist.
    #[error(
        "you may not {} these records of `{model}` through this gateway, or they do not exist: {}; leave them out",
        operation.as_str(),
        id_list(ids)
    )]
    Records {
        /// The model.
        model: ModelName,
        /// What was to be done.
        operation: Operation,
        /// Which records.
        ids: Vec<RecordId>,
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
    /// Whether the record may be changed so depends on a field whose value is
    /// not known before.
    #[error(
        "which records of `{model}` you may {} through this gateway depends on `{field}`{}",
        operation.as_str(),
        hint.text(*operation, field)
    )]
    Undecidable {
        /// The model.
        model: ModelName,
        /// What was to be done.
        operation: Operation,
        /// The field that decides.
        field: FieldPath,
        /// What to do instead.
        hint: DenialHint,
    },
    /// None of the fields in which a name is looked for may be seen.
    #[error(
        "records of `{0}` cannot be found by a part of their name here; search by the fields that `describe_model` lists, or by ids"
    )]
    NameSearch(ModelName),
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

/// What to do where it is not known before whether a record may be changed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialHint {
    /// Do it by itself, and not inside of the record that this field links to.
    SeparateCall(FieldName),
    /// Nothing.
    None,
    /// Go over the list of the record that they belong to: this one shows it.
    OwningList,
    /// Say what the field is to be.
    Value,
}

impl DenialHint {
    fn text(&self, effect: Operation, field: &FieldPath) -> String {
        match self {
            Self::SeparateCall(link) if effect == Operation::Create => format!(
                "; give it a plain value, or leave these records out and make them afterwards with create_records, naming `{link}`"
            ),
            Self::SeparateCall(link) => format!(
                "; leave these records out and change them by themselves with update_records, naming `{link}` where they move"
            ),
            Self::None => {
                ", which only Odoo works out; retrying will not help, tell the administrator"
                    .to_owned()
            }
            Self::OwningList => "; this list shows another record's, so leave it out: use that one's list, or the records' own model with create_records and update_records".to_owned(),
            Self::Value => format!("; give `{}` a plain value of its own", field.first()),
        }
    }
}

impl Forbidden {
    /// The model that was asked for, if one was.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Instance(_) => None,
            Self::Arguments { model, .. }
            | Self::Commands { model, .. }
            | Self::ExternalIds(model)
            | Self::Field { model, .. }
            | Self::Hierarchy(model)
            | Self::Linking { model, .. }
            | Self::LinkingUntyped { model, .. }
            | Self::LinkingByName { model, .. }
            | Self::Method { model, .. }
            | Self::Operation { model, .. }
            | Self::OutsideAfterWrite { model, .. }
            | Self::Path { model, .. }
            | Self::Records { model, .. }
            | Self::Sorting { model, .. }
            | Self::Undecidable { model, .. }
            | Self::NameSearch(model)
            | Self::Writing { model, .. } => Some(model),
        }
    }

    /// All that [`kind`](Self::kind) says.
    pub const KINDS: [&'static str; 18] = [
        "arguments",
        "commands",
        "external_ids",
        "field",
        "hierarchy",
        "instance",
        "linking",
        "linking_blindly",
        "linking_by_name",
        "method",
        "operation",
        "outside",
        "path",
        "records",
        "sorting",
        "unjudged",
        "unnamed",
        "writing",
    ];

    /// The word for it in the audit journal.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Arguments { .. } => "arguments",
            Self::Commands { .. } => "commands",
            Self::ExternalIds(_) => "external_ids",
            Self::Field { .. } => "field",
            Self::Hierarchy(_) => "hierarchy",
            Self::Instance(_) => "instance",
            Self::Linking { .. } => "linking",
            Self::LinkingUntyped { .. } => "linking_blindly",
            Self::LinkingByName { .. } => "linking_by_name",
            Self::Method { .. } => "method",
            Self::Operation { .. } => "operation",
            Self::OutsideAfterWrite { .. } => "outside",
            Self::Path { .. } => "path",
            Self::Records { .. } => "records",
            Self::Sorting { .. } => "sorting",
            Self::Undecidable { .. } => "unjudged",
            Self::NameSearch(_) => "unnamed",
            Self::Writing { .. } => "writing",
        }
    }

    /// The method that was to be called, if one was.
    pub fn method(&self) -> Option<&MethodName> {
        if let Self::Arguments { method, .. } | Self::Method { method, .. } = self {
            Some(method)
        } else {
            None
        }
    }

    /// The records that are not open, where only some are not.
    pub fn ids(&self) -> &[RecordId] {
        if let Self::Records { ids, .. } = self {
            ids
        } else {
            &[]
        }
    }

    /// What was to be done, if that was the question.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::Operation {
                operation: effect, ..
            }
            | Self::OutsideAfterWrite {
                operation: effect, ..
            }
            | Self::Records {
                operation: effect, ..
            }
            | Self::Undecidable {
                operation: effect, ..
            } => Some(*effect),
            Self::Hierarchy(_) | Self::Path { .. } | Self::Sorting { .. } | Self::NameSearch(_) => {
                Some(Operation::Read)
            }
            Self::Arguments { .. } | Self::Method { .. } => Some(Operation::Call),
            Self::ExternalIds(_)
            | Self::Linking { .. }
            | Self::LinkingUntyped { .. }
            | Self::LinkingByName { .. }
            | Self::Writing { .. } => Some(Operation::Write),
            Self::Commands { .. } | Self::Field { .. } | Self::Instance(_) => None,
        }
    }
}

fn operation_advice(effect: Operation) -> &'static str {
    match effect {
        Operation::Read => "`list_models` names the models you can read",
        Operation::Create | Operation::Delete | Operation::Call | Operation::Write => {
            "ask the administrator for it"
        }
    }
}

fn method_suggestion(near: Option<&MethodName>) -> String {
    near.map_or_else(
        || "retrying will not help, ask the administrator for it".to_owned(),
        |near| format!("did you mean `{near}`? Else ask the administrator for it"),
    )
}

/// The first ids of a list, and how many more there are.
fn id_list(ids: &[RecordId]) -> String {
    let mut text: Vec<String> = ids.iter().take(20).map(ToString::to_string).collect();
    if ids.len() > text.len() {
        text.push(format!("and {} more", ids.len() - text.len()));
    }
    text.join(", ")
}
