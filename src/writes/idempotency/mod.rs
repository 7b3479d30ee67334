//! Idempotency: a repeated call returns the first result, and the outcome of a
//! call whose response was lost is looked up in Odoo instead of sent again.

pub(crate) mod baseline;
pub(crate) mod entry;
pub(crate) mod find_created;
pub(crate) mod find_deleted;
pub(crate) mod fingerprint;
mod odoo_time;

pub use baseline::Baseline;
pub(crate) use entry::send_window;
pub use find_created::{after_baseline, can_be_searched, find_created};
pub use find_deleted::find_deleted;
pub use fingerprint::RequestFingerprint;
pub use odoo_time::odoo_time;
