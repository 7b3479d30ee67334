//! API keys of users: when they expire, and how users ask about them
//! (`res.users.apikeys`).

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{
    access::{INTERNAL_KEY, SALES_KEY, User},
    error::FakeOdooError,
    table::Group,
};

/// An API key that expires.
#[derive(Clone, Debug)]
pub(super) struct ApiKey {
    user: u32,
    /// The key itself; `None` for one that no caller has.
    key: Option<&'static str>,
    expires: Option<Timestamp>,
}

/// The keys at the start: one for each user, that never expires.
pub(super) fn sample_keys() -> Vec<ApiKey> {
    let keys = [(2, super::ADMIN_KEY), (6, SALES_KEY), (7, INTERNAL_KEY)];
    let keys = keys.into_iter().map(|(user, key)| ApiKey {
        user,
        key: Some(key),
        expires: None,
    });
    keys.collect()
}

/// Sets when a key expires.
pub(super) fn set_expiry(keys: &mut [ApiKey], key: &str, expires: Timestamp) {
    for one in keys.iter_mut().filter(|one| one.key == Some(key)) {
        one.expires = Some(expires);
    }
}

/// Gives the user of a key another one, which expires then.
pub(super) fn add_other_key(keys: &mut Vec<ApiKey>, key: &str, expires: Timestamp) {
    let user = keys.iter().find(|one| one.key == Some(key));
    if let Some(user) = user.map(|one| one.user) {
        keys.push(ApiKey {
            user,
            key: None,
            expires: Some(expires),
        });
    }
}

/// Whether a key has expired; Odoo answers as for a wrong one.
pub(super) fn has_expired(keys: &[ApiKey], user: User, now: Timestamp) -> bool {
    let used = keys
        .iter()
        .find(|one| one.user == user.id && one.key.is_some());
    used.and_then(|one| one.expires)
        .is_some_and(|end| end <= now)
}

/// `search_read`: one's own keys, and for an administrator all. Only the domain with
/// which the gateway asks, `[["user_id", "=", ID]]`, is supported.
pub(super) fn search_read(
    keys: &[ApiKey],
    user: User,
    arguments: &Map<String, Value>,
) -> Result<Value, FakeOdooError> {
    let requested_user = arguments
        .get("domain")
        .and_then(|domain| domain.pointer("/0"))
        .filter(|only| only.get(0) == Some(&json!("user_id")) && only.get(1) == Some(&json!("=")))
        .and_then(|only| only.get(2)?.as_u64());
    let Some(requested_user) = requested_user else {
        return Err(FakeOdooError::new(
            500,
            "builtins.ValueError",
            "Invalid domain",
        ));
    };
    let rows = keys.iter().enumerate().filter(|(_, one)| {
        u64::from(one.user) == requested_user && (one.user == user.id || user.group == Group::Admin)
    });
    Ok(rows
        .map(|(index, one)| {
            let expires = one.expires.map(|end| {
                let end = end.to_zoned(TimeZone::UTC);
                end.strftime("%Y-%m-%d %H:%M:%S").to_string()
            });
            json!({
                "id": index + 1,
                "scope": false,
                "expiration_date": expires.map_or(Value::Bool(false), Value::String),
            })
        })
        .collect())
}
