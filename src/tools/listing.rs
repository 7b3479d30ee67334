//! The response to `tools/list`.

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{ALL, Tool};
use gatepost_mcp::{ProtocolEra, ProtocolError};
use gatepost_odoo::ModelName;

/// Tools on one page of the list.
const PAGE_SIZE: usize = 50;
/// How long a client may cache the list, in milliseconds.
const TTL_MS: u32 = 300_000;
/// The most models that a description names.
const MAX_NAMED_MODELS: usize = 8;

/// One page of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolListPage {
    tools: Vec<Cow<'static, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// 2026-07-28, "Caching"; older clients do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<&'static str>,
}

/// The entry of each tool, serialized once.
static ENTRIES: LazyLock<Vec<(&'static Tool, Box<RawValue>)>> = LazyLock::new(|| {
    ALL.iter()
        .filter_map(|tool| {
            serde_json::value::to_raw_value(&entry(tool))
                .ok()
                .map(|raw| (tool, raw))
        })
        .collect()
});

fn entry(tool: &Tool) -> Value {
    // The other hints are meaningless for a tool that only reads (MCP, schema,
    // `ToolAnnotations`).
    let annotations = if tool.operation.is_read() {
        json!({ "readOnlyHint": true, "openWorldHint": false })
    } else {
        json!({
            "readOnlyHint": false,
            "destructiveHint": tool.destructive,
            "openWorldHint": false,
        })
    };
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": (tool.input_schema)(),
        "annotations": annotations,
    })
}

/// The entry with the models for which the tool is open in its description.
fn with_models(entry: &RawValue, models: &BTreeSet<ModelName>) -> Option<Box<RawValue>> {
    let mut entry: Value = serde_json::from_str(entry.get()).ok()?;
    let names: Vec<String> = models.iter().map(|model| format!("`{model}`")).collect();
    let description = entry.get_mut("description")?;
    *description = format!("{} Only for {}.", description.as_str()?, names.join(", ")).into();
    serde_json::value::to_raw_value(&entry).ok()
}

/// Returns a page of the tools that are open to the caller, in a fixed order.
///
/// `models` returns those for which a tool is open, if the roles name them all. The
/// description names them if they are few; a tool that is open for none is left out.
///
/// # Errors
/// [`ProtocolError::InvalidParams`] if the cursor is invalid.
pub fn list(
    opens: impl Fn(&Tool) -> bool,
    models: impl Fn(&Tool) -> Option<BTreeSet<ModelName>>,
    cursor: Option<&str>,
    era: ProtocolEra,
) -> Result<ToolListPage, ProtocolError> {
    let open: Vec<Cow<'static, RawValue>> = ENTRIES
        .iter()
        .filter(|(tool, _)| opens(tool))
        .filter_map(|(tool, entry)| match models(tool) {
            Some(models) if models.is_empty() => None,
            Some(models) if models.len() <= MAX_NAMED_MODELS => {
                with_models(entry, &models).map(Cow::Owned)
            }
            Some(_) | None => Some(Cow::Borrowed(&**entry)),
        })
        .collect();
    let begin = match cursor {
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("tools-")
            .and_then(|number| number.parse::<usize>().ok())
            .filter(|begin| (1..open.len()).contains(begin))
            .ok_or_else(|| {
                ProtocolError::InvalidParams("invalid `cursor`; start without one".to_owned())
            })?,
    };
    let next = begin.saturating_add(PAGE_SIZE);
    let stateless = era == ProtocolEra::Stateless;
    Ok(ToolListPage {
        next_cursor: (next < open.len()).then(|| format!("tools-{next}")),
        tools: open.into_iter().skip(begin).take(PAGE_SIZE).collect(),
        ttl_ms: stateless.then_some(TTL_MS),
        // What is listed depends on the caller's roles.
        cache_scope: stateless.then_some("private"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{ENTRIES, list};
    use gatepost_mcp::ProtocolEra;

    #[test]
    fn tool_list_matches_its_snapshot() {
        let tools: Vec<Value> = ENTRIES
            .iter()
            .map(|(_, raw)| serde_json::from_str(raw.get()).unwrap())
            .collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&tools).unwrap());
    }

    #[test]
    fn tool_list_stays_small_and_uses_only_simple_schemas() {
        let page =
            serde_json::to_string(&list(|_| true, |_| None, None, ProtocolEra::Stateless).unwrap())
                .unwrap();
        assert!(page.len() < 16_000, "{} bytes", page.len());
        for word in ["$ref", "anyOf", "oneOf", "$schema", "$defs", "{}"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn caller_without_access_sees_no_tools_and_bad_cursor_is_rejected() {
        let none =
            serde_json::to_value(list(|_| false, |_| None, None, ProtocolEra::Handshake).unwrap())
                .unwrap();
        assert_eq!(none, serde_json::json!({ "tools": [] }));
        for strange in ["", "x", "tools-0", "tools-99", "tools--1"] {
            assert!(
                list(|_| true, |_| None, Some(strange), ProtocolEra::Handshake).is_err(),
                "{strange}"
            );
        }
    }
}
