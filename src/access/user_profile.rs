//! What Odoo says of itself, and of the user we are there.

use serde::Deserialize;

use gatepost_odoo::RecordId;

/// The Odoo user that calls act as.
#[derive(Clone, Debug)]
pub struct OdooUser {
    /// Its id.
    pub id: RecordId,
    /// The companies it may use, its default one first.
    pub companies: Vec<Company>,
    /// The languages that are installed.
    pub languages: Vec<Box<str>>,
}

/// One company.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Company {
    /// Its id.
    pub id: RecordId,
    /// Its name, empty when Odoo would not tell.
    pub name: Box<str>,
}

/// An answer of `res.users/context_get`.
#[derive(Deserialize)]
pub(super) struct WhoAmI {
    pub(super) uid: RecordId,
}

/// An answer of `res.users/read` on ourselves.
#[derive(Deserialize)]
pub(super) struct UserRow {
    pub(super) company_id: (RecordId, Box<str>),
    pub(super) company_ids: Vec<RecordId>,
}

/// An answer of `res.company/read`.
#[derive(Deserialize)]
pub(super) struct CompanyRow {
    pub(super) id: RecordId,
    pub(super) name: Box<str>,
}

/// An answer of `res.lang/search_read`.
#[derive(Deserialize)]
pub(super) struct LanguageRow {
    pub(super) code: Box<str>,
}
