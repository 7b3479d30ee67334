//! The tool that is meant by a name that no tool has.

use super::{ALL, Tool};

/// The longest name that is compared.
const MAX_NAME: usize = 80;

/// The names that models try, mostly those of Odoo's methods.
const SYNONYMS: [(&str, &str); 14] = [
    (
        "search_records",
        "search search_read web_search_read query list_records get_records find_records",
    ),
    ("read_records", "read get get_record fetch browse web_read"),
    ("count_records", "search_count count"),
    (
        "aggregate_records",
        "read_group formatted_read_group web_read_group group_by group aggregate sum pivot",
    ),
    ("find_by_name", "name_search name_get find lookup"),
    ("list_models", "models get_models ir_model list_tables"),
    (
        "describe_model",
        "fields_get get_fields list_fields model_fields get_model schema describe",
    ),
    ("create_records", "create insert add new name_create"),
    ("import_records", "load import"),
    (
        "update_records",
        "write update edit set modify web_save archive",
    ),
    ("delete_records", "unlink delete remove"),
    (
        "call_method",
        "execute execute_kw execute_method call method button action",
    ),
    (
        "post_message",
        "message_post message post comment log_note send_message",
    ),
    ("undo_change", "undo revert rollback"),
];

/// The tool that an unknown name means, of those that are allowed.
pub fn meant_tool(unknown: &str, allows: impl Fn(&Tool) -> bool) -> Option<&'static str> {
    if unknown.len() > MAX_NAME {
        return None;
    }
    let name = unknown.to_ascii_lowercase().replace('-', "_");
    // Some clients write the name of the server before that of the tool.
    let after = |separator: &str| name.rsplit(separator).next().unwrap_or(&name).to_owned();
    let names = [
        name.clone(),
        after("__"),
        after("."),
        after("/"),
        name.trim_start_matches("odoo_").to_owned(),
    ];
    let is_meant = |tool: &Tool, name: &str| {
        let mut entries = SYNONYMS.iter().filter(|(of, _)| *of == tool.name);
        tool.name == name || entries.any(|(_, others)| others.split(' ').any(|one| one == name))
    };
    let allowed = || ALL.iter().filter(|tool| allows(tool));
    let synonym = names
        .iter()
        .find_map(|name| allowed().find(|tool| is_meant(tool, name)));
    let similar = || {
        let near = allowed().map(|tool| (strsim::osa_distance(tool.name, &name), tool));
        near.filter(|(distance, _)| *distance <= 2)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, tool)| tool)
    };
    synonym.or_else(similar).map(|tool| tool.name)
}

#[cfg(test)]
mod tests {
    use super::{ALL, SYNONYMS, Tool, meant_tool};

    #[test]
    fn names_of_odoo_and_of_other_servers_lead_to_the_tool() {
        for (unknown, meant) in [
            ("search_read", "search_records"),
            ("read", "read_records"),
            ("create", "create_records"),
            ("write", "update_records"),
            ("unlink", "delete_records"),
            ("read_group", "aggregate_records"),
            ("name_search", "find_by_name"),
            ("fields_get", "describe_model"),
            ("execute_kw", "call_method"),
            ("mcp__odoo__search_records", "search_records"),
            ("odoo.search_read", "search_records"),
            ("odoo_create", "create_records"),
            ("Search-Records", "search_records"),
            ("search_record", "search_records"),
            ("serch_records", "search_records"),
            ("update_recrods", "update_records"),
        ] {
            assert_eq!(meant_tool(unknown, |_| true), Some(meant), "{unknown}");
        }
        assert_eq!(meant_tool("weather", |_| true), None);
        assert_eq!(meant_tool(&"x".repeat(1 << 20), |_| true), None);
        // A caller who may only read learns nothing of tools that write.
        let reads = |tool: &Tool| tool.operation.is_read();
        for unknown in ["create", "create_records", "update_record", "undo"] {
            assert_eq!(meant_tool(unknown, reads), None, "{unknown}");
        }
        // Both call methods, but only one is offered to this caller.
        let posts = |tool: &Tool| tool.name == "post_message";
        assert_eq!(meant_tool("execute_kw", posts), None);
    }

    #[test]
    fn every_tool_has_synonyms() {
        for tool in ALL {
            assert!(
                SYNONYMS.iter().any(|(name, _)| *name == tool.name),
                "{}",
                tool.name
            );
        }
    }
}
