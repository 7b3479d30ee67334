//! Roles.

use super::{Rule, WriteMode};
use gatepost_base::CredentialName;

/// A named set of rules. What a caller may do is what the rules of all their
/// roles open together, without what any of them denies.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// The rules, in the order in which they are written.
    pub rules: Vec<Rule>,
    /// The Odoo user that calls by this role act as, where something else does
    /// not say otherwise.
    pub credential: Option<CredentialName>,
    /// How freely what the rules open may be changed.
    pub write_mode: WriteMode,
}
