//! Who a token speaks of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::CallerKind;
use gatepost_base::Subject;

/// Who a token speaks of, as its provider told: nothing of ours is granted yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The provider's issuer URL.
    pub issuer: Arc<str>,
    /// A person, or a program on its own account.
    pub kind: CallerKind,
    /// Who it is. A program's begins with `client:`, which no user's does.
    pub subject: Subject,
    /// The OAuth client that the token was issued to, if the provider tells.
    pub client_id: Option<Box<str>>,
    /// The scopes that were granted.
    pub scopes: BTreeSet<Box<str>>,
    /// The roles or groups in the provider's claims, each with the
    /// organisations in which it was given, if the provider tells them apart.
    pub roles: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// Whom the token is meant for; at least one.
    pub audiences: Vec<Box<str>>,
    /// When the token ends; none only where that is allowed.
    pub expires: Option<Timestamp>,
}

impl Principal {
    /// Whether the token is meant for one of these, compared as they stand.
    pub fn has_audience(&self, audiences: &BTreeSet<String>) -> bool {
        self.audiences
            .iter()
            .any(|audience| audiences.contains(&**audience))
    }
}
