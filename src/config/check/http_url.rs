//! The URLs in the configuration, parsed as far as the checks need.

use std::net::IpAddr;

use gatepost_base::AddressScope;
use http::Uri;

/// An `http://` or `https://` URL without user, query and fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HttpUrl {
    pub(super) secure: bool,
    /// In lower case; an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As written; `/` when there is none.
    pub(super) path: String,
}

impl HttpUrl {
    /// Parses a URL. The errors do not repeat it because it may hold a password.
    ///
    /// # Errors
    /// What is wrong, and how to correct it.
    pub(super) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        const FORM: &str = "write it like `https://odoo.example.com` or `http://odoo:8069`";
        let no_url = Err(("this is not a URL", FORM));
        if text.contains('@') {
            return Err((
                "a URL must not hold a user or a password",
                "remove everything up to the `@`; secrets have their own keys",
            ));
        }
        if text.contains(['?', '#']) {
            return Err((
                "this URL must have no query and no fragment",
                "remove the `?` or `#` and everything after it",
            ));
        }
        // `http::Uri` would also accept a path or a host alone.
        let Ok(uri) = text.parse::<Uri>() else {
            return no_url;
        };
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(("the URL must begin with `http://` or `https://`", FORM)),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return no_url;
        };
        let default_port = if secure { 443 } else { 80 };
        let port = match uri.authority().map(http::uri::Authority::as_str) {
            // A malformed port (`:`, `:99999`) must not become the default.
            Some(written) if written.len() != host.len() => match uri.port_u16() {
                Some(port) if port != 0 => port,
                _ => return Err(("the port is not a number from 1 to 65,535", FORM)),
            },
            _ => default_port,
        };
        Ok(Self {
            secure,
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port,
            path: uri.path().to_owned(),
        })
    }

    /// Whether both are at the same scheme, host and port (RFC 6454).
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }

    /// Whether the host can only be this machine.
    pub(super) fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Whether the host is likely inside the same network.
    pub(super) fn is_internal(&self) -> bool {
        Self::is_internal_host(&self.host)
    }

    /// Whether a host (an IPv6 address without brackets) is likely inside the
    /// same network: an address from a private range, a name without a dot (a
    /// container), or one that public name servers do not resolve.
    pub(super) fn is_internal_host(host: &str) -> bool {
        const INTERNAL: [&str; 7] = [
            ".home.arpa",
            ".internal",
            ".lan",
            ".local",
            ".localhost",
            ".svc",
            ".test",
        ];
        match host.parse::<IpAddr>() {
            Ok(address) => AddressScope::of(address) == AddressScope::Private,
            Err(_) => {
                let host = host.to_ascii_lowercase();
                !host.contains('.') || INTERNAL.iter().any(|end| host.ends_with(end))
            }
        }
    }

    /// What routing compares: host, port and path, ignoring ASCII case and a
    /// trailing `/`.
    pub(super) fn routing_key(&self) -> (String, u16, String) {
        (self.host.clone(), self.port, self.routing_path())
    }

    /// The path as routing compares it.
    pub(super) fn routing_path(&self) -> String {
        self.path.trim_end_matches('/').to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::HttpUrl;

    #[test]
    fn url_requires_scheme_host_and_valid_port() {
        for good in [
            "http://odoo:8069",
            "https://odoo.example.com/",
            "http://[::1]:8069",
            "HTTPS://Odoo.example",
        ] {
            assert!(HttpUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "odoo",
            "odoo:8069",
            "/odoo",
            "ftp://odoo",
            "http://",
            "http:///x",
            "http://odoo:",
            "http://odoo:0",
            "http://odoo:99999",
            "http://a b",
            "https://u:p@odoo",
            "http://odoo?db=x",
            "http://odoo#x",
            "http://od\u{f6}o",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn internal_hosts_are_recognized() {
        for (url, inside) in [
            ("http://odoo", true),
            ("http://localhost", true),
            ("http://127.0.0.1", true),
            ("http://10.1.2.3", true),
            ("http://172.16.0.1", true),
            ("http://100.100.1.1", true),
            ("http://[fd00::1]", true),
            ("http://odoo.default.svc", true),
            ("http://odoo.example.com", false),
            ("http://8.8.8.8", false),
            ("http://172.32.0.1", false),
            ("http://[2001:db8::1]", false),
        ] {
            assert_eq!(HttpUrl::parse(url).unwrap().is_internal(), inside, "{url}");
        }
    }

    #[test]
    fn routing_key_ignores_case_default_port_and_trailing_slash() {
        let claim = |url| HttpUrl::parse(url).unwrap().routing_key();
        assert_eq!(
            claim("https://MCP.example.com/A/mcp/"),
            claim("https://mcp.example.com:443/a/mcp")
        );
        assert_ne!(
            claim("https://mcp.example.com/a/mcp"),
            claim("https://mcp.example.com/b/mcp")
        );
    }
}
