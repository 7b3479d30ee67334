//! A model and its records.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// The values of one record, by field.
pub(super) type Row = Map<String, Value>;

/// A model: its name, fields and records.
///
/// Cheap to clone: unchanged records are shared.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) model: &'static str,
    pub(super) label: &'static str,
    /// The lowest group that may read it.
    pub(super) read_group: Group,
    pub(super) fields: Arc<BTreeMap<&'static str, Field>>,
    pub(super) rows: BTreeMap<u32, Arc<Row>>,
    /// Odoo's `_order`.
    pub(super) order: &'static str,
    /// The largest id used so far.
    pub(super) last_id: u32,
}

/// A field, as a line of `data/models.txt` declares it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) kind: &'static str,
    pub(super) label: &'static str,
    pub(super) relation: Option<&'static str>,
    /// For a one2many: the field that points back.
    pub(super) inverse: Option<&'static str>,
    pub(super) choices: Vec<(&'static str, &'static str)>,
    /// For a float: its number of decimals.
    pub(super) decimals: Option<u8>,
    pub(super) required: bool,
    /// Whether its value is stored. One that is not is computed on reading, and a
    /// write to it is silently ignored.
    pub(super) stored: bool,
    /// As Odoo describes it. It does not prevent writing.
    pub(super) readonly: bool,
    /// Whether the record it points to must belong to the same company.
    pub(super) check_company: bool,
    pub(super) on_delete: OnDelete,
    /// The fields that its computed value depends on.
    pub(super) depends: Vec<&'static str>,
    /// Its value in a new record that is given none, as the data file spells it.
    pub(super) default: Option<&'static str>,
    /// The same, where Odoo computes it: `default_get` does not return it.
    pub(super) computed: Option<&'static str>,
    /// The domain of the records that it can point to, as Odoo describes it.
    pub(super) domain: Option<&'static str>,
    /// The path of the field whose value it shows.
    pub(super) related: Option<&'static str>,
    /// The most characters of a text.
    pub(super) size: Option<u8>,
    /// The lowest group that sees the field; all do if `None`.
    pub(super) group: Option<Group>,
}

/// What happens to a record when the one it points to is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// The other record cannot be deleted.
    Restrict,
    /// Its field is cleared.
    SetNull,
}

/// Groups of users. Each has all rights of those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Group {
    /// All employees.
    Internal,
    /// Salespeople, who see their own documents.
    Sales,
    /// Administrators.
    Admin,
}

impl Table {
    /// The display name of a record.
    pub(super) fn display_name(&self, row: &Row) -> String {
        ["complete_name", "name", "subject"]
            .iter()
            .find_map(|field| row.get(*field).and_then(Value::as_str))
            .map_or_else(
                || format!("{},{}", self.model, row.get("id").unwrap_or(&Value::Null)),
                str::to_owned,
            )
    }

    /// Whether its records have messages and followers (`mail.thread`).
    pub(super) fn is_thread(&self) -> bool {
        self.fields.contains_key("message_ids")
    }

    /// The ids of the records that satisfy the condition.
    pub(super) fn ids_where(&self, condition: impl Fn(&Row) -> bool) -> Vec<u32> {
        let rows = self.rows.iter();
        rows.filter(|(_, row)| condition(row))
            .map(|(id, _)| *id)
            .collect()
    }

    /// A record by its id.
    pub(super) fn row(&self, id: u32) -> Option<&Row> {
        self.rows.get(&id).map(Arc::as_ref)
    }

    /// Adds a record with the next id and the fields that Odoo fills itself;
    /// returns the id.
    pub(super) fn insert(&mut self, row: Row, user: u32, at: &str) -> u32 {
        let id = self.last_id + 1;
        self.insert_with_id(id, row, user, at);
        id
    }

    /// Adds a record with this id. Creation and change stamps that the values
    /// already have are not changed.
    pub(super) fn insert_with_id(&mut self, id: u32, mut row: Row, user: u32, at: &str) {
        row.insert("id".to_owned(), id.into());
        for (field, stamp) in [
            ("create_date", Value::from(at)),
            ("create_uid", user.into()),
            ("write_date", at.into()),
            ("write_uid", user.into()),
        ] {
            if *value(&row, field) == Value::Bool(false) {
                row.insert(field.to_owned(), stamp);
            }
        }
        self.last_id = self.last_id.max(id);
        self.rows.insert(id, Arc::new(row));
    }
}

impl Field {
    /// Whether it can hold several records.
    pub(super) fn is_x2many(&self) -> bool {
        self.kind.ends_with("2many")
    }
}

/// The values of a record, from a JSON object.
pub(super) fn row_from_json(values: Value) -> Row {
    if let Value::Object(row) = values {
        row
    } else {
        Row::new()
    }
}

/// The value of a field, `false` when it is not set.
pub(super) fn value<'a>(row: &'a Row, field: &str) -> &'a Value {
    row.get(field).unwrap_or(&Value::Bool(false))
}

/// The text of a field, empty when it is not set.
pub(super) fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    value(row, field).as_str().unwrap_or_default()
}

/// The number of a field, zero when it is not set.
pub(super) fn number(row: &Row, field: &str) -> f64 {
    value(row, field).as_f64().unwrap_or_default()
}

/// The id in a many2one field.
pub(super) fn link(row: &Row, field: &str) -> Option<u32> {
    value(row, field)
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
        .filter(|id| *id > 0)
}
