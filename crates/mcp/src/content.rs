//! The result of a tool.

use serde::Serialize;

/// The result of `tools/call`: a text for the model, and whether it is an error.
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
    /// A successful result.
    pub fn success(text: String) -> Self {
        Self {
            content: [TextContent { text }],
            is_error: false,
        }
    }

    /// An error that a model can act on.
    pub fn error(text: String) -> Self {
        Self {
            content: [TextContent { text }],
            is_error: true,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.is_error
    }
}
