//! What can be wrong with an import.

/// The maximum number of columns.
pub(super) const MAX_COLUMNS: usize = 100;

/// The maximum size of one cell in bytes: enough for texts, not for files.
pub(super) const MAX_CELL_BYTES: usize = 64 << 10;

/// The maximum size of all cells in bytes.
pub(super) const MAX_BYTES: usize = 2 << 20;

/// What is wrong with a table. `Display` is for the language model that sent it.
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
    /// Not a column.
    #[error(
        "`{0}` is not a column; write a field such as `name`, a link as `country_id/.id` (database id), `country_id/id` (external id) or `country_id` (exact name), a field of a line as `order_line/product_id/.id`"
    )]
    Column(String),
    /// There are no columns, or too many.
    #[error("name 1 to {MAX_COLUMNS} columns in `fields`, not {0}")]
    Columns(usize),
    /// Not a database id.
    #[error(
        "row {row}, column `{column}`: `{value}` is not a database id; write a whole number such as 42 (search_records and find_by_name return ids), or leave the cell empty"
    )]
    DatabaseId {
        /// From 1.
        row: usize,
        /// The column.
        column: Box<str>,
        /// The cell, cut short.
        value: String,
    },
    /// An external id that an import may not assign.
    #[error(
        "row {row}: `{value}` cannot be an external id here; choose one without spaces and dots, such as `customer_42`. To update records of Odoo's modules, name them by database id in the column `.id`"
    )]
    ExternalId {
        /// From 1.
        row: usize,
        /// The cell, cut short.
        value: String,
    },
    /// Two rows name one record.
    #[error(
        "rows {first} and {second} name the same record, `{value}`; give each record one row, and fill only the columns of its lines in the rows that follow"
    )]
    DuplicateRecord {
        /// From 1.
        first: usize,
        /// From 1.
        second: usize,
        /// The cell, cut short.
        value: String,
    },
    /// A cell contains NUL, which PostgreSQL does not store.
    #[error(
        "row {row}, column `{column}`: the cell contains a NUL character, which Odoo cannot store; leave it out"
    )]
    Nul {
        /// From 1.
        row: usize,
        /// The column.
        column: Box<str>,
    },
    /// All cells together are too large.
    #[error("all cells together hold more than {MAX_BYTES} bytes; import fewer rows at once")]
    Size,
    /// Two columns set the same field.
    #[error("column `{0}` sets the same field as another column; give each field one column")]
    DuplicateColumn(Box<str>),
    /// A row has more or fewer cells than there are columns.
    #[error(
        "row {row} has {cells} cells for {columns} columns; write an empty text for an empty cell"
    )]
    Width {
        /// From 1.
        row: usize,
        /// How many cells it has.
        cells: usize,
        /// How many columns there are.
        columns: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::InvalidLoad;

    #[test]
    fn invalid_imports_say_which_cell_is_wrong_and_what_would_be_right() {
        let column = || Box::from("country_id/.id");
        let value = || "<cell>".to_owned();
        let errors = [
            InvalidLoad::Cell {
                row: 2,
                column: column(),
            },
            InvalidLoad::Column("a/b/c/d".to_owned()),
            InvalidLoad::Columns(0),
            InvalidLoad::DatabaseId {
                row: 2,
                column: column(),
                value: value(),
            },
            InvalidLoad::ExternalId {
                row: 2,
                value: value(),
            },
            InvalidLoad::DuplicateRecord {
                first: 1,
                second: 2,
                value: value(),
            },
            InvalidLoad::Nul {
                row: 2,
                column: column(),
            },
            InvalidLoad::Size,
            InvalidLoad::DuplicateColumn(column()),
            InvalidLoad::Width {
                row: 2,
                cells: 3,
                columns: 4,
            },
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
