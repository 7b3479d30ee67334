//! The holder of a token.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::CallerKind;
use gatepost_base::Subject;

/// The holder of a token, as its provider describes it; the gateway has not
/// granted anything yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The provider's issuer URL.
    pub issuer: Arc<str>,
    /// A person, or a program on its own account.
    pub kind: CallerKind,
    /// The subject. A program's begins with `client:`, a user's never does.
    pub subject: Subject,
    /// The OAuth client that the token was issued to, if the provider says so.
    pub client_id: Option<Box<str>>,
    /// The scopes that were granted.
    pub scopes: BTreeSet<Box<str>>,
    /// The roles or groups in the provider's claims, each with the
    /// organizations in which it was granted, if the provider distinguishes them.
    pub roles: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The audiences of the token; at least one.
    pub audiences: Vec<Box<str>>,
    /// When the token expires; `None` only if that is allowed.
    pub expires: Option<Timestamp>,
}

impl Principal {
    /// Whether the token has one of these audiences, compared byte for byte.
    pub fn has_audience(&self, audiences: &BTreeSet<String>) -> bool {
        self.audiences
            .iter()
            .any(|audience| audiences.contains(&**audience))
    }
}
