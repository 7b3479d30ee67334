//! Domains, orders and names.
//!
//! An input is a JSON text or a plain one; both are tried.

use gatepost_odoo::{Domain, FieldName, FieldPath, ModelName, Order};
use gatepost_policy::Pattern;
use serde_json::Value;

/// The most terms that a domain of a client has.
const MAX_TERMS: usize = 2 * 256;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        match Domain::parse(&json) {
            Ok(domain) => check_domain(&domain),
            Err(error) => assert!(error.to_string().len() < 2_000, "{error}"),
        }
    }
    check_names(text);
}

/// An accepted domain is the same when Odoo's form of it is parsed again, and so is
/// what is made of it.
fn check_domain(domain: &Domain) {
    assert!(domain.terms().len() <= MAX_TERMS);
    assert_eq!(Domain::parse(&domain.to_json()).as_ref().ok(), Some(domain));
    assert!(domain.implies(domain));
    let other = Domain::parse(&serde_json::json!([["id", "=", 7]])).unwrap();
    for made in [
        domain.clone().and(other.clone()),
        domain.clone().or(other.clone()),
        domain.clone().negated(),
    ] {
        // One that is as large as it may be has no room for more.
        if let Ok(again) = Domain::parse(&made.to_json()) {
            assert_eq!(again, made);
        } else {
            assert!(made.terms().len() > MAX_TERMS / 2 - 3, "{made:?}");
        }
    }
    assert!(domain.clone().and(other.clone()).implies(&other));
}

/// An accepted name is safe in a path of a URL, and is written as it was read.
fn check_names(text: &str) {
    let is_safe = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && !name.contains("..")
            && name == text
    };
    if let Ok(model) = ModelName::try_from(text) {
        assert!(is_safe(model.as_str()), "{text:?}");
    }
    if let Ok(field) = FieldName::try_from(text) {
        assert!(is_safe(field.as_str()), "{text:?}");
    }
    if let Ok(path) = FieldPath::try_from(text) {
        assert!(is_safe(path.as_str()), "{text:?}");
        assert_eq!(path.steps().next(), Some(path.first()));
    }
    if let Ok(order) = Order::parse(text) {
        let written = order.to_string();
        assert_eq!(Order::parse(&written).ok(), Some(order), "{written}");
    }
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(pattern.to_string(), text);
        assert!(pattern.covers(&pattern));
    }
}
