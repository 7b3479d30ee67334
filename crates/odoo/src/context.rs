//! The context of a call.

use serde_json::{Map, Value};

use super::RecordId;

/// The context keys that Gatepost sends, and no others: Odoo's context can
/// inject defaults and drive wizards, so it is not open to clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The companies that the call may use; the first is the active one. Empty
    /// is Odoo's default: every company of the user for reads.
    pub company_ids: Vec<RecordId>,
    /// A language that Odoo has installed, such as `fr_FR`.
    pub lang: Option<String>,
    /// An IANA time zone, such as `Europe/Brussels`. Odoo groups dates by it;
    /// times in responses stay in UTC.
    pub tz: Option<String>,
    /// Whether archived records are included.
    pub include_archived: bool,
}

impl Context {
    /// The context in Odoo's form.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut keys = Map::new();
        if !self.company_ids.is_empty() {
            let ids = self
                .company_ids
                .iter()
                .map(|id| Value::from(id.get()))
                .collect();
            keys.insert("allowed_company_ids".to_owned(), Value::Array(ids));
        }
        if let Some(lang) = &self.lang {
            keys.insert("lang".to_owned(), Value::from(lang.as_str()));
        }
        if let Some(tz) = &self.tz {
            keys.insert("tz".to_owned(), Value::from(tz.as_str()));
        }
        if self.include_archived {
            keys.insert("active_test".to_owned(), Value::Bool(false));
        }
        keys
    }
}
