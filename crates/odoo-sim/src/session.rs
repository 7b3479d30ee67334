//! The user, companies and time of a call.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::{access::User, error::FakeOdooError, table::Row, value::ids};

/// The user and context of a call.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) user: User,
    /// The companies whose records are visible. New records belong to the first.
    pub(super) companies: Vec<u32>,
    /// Whether searches find archived records.
    pub(super) include_archived: bool,
    /// The time zone that dates are grouped in.
    pub(super) time_zone: TimeZone,
    /// Whether weeks begin on Monday: the language decides.
    pub(super) week_starts_on_monday: bool,
    /// The defaults in the context: `default_name` as `name`.
    pub(super) context_defaults: Row,
    pub(super) now: Timestamp,
}

impl Session {
    /// Reads the context of a call.
    pub(super) fn new(
        user: User,
        context: Option<Value>,
        now: Timestamp,
    ) -> Result<Self, FakeOdooError> {
        let context = match context {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(context)) => context,
            Some(_) => {
                return Err(FakeOdooError::value_error(
                    "dictionary update sequence element #0 has length 1; 2 is required",
                ));
            }
        };
        let companies = context
            .get("allowed_company_ids")
            .map(ids)
            .filter(|ids| !ids.is_empty());
        let companies = companies.unwrap_or_else(|| user.companies.to_vec());
        if companies.iter().any(|id| !user.companies.contains(id)) {
            return Err(FakeOdooError::access_error(
                "Access to unauthorized or invalid companies.",
            ));
        }
        if let Some(lang) = context.get("lang").and_then(Value::as_str)
            && !["en_US", "fr_FR"].contains(&lang)
        {
            return Err(FakeOdooError::user_error(format!(
                "Invalid language code: {lang}"
            )));
        }
        let lang = context.get("lang").and_then(Value::as_str);
        let week_starts_on_monday = lang == Some("fr_FR");
        let zone = context.get("tz").and_then(Value::as_str);
        let zone = zone.and_then(|name| TimeZone::get(name).ok());
        let archived = context.get("active_test") == Some(&Value::Bool(false));
        let defaults = context
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("default_")?.to_owned(), value)))
            .collect();
        Ok(Self {
            user,
            companies,
            include_archived: archived,
            // Odoo silently uses UTC in a zone that it does not know.
            time_zone: zone.unwrap_or(TimeZone::UTC),
            week_starts_on_monday,
            context_defaults: defaults,
            now,
        })
    }

    /// The company that new records belong to.
    pub(super) fn default_company(&self) -> u32 {
        self.companies.first().copied().unwrap_or(1)
    }

    /// The time of the call as Odoo writes it: in UTC, to the second.
    pub(super) fn current_datetime(&self) -> String {
        let now = self.now.to_zoned(TimeZone::UTC);
        now.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}
