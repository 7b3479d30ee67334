//! Which Odoo user a caller's calls act as.

use gatepost_base::CredentialName;

/// Two different credentials from the same source, between which the gateway does
/// not choose. `Display` is for the client, the names are for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "your grants or roles name different Odoo users to act as in this Odoo instance. Nothing was sent. Retrying will not help; ask the administrator"
)]
pub struct AmbiguousCredential {
    /// The source that names both.
    pub named_by: CredentialSource,
    /// The first.
    pub first: CredentialName,
    /// The first that differs.
    pub second: CredentialName,
}

gatepost_base::words! {
    /// What may name a credential. In order of precedence, the weaker first.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub enum CredentialSource {
        /// The caller's roles.
        Role = "roles",
        /// The grants of the caller's roles.
        Grant = "grants",
    }

    /// The source in the plural.
    pub fn as_str(self);
}

/// The credential for a caller's calls in one instance, from those that their
/// grants and roles name. Grants override roles; `None` stands for the
/// instance's service key.
///
/// ```
/// use gatepost_base::CredentialName;
/// use gatepost_identity::choose_credential;
///
/// let [sales, admin] = ["sales", "admin"].map(|name| CredentialName::try_from(name).unwrap());
/// assert_eq!(choose_credential([&sales], [&admin]), Ok(Some(sales.clone())));
/// assert_eq!(choose_credential([], [&admin, &admin]), Ok(Some(admin.clone())));
/// assert_eq!(choose_credential([], []), Ok(None));
/// assert!(choose_credential([], [&sales, &admin]).is_err());
/// ```
///
/// # Errors
/// [`AmbiguousCredential`] if the source that counts names different ones.
pub fn choose_credential<'a>(
    of_grants: impl IntoIterator<Item = &'a CredentialName>,
    of_roles: impl IntoIterator<Item = &'a CredentialName>,
) -> Result<Option<CredentialName>, AmbiguousCredential> {
    match single_credential(CredentialSource::Grant, of_grants)? {
        Some(credential) => Ok(Some(credential)),
        None => single_credential(CredentialSource::Role, of_roles),
    }
}

fn single_credential<'a>(
    source: CredentialSource,
    named: impl IntoIterator<Item = &'a CredentialName>,
) -> Result<Option<CredentialName>, AmbiguousCredential> {
    let mut named = named.into_iter();
    let Some(one) = named.next() else {
        return Ok(None);
    };
    match named.find(|other| *other != one) {
        Some(other) => Err(AmbiguousCredential {
            named_by: source,
            first: one.clone(),
            second: other.clone(),
        }),
        None => Ok(Some(one.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::{AmbiguousCredential, CredentialSource, choose_credential};
    use gatepost_base::CredentialName;

    fn chosen(
        of_grants: &[&str],
        of_roles: &[&str],
    ) -> Result<Option<String>, AmbiguousCredential> {
        let names = |texts: &[&str]| -> Vec<CredentialName> {
            texts
                .iter()
                .map(|text| CredentialName::try_from(*text).unwrap())
                .collect()
        };
        let (of_grants, of_roles) = (names(of_grants), names(of_roles));
        choose_credential(&of_grants, &of_roles).map(|name| name.map(|name| name.to_string()))
    }

    #[test]
    fn service_key_is_used_if_no_credential_is_named() {
        assert_eq!(chosen(&[], &[]), Ok(None));
    }

    #[test]
    fn credential_of_grants_overrides_roles() {
        assert_eq!(chosen(&["a"], &["b"]), Ok(Some("a".to_owned())));
        assert_eq!(chosen(&["a"], &["b", "c"]), Ok(Some("a".to_owned())));
        assert_eq!(chosen(&[], &["b"]), Ok(Some("b".to_owned())));
    }

    #[test]
    fn same_credential_named_twice_is_unambiguous() {
        assert_eq!(chosen(&["a", "a"], &[]), Ok(Some("a".to_owned())));
        assert_eq!(chosen(&[], &["a", "a", "a"]), Ok(Some("a".to_owned())));
    }

    #[test]
    fn differing_credentials_from_one_source_are_ambiguous() {
        for (of_grants, of_roles, source) in [
            (&["a", "b"][..], &[][..], CredentialSource::Grant),
            (&["a", "a", "b"], &["a"], CredentialSource::Grant),
            (&[], &["a", "b"], CredentialSource::Role),
            (&[], &["a", "a", "b", "c"], CredentialSource::Role),
        ] {
            let ambiguous = chosen(of_grants, of_roles).unwrap_err();
            assert_eq!(ambiguous.named_by, source);
            assert_eq!(
                (ambiguous.first.as_str(), ambiguous.second.as_str()),
                ("a", "b")
            );
            assert!(!ambiguous.to_string().contains('`'), "{ambiguous}");
        }
    }
}
