//! What a tool answers.

use serde::Serialize;

/// The result of `tools/call`: one text for the model, and whether it tells of
/// a failure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    content: [TextContent; 1],
    is_error: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "text")]
struct TextContent {
    text: String,
}

impl ToolResult {
    /// What was asked for.
    pub fn success(text: String) -> Self {
        Self {
            content: [TextContent { text }],
            is_error: false,
        }
    }

    /// Why there is none, in words a model can act on.
    pub fn error(text: String) -> Self {
        Self {
            content: [TextContent { text }],
            is_error: true,
        }
    }

    /// Whether it tells of a failure.
    pub fn is_error(&self) -> bool {
        self.is_error
    }
}
