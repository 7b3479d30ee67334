//! The tool `post_message`.

mod arguments;
mod operation;
mod recipients;

pub(super) use arguments::TOOL;
