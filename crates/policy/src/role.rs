//! Roles.

use super::{Rule, WriteMode};
use gatepost_base::CredentialName;

/// A named set of rules. A caller may do what the rules of all their roles open
/// together, except what any of them denies.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// The rules, in the order of the configuration.
    pub rules: Vec<Rule>,
    /// The Odoo user that calls with this role act as, unless a grant names
    /// another one.
    pub credential: Option<CredentialName>,
    /// How freely callers may change what the rules open.
    pub write_mode: WriteMode,
    /// Whether its callers may not find active internal users by name and link them
    /// without a rule that opens `res.users`, whatever other roles allow.
    pub closes_user_search: bool,
}
