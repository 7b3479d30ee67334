//! A change happens once: the key that names it, and what became of an attempt
//! whose response was lost.

pub(crate) mod baseline;
pub(crate) mod entry;
pub(crate) mod find_created;
pub(crate) mod find_deleted;
pub(crate) mod fingerprint;

pub use baseline::Baseline;
pub use entry::CompletedWrite;
pub use find_created::{after_baseline, can_be_searched, find_created, odoo_time};
pub use find_deleted::find_deleted;
pub use fingerprint::RequestFingerprint;
