//! `writes` and `approval`: which writes need a preview or an approval.

use schemars::JsonSchema;
use serde::Deserialize;

use gatepost_policy::WriteMode;

/// Which writes are allowed, and whether they need a preview.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// None.
    #[default]
    ReadOnly,
    /// A change is previewed, and made when it is confirmed.
    Confirm,
    /// A change is made at once.
    Direct,
}

/// Who confirms a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// The client, with a second call.
    #[default]
    Client,
    /// The user at the client, by elicitation.
    Human,
}

impl Writes {
    /// The mode that both keys give together.
    pub fn to_mode(self, approval: Approval) -> WriteMode {
        match (self, approval) {
            (Self::ReadOnly, _) => WriteMode::ReadOnly,
            (Self::Confirm | Self::Direct, Approval::Human) => WriteMode::RequireHuman,
            (Self::Confirm, Approval::Client) => WriteMode::Confirm,
            (Self::Direct, Approval::Client) => WriteMode::Direct,
        }
    }
}
