//! Text for language models: tables, pages, footers, within byte budgets.
//!
//! The reader pays by the token and must not be deceived: the content of a
//! record can never look like a row, a column or a footer of the gateway
//! ([`one_line`](gatepost_base::text::one_line)).

mod default_fields;
mod describe;
mod documentation;
mod footer;
mod groups;
mod models;
mod names;
mod off_worker;
mod page;
mod rows;
mod table;

pub use default_fields::default_fields;
pub use describe::{FieldSelector, describe};
pub use documentation::{Documentation, MethodDocumentation, methods};
pub use footer::{Footer, footer};
pub use groups::{GroupColumn, Groups, day_of};
pub use models::{ModelEntry, models, parse_models};
pub use names::{names, parse_names};
pub use off_worker::off_worker;
pub use page::{InvalidCursor, SearchPage};
pub use rows::Rows;
pub use table::{Detail, table};

/// A text within its byte budget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// How many of the records, models or fields it shows.
    pub shown: usize,
}

/// Appends lines until the text would exceed `budget_bytes`. Returns how many it
/// appended.
fn append_lines(
    text: &mut String,
    lines: impl IntoIterator<Item = String>,
    budget_bytes: usize,
) -> usize {
    let mut shown = 0;
    for line in lines {
        if text.len() + line.len() > budget_bytes {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    shown
}
