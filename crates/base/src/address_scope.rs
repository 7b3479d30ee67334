//! From where an IP address can be reached.

use std::net::IpAddr;

/// From where an IP address can be reached (IANA's special-purpose address
/// registries, RFC 6890).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressScope {
    /// This machine or its network: loopback, link-local, private and shared
    /// addresses (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// The public internet.
    Public,
    /// Nowhere, or not as one host: multicast, documentation, tunnels,
    /// unassigned space.
    Reserved,
}

impl AddressScope {
    /// The scope of an address. An IPv4 address mapped into IPv6 has the scope
    /// of the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        let (private, public) = match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [first, second, third, _] = v4.octets();
                let shared = first == 100 && (64..128).contains(&second);
                let reserved = v4.is_broadcast()
                    || v4.is_documentation()
                    || v4.is_multicast()
                    || first == 0
                    || first >= 240
                    || (first == 192 && second == 0 && third == 0)
                    || (first == 198 && (18..20).contains(&second));
                let private = v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared;
                (private, !reserved)
            }
            IpAddr::V6(v6) => {
                let [first, second, ..] = v6.segments();
                // Only 2000::/3 is assigned; in it, 6to4 and Teredo embed other addresses.
                let public = (0x2000..0x4000).contains(&first)
                    && first != 0x2002
                    && !(first == 0x2001 && (second == 0 || second == 0x0db8));
                let private =
                    v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
                (private, public)
            }
        };
        match (private, public) {
            (true, _) => Self::Private,
            (false, true) => Self::Public,
            (false, false) => Self::Reserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AddressScope;

    #[test]
    fn special_addresses_are_not_public() {
        for (address, scope) in [
            ("8.8.8.8", AddressScope::Public),
            ("160.79.104.1", AddressScope::Public),
            ("172.32.0.1", AddressScope::Public),
            ("2606:4700::1", AddressScope::Public),
            ("::ffff:8.8.8.8", AddressScope::Public),
            ("127.0.0.1", AddressScope::Private),
            ("::ffff:127.0.0.1", AddressScope::Private),
            ("10.1.2.3", AddressScope::Private),
            ("172.16.0.1", AddressScope::Private),
            ("192.168.1.1", AddressScope::Private),
            ("169.254.169.254", AddressScope::Private),
            ("100.64.0.1", AddressScope::Private),
            ("0.0.0.0", AddressScope::Reserved),
            ("192.0.0.1", AddressScope::Reserved),
            ("192.0.2.1", AddressScope::Reserved),
            ("224.0.0.1", AddressScope::Reserved),
            ("240.0.0.1", AddressScope::Reserved),
            ("255.255.255.255", AddressScope::Reserved),
            ("198.18.0.1", AddressScope::Reserved),
            ("::1", AddressScope::Private),
            ("::", AddressScope::Reserved),
            ("fd00::1", AddressScope::Private),
            ("fe80::1", AddressScope::Private),
            ("2001::1", AddressScope::Reserved),
            ("2001:db8::1", AddressScope::Reserved),
            ("2002:7f00:1::", AddressScope::Reserved),
            ("64:ff9b::7f00:1", AddressScope::Reserved),
            ("ff02::1", AddressScope::Reserved),
        ] {
            assert_eq!(
                AddressScope::of(address.parse().unwrap()),
                scope,
                "{address}"
            );
        }
    }
}
