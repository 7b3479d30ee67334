//! The configuration of a gateway whose callers come from a provider.

use odoo_sim::ADMIN_KEY;

use crate::idp::{ExpectedClientAuth, Idp};

pub(crate) const PRODUCTION: &str = "https://gw.example.com/production/mcp";
pub(crate) const STAGING: &str = "https://gw.example.com/staging/mcp";

/// The parts of a configuration that differ between tests.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConfigOverrides<'a> {
    /// Lines in `[providers.company]`.
    pub(crate) provider: &'a str,
    /// Lines in `[instances.production]`.
    pub(crate) production: &'a str,
    /// Lines in `[instances.staging]`.
    pub(crate) staging: &'a str,
    /// Lines in `[server]`.
    pub(crate) server: &'a str,
    /// Replaces `[limits]`; by default no caller is limited.
    pub(crate) limits: Option<&'a str>,
    /// Replaces the grant of `reader` to every caller with the role
    /// `odoo_reader`.
    pub(crate) grants: Option<&'a str>,
    /// Lines at the end.
    pub(crate) more: &'a str,
}

impl<'a> ConfigOverrides<'a> {
    /// Only these lines in `[providers.company]`.
    pub(crate) fn of_provider(lines: &'a str) -> Self {
        Self {
            provider: lines,
            ..Self::default()
        }
    }
}

/// The default of [`ConfigOverrides::grants`].
pub(crate) const READER_GRANT: &str =
    "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nprovider_role = \"odoo_reader\"\n";

/// The whole configuration.
pub(crate) fn configuration(idp: &Idp, words: ConfigOverrides<'_>) -> String {
    let ConfigOverrides {
        provider,
        production,
        staging,
        server,
        limits,
        grants,
        more,
    } = words;
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let issuer = quoted(idp.issuer());
    let asker = match idp.client_auth() {
        ExpectedClientAuth::Basic { id, secret } => {
            format!(
                "client_id = {}\nclient_secret = {}",
                quoted(&id),
                quoted(&secret)
            )
        }
        ExpectedClientAuth::BasicRaw { id, secret } => format!(
            "client_id = {}\nclient_secret = {}\nbasic_encoding = \"raw\"",
            quoted(&id),
            quoted(&secret)
        ),
        ExpectedClientAuth::Post { id, secret } => format!(
            "client_id = {}\nclient_secret = {}\nclient_auth = \"client_secret_post\"",
            quoted(&id),
            quoted(&secret)
        ),
        ExpectedClientAuth::PrivateKeyJwt { .. } => "key_file = \"zitadel-key.json\"".to_owned(),
    };
    let authority = idp
        .authority
        .as_ref()
        .map_or("", |_| "ca_file = \"authority.pem\"");
    let limits =
        limits.unwrap_or("failed_logins_per_minute = 100000\nfailed_logins_burst = 100000");
    // The other limits are tested in `limits.rs`.
    let limits = format!(
        "address_per_minute = 1000000\naddress_burst = 1000000\ncaller_burst = 1000000\nread_burst = 1000000\ninstance_burst = 1000000\n{limits}"
    );
    let grants = grants.unwrap_or(READER_GRANT);
    format!(
        r#"
[server]
{server}

[providers.company]
issuer = {issuer}
{asker}
{authority}
{provider}

[instances.production]
url = "ODOO"
database = "demo"
api_key = "{ADMIN_KEY}"
public_urls = ["{PRODUCTION}", "https://production.example.com/mcp"]
{production}

[instances.staging]
url = "ODOO"
database = "demo"
api_key = "{ADMIN_KEY}"
public_urls = ["{STAGING}", "https://staging.example.com/mcp"]
{staging}

[roles.reader]
rules = [{{ models = ["*"] }}]

{grants}

[limits]
{limits}

{more}
"#
    )
}
