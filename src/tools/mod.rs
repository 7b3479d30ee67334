//! The MCP tools, one file each.
//!
//! A tool is data and a function. It reaches Odoo only through the
//! [`OdooSession`](crate::access::OdooSession) that it gets, which decides what
//! the caller may do.

mod aggregate_records;
mod answer_text;
mod arguments;
#[cfg(test)]
mod ask_person;
mod call_method;
mod client_arguments;
mod count_records;
mod create_records;
mod delete_records;
mod describe_model;
mod error;
mod find_by_name;
mod footer;
mod import_records;
mod instructions;
mod list_models;
mod listing;
mod meant_tool;
mod output;
mod post_message;
mod read_back;
mod read_records;
mod search_records;
mod tool;
mod undo_change;
mod update_records;

pub use error::ToolError;
pub use instructions::instructions;
pub use listing::list;
pub use meant_tool::meant_tool;
pub use output::ToolOutput;
pub use tool::{Tool, ToolFuture};

/// All tools, in the order in which they are listed.
pub(crate) static ALL: &[Tool] = &[
    search_records::TOOL,
    read_records::TOOL,
    count_records::TOOL,
    aggregate_records::TOOL,
    find_by_name::TOOL,
    list_models::TOOL,
    describe_model::TOOL,
    create_records::TOOL,
    import_records::TOOL,
    update_records::TOOL,
    delete_records::TOOL,
    call_method::TOOL,
    post_message::TOOL,
    undo_change::TOOL,
];

/// The maximum size of one result in bytes, without its footer.
const MAX_OUTPUT_BYTES: usize = 24_000;
/// The maximum size of a whole result of a read in bytes, for what Odoo makes long.
const MAX_READ_BYTES: usize = 40_000;
/// The maximum size of the text of an error in bytes.
pub const MAX_ERROR_BYTES: usize = 8_000;

/// The tool with this name.
pub fn find(name: &str) -> Option<&'static Tool> {
    let tools = ALL.iter();
    // Never listed; only tests call it.
    #[cfg(test)]
    let tools = tools.chain([&ask_person::TOOL]);
    tools.into_iter().find(|tool| tool.name == name)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::ALL;

    #[test]
    fn every_file_is_a_listed_tool() {
        let parts = [
            "answer_text",
            "arguments",
            "ask_person",
            "client_arguments",
            "error",
            "footer",
            "instructions",
            "listing",
            "meant_tool",
            "mod",
            "output",
            "read_back",
            "snapshots",
            "tool",
        ];
        let files: BTreeSet<String> =
            fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tools"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .filter(|name| !parts.contains(&name.as_str()))
                .collect();
        let listed: BTreeSet<String> = ALL.iter().map(|tool| tool.name.to_owned()).collect();
        assert_eq!(files, listed);
    }

    #[test]
    fn the_readme_names_every_tool() {
        let readme = include_str!("../../README.md");
        for tool in ALL {
            let name = format!("`{}`", tool.name);
            assert!(readme.contains(&name), "{name} is missing");
        }
    }
}
