//! What `gatepost check --live` reports: whether credentials work and whether
//! the rules name what Odoo has.

mod credential_check;
mod policy_check;

pub use credential_check::CredentialCheck;
pub use policy_check::PolicyFinding;
