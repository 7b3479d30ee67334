//! Tests that the shipped examples and the reference match the structs.

use std::{collections::BTreeSet, path::PathBuf};

use crate::config::{
    Config, LimitsConfig, ProviderConfig, ServerConfig, Sources, ValidConfig, load,
    schema::{SchemaNode, SchemaType, config_schema, thousands},
};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");
const EXAMPLE: &str = include_str!("../../../config/gatepost.toml");

/// Every key with a value, as the reference spells it, with its range.
fn collect_keys(form: SchemaNode<'_>, path: &str, found: &mut Vec<(String, Option<(i128, i128)>)>) {
    let under = |key: &str| match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    };
    match (form.schema_type(), form.element()) {
        (SchemaType::Table, _) => {
            for (key, form) in form.properties() {
                collect_keys(form, &under(key), found);
            }
        }
        (SchemaType::Map, Some(each)) => collect_keys(each, &under("NAME"), found),
        (SchemaType::List, Some(each)) if each.schema_type() == SchemaType::Table => {
            collect_keys(each, &format!("{path}[]"), found);
        }
        (SchemaType::Integer, _) => found.push((path.to_owned(), Some(form.range()))),
        _ => found.push((path.to_owned(), None)),
    }
}

fn all_keys() -> Vec<(String, Option<(i128, i128)>)> {
    let mut found = Vec::new();
    collect_keys(SchemaNode::new(&config_schema()), "", &mut found);
    found
}

/// Loads a text as if it were a shipped file.
pub(super) fn load_text(text: &str, variables: &[(&str, &str)]) -> ValidConfig {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, text).unwrap();
    load(&Sources::with_environment(
        Some(file),
        variables.iter().copied(),
    ))
    .unwrap()
}

const SECRETS: [(&str, &str); 2] = [
    (
        "GATEPOST_INSTANCES__PRODUCTION__API_KEY_FILE",
        "tests/fixtures/config/odoo.key",
    ),
    (
        "GATEPOST_INSTANCES__STAGING__API_KEY_FILE",
        "tests/fixtures/config/odoo.key",
    ),
];

#[test]
fn reference_lists_exactly_the_known_keys_with_their_ranges() {
    let keys = all_keys();
    assert!(keys.len() > 30, "{keys:?}");
    // Four columns; the table of variables has three.
    let rows: Vec<&str> = REFERENCE
        .lines()
        .filter(|row| row.starts_with("| `") && row.matches(" | ").count() == 3)
        .collect();
    for (key, range) in &keys {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("`{key}` is not in docs/configuration.md"));
        if let Some((least, most)) = range {
            let range = format!("| {} to {} |", thousands(*least), thousands(*most));
            assert!(row.contains(&range), "`{key}` has the range {range}");
        }
    }
    let known: BTreeSet<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
    for key in rows.iter().filter_map(|row| row.split('`').nth(1)) {
        assert!(known.contains(key), "`{key}` is no key");
    }
}

#[test]
fn example_contains_every_key() {
    for (key, _) in all_keys() {
        let name = key.rsplit('.').next().unwrap();
        let shown = EXAMPLE.lines().any(|line| {
            line.trim_start_matches("# ")
                .starts_with(&format!("{name} = "))
        });
        assert!(shown, "`{key}` is not in config/gatepost.toml");
    }
}

/// The example with every commented-out default set. Keys without a default stay
/// commented out.
fn example_with_defaults_uncommented() -> String {
    const WITHOUT: [&str; 27] = [
        "allowed",
        "anonymous_role",
        "api_key",
        "api_key_file",
        "ca_file",
        "certificate_file",
        "client_secret",
        "credential",
        "file",
        "ids_of",
        "introspection_url",
        "jwks_url",
        "key_file",
        "key_id",
        "max",
        "max_length",
        "min",
        "otlp_ca_file",
        "otlp_headers_file",
        "otlp_url",
        "password",
        "password_file",
        "project",
        "required",
        "type",
        "web_url",
        "write_fields",
    ];
    // Tables that exist only if they are written.
    const TABLES: [&str; 4] = ["[providers.company]", "[[grants]]", "[facade]", "[redis]"];
    let lines = EXAMPLE.lines().map(|line| {
        let Some(setting) = line.strip_prefix("# ") else {
            return line;
        };
        let key = setting.split(" = ").next().unwrap();
        let is_setting = setting.contains(" = ") && !key.contains(' ');
        if TABLES.contains(&setting) || (is_setting && !WITHOUT.contains(&key)) {
            setting
        } else {
            line
        }
    });
    lines.collect::<Vec<&str>>().join("\n")
}

/// The smallest configuration with a provider, a grant, a facade and Redis.
const MINIMAL: &str = r#"
[instances.production]
url = "http://odoo:8069"
public_urls = ["https://mcp.example.com/production/mcp"]
[instances.staging]
url = "http://odoo:8069"
providers = []
[providers.company]
issuer = "https://id.example.com"
client_id = "gatepost"
[roles.reader]
[[grants]]
roles = ["reader"]
provider_role = "odoo_reader"
[facade]
issuer = "https://mcp.example.com"
provider = "company"
client_id = "odoo-assistants"
redirect_uris = ["http://localhost/callback"]
[redis]
url = "redis://redis:6379/0"
"#;

/// Everything of a provider that has a default.
fn provider_defaults(one: &ProviderConfig) -> String {
    let seen = (
        (one.kind, one.validation(), one.client_auth()),
        (one.basic_encoding, one.signed_introspection),
        (one.algorithms(), one.require_at_jwt(), one.role_claims()),
        (&one.scope_claims, one.supports_step_up(), one.allow_no_exp),
        (one.allow_missing_token_type, one.allow_pat),
        (&one.endpoint_hosts, &one.private_networks),
        (one.connect_timeout_ms, one.timeout_ms),
        (one.max_in_flight, one.max_wait_ms, one.cache_ttl_s),
        (one.negative_ttl_s, one.write_max_age_s),
        (one.stale_if_error_s, one.clock_skew_s),
    );
    format!("{seen:?}")
}

#[test]
fn commented_out_example_settings_equal_the_defaults() {
    let spelled_out = example_with_defaults_uncommented();
    assert!(spelled_out.contains("\nmax_connections = 10_000\n"));
    let secret = (
        "GATEPOST_PROVIDERS__COMPANY__CLIENT_SECRET_FILE",
        "tests/fixtures/config/odoo.key",
    );
    let variables = [SECRETS[0], SECRETS[1], secret];
    let config = load_text(&spelled_out, &variables).config;
    let least = load_text(MINIMAL, &variables).config;
    assert_eq!(
        format!("{:?}", config.server),
        format!("{:?}", ServerConfig::default())
    );
    assert_eq!(
        format!("{:?}", config.limits),
        format!("{:?}", LimitsConfig::default())
    );
    assert_eq!(
        format!("{:?}", config.telemetry),
        format!("{:?}", crate::config::TelemetryConfig::default())
    );
    assert_eq!(
        config.admin.listen,
        crate::config::AdminConfig::default().listen
    );
    assert_eq!(
        format!("{:?}", config.audit),
        format!("{:?}", crate::config::AuditConfig::default())
    );
    assert_eq!(
        format!("{:?}", config.changes),
        format!("{:?}", crate::config::ChangesConfig::default())
    );
    let of_instance = |config: &Config, name: &str| {
        let one = &config.instances[name];
        (
            (one.connect_timeout_ms, one.timeout_ms, one.max_answer_bytes),
            (
                one.service_key_writes,
                one.max_in_flight,
                one.max_waiting,
                one.max_wait_ms,
                one.schema_ttl_s,
            ),
            config.providers_of(one),
            config.audiences_of(one),
            config.challenge_scopes_of(one),
        )
    };
    for name in ["production", "staging"] {
        assert_eq!(of_instance(&config, name), of_instance(&least, name));
    }
    let company = |config: &Config| provider_defaults(config.providers.values().next().unwrap());
    assert_eq!(company(&config), company(&least));
    let facade = |config: &Config| config.facade.as_ref().unwrap().registrations_per_minute;
    assert_eq!(facade(&config), facade(&least));
    let redis = |config: &Config| format!("{:?}", config.redis);
    assert_eq!(redis(&config), redis(&least));
    let everywhere = |config: &Config| format!("{:?}", config.grants[0].instances);
    assert_eq!(everywhere(&config), everywhere(&least));
    let rules = format!("{:?}", load_text(EXAMPLE, &SECRETS).config.policy());
    assert_eq!(format!("{:?}", config.policy()), rules);
}

#[test]
fn shipped_configurations_load_when_their_secrets_exist() {
    let mut files = 0;
    for entry in std::fs::read_dir("config").unwrap() {
        let file: PathBuf = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let variables: &[(&str, &str)] = if text.contains("[instances.production]") {
            &SECRETS
        } else {
            &[("ODOO_API_KEY", "x")]
        };
        if file.extension().is_some_and(|end| end == "toml") && text.contains("[instances.") {
            files += 1;
            let checked = load_text(&text, variables);
            assert_eq!(
                checked.secrets.service_keys.len(),
                checked.config.instances.len()
            );
        }
    }
    assert_eq!(files, 2);
}
