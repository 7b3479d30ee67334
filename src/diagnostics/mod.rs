//! The checks of `gatepost check --live`: whether credentials and tokens work, and
//! whether Odoo has what the rules name. While the gateway runs, when the keys of
//! Odoo expire.

mod credential_check;
mod domain_check;
mod key_expiry;
mod odoo_lookup;
mod policy_check;

pub use credential_check::CredentialCheck;
pub use policy_check::PolicyFinding;
