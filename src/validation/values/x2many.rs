//! Values of relations to many.
//!
//! Odoo takes commands (`odoo/orm/commands.py`): `[0, 0, {…}]` makes a record,
//! `[1, id, {…}]` changes one, `[2, id]` deletes it, `[3, id]` takes it out of the list,
//! `[4, id]` puts it in, `[5]` empties the list, `[6, 0, [ids]]` makes the list those.
//! It passes over numbers that are none of these.

use gatepost_base::text;
use serde_json::{Map, Value, json};

use super::{
    LineCommand, LineRef, LinkOwner, LinkTarget, MissingSchema,
    coerced::Coerced,
    coercer::{FieldContext, RecordCoercer},
    error::quoted,
    number::whole,
    record::parse_record,
};
use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, RecordId};

/// The most elements of one list.
const MAX_ELEMENTS: usize = 1000;

/// What the elements of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListForm {
    /// Commands.
    Commands,
    /// Ids, and names where they can be looked up.
    Ids,
    /// The values of new records.
    Lines,
}

impl RecordCoercer<'_> {
    /// The list as commands; `None` where there is a problem.
    ///
    /// # Errors
    /// [`Needs`].
    pub(crate) fn coerce_x2many(
        &mut self,
        field: &Field,
        effect: Operation,
        value: Value,
        spot: &FieldContext,
    ) -> Result<Option<Value>, MissingSchema> {
        let Some(relation) = &field.relation else {
            let text = "is a list of records, and Odoo does not tell of which model".to_owned();
            self.add_error(spot, text);
            return Ok(None);
        };
        let creating = effect == Operation::Create;
        let elements = match elements(value) {
            Ok(Some(elements)) => elements,
            Ok(None) if creating => Vec::new(),
            Ok(None) => {
                let note = format!("is emptied: {}", unlink_consequence(field));
                self.add_note(spot, note);
                return Ok(Some(json!([[5, 0, 0]])));
            }
            Err(value) => {
                self.add_error(spot, wrong_form_error(field, relation, &value));
                return Ok(None);
            }
        };
        if elements.len() > MAX_ELEMENTS {
            let text = format!(
                "has {} elements; a list may have {MAX_ELEMENTS}",
                elements.len()
            );
            self.add_error(spot, text);
            return Ok(None);
        }
        let Some(first) = elements.first() else {
            if creating {
                return Ok(Some(Value::Array(elements)));
            }
            let text = "is an empty list, with which Odoo does nothing; \
                 to empty it write `[[5]]`, to leave it as it is leave it out";
            self.add_error(spot, text.to_owned());
            return Ok(None);
        };
        let form = form_of(first);
        if elements.iter().any(|element| form_of(element) != form) {
            let whole = Value::Array(elements);
            let text = format!(
                "mixes forms; it {}",
                wrong_form_error(field, relation, &whole)
            );
            self.add_error(spot, text);
            return Ok(None);
        }
        match form {
            Some(ListForm::Commands) => {
                self.coerce_commands(field, relation, creating, elements, spot)
            }
            Some(ListForm::Ids) => {
                if !creating {
                    let these = match elements.len() {
                        1 => "only this one".to_owned(),
                        count => format!("exactly these {count}"),
                    };
                    let note = format!(
                        "is set to {these}: of the others, {}",
                        unlink_consequence(field)
                    );
                    self.add_note(spot, note);
                }
                let ids = self.coerce_ids(field, relation, elements, spot, &[0, 2]);
                Ok(Some(json!([[6, 0, ids]])))
            }
            Some(ListForm::Lines) => self.coerce_lines(field, relation, creating, elements, spot),
            None => {
                let whole = Value::Array(elements);
                self.add_error(spot, wrong_form_error(field, relation, &whole));
                Ok(None)
            }
        }
    }

    /// The ids of a list, or the names where it is one of links.
    fn coerce_ids(
        &mut self,
        field: &Field,
        relation: &ModelName,
        ids: Vec<Value>,
        spot: &FieldContext,
        sent: &[usize],
    ) -> Vec<Value> {
        let mut fitted = Vec::with_capacity(ids.len());
        for (index, id) in ids.into_iter().enumerate() {
            let mut path = sent.to_vec();
            path.push(fitted.len());
            let spot = spot.element(index, &path);
            match parse_member(field, relation, &id) {
                Ok(taken) => {
                    let listed = Some(line_ref(field, LineCommand::Link, &spot));
                    fitted.push(self.accept_line(field, taken, listed, &spot));
                }
                Err(text) => self.add_error(&spot, text),
            }
        }
        fitted
    }

    /// New records, each from its values.
    fn coerce_lines(
        &mut self,
        field: &Field,
        relation: &ModelName,
        creating: bool,
        lines: Vec<Value>,
        spot: &FieldContext,
    ) -> Result<Option<Value>, MissingSchema> {
        if !creating {
            let records = text::pluralize(lines.len(), "new record");
            let note = format!("gets {records}, beside those that it has");
            self.add_note(spot, note);
        }
        let mut commands = Vec::with_capacity(lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let Value::Object(values) = line else {
                continue;
            };
            let spot = spot.element(index, &[commands.len(), 2]);
            if values.contains_key("id") {
                let text = "has an `id`, and a new record has none; \
                     to change a record write `[1, id, {…}]`, to link one `[4, id]`";
                self.add_error(&spot, text.to_owned());
                continue;
            }
            let spot = spot.nested(field.inverse.clone(), LinkOwner::New);
            let values = self.coerce_record(relation, Operation::Create, values, &spot)?;
            commands.push(json!([0, 0, values]));
        }
        Ok(Some(Value::Array(commands)))
    }

    fn coerce_commands(
        &mut self,
        field: &Field,
        relation: &ModelName,
        creating: bool,
        commands: Vec<Value>,
        spot: &FieldContext,
    ) -> Result<Option<Value>, MissingSchema> {
        let mut fitted = Vec::with_capacity(commands.len());
        for (index, command) in commands.into_iter().enumerate() {
            let at = fitted.len();
            let Some(command) = X2manyCommand::parse(&command) else {
                self.add_error(&spot.element(index, &[at]), invalid_command_error(&command));
                continue;
            };
            let own = spot.element(index, &[at, 1]);
            fitted.push(match command {
                X2manyCommand::Create(values) => {
                    let spot = spot.element(index, &[at, 2]);
                    let spot = spot.nested(field.inverse.clone(), LinkOwner::New);
                    json!([
                        0,
                        0,
                        self.coerce_record(relation, Operation::Create, values, &spot)?
                    ])
                }
                X2manyCommand::Existing(2 | 3, _) | X2manyCommand::Update(_, _) if creating => {
                    let text = "is for a record that is in the list already, and that of a new \
                         record is empty; leave it out";
                    self.add_error(&own, text.to_owned());
                    continue;
                }
                X2manyCommand::Update(id, values) => {
                    let fields = values.keys().map(String::as_str).map(FieldName::try_from);
                    let fate = LineCommand::Update(fields.flatten().collect());
                    let named = self.accept_named_line(field, relation, (id, fate), &own);
                    let spot = spot.element(index, &[at, 2]);
                    let spot = spot.nested(None, LinkOwner::Line(id));
                    json!([
                        1,
                        named,
                        self.coerce_record(relation, Operation::Write, values, &spot)?
                    ])
                }
                X2manyCommand::Existing(number, id) => {
                    let fate = match number {
                        2 => LineCommand::Delete,
                        3 => LineCommand::Unlink,
                        _ => LineCommand::Link,
                    };
                    let named = self.accept_named_line(field, relation, (id, fate), &own);
                    json!([number, named, 0])
                }
                X2manyCommand::Clear => {
                    if !creating {
                        self.add_note(
                            &own,
                            format!("empties the list: {}", unlink_consequence(field)),
                        );
                    }
                    json!([5, 0, 0])
                }
                X2manyCommand::Set(ids) if ids.len() > MAX_ELEMENTS => {
                    let text = format!("has {} ids; a list may have {MAX_ELEMENTS}", ids.len());
                    self.add_error(&own, text);
                    continue;
                }
                X2manyCommand::Set(ids) => {
                    if !creating {
                        let note = format!(
                            "sets the list: of the others, {}",
                            unlink_consequence(field)
                        );
                        self.add_note(&own, note);
                    }
                    let spot = spot.element(index, &[]);
                    json!([6, 0, self.coerce_ids(field, relation, ids, &spot, &[at, 2])])
                }
            });
        }
        Ok(Some(Value::Array(fitted)))
    }

    /// The record that a command is about.
    fn accept_named_line(
        &mut self,
        field: &Field,
        relation: &ModelName,
        (id, fate): (RecordId, LineCommand),
        spot: &FieldContext,
    ) -> Value {
        let mut taken = Coerced::plain(id.get().into());
        taken.link = Some((relation.clone(), LinkTarget::Id(id)));
        self.accept_line(field, taken, Some(line_ref(field, fate, spot)), spot)
    }
}

fn line_ref(field: &Field, fate: LineCommand, spot: &FieldContext) -> LineRef {
    let is_owned = field.kind == FieldKind::One2many;
    LineRef {
        command: fate,
        inverse: field.inverse.clone().filter(|_| is_owned),
        owner: spot.owner,
    }
}

/// A command with everything that it needs.
enum X2manyCommand {
    Clear,
    Create(Map<String, Value>),
    /// To delete (2), take out (3) or put in (4) one record.
    Existing(u8, RecordId),
    Set(Vec<Value>),
    Update(RecordId, Map<String, Value>),
}

impl X2manyCommand {
    /// The command, if it is one, and nothing stands in it that Odoo would pass over.
    fn parse(command: &Value) -> Option<Self> {
        let parts = command.as_array().filter(|parts| parts.len() <= 3)?;
        let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
        let Value::Number(number) = part(0) else {
            return None;
        };
        let id = || match part(1) {
            Value::Number(id) => RecordId::try_from(i64::from(whole(id)?)).ok(),
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Object(_)
            | Value::String(_) => None,
        };
        let values = || part(2).as_object().cloned();
        match whole(number)? {
            // In its second place the web client puts names of its own.
            0 if is_unused_part(part(1)) || part(1).is_string() => values().map(Self::Create),
            1 => Some(Self::Update(id()?, values()?)),
            2 if is_unused_part(part(2)) => Some(Self::Existing(2, id()?)),
            3 if is_unused_part(part(2)) => Some(Self::Existing(3, id()?)),
            4 if is_unused_part(part(2)) => Some(Self::Existing(4, id()?)),
            5 if is_unused_part(part(1)) && is_unused_part(part(2)) => Some(Self::Clear),
            6 if is_unused_part(part(1)) => part(2).as_array().cloned().map(Self::Set),
            _ => None,
        }
    }
}

/// What fills the places of a command that it does not need.
fn is_unused_part(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => !truth,
        Value::Null => true,
        Value::Number(number) => whole(number) == Some(0),
        Value::Array(_) | Value::Object(_) | Value::String(_) => false,
    }
}

/// The elements of a list, also of one that is written as text; `None` for
/// nothing at all.
///
/// # Errors
/// The value, when it is no list.
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

/// An element of a list of ids.
fn parse_member(field: &Field, relation: &ModelName, id: &Value) -> Result<Coerced, String> {
    let taken = parse_record(relation, id).ok();
    // The records of a one2many are the parts of this one, and go by no name.
    let by_name = |taken: &Coerced| {
        let link = taken.link.as_ref();
        link.is_some_and(|(_, wanted)| matches!(wanted, LinkTarget::Name(_)))
    };
    taken
        .filter(|taken| field.kind == FieldKind::Many2many || !by_name(taken))
        .ok_or_else(|| {
            let names = if field.kind == FieldKind::Many2many {
                " or its name"
            } else {
                ""
            };
            format!(
                "stands for no record; give the id of one of `{relation}`{names}, not {}",
                quoted(id)
            )
        })
}

/// What becomes of records that are taken out of the list.
fn unlink_consequence(field: &Field) -> &'static str {
    if field.kind == FieldKind::One2many {
        "those that cannot be without this record are deleted, others lose their link to it"
    } else {
        "none is deleted, they only lose their link"
    }
}

fn wrong_form_error(field: &Field, relation: &ModelName, value: &Value) -> String {
    let ids = if field.kind == FieldKind::Many2many {
        "the ids or names of all records that it is to have, `[7, 8]`"
    } else {
        "the values of new records, `[{…}]`"
    };
    format!(
        "takes {ids}, or commands on records of `{relation}`: `[[4, 7]]` adds one, `[[3, 7]]` \
         takes one out, `[[0, 0, {{…}}]]` makes one, `[[1, 7, {{…}}]]` changes one, \
         `[[6, 0, [7, 8]]]` sets all; not {}",
        quoted(value)
    )
}

fn invalid_command_error(command: &Value) -> String {
    format!(
        "is no command: {}; write `[0, 0, {{…}}]` to make, `[1, id, {{…}}]` to change, `[2, id]` to \
         delete, `[3, id]` to take out, `[4, id]` to put in, `[5]` to empty, `[6, 0, [ids]]` to set",
        quoted(command)
    )
}
