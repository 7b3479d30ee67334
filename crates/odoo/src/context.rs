//! The context a call runs in.

use serde_json::{Map, Value};

use super::RecordId;

/// The context keys that Gatepost sends, and no others: Odoo's context can
/// inject defaults and drive wizards, so it is not open to clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The companies the call may see; the first is the active one. Empty
    /// means what Odoo takes by itself: every company of the user for reads.
    pub company_ids: Vec<RecordId>,
    /// A language that Odoo has installed, such as `fr_FR`.
    pub lang: Option<String>,
    /// An IANA time zone, such as `Europe/Brussels`. Odoo groups dates by it;
    /// what it hands out stays UTC.
    pub tz: Option<String>,
    /// Whether archived records are seen too.
    pub include_archived: bool,
}

impl Context {
    /// The context as Odoo wants it.
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
