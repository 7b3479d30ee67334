//! How clients reach the gateway: the URL to hand out, and a client's command for it.

use std::net::SocketAddr;

use crate::config::{Config, InstanceConfig};
use gatepost_base::InstanceName;

/// How a client reaches one instance.
pub(super) struct ClientSetup<'a> {
    /// The instance.
    pub(super) instance: &'a InstanceName,
    /// The URL to hand out.
    pub(super) url: String,
    /// What Claude Code needs. An API key is written as `KEY`.
    pub(super) command: String,
}

/// How clients reach each instance of a gateway that listens on these addresses.
pub(super) fn client_setups<'a>(
    config: &'a Config,
    addresses: &[SocketAddr],
) -> Vec<ClientSetup<'a>> {
    let is_only = config.instances.len() == 1;
    let setup = |(name, instance): (&'a InstanceName, &'a InstanceConfig)| {
        let url = match instance.public_urls.first() {
            Some(url) => url.clone(),
            // Not `/mcp`, which ends with a second instance.
            None => format!("{}/{name}/mcp", local_base(config, addresses)),
        };
        let server = if is_only { "odoo" } else { name.as_str() };
        let has_login = !config.providers_of(instance).is_empty();
        let key = if has_login || config.server.anonymous_role.is_some() {
            ""
        } else {
            " --header \"Authorization: Bearer KEY\""
        };
        ClientSetup {
            instance: name,
            command: format!("claude mcp add --transport http {server} {url}{key}"),
            url,
        }
    };
    config.instances.iter().map(setup).collect()
}

/// Scheme, host and port of the first listener; `HOST` is the name of this machine
/// where none is configured.
fn local_base(config: &Config, addresses: &[SocketAddr]) -> String {
    let server = &config.server;
    let scheme = if server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let Some(address) = addresses.first() else {
        return format!("{scheme}://HOST");
    };
    let host = match server.allowed_hosts.first() {
        Some(host) if !address.ip().is_loopback() => host.clone(),
        _ if address.ip().is_unspecified() => format!("HOST:{}", address.port()),
        _ => address.to_string(),
    };
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::client_setups;
    use crate::config::{Sources, load};

    #[test]
    fn each_instance_has_its_url_and_command() {
        let one = ("GATEPOST_INSTANCES__ONE__URL", "http://odoo:8069");
        let one_key = ("GATEPOST_INSTANCES__ONE__API_KEY", "x");
        let two = ("GATEPOST_INSTANCES__TWO__URL", "http://odoo:8070");
        let two_key = ("GATEPOST_INSTANCES__TWO__API_KEY", "x");
        let any = ("GATEPOST_SERVER__LISTEN", "0.0.0.0:8080");
        let hosts = ("GATEPOST_SERVER__ALLOWED_HOSTS", "[\"mcp.example.com\"]");
        let public = (
            "GATEPOST_INSTANCES__ONE__PUBLIC_URLS",
            "[\"https://mcp.example.com/odoo\"]",
        );
        let anonymous = ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader");
        let role = (
            "GATEPOST_ROLES__READER__RULES",
            "[{ models = [\"res.partner\"] }]",
        );
        let cases: [&[(&str, &str)]; 6] = [
            &[one, one_key],
            &[one, one_key, two, two_key],
            &[one, one_key, any],
            &[one, one_key, any, hosts],
            &[one, one_key, public],
            &[one, one_key, anonymous, role],
        ];
        let mut table = String::new();
        for variables in cases {
            let sources = Sources::with_environment(None, variables.iter().copied());
            let config = load(&sources).unwrap().config;
            for setup in client_setups(&config, &config.server.listen) {
                writeln!(
                    table,
                    "{}: {}\n    {}",
                    setup.instance, setup.url, setup.command
                )
                .unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
