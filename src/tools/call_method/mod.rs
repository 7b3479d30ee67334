//! The tool `call_method`.

mod arguments;
mod operation;
mod render;

pub(super) use arguments::TOOL;
