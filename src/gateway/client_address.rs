//! The address of the client, also behind trusted proxies.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The client's address: that of the socket, or behind a trusted proxy the last
/// one in `X-Forwarded-For` (or in RFC 7239's `Forwarded`) that is no trusted
/// proxy's. Anything before that is under the client's control.
///
/// Only rate limits depend on it; nothing else in those fields is used.
pub(super) fn client_address(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let peer = peer?;
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let mut client = peer;
    for hop in forwarded_addresses(headers).into_iter().rev() {
        // Not an address: the client behind it is unknown.
        let Some(address) = hop else { break };
        client = address;
        if !is_trusted(&address) {
            break;
        }
    }
    Some(client)
}

/// The addresses in the forwarding header fields, the nearest last.
fn forwarded_addresses(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let parts = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|part| part.trim().to_owned())
            .collect()
    };
    let forwarded_for = parts("x-forwarded-for");
    // The proxy sets one of them, and the other is the client's; which is unknown.
    if !forwarded_for.is_empty() && headers.contains_key("forwarded") {
        return Vec::new();
    }
    if !forwarded_for.is_empty() {
        return forwarded_for
            .iter()
            .map(|part| parse_address(part))
            .collect();
    }
    parts("forwarded")
        .iter()
        .map(|part| {
            part.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let named = name.trim().eq_ignore_ascii_case("for");
                named.then(|| parse_address(value.trim().trim_matches('"')))?
            })
        })
        .collect()
}

/// Parses an address, optionally with a port and in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = || {
        let inside = text.strip_prefix('[')?.split(']').next()?;
        inside.parse().ok()
    };
    let with_port = || {
        text.parse()
            .ok()
            .map(|socket: std::net::SocketAddr| socket.ip())
    };
    text.parse()
        .ok()
        .or_else(bare)
        .or_else(with_port)
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::client_address;

    fn client_of(peer: &str, lines: &[(&str, &str)]) -> String {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.1/32".parse().unwrap(),
        ];
        client_address(Some(peer.parse().unwrap()), &headers, &trusted)
            .unwrap()
            .to_string()
    }

    #[test]
    fn forwarded_address_is_used_only_from_trusted_proxy() {
        let line = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(client_of("192.0.2.1", &line), "192.0.2.1");
        assert_eq!(client_of("10.0.0.2", &line), "203.0.113.9");
        assert_eq!(client_of("10.0.0.2", &[]), "10.0.0.2");
    }

    #[test]
    fn forwarded_addresses_before_untrusted_hop_are_ignored() {
        for lines in [
            vec![("x-forwarded-for", "198.51.100.1, 203.0.113.9, 10.0.0.3")],
            vec![
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-for", "203.0.113.9"),
            ],
            vec![("x-forwarded-for", "10.0.0.9, 203.0.113.9")],
            vec![("forwarded", "for=198.51.100.1, for=203.0.113.9;proto=https")],
        ] {
            assert_eq!(client_of("10.0.0.2", &lines), "203.0.113.9", "{lines:?}");
        }
        assert_eq!(
            client_of("10.0.0.2", &[("x-forwarded-for", "203.0.113.9, nonsense")]),
            "10.0.0.2"
        );
    }

    #[test]
    fn forwarded_address_formats_are_parsed() {
        for (value, expected) in [
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("For=203.0.113.9:80", "203.0.113.9"),
            ("proto=https;for=203.0.113.9", "203.0.113.9"),
            ("for=unknown", "10.0.0.2"),
        ] {
            assert_eq!(
                client_of("10.0.0.2", &[("forwarded", value)]),
                expected,
                "{value}"
            );
        }
        let both = [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=203.0.113.9"),
        ];
        assert_eq!(client_of("10.0.0.2", &both), "10.0.0.2");
        assert_eq!(
            client_of("10.0.0.2", &[("x-forwarded-for", "::ffff:203.0.113.9")]),
            "203.0.113.9"
        );
    }
}
