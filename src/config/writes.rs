//! `writes` and `approval`: how freely records may be changed.

use schemars::JsonSchema;
use serde::Deserialize;

use gatepost_policy::WriteMode;

/// How freely records may be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// Not at all.
    #[default]
    ReadOnly,
    /// A change is shown first, and made when it is confirmed.
    Confirm,
    /// At once.
    Direct,
}

/// Who confirms a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// The client, with a second call.
    #[default]
    Client,
    /// Somebody at the client, who is asked by it.
    Human,
}

impl Writes {
    /// What a role has that lowers nothing.
    pub(super) fn direct() -> Self {
        Self::Direct
    }

    /// The mode that both words make together.
    pub fn to_mode(self, approval: Approval) -> WriteMode {
        match (self, approval) {
            (Self::ReadOnly, _) => WriteMode::ReadOnly,
            (Self::Confirm | Self::Direct, Approval::Human) => WriteMode::RequireHuman,
            (Self::Confirm, Approval::Client) => WriteMode::Confirm,
            (Self::Direct, Approval::Client) => WriteMode::Direct,
        }
    }
}
