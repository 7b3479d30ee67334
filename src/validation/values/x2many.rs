//! Coerces the values of lists of records.
//!
//! Odoo takes commands (`odoo/orm/commands.py`): `[0, 0, {…}]` creates a record,
//! `[1, id, {…}]` updates one, `[2, id]` deletes it, `[3, id]` unlinks it,
//! `[4, id]` links it, `[5]` empties the list, `[6, 0, [ids]]` sets the list. It
//! ignores any other number.

use gatepost_base::text;
use serde_json::{Map, Value, json};

use super::{
    LineCommand, LineRef, LinkOwner, LinkTarget,
    coerced::Coerced,
    coercer::{FieldContext, RecordCoercer},
    error::quoted,
    record::parse_record,
    x2many_command::{X2manyCommand, invalid_command_error},
};
use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, RecordId};

/// The most elements of one list.
const MAX_ELEMENTS: usize = 1000;

/// The form of the elements of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListForm {
    /// Commands.
    Commands,
    /// Ids, or names where those can be looked up.
    Ids,
    /// The values of new records.
    Lines,
}

/// A list field, and whether its record is new.
#[derive(Clone, Copy)]
struct ListField<'f> {
    field: &'f Field,
    relation: &'f ModelName,
    is_new: bool,
}

impl RecordCoercer<'_> {
    /// The list as commands.
    pub(crate) fn coerce_x2many(
        &mut self,
        field: &Field,
        operation: Operation,
        value: Value,
        place: &FieldContext,
    ) -> Result<Value, String> {
        let Some(relation) = &field.relation else {
            let text = "is a list of records, and Odoo does not say of which model";
            return Err(text.to_owned());
        };
        let list = ListField {
            field,
            relation,
            is_new: operation == Operation::Create,
        };
        let elements = match elements(value) {
            Ok(Some(elements)) => elements,
            Ok(None) if list.is_new => Vec::new(),
            Ok(None) => {
                self.add_note(place, format!("is emptied: {}", list.unlink_consequence()));
                return Ok(json!([[5, 0, 0]]));
            }
            Err(value) => return Err(list.wrong_form(&value)),
        };
        check_length(elements.len(), "elements")?;
        let Some(first) = elements.first() else {
            if list.is_new {
                return Ok(Value::Array(elements));
            }
            let text =
                "is an empty list, which Odoo ignores; write `[[5]]` to empty it, or leave it out";
            return Err(text.to_owned());
        };
        let form = form_of(first);
        if elements.iter().any(|element| form_of(element) != form) {
            let text = list.wrong_form(&Value::Array(elements));
            return Err(format!("mixes forms; it {text}"));
        }
        let commands = match form {
            Some(ListForm::Commands) => self.coerce_commands(list, elements, place),
            Some(ListForm::Ids) => {
                if !list.is_new {
                    let these = match elements.len() {
                        1 => "only this one".to_owned(),
                        count => format!("exactly these {count}"),
                    };
                    let others = list.unlink_consequence();
                    self.add_note(place, format!("is set to {these}: of the others, {others}"));
                }
                let ids = self.coerce_ids(list, elements, place, &[0, 2]);
                vec![json!([6, 0, ids])]
            }
            Some(ListForm::Lines) => self.coerce_lines(list, elements, place),
            None => return Err(list.wrong_form(&Value::Array(elements))),
        };
        Ok(Value::Array(commands))
    }

    /// The ids of a list, or the names if they can be looked up.
    fn coerce_ids(
        &mut self,
        list: ListField<'_>,
        ids: Vec<Value>,
        place: &FieldContext,
        coerced_at: &[usize],
    ) -> Vec<Value> {
        let mut coerced = Vec::with_capacity(ids.len());
        for (index, id) in ids.into_iter().enumerate() {
            let mut path = coerced_at.to_vec();
            path.push(coerced.len());
            let place = place.element(index, &path);
            match list.parse_member(&id) {
                Ok(member) => {
                    let line = Some(list.line_ref(LineCommand::Link, &place));
                    coerced.push(self.accept(list.field, member, line, &place));
                }
                Err(text) => self.add_error(&place, text),
            }
        }
        coerced
    }

    /// New records, each from its values.
    fn coerce_lines(
        &mut self,
        list: ListField<'_>,
        lines: Vec<Value>,
        place: &FieldContext,
    ) -> Vec<Value> {
        if !list.is_new {
            let records = text::pluralize(lines.len(), "new record");
            self.add_note(place, format!("gets {records}, beside those that it has"));
        }
        let mut commands = Vec::with_capacity(lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let Value::Object(values) = line else {
                continue;
            };
            let place = place.element(index, &[commands.len(), 2]);
            if values.contains_key("id") {
                let text = "has an `id`, and a new record has none; \
                     write `[1, id, {…}]` to change a record, `[4, id]` to link one";
                self.add_error(&place, text.to_owned());
                continue;
            }
            commands.push(self.create_command(list, values, place));
        }
        commands
    }

    fn create_command(
        &mut self,
        list: ListField<'_>,
        values: Map<String, Value>,
        place: FieldContext,
    ) -> Value {
        let place = place.nested(list.field.inverse.clone(), LinkOwner::New);
        let values = self.coerce_record(list.relation, Operation::Create, values, &place);
        json!([0, 0, values])
    }

    fn coerce_commands(
        &mut self,
        list: ListField<'_>,
        commands: Vec<Value>,
        place: &FieldContext,
    ) -> Vec<Value> {
        let mut coerced = Vec::with_capacity(commands.len());
        for (index, command) in commands.into_iter().enumerate() {
            let at = coerced.len();
            let Some(command) = X2manyCommand::parse(&command) else {
                let place = place.element(index, &[at]);
                self.add_error(&place, invalid_command_error(&command));
                continue;
            };
            let own = place.element(index, &[at, 1]);
            coerced.push(match command {
                X2manyCommand::Create(values) => {
                    self.create_command(list, values, place.element(index, &[at, 2]))
                }
                X2manyCommand::Existing(2 | 3, _) | X2manyCommand::Update(_, _) if list.is_new => {
                    let text = "is for a record that is in the list already, and the list of a new \
                         record is empty; leave it out";
                    self.add_error(&own, text.to_owned());
                    continue;
                }
                X2manyCommand::Update(id, values) => {
                    let fields = values.keys().map(String::as_str).map(FieldName::try_from);
                    let command = LineCommand::Update(fields.flatten().collect());
                    let named = self.accept_named_line(list, (id, command), &own);
                    let place = place.element(index, &[at, 2]);
                    let place = place.nested(None, LinkOwner::Line(id));
                    let values =
                        self.coerce_record(list.relation, Operation::Write, values, &place);
                    json!([1, named, values])
                }
                X2manyCommand::Existing(number, id) => {
                    let command = match number {
                        2 => LineCommand::Delete,
                        3 => LineCommand::Unlink,
                        _ => LineCommand::Link,
                    };
                    let named = self.accept_named_line(list, (id, command), &own);
                    json!([number, named, 0])
                }
                X2manyCommand::Clear => {
                    if !list.is_new {
                        let all = list.unlink_consequence();
                        self.add_note(&own, format!("empties the list: {all}"));
                    }
                    json!([5, 0, 0])
                }
                X2manyCommand::Set(ids) => {
                    if let Err(text) = check_length(ids.len(), "ids") {
                        self.add_error(&own, text);
                        continue;
                    }
                    if !list.is_new {
                        let others = list.unlink_consequence();
                        self.add_note(&own, format!("sets the list: of the others, {others}"));
                    }
                    let place = place.element(index, &[]);
                    json!([6, 0, self.coerce_ids(list, ids, &place, &[at, 2])])
                }
            });
        }
        coerced
    }

    /// The record that a command is about.
    fn accept_named_line(
        &mut self,
        list: ListField<'_>,
        (id, command): (RecordId, LineCommand),
        place: &FieldContext,
    ) -> Value {
        let mut named = Coerced::plain(id.get().into());
        named.link = Some((list.relation.clone(), LinkTarget::Id(id)));
        let line = list.line_ref(command, place);
        self.accept(list.field, named, Some(line), place)
    }
}

impl ListField<'_> {
    fn line_ref(self, command: LineCommand, place: &FieldContext) -> LineRef {
        let is_owned = self.field.kind == FieldKind::One2many;
        LineRef {
            command,
            inverse: self.field.inverse.clone().filter(|_| is_owned),
            owner: place.owner,
        }
    }

    /// An element of a list of ids.
    fn parse_member(self, id: &Value) -> Result<Coerced, String> {
        // The lines of a one2many have no names to look up.
        let by_name = self.field.kind == FieldKind::Many2many;
        let member = parse_record(self.relation, id)
            .ok()
            .filter(|member| by_name || !matches!(member.link, Some((_, LinkTarget::Name(_)))));
        member.ok_or_else(|| {
            format!(
                "names no record; write the id of one of `{}`{}, not {}",
                self.relation,
                if by_name { " or its name" } else { "" },
                quoted(id)
            )
        })
    }

    /// What happens to records that are unlinked.
    fn unlink_consequence(self) -> &'static str {
        if self.field.kind == FieldKind::One2many {
            "those that cannot exist without this record are deleted, others lose their link to it"
        } else {
            "none is deleted, they only lose their link"
        }
    }

    fn wrong_form(self, value: &Value) -> String {
        let ids = if self.field.kind == FieldKind::Many2many {
            "the ids or names of all records that it is to have, `[7, 8]`"
        } else {
            "the values of new records, `[{…}]`"
        };
        format!(
            "takes {ids}, or commands on records of `{}`: `[[4, 7]]` links one, `[[3, 7]]` \
             unlinks one, `[[0, 0, {{…}}]]` creates one, `[[1, 7, {{…}}]]` changes one, \
             `[[6, 0, [7, 8]]]` sets all; not {}",
            self.relation,
            quoted(value)
        )
    }
}

fn check_length(count: usize, what: &str) -> Result<(), String> {
    if count > MAX_ELEMENTS {
        return Err(format!(
            "has {count} {what}; a list may have {MAX_ELEMENTS}"
        ));
    }
    Ok(())
}

/// The elements of a list, also of one that is written as text; `None` for an
/// empty value.
///
/// # Errors
/// The value, if it is not a list.
fn elements(value: Value) -> Result<Option<Vec<Value>>, Value> {
    match value {
        Value::Array(elements) => Ok(Some(elements)),
        Value::Bool(false) | Value::Null => Ok(None),
        // Some clients can only send text.
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(&text)
            .map(Some)
            .map_err(|_no_list| text.into()),
        Value::Bool(true) | Value::Number(_) | Value::Object(_) | Value::String(_) => Err(value),
    }
}

fn form_of(element: &Value) -> Option<ListForm> {
    match element {
        Value::Array(_) => Some(ListForm::Commands),
        Value::Number(_) | Value::String(_) => Some(ListForm::Ids),
        Value::Object(_) => Some(ListForm::Lines),
        Value::Bool(_) | Value::Null => None,
    }
}
