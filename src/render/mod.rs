//! What is handed back to a language model: tables, pages, budgets.
//!
//! Everything here is text for a reader who pays by the token and who must not
//! be fooled: a record's content can never look like a row, a column or a note
//! of ours ([`one_line`]).

mod default_fields;
mod describe;
mod documentation;
mod footer;
mod models;
mod names;
mod page;
mod rows;
mod table;

pub use default_fields::default_fields;
pub use describe::{FieldSelector, describe};
pub use documentation::{Documentation, MethodDocumentation, methods};
pub use footer::{Footer, footer};
pub use models::{ModelEntry, models, parse_models};
pub use names::{names, parse_names};
pub use page::{InvalidCursor, SearchPage};
pub use rows::Rows;
pub use table::table;

/// A text within its budget, and how much of what there was is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// How many of the records, models or fields it shows.
    pub shown: usize,
}
