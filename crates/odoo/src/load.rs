//! A table of records, as Odoo's own import takes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{FieldName, RecordId, Schema};

/// Columns at the most.
const MAX_COLUMNS: usize = 100;
/// Steps of one column: lines of lines of lines.
const MAX_STEPS: usize = 6;
/// Bytes of one cell, for texts; files are not for tables.
const MAX_CELL_BYTES: usize = 64 << 10;
/// Bytes of all cells.
const MAX_BYTES: usize = 2 << 20;
/// Characters of one external id.
const MAX_EXTERNAL_ID: usize = 200;

/// The modules in whose name external ids may be given to records. The first is
/// where Odoo puts one without a module; the other is that of Odoo's exports.
///
/// A real module's ids are its own: the next upgrade deletes what it does not
/// know, and `base.main_company` would change the company itself.
const OWN_MODULES: [&str; 2] = [IMPORT_MODULE, "__export__"];
/// Where Odoo puts an external id without a module.
const IMPORT_MODULE: &str = "__import__";

/// A table of records to be made or changed (Odoo 19, `BaseModel.load`).
///
/// Every row has a cell for each column, no two columns say the same, external
/// ids are in a module of nobody's, and no two rows name the same record.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// How it is tried, where it is only that.
    dry_run: Option<DryRun>,
}

/// Where a table is made wrong for a trial.
#[derive(Clone, PartialEq, Eq, Debug)]
struct DryRun {
    /// The rows at which records begin.
    record_start_rows: Vec<usize>,
    /// Whether the model has the column of the wrong time.
    has_create_date: bool,
}

/// A column of a table, such as `name`, `country_id/id`, `order_line/product_id/.id`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    text: Box<str>,
    steps: Vec<FieldName>,
    meaning: CellMeaning,
}

/// What the cells of a column say of where it leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CellMeaning {
    /// The database id of the record (`.id`).
    DatabaseId,
    /// The external id of the record (`id`).
    ExternalId,
    /// The value, or the name of the record.
    Value,
}

/// What is wrong with a table. `Display` is for the model that wrote it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidLoad {
    /// A cell is too large.
    #[error(
        "row {row}, column `{column}`: a cell holds at most {MAX_CELL_BYTES} bytes; write such a value with update_records"
    )]
    Cell {
        /// From 1.
        row: usize,
        /// The column.
        column: Box<str>,
    },
    /// A column is none.
    #[error(
        "`{0}` is not a column; write a field such as `name`, a link as `country_id/.id` (database id), `country_id/id` (external id) or `country_id` (exact name), a field of a line as `order_line/product_id/.id`"
    )]
    Column(String),
    /// There are too many columns, or none.
    #[error("name 1 to {MAX_COLUMNS} columns in `fields`, not {0}")]
    Columns(usize),
    /// What should be a database id is none.
    #[error(
        "row {row}, column `{column}`: `{value}` is not a database id; write a whole number such as 42 (search_records and find_by_name tell ids), or leave the cell empty"
    )]
    DatabaseId {
        /// From 1.
        row: usize,
        /// The column.
        column: Box<str>,
        /// The cell, cut short.
        value: String,
    },
    /// An external id that nobody may give here.
    #[error(
        "row {row}: `{value}` cannot be an external id here; write one of your own without spaces and without a dot, such as `customer_42`. Records of Odoo's modules are changed by their database id, in the column `.id`"
    )]
    ExternalId {
        /// From 1.
        row: usize,
        /// The cell, cut short.
        value: String,
    },
    /// Two rows name one record.
    #[error(
        "rows {first} and {second} name the same record, `{value}`; each record has one row, and its further lines have nothing but cells of lines"
    )]
    DuplicateRecord {
        /// From 1.
        first: usize,
        /// From 1.
        second: usize,
        /// The cell, cut short.
        value: String,
    },
    /// All of it is too much.
    #[error("all cells together hold more than {MAX_BYTES} bytes; import fewer rows at once")]
    Size,
    /// Two columns say the same thing.
    #[error("column `{0}` says what another one says already; give each field one column")]
    DuplicateColumn(Box<str>),
    /// A row has more or fewer cells than there are columns.
    #[error("row {row} has {cells} cells for {columns} columns; an empty text is an empty cell")]
    Width {
        /// From 1.
        row: usize,
        /// How many cells it has.
        cells: usize,
        /// How many columns there are.
        columns: usize,
    },
}

impl Column {
    /// Where it leads, from field to field; nowhere for `id` and `.id` of the
    /// record itself.
    pub fn steps(&self) -> &[FieldName] {
        &self.steps
    }

    /// What its cells say.
    pub fn meaning(&self) -> CellMeaning {
        self.meaning
    }

    /// The column as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    // Odoo would also read `a.id` and `a:id` as paths; those stop here.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut parts: Vec<&str> = text.split('/').collect();
        let says = match parts.last() {
            Some(&".id") => CellMeaning::DatabaseId,
            Some(&"id") => CellMeaning::ExternalId,
            Some(_) | None => CellMeaning::Value,
        };
        if says != CellMeaning::Value {
            parts.pop();
        }
        let steps: Vec<FieldName> = parts
            .iter()
            .map(|part| FieldName::try_from(*part).ok().filter(|_| *part != "id"))
            .collect::<Option<_>>()?;
        (steps.len() <= MAX_STEPS).then(|| Self {
            text: text.into(),
            steps,
            meaning: says,
        })
    }
}

impl Load {
    /// The table of these columns and rows.
    ///
    /// # Errors
    /// [`InvalidLoad`] says what is wrong first.
    pub fn new(columns: &[String], rows: Vec<Vec<String>>) -> Result<Self, InvalidLoad> {
        if !(1..=MAX_COLUMNS).contains(&columns.len()) {
            return Err(InvalidLoad::Columns(columns.len()));
        }
        let columns: Vec<Column> = columns
            .iter()
            .map(|text| Column::parse(text).ok_or_else(|| InvalidLoad::Column(truncate(text))))
            .collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(&column.steps)) {
            return Err(InvalidLoad::DuplicateColumn(twice.text.clone()));
        }
        let load = Self {
            columns,
            rows,
            dry_run: None,
        };
        load.check()?;
        Ok(load)
    }

    fn check(&self) -> Result<(), InvalidLoad> {
        let mut bytes = 0_usize;
        let mut named: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (index, cells) in self.rows.iter().enumerate() {
            let row = index + 1;
            if cells.len() != self.columns.len() {
                return Err(InvalidLoad::Width {
                    row,
                    cells: cells.len(),
                    columns: self.columns.len(),
                });
            }
            for (column, cell) in self.columns.iter().zip(cells) {
                bytes += cell.len();
                if cell.len() > MAX_CELL_BYTES {
                    let column = column.text.clone();
                    return Err(InvalidLoad::Cell { row, column });
                }
                check_cell(column, cell, row)?;
                if column.steps.is_empty()
                    && !cell.is_empty()
                    && let Some(first) = named.insert(record_key(column, cell), row)
                {
                    return Err(InvalidLoad::DuplicateRecord {
                        first,
                        second: row,
                        value: truncate(cell),
                    });
                }
            }
        }
        if bytes > MAX_BYTES {
            return Err(InvalidLoad::Size);
        }
        Ok(())
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, with a cell for each column.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The column that names the records themselves, and where it is.
    pub fn key_column(&self) -> Option<(usize, &Column)> {
        let mut columns = self.columns.iter().enumerate();
        columns.find(|(_, column)| column.steps.is_empty())
    }

    /// Whether every row names a record by its database id, so that none is made.
    pub fn only_updates(&self) -> bool {
        self.key_column().is_some_and(|(at, column)| {
            column.meaning == CellMeaning::DatabaseId
                && self.rows.iter().all(|row| !cell_at(row, at).is_empty())
        })
    }

    /// The external ids of its records, each a module and a name.
    pub fn external_ids(&self) -> Vec<(String, String)> {
        let key = self.key_column();
        let Some((at, _)) = key.filter(|(_, column)| column.meaning == CellMeaning::ExternalId)
        else {
            return Vec::new();
        };
        let cells = self.rows.iter().map(|row| cell_at(row, at));
        cells
            .filter(|cell| !cell.is_empty())
            .map(Self::external_id)
            .collect()
    }

    /// The external id in a cell, a module and a name.
    pub fn external_id(cell: &str) -> (String, String) {
        let (module, name) = cell.split_once('.').unwrap_or((IMPORT_MODULE, cell));
        (module.to_owned(), name.to_owned())
    }

    /// The rows at which records of the table begin, from 0.
    pub fn record_start_rows(&self, schema: &Schema) -> Vec<usize> {
        let (lines, others) =
            split_line_columns(self.columns.iter().map(Column::steps).enumerate(), schema);
        let rows: Vec<&[String]> = self.rows.iter().map(Vec::as_slice).collect();
        beginnings(&rows, &lines, &others)
    }

    /// The same table, to be tried and taken back; none for a model of which that
    /// cannot be made sure.
    ///
    /// Odoo has no trial over JSON/2, but takes all back when one cell is wrong.
    /// So each record gets a cell that cannot be right, a time that is none, and
    /// the first one a database id that no record has. Odoo logs such a cell as an
    /// error and leaves it out of the values, so everything else is tried just as
    /// it would be done (`BaseModel.load`, `_convert_records`).
    pub fn into_dry_run(self, schema: &Schema) -> Option<Self> {
        let trial = DryRun {
            record_start_rows: self.record_start_rows(schema),
            has_create_date: schema.field(INVALID_TIME.0).is_some(),
        };
        if !trial.has_create_date && !self.adds_invalid_id() {
            return None;
        }
        let trial = Some(trial);
        Some(Self {
            dry_run: trial,
            ..self
        })
    }

    /// Whether it is only tried.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }

    /// Whether a message of Odoo's is about a cell that was made wrong for a
    /// trial.
    pub(super) fn is_dry_run_marker(&self, field: &str) -> bool {
        self.is_dry_run()
            && (field == INVALID_TIME.0 || (field == INVALID_ID.0 && self.adds_invalid_id()))
    }

    fn adds_invalid_id(&self) -> bool {
        self.key_column()
            .is_none_or(|(_, column)| column.meaning != CellMeaning::DatabaseId)
    }

    pub(super) fn arguments(&self) -> Map<String, Value> {
        let mut fields: Vec<Value> = self
            .columns
            .iter()
            .map(|column| Value::from(&*column.text))
            .collect();
        let mut rows: Vec<Vec<Value>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| Value::from(cell.as_str())).collect())
            .collect();
        if let Some(trial) = &self.dry_run {
            let begins: BTreeSet<usize> = trial.record_start_rows.iter().copied().collect();
            let mut add = |(column, wrong): (&str, &str), at: &dyn Fn(usize) -> bool| {
                fields.push(Value::from(column));
                for (index, row) in rows.iter_mut().enumerate() {
                    row.push(Value::from(if at(index) { wrong } else { "" }));
                }
            };
            if trial.has_create_date {
                add(INVALID_TIME, &|index| begins.contains(&index));
            }
            if self.adds_invalid_id() {
                add(INVALID_ID, &|index| index == 0);
            }
        }
        Map::from_iter([
            ("fields".to_owned(), Value::Array(fields)),
            (
                "data".to_owned(),
                rows.into_iter().map(Value::Array).collect(),
            ),
        ])
    }

    /// What the context must say: that this is an import, so that Odoo does what
    /// its own import screen does (no invitations to new users, each mistake with
    /// its column), and that a trial sends no mail at once.
    pub(super) fn context(&self) -> Map<String, Value> {
        let mut keys = Map::from_iter([("import_file".to_owned(), Value::Bool(true))]);
        if self.is_dry_run() {
            keys.insert("mail_notify_force_send".to_owned(), Value::Bool(false));
        }
        keys
    }
}

/// A column that nobody may write, and a cell that is no time.
const INVALID_TIME: (&str, &str) = ("create_date", "never");
/// No record has a negative id.
const INVALID_ID: (&str, &str) = (".id", "-1");

/// Which columns are of lines, and which are not.
pub fn split_line_columns<'c>(
    columns: impl Iterator<Item = (usize, &'c [FieldName])>,
    schema: &Schema,
) -> (Vec<usize>, Vec<usize>) {
    let (lines, others): (Vec<_>, Vec<_>) = columns.partition(|(_, steps)| {
        steps
            .first()
            .and_then(|step| schema.field(step.as_str()))
            .is_some_and(|field| field.kind == super::FieldKind::One2many)
    });
    let places = |columns: Vec<(usize, &[FieldName])>| columns.iter().map(|(at, _)| *at).collect();
    (places(lines), places(others))
}

/// The rows at which records begin (Odoo 19, `_extract_records`): a row of which
/// only the cells of lines say something goes on with the record before it.
pub fn beginnings(rows: &[&[String]], lines: &[usize], others: &[usize]) -> Vec<usize> {
    let says =
        |row: &[String], places: &[usize]| places.iter().any(|at| !cell_at(row, *at).is_empty());
    (0..rows.len())
        .filter(|index| {
            let row = rows.get(*index).copied().unwrap_or_default();
            *index == 0 || !says(row, lines) || says(row, others)
        })
        .collect()
}

/// A cell; empty where there is none.
pub fn cell_at(row: &[String], at: usize) -> &str {
    row.get(at).map_or("", String::as_str)
}

/// The database ids in a cell; none where something else is in it.
pub fn parse_ids(cell: &str) -> Option<Vec<RecordId>> {
    cell.split(',')
        .map(|text| {
            let text = text.trim_matches(' ');
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse::<i64>().ok()).flatten()?;
            RecordId::try_from(number).ok()
        })
        .collect()
}

/// The same where Odoo takes it for the same record: `07` is 7, and a name
/// without a module is one of its own.
fn record_key(column: &Column, cell: &str) -> (String, String) {
    match (column.meaning, parse_ids(cell).as_deref()) {
        (CellMeaning::DatabaseId, Some([id])) => (String::new(), id.to_string()),
        (CellMeaning::DatabaseId | CellMeaning::ExternalId | CellMeaning::Value, _) => {
            Load::external_id(cell)
        }
    }
}

fn check_cell(column: &Column, cell: &str, row: usize) -> Result<(), InvalidLoad> {
    if cell.is_empty() {
        return Ok(());
    }
    match column.meaning {
        CellMeaning::Value => Ok(()),
        CellMeaning::DatabaseId => {
            let ids = parse_ids(cell);
            let right = ids.is_some_and(|ids| !column.steps.is_empty() || ids.len() == 1);
            right.then_some(()).ok_or_else(|| InvalidLoad::DatabaseId {
                row,
                column: column.text.clone(),
                value: truncate(cell),
            })
        }
        // What a link names is looked up, and never made.
        CellMeaning::ExternalId if !column.steps.is_empty() => Ok(()),
        CellMeaning::ExternalId => {
            let name = match cell.split_once('.') {
                Some((module, name)) => OWN_MODULES.contains(&module).then_some(name),
                None => Some(cell),
            };
            name.filter(|name| {
                (1..=MAX_EXTERNAL_ID).contains(&name.len())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            })
            .map(|_| ())
            .ok_or_else(|| InvalidLoad::ExternalId {
                row,
                value: truncate(cell),
            })
        }
    }
}

fn truncate(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CellMeaning, Column, InvalidLoad, Load, parse_ids};
    use crate::Schema;

    fn load(columns: &[&str], rows: &[&[&str]]) -> Result<Load, InvalidLoad> {
        let text = |cells: &[&str]| cells.iter().map(ToString::to_string).collect();
        let columns: Vec<String> = text(columns);
        Load::new(&columns, rows.iter().map(|row| text(row)).collect())
    }

    fn order() -> Schema {
        Schema::parse(
            br#"{"name":{"type":"char"},"create_date":{"type":"datetime"},"partner_id":{"type":"many2one","relation":"res.partner"},
                 "order_line":{"type":"one2many","relation":"sale.order.line"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn column_parses_to_path_and_cell_meaning() {
        let of = |text| {
            let column = Column::parse(text)?;
            Some((column.steps().len(), column.meaning()))
        };
        assert_eq!(of("id"), Some((0, CellMeaning::ExternalId)));
        assert_eq!(of(".id"), Some((0, CellMeaning::DatabaseId)));
        assert_eq!(of(" name "), Some((1, CellMeaning::Value)));
        assert_eq!(of("country_id/id"), Some((1, CellMeaning::ExternalId)));
        assert_eq!(
            of("order_line/product_id/.id"),
            Some((2, CellMeaning::DatabaseId))
        );
        for wrong in [
            "",
            "/",
            "name/",
            "/id",
            "a//b",
            "country_id.id",
            "country_id:id",
            "id/name",
            ".id/x",
            "props.colour",
            "a b",
            "a/b/c/d/e/f/g",
            "náme",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn malformed_or_oversized_table_is_rejected() {
        assert!(load(&["name", "email"], &[&["A", ""]]).is_ok());
        let refused = [
            load(&[], &[]),
            load(&["name"; 101], &[]),
            load(&["name", "name"], &[]),
            load(&["id", ".id"], &[]),
            load(&["country_id", "country_id/id"], &[]),
            load(&["name"], &[&["A"], &[]]),
            load(&["name"], &[&["A", "B"]]),
            load(&["name"], &[&[&"x".repeat(70_000)]]),
            load(&["name"], &vec![&[&*"x".repeat(60_000)][..]; 40]),
        ];
        for one in refused {
            assert!(one.is_err(), "{one:?}");
        }
    }

    #[test]
    fn external_id_must_be_in_an_import_module() {
        let row = |id: &str| load(&["id", "name"], &[&[id, "A"]]);
        for good in [
            "",
            "customer_42",
            "a-b",
            "__import__.a.b",
            "__export__.res_partner_1_x",
        ] {
            assert!(row(good).is_ok(), "{good}");
        }
        for bad in [
            "base.main_company",
            "legacy.a",
            ".a",
            "__import__.",
            "a b",
            "__import__.a b",
            "é",
        ] {
            assert!(
                matches!(row(bad), Err(InvalidLoad::ExternalId { row: 1, .. })),
                "{bad}"
            );
        }
        // A link is looked up, whoever gave it its id.
        assert!(load(&["country_id/id"], &[&["base.be"]]).is_ok());
    }

    #[test]
    fn database_id_cell_holds_plain_numbers() {
        let plain: Vec<u32> = parse_ids("7, 12")
            .unwrap()
            .iter()
            .map(|id| id.get())
            .collect();
        assert_eq!(plain, [7, 12]);
        for wrong in [
            "x",
            "0",
            "-1",
            "1_0",
            "+1",
            "1.0",
            "2147483648",
            "1,",
            "false",
            "٣",
        ] {
            assert!(load(&[".id"], &[&[wrong]]).is_err(), "{wrong}");
            assert!(load(&["country_id/.id"], &[&[wrong]]).is_err(), "{wrong}");
        }
        assert!(load(&[".id"], &[&["1,2"]]).is_err());
        assert!(load(&["category_id/.id"], &[&["1,2"]]).is_ok());
    }

    #[test]
    fn rows_naming_the_same_record_are_rejected() {
        let twice = load(&["id"], &[&["a"], &[""], &["__import__.a"]]);
        assert!(matches!(
            twice,
            Err(InvalidLoad::DuplicateRecord {
                first: 1,
                second: 3,
                ..
            })
        ));
        assert!(load(&["id"], &[&["a"], &["__export__.a"], &[""], &[""]]).is_ok());
        assert!(load(&[".id"], &[&["5"], &["5"]]).is_err());
    }

    #[test]
    fn row_with_only_line_cells_continues_previous_record() {
        let table = load(
            &["partner_id", "order_line/name", "order_line/qty"],
            &[
                &["A", "x", "1"],
                &["", "y", ""],
                &["B", "", ""],
                &["", "", ""],
                &["", "z", ""],
            ],
        )
        .unwrap();
        assert_eq!(table.record_start_rows(&order()), [0, 2, 3]);
        let first = load(&["name", "order_line/name"], &[&["", "x"], &["", "y"]]).unwrap();
        assert_eq!(first.record_start_rows(&order()), [0]);
    }

    #[test]
    fn dry_run_adds_invalid_cell_to_each_record() {
        let table = load(
            &["name", "order_line/name"],
            &[&["A", "x"], &["", "y"], &["B", ""]],
        )
        .unwrap();
        let plain = table.arguments();
        assert_eq!(plain["fields"], json!(["name", "order_line/name"]));
        let tried = table.into_dry_run(&order()).unwrap().arguments();
        assert_eq!(
            tried["fields"],
            json!(["name", "order_line/name", "create_date", ".id"])
        );
        assert_eq!(
            tried["data"],
            json!([
                ["A", "x", "never", "-1"],
                ["", "y", "", ""],
                ["B", "", "never", ""]
            ])
        );
        let updates = || load(&[".id", "name"], &[&["7", "A"]]).unwrap();
        let tried = updates().into_dry_run(&order()).unwrap();
        assert_eq!(tried.arguments()["data"], json!([["7", "A", "never"]]));
        // Without the time there is the id, or no trial.
        let bare = Schema::from_fields([]);
        let tried = load(&["name"], &[&["A"]])
            .unwrap()
            .into_dry_run(&bare)
            .unwrap();
        assert_eq!(tried.arguments()["data"], json!([["A", "-1"]]));
        assert_eq!(updates().into_dry_run(&bare), None);
    }
}
