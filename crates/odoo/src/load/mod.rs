//! A table of records, in the form of Odoo's own import.

mod column;
mod dry_run;
mod invalid;
mod table;
#[cfg(test)]
mod tests;

pub use column::{CellMeaning, Column, cell_at, parse_ids, record_starts, split_line_columns};
pub use invalid::InvalidLoad;
pub use table::Load;
