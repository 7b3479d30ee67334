//! What policy refuses, and what the caller can do instead.

use super::MethodRisk;
use gatepost_base::InstanceName;
use gatepost_odoo::{FieldName, FieldPath, MethodName, ModelName, Operation, RecordId};

gatepost_base::words! {
    /// A refusal by policy. Names what the caller asked for, never the rules.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum Forbidden {
        /// The method may be called, but not with these arguments.
        #[error(
            "`{method}` of `{model}` may not be called with these arguments through this gateway: {why}. Nothing was changed; correct them"
        )]
        Arguments {
            /// The model.
            model: ModelName,
            /// Its method.
            method: MethodName,
            /// Every argument that is wrong, with what would be right.
            why: String,
        } = "arguments",
        /// The value of a relation to many is not a list of commands, or the field's
        /// name is not one.
        #[error(
            "the value of `{field}` of `{model}` cannot be checked; write commands such as `[4, id]` or `[0, 0, {{...}}]`, at most six levels deep"
        )]
        Commands {
            /// The model.
            model: ModelName,
            /// The field as the client sent it, cut short.
            field: String,
        } = "commands",
        /// External ids in rows may name any record.
        #[error(
            "a row with an external id updates the record that already has it, and you may not update every record of `{0}` through this gateway; leave out the column `id` to create records, or name the records to update in a column `.id`"
        )]
        ExternalIds(ModelName) = "external_ids",
        /// The field is hidden, alone or together with other fields of the request.
        /// Reads as if the field did not exist.
        #[error(
            "`{model}` has no field `{field}` that you can see; `describe_model` lists the fields of `{model}`"
        )]
        Field {
            /// The model.
            model: ModelName,
            /// The field.
            field: FieldName,
        } = "field",
        /// The groups would show records or values that a read of the field does not.
        #[error(
            "`{model}` cannot be grouped by `{path}` here, because the groups would show more than you may read; group by another field, or read the records with search_records"
        )]
        Grouping {
            /// The model.
            model: ModelName,
            /// The field, or the path to it.
            path: FieldPath,
        } = "grouping",
        /// Only a part of the records or fields is visible, and a search of the
        /// hierarchy would reveal the rest.
        #[error(
            "you may not search the hierarchy of `{0}` with `child_of` or `parent_of`; compare the field itself with ids instead"
        )]
        Hierarchy(ModelName) = "hierarchy",
        /// No role of the caller has a rule in the instance.
        #[error(
            "you have no access to the Odoo instance `{0}`; retrying will not help, so ask the administrator for a role"
        )]
        Instance(InstanceName) = "instance",
        /// The value links to a record that the caller may not read.
        #[error(
            "the value of `{field}` of `{model}` links to a record that does not exist or that you may not read through this gateway; leave it out or choose another"
        )]
        Linking {
            /// The model that has the field.
            model: ModelName,
            /// The field.
            field: FieldName,
        } = "linking",
        /// The value names a record by something other than its database id, and some
        /// of the records it might mean are hidden.
        #[error(
            "name the records that `{field}` of `{model}` links to by database id, in a column `{field}/.id`: some of them, or some fields that hold their names, are hidden from you"
        )]
        LinkingByName {
            /// The model that has the field.
            model: ModelName,
            /// The field.
            field: FieldName,
        } = "linking_by_name",
        /// The value may link to a record of any model.
        #[error(
            "`{field}` of `{model}` accepts links to any model, so numbers are allowed there only for callers with unrestricted read access; leave the number out"
        )]
        LinkingUntyped {
            /// The model that has the field.
            model: ModelName,
            /// The field.
            field: FieldName,
        } = "linking_blindly",
        /// No rule lists the method.
        #[error(
            "you may not call `{method}` of `{model}` through this gateway; {}",
            method_suggestion(method, near.as_ref())
        )]
        Method {
            /// The model.
            model: ModelName,
            /// Its method.
            method: MethodName,
            /// A permitted method with a similar name.
            near: Option<MethodName>,
        } = "method",
        /// The caller may not read any field that holds a name.
        #[error(
            "records of `{0}` cannot be found by part of their name here; search by the fields that `describe_model` lists, or by ids"
        )]
        NameSearch(ModelName) = "unnamed",
        /// No rule opens the operation on the model.
        #[error(
            "you may not {} records of `{model}` through this gateway. Retrying will not help; {}",
            verb(*operation),
            operation_advice(*operation)
        )]
        Operation {
            /// The model.
            model: ModelName,
            /// The operation.
            operation: Operation,
        } = "operation",
        /// The values would take the record out of those that the caller may change.
        #[error(
            "with this value of `{field}` the record of `{model}` would not be one that you may {} through this gateway; choose another value",
            verb(*operation)
        )]
        OutsideAfterWrite {
            /// The model.
            model: ModelName,
            /// The operation.
            operation: Operation,
            /// A field that decides, perhaps of the record whose list it is in.
            field: FieldPath,
        } = "outside",
        /// The path does not lead from field to field.
        #[error(
            "`{path}` of `{model}` cannot be used in a condition like this; use a field, or a path through relations such as `partner_id.country_id`"
        )]
        Path {
            /// The model where the path starts.
            model: ModelName,
            /// The path.
            path: FieldPath,
        } = "path",
        /// These records do not exist, or are not among those that the caller may
        /// change.
        #[error(
            "you may not {} these records of `{model}` through this gateway, or they do not exist: {}; leave them out",
            verb(*operation),
            id_list(ids)
        )]
        Records {
            /// The model.
            model: ModelName,
            /// The operation.
            operation: Operation,
            /// The records.
            ids: Vec<RecordId>,
        } = "records",
        /// Sorting by a relation sorts by fields of the related model.
        #[error(
            "you may not sort `{model}` by `{field}` because that sorts by fields of the related records; sort by a field of `{model}` itself"
        )]
        Sorting {
            /// The model.
            model: ModelName,
            /// The relation.
            field: FieldName,
        } = "sorting",
        /// Whether the caller may change the record depends on a field whose value is
        /// unknown before the change.
        #[error(
            "which records of `{model}` you may {} through this gateway depends on `{field}`{}",
            verb(*operation),
            hint.text(*operation, field)
        )]
        Undecidable {
            /// The model.
            model: ModelName,
            /// The operation.
            operation: Operation,
            /// The field that decides.
            field: FieldPath,
            /// What to do instead.
            hint: DenialHint,
        } = "unjudged",
        /// The caller may read the field, but not write it.
        #[error(
            "you may not write `{field}` of `{model}` through this gateway; retrying will not help, so leave it out"
        )]
        Writing {
            /// The model.
            model: ModelName,
            /// The field.
            field: FieldName,
        } = "writing",
    }

    /// The word for it in logs, metrics and audit records.
    pub fn kind(&self);
}

/// What to do where the decision depends on a value that is unknown before the
/// change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialHint {
    /// Leave out this field, with which Odoo changes the other.
    LeaveOut(FieldName),
    /// Only the administrator can help.
    None,
    /// Use the list of the record that the lines belong to: this list shows it.
    OwningList,
    /// Change the record in a call of its own, not inside the record that this
    /// field links to.
    SeparateCall(FieldName),
    /// Give the field a value.
    Value,
}

impl DenialHint {
    fn text(&self, operation: Operation, field: &FieldPath) -> String {
        match self {
            Self::LeaveOut(written) => {
                format!(", which Odoo changes with `{written}`; leave `{written}` out")
            }
            Self::None => {
                ", which only Odoo computes; retrying will not help, so ask the administrator"
                    .to_owned()
            }
            Self::OwningList => "; this list shows another record's, so leave it out: use that record's list, or the records' own model with create_records and update_records".to_owned(),
            Self::SeparateCall(link) if operation == Operation::Create => format!(
                "; give it a plain value, or leave these records out and create them afterwards with create_records, setting `{link}`"
            ),
            Self::SeparateCall(link) => format!(
                "; leave these records out and update them with update_records, setting `{link}` where they move"
            ),
            Self::Value => format!("; give `{}` a plain value in this call", field.first()),
        }
    }
}

impl Forbidden {
    /// The operation is not open on the model.
    pub(super) fn operation_on(model: &ModelName, operation: Operation) -> Self {
        let model = model.clone();
        Self::Operation { model, operation }
    }

    /// The model that the caller asked for, if the refusal is about one.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Instance(_) => None,
            Self::Arguments { model, .. }
            | Self::Commands { model, .. }
            | Self::ExternalIds(model)
            | Self::Field { model, .. }
            | Self::Grouping { model, .. }
            | Self::Hierarchy(model)
            | Self::Linking { model, .. }
            | Self::LinkingByName { model, .. }
            | Self::LinkingUntyped { model, .. }
            | Self::Method { model, .. }
            | Self::NameSearch(model)
            | Self::Operation { model, .. }
            | Self::OutsideAfterWrite { model, .. }
            | Self::Path { model, .. }
            | Self::Records { model, .. }
            | Self::Sorting { model, .. }
            | Self::Undecidable { model, .. }
            | Self::Writing { model, .. } => Some(model),
        }
    }

    /// The method that the caller asked for, if the refusal is about one.
    pub fn method(&self) -> Option<&MethodName> {
        if let Self::Arguments { method, .. } | Self::Method { method, .. } = self {
            Some(method)
        } else {
            None
        }
    }

    /// The records that are not open, if others of the call are.
    pub fn ids(&self) -> &[RecordId] {
        if let Self::Records { ids, .. } = self {
            ids
        } else {
            &[]
        }
    }

    /// The operation that the refusal is about, if it is about one.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::Operation { operation, .. }
            | Self::OutsideAfterWrite { operation, .. }
            | Self::Records { operation, .. }
            | Self::Undecidable { operation, .. } => Some(*operation),
            Self::Grouping { .. }
            | Self::Hierarchy(_)
            | Self::NameSearch(_)
            | Self::Path { .. }
            | Self::Sorting { .. } => Some(Operation::Read),
            Self::Arguments { .. } | Self::Method { .. } => Some(Operation::Call),
            Self::ExternalIds(_)
            | Self::Linking { .. }
            | Self::LinkingByName { .. }
            | Self::LinkingUntyped { .. }
            | Self::Writing { .. } => Some(Operation::Write),
            Self::Commands { .. } | Self::Field { .. } | Self::Instance(_) => None,
        }
    }
}

/// What a caller may not do to records.
fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Call => "call methods on",
        Operation::Create | Operation::Delete | Operation::Read | Operation::Write => {
            operation.as_str()
        }
    }
}

fn operation_advice(operation: Operation) -> &'static str {
    if operation.is_read() {
        "`list_models` lists the models you can read"
    } else {
        "ask the administrator for access"
    }
}

fn method_suggestion(method: &MethodName, near: Option<&MethodName>) -> String {
    if let Some(MethodRisk::Operation(operation)) = MethodRisk::of(method) {
        return operation_instead(method, operation).to_owned();
    }
    near.map_or_else(
        || "retrying will not help, so ask the administrator for access".to_owned(),
        |near| format!("did you mean `{near}`? Otherwise ask the administrator for access"),
    )
}

/// What a model can use instead of a method that no rule may list, because it does
/// what an operation does.
fn operation_instead(method: &MethodName, operation: Operation) -> &'static str {
    match operation {
        Operation::Read if method.as_str().contains("read_group") => {
            "use aggregate_records instead, which groups and sums within the rules of your role"
        }
        Operation::Read => {
            "use one of the tools that read instead: search_records, read_records, count_records, aggregate_records, find_by_name"
        }
        Operation::Create => "use the tool create_records instead, if you have it",
        Operation::Write => "use the tool update_records instead, if you have it",
        Operation::Delete => "use the tool delete_records instead, if you have it",
        Operation::Call => "ask the administrator for access",
    }
}

/// The first ids of a list, and how many more there are.
fn id_list(ids: &[RecordId]) -> String {
    let mut text: Vec<String> = ids.iter().take(20).map(ToString::to_string).collect();
    if ids.len() > text.len() {
        text.push(format!("and {} more", ids.len() - text.len()));
    }
    text.join(", ")
}
