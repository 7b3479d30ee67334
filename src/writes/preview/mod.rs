//! The text that shows a change before it is approved, and what was stored after it.

pub(crate) mod dependants;
mod ids;
pub(crate) mod import;
mod list_names;
pub(crate) mod records;
mod stored;
pub(crate) mod x2many;

pub use dependants::dependants;
pub use ids::{id_list, id_ranges, read_hint, search_hint};
pub use import::{ImportLinks, ImportPreview};
pub use list_names::load_display_names;
pub use records::{PreviewRenderer, new_json};
