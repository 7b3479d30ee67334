//! The address of an Odoo server.

use std::fmt;

use http::Uri;

/// The parsed address of an Odoo server.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether to use TLS.
    pub tls: bool,
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The value of `Host`.
    pub authority: String,
    /// The path before Odoo's own, without a trailing slash.
    pub prefix: String,
}

/// Not the address of a server.
#[derive(Debug, thiserror::Error)]
#[error(
    "`url` must be `http://` or `https://` and a host, such as `http://odoo:8069`, without user, query or fragment"
)]
pub struct InvalidAddress;

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidAddress`].
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = url.parse().map_err(|_not_a_url| InvalidAddress)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(InvalidAddress),
        };
        let authority = uri.authority().ok_or(InvalidAddress)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(InvalidAddress);
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            tls,
            host,
            port,
            authority: authority.as_str().to_owned(),
            prefix,
        })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn address_requires_a_scheme_and_a_host() {
        let address = Address::parse("https://odoo.example.com/base/").unwrap();
        assert_eq!(
            (address.tls, address.port, address.prefix.as_str()),
            (true, 443, "/base")
        );
        let address = Address::parse("http://[::1]:8069").unwrap();
        assert_eq!(
            (address.host.as_str(), address.authority.as_str()),
            ("::1", "[::1]:8069")
        );
        for bad in [
            "",
            "odoo:8069",
            "ftp://odoo",
            "http://",
            "http://u:p@odoo",
            "http://odoo?db=x",
            "/odoo",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
