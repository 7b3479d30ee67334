//! The Odoo user that calls act as, and the rows it is read from.

use serde::Deserialize;

use gatepost_odoo::RecordId;

/// The Odoo user that calls act as.
#[derive(Clone, Debug)]
pub struct OdooUser {
    /// Its id.
    pub id: RecordId,
    /// The name that it logs in with; empty if Odoo does not return it.
    pub login: Box<str>,
    /// The companies it may use, the default one first.
    pub companies: Vec<Company>,
    /// Its time zone, an IANA name, if it has one.
    pub time_zone: Option<Box<str>>,
    /// The codes of the installed languages, such as `fr_FR`.
    pub languages: Vec<Box<str>>,
}

/// One company.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Company {
    /// Its id.
    pub id: RecordId,
    /// Its name; empty if the user may not read it.
    pub name: Box<str>,
}

/// The response of `res.users/context_get`.
#[derive(Deserialize)]
pub(super) struct WhoAmI {
    pub(super) uid: RecordId,
}

/// A row of `res.users/read` for this user.
#[derive(Deserialize)]
pub(super) struct UserRow {
    #[serde(default)]
    pub(super) login: Box<str>,
    pub(super) company_id: (RecordId, Box<str>),
    pub(super) company_ids: Vec<RecordId>,
    /// `false` if it is not set.
    #[serde(default)]
    pub(super) tz: serde_json::Value,
}

/// A row of `res.company/read`.
#[derive(Deserialize)]
pub(super) struct CompanyRow {
    pub(super) id: RecordId,
    pub(super) name: Box<str>,
}

/// A row of `res.lang/search_read`.
#[derive(Deserialize)]
pub(super) struct LanguageRow {
    pub(super) code: Box<str>,
}
