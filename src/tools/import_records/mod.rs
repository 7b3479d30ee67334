//! The tool `import_records`.

mod arguments;
mod operation;
mod plan;
mod preview;
mod recovery;

pub(super) use arguments::TOOL;
