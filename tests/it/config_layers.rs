//! Precedence of the layers of a configuration, and the meaning of its variables.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path};

use gatepost::config::{ConfigLocation, Sources, ValidConfig, load, load_admin};
use gatepost_base::{InstanceName, RoleName};
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};

/// One instance named `production`, a role `reader`, and no errors.
const ONE_INSTANCE: &str = r#"
[instances.production]
url = "http://odoo:8069"
api_key_file = "odoo.key"

[[roles.reader.rules]]
models = ["*"]
"#;

/// Loads this text as a file, beside an `odoo.key`, with these variables.
fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<ValidConfig, String> {
    let folder = folder_with(text);
    let file = folder.path().join("gatepost.toml");
    let sources = Sources::with_environment(Some(file), variables.iter().copied());
    let folder = format!("{}/", folder.path().display());
    load(&sources).map_err(|mistakes| mistakes.to_string().replace(&folder, ""))
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let key = folder.path().join("odoo.key");
    std::fs::write(&key, "of-the-file\n").unwrap();
    // Independent of the umask.
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    folder
}

/// Loads these variables without a file.
fn load_environment(variables: &[(&str, &str)]) -> Result<ValidConfig, String> {
    let sources = Sources::with_environment(None, variables.iter().copied());
    load(&sources).map_err(|mistakes| mistakes.to_string())
}

fn instance(name: &str) -> InstanceName {
    InstanceName::try_from(name).unwrap()
}

fn warnings(checked: &ValidConfig) -> String {
    let texts: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
    texts.join("\n\n")
}

#[test]
fn odoo_variables_alone_make_one_instance_without_access() {
    let checked = load_environment(&[
        ("ODOO_URL", "https://odoo.example.com"),
        ("ODOO_DB", "2024"),
        ("ODOO_API_KEY", "12345"),
    ])
    .unwrap();
    let (name, odoo) = checked.config.instances.first_key_value().unwrap();
    assert_eq!(name.as_str(), "odoo");
    assert_eq!(odoo.url, "https://odoo.example.com");
    // A text, although it consists of digits.
    assert_eq!(odoo.database.as_deref(), Some("2024"));
    assert!(checked.secrets.service_keys.contains_key(name));
    assert_eq!(
        checked.config.server.listen[0].to_string(),
        "127.0.0.1:8080"
    );
    insta::assert_snapshot!(warnings(&checked), @r#"
    configuration
    EVERY REQUEST WILL BE REJECTED: there is no API key and no other way to authenticate
    help: to give access: add a role that says what its callers may do (`[[roles.reader.rules]]` with `models = ["res.partner"]`, or GATEPOST_ROLES__READER__RULES='[{ models = ["res.partner"] }]'), set `keys.file` (GATEPOST_KEYS__FILE), and create a key: `gatepost key new --role reader --name NAME`
    "#);
}

#[test]
fn command_line_overrides_variables_which_override_the_file() {
    let text = format!("[server]\nlisten = [\"127.0.0.1:1\"]\nmax_connections = 5\n{ONE_INSTANCE}");
    let checked = load_text(
        &text,
        &[
            ("GATEPOST_SERVER__LISTEN", "127.0.0.1:2, [::1]:3"),
            ("GATEPOST_SERVER__MAX_CONNECTIONS", "20_000"),
        ],
    )
    .unwrap();
    let listen: Vec<String> = checked
        .config
        .server
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listen, ["127.0.0.1:2", "[::1]:3"]);
    assert_eq!(checked.config.server.max_connections, 20_000);

    let mut sources = Sources::with_environment(
        None,
        [
            ("ODOO_URL", "http://odoo"),
            ("ODOO_API_KEY", "x"),
            ("GATEPOST_SERVER__LISTEN", "127.0.0.1:2"),
        ],
    );
    sources.listen = vec!["127.0.0.1:4".parse().unwrap()];
    assert_eq!(load(&sources).unwrap().config.server.listen, sources.listen);
}

#[test]
fn list_variables_accept_toml_json_and_commas() {
    let rules = |value: &str| {
        let checked =
            load_text(ONE_INSTANCE, &[("GATEPOST_ROLES__AUDITOR__RULES", value)]).unwrap();
        let role = RoleName::try_from("auditor").unwrap();
        format!("{:?}", checked.config.roles[&role].rules)
    };
    assert_eq!(
        rules(r#"[{ models = ["sale.*"], operations = ["read"] }]"#),
        rules(r#"[{"models": ["sale.*"], "operations": ["read"]}]"#)
    );
    for value in [
        "https://a.example,https://b.example",
        r#"["https://a.example", "https://b.example"]"#,
    ] {
        let checked =
            load_text(ONE_INSTANCE, &[("GATEPOST_SERVER__ALLOWED_ORIGINS", value)]).unwrap();
        assert_eq!(
            checked.config.server.allowed_origins,
            ["https://a.example", "https://b.example"]
        );
    }
}

#[test]
fn underscore_in_a_variable_stands_for_a_dash_in_a_name() {
    let text = ONE_INSTANCE
        .replace("production", "eu-west")
        .replace("reader", "sales_reader");
    let checked = load_text(
        &text,
        &[
            ("GATEPOST_INSTANCES__EU_WEST__DATABASE", "prod"),
            ("GATEPOST_INSTANCES__US_EAST__URL", "http://other"),
            ("GATEPOST_INSTANCES__US_EAST__API_KEY", "k"),
            ("GATEPOST_ROLES__SALES_READER__RULES", "[]"),
        ],
    )
    .unwrap();
    assert_eq!(
        checked.config.instances[&instance("eu-west")]
            .database
            .as_deref(),
        Some("prod")
    );
    assert!(checked.config.instances.contains_key(&instance("us-east")));
    assert_eq!(checked.config.roles.len(), 1);
}

#[test]
fn variable_matching_two_names_is_rejected() {
    let error = load_text(
        &format!("{ONE_INSTANCE}\n[roles.a-b]\n[roles.a_b]\n"),
        &[("GATEPOST_ROLES__A_B__RULES", "[]")],
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    error: environment variable GATEPOST_ROLES__A_B__RULES, key `roles`
    this may mean any of a-b, a_b
    help: set this key in the file
    ");
}

#[test]
fn api_key_variable_replaces_api_key_file_of_the_file() {
    let name = "GATEPOST_INSTANCES__PRODUCTION__API_KEY";
    let checked = load_text(ONE_INSTANCE, &[(name, "of-the-variable")]).unwrap();
    let production = &checked.config.instances[&instance("production")];
    assert_eq!(production.api_key.as_deref(), Some("of-the-variable"));
    assert_eq!(production.api_key_file, None);

    let both = [
        (name, "x"),
        ("GATEPOST_INSTANCES__PRODUCTION__API_KEY_FILE", "y"),
    ];
    insta::assert_snapshot!(load_text(ONE_INSTANCE, &both).unwrap_err());
}

#[test]
fn credential_key_variables_replace_key_files_of_the_file() {
    let text = format!(
        "{ONE_INSTANCE}\n[instances.production.credentials.north-sales]\napi_key_file = \"odoo.key\"\n\n[roles.reader]\ncredential = \"north-sales\"\n"
    );
    let checked = load_text(
        &text,
        &[
            (
                "GATEPOST_INSTANCES__PRODUCTION__CREDENTIALS__NORTH_SALES__API_KEY",
                "of-the-variable",
            ),
            (
                "GATEPOST_INSTANCES__PRODUCTION__CREDENTIALS__AUDIT_1__API_KEY",
                "another",
            ),
            ("GATEPOST_INSTANCES__PRODUCTION__SERVICE_KEY_WRITES", "true"),
        ],
    )
    .unwrap();
    let production = &checked.config.instances[&instance("production")];
    assert!(production.service_key_writes);
    let forms: Vec<String> = production
        .credentials
        .iter()
        .map(|(name, form)| format!("{name}: {form:?}"))
        .collect();
    insta::assert_snapshot!(forms.join("\n"), @r#"
    audit_1: CredentialConfig { api_key: Some(".."), api_key_file: None }
    north-sales: CredentialConfig { api_key: Some(".."), api_key_file: None }
    "#);
    assert_eq!(
        checked.secrets.credentials[&instance("production")].len(),
        2
    );
    let shown = format!("{checked:?}");
    assert!(!shown.contains("of-the-variable") && !shown.contains("another"));
}

#[test]
fn odoo_variables_fill_gaps_of_the_only_instance() {
    let variables = [
        ("ODOO_URL", "http://elsewhere"),
        ("ODOO_DB", "prod"),
        ("ODOO_API_KEY", "not-this"),
    ];
    let checked = load_text(ONE_INSTANCE, &variables).unwrap();
    let production = &checked.config.instances[&instance("production")];
    assert_eq!(checked.config.instances.len(), 1);
    assert_eq!(production.url, "http://odoo:8069");
    assert_eq!(production.database.as_deref(), Some("prod"));
    assert_eq!(production.api_key, None);

    let without_key = ONE_INSTANCE.replace("api_key_file = \"odoo.key\"", "");
    let checked = load_text(&without_key, &variables).unwrap();
    assert_eq!(
        checked.config.instances[&instance("production")]
            .api_key
            .as_deref(),
        Some("not-this")
    );
}

#[test]
fn odoo_variables_are_ignored_with_several_instances() {
    let text =
        format!("{ONE_INSTANCE}\n[instances.staging]\nurl = \"http://odoo\"\napi_key = \"x\"\n");
    let checked = load_text(&text, &[("ODOO_DB", "prod")]).unwrap();
    assert!(
        checked
            .config
            .instances
            .values()
            .all(|one| one.database.is_none())
    );
    let all = warnings(&checked);
    let mut texts = all.split("\n\n");
    insta::assert_snapshot!(texts.find(|text| text.contains("ODOO_DB")).unwrap());
}

#[test]
fn empty_odoo_variables_are_ignored() {
    let checked = load_text(
        ONE_INSTANCE,
        &[("ODOO_URL", ""), ("ODOO_DB", ""), ("ODOO_API_KEY", "")],
    )
    .unwrap();
    assert_eq!(
        checked.config.instances[&instance("production")].database,
        None
    );
    let nothing = load_environment(&[]).unwrap_err();
    let empty = load_environment(&[("ODOO_URL", "")]).unwrap_err();
    assert_eq!(empty, nothing);
}

#[test]
fn variable_errors_name_the_variable_and_contain_no_secret() {
    let error = load_environment(&[
        ("ODOO_URL", "https://admin:hunter2@odoo.example.com"),
        ("ODOO_API_KEY", "hunter2 hunter2"),
        ("GATEPOST_SERVER_LISTEN", "127.0.0.1:1"),
        ("GATEPOST_SERVER__LISEN", "127.0.0.1:1"),
        ("GATEPOST_SERVER__MAX_CONNECTIONS", "many"),
        ("GATEPOST_SERVER__LISTEN__0", "127.0.0.1:1"),
        ("GATEPOST_INSTANCES_ODOO_URL", "x"),
        ("GATEPOST_INSTANCES__ODOO__API_KEE", "hunter2"),
        ("GATEPOST_ROLES__READER__RULES", "all"),
        ("GATEPOST_ROLES__WRITER__RULES", "[{ models = "),
        ("GATEPOST_INSTANCES__1ST__URL", "http://odoo"),
    ])
    .unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error);

    let error = load_environment(&[
        ("ODOO_URL", "https://admin:hunter2@odoo.example.com"),
        ("ODOO_API_KEY", "hunter2 hunter2"),
        ("GATEPOST_SERVER__LISTEN", "localhost:80"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    error: environment variable GATEPOST_SERVER__LISTEN, key `server.listen[0]`
    `localhost:80` is not an address to listen on; write IP address and port, such as `127.0.0.1:8080` or `[::]:8080`
    ");

    let error = load_environment(&[
        ("ODOO_URL", "https://admin:hunter2@odoo.example.com"),
        ("ODOO_API_KEY", "hunter2 hunter2"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    error: environment variable ODOO_URL, key `instances.odoo.url`
    a URL must not hold a user or a password
    help: remove everything up to the `@`; secrets have their own keys

    error: environment variable ODOO_API_KEY, key `instances.odoo.api_key`
    `api_key` must hold one API key and nothing else: one word of ASCII letters, digits and signs
    ");
}

#[test]
fn incomplete_odoo_variables_report_the_missing_ones() {
    insta::assert_snapshot!(load_environment(&[("ODOO_API_KEY", "x")]).unwrap_err(), @r"
    error: environment variable ODOO_API_KEY
    no instance is configured that this variable could apply to
    help: set ODOO_URL too, such as https://odoo.example.com

    error: configuration, key `instances`
    no Odoo instance is configured
    help: add `[instances.NAME]` with `url`, `database` and `api_key_file`, or set ODOO_URL, ODOO_DB and ODOO_API_KEY
    ");
    insta::assert_snapshot!(load_environment(&[("ODOO_URL", "http://odoo")]).unwrap_err(), @r"
    error: environment variable ODOO_URL, key `instances.odoo.api_key`
    the API key of an Odoo user is missing
    help: set `api_key_file` to a file that holds it, or ODOO_API_KEY
    ");
    let both = [
        ("ODOO_URL", "http://odoo"),
        ("ODOO_API_KEY", "x"),
        ("ODOO_API_KEY_FILE", "tests/fixtures/config/odoo.key"),
    ];
    insta::assert_snapshot!(load_environment(&both).unwrap_err(), @r"
    error: environment variable ODOO_API_KEY
    ODOO_API_KEY and ODOO_API_KEY_FILE are both set
    help: set one of them

    error: environment variable ODOO_API_KEY_FILE, key `instances.odoo.api_key_file`
    `api_key` and `api_key_file` are both set
    help: keep one of them, preferably the file
    ");
}

#[test]
fn kubernetes_service_variables_are_ignored() {
    let checked = load_text(
        ONE_INSTANCE,
        &[
            ("GATEPOST_PORT", "tcp://10.0.0.1:8080"),
            ("GATEPOST_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("GATEPOST_SERVICE_HOST", "10.0.0.1"),
            ("GATEPOST_SERVICE_PORT_HTTP", "8080"),
            ("GATEPOST_CONFIG", "elsewhere.toml"),
            ("GATEPOST_LOG", "debug"),
            ("GATEPOST_COLOUR", "green"),
        ],
    )
    .unwrap();
    let about_variables: Vec<&ConfigLocation> = checked
        .warnings
        .iter()
        .map(|warning| &warning.location)
        .filter(|place| matches!(place, ConfigLocation::Environment(_)))
        .collect();
    assert_eq!(
        about_variables,
        [&ConfigLocation::Environment("GATEPOST_COLOUR".to_owned())]
    );
}

#[test]
fn paths_in_the_file_are_relative_to_its_folder() {
    let checked = load_text(&format!("keys.file = \"keys.toml\"\n{ONE_INSTANCE}"), &[]).unwrap();
    let keys = checked.config.keys.file.unwrap();
    assert!(keys.is_absolute() && keys.ends_with("keys.toml"));
    let checked = load_text(ONE_INSTANCE, &[("GATEPOST_KEYS__FILE", "keys.toml")]).unwrap();
    assert_eq!(
        checked.config.keys.file.as_deref(),
        Some(Path::new("keys.toml"))
    );
}

#[test]
fn empty_admin_address_disables_the_listener() {
    let admin = |variables: &[(&str, &str)]| {
        let sources = Sources::with_environment(None, variables.iter().copied());
        load_admin(&sources).map(|admin| admin.listen.map(|address| address.to_string()))
    };
    assert_eq!(admin(&[]).unwrap().as_deref(), Some("127.0.0.1:9090"));
    assert_eq!(admin(&[("GATEPOST_ADMIN__LISTEN", "")]).unwrap(), None);
    assert_eq!(
        admin(&[("GATEPOST_ADMIN__LISTEN", "0.0.0.0:1")])
            .unwrap()
            .as_deref(),
        Some("0.0.0.0:1")
    );
    assert!(admin(&[("GATEPOST_ADMIN__LISTEN", "x")]).is_err());
}

#[test]
fn questionable_settings_load_with_warnings() {
    let text = r#"
        [server]
        anonymous_role = "empty"

        [instances.production]
        url = "http://odoo.example.com"
        api_key_file = "odoo.key"
        connect_timeout_ms = 9000
        timeout_ms = 5000
        public_urls = ["http://127.10.0.1:10080/a", "http://127.10.0.1:10080/A/"]

        [keys]
        file = "none.toml"

        [roles.empty]

        [[roles.reader.rules]]
        instances = ["stag*"]
        models = []
    "#;
    insta::assert_snapshot!(
        warnings(&load_text(text, &[]).unwrap())
            .lines()
            .map(|line| if line.contains("tmp") {
                line.rsplit('/').next().unwrap()
            } else {
                line
            })
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn rule_that_reopens_what_another_restricts_is_a_warning() {
    let conflicts = |rules: &str| {
        let text = format!(
            "[instances.production]\nurl = \"http://odoo:8069\"\napi_key = \"hunter2\"\nwrites = \"direct\"\nservice_key_writes = true\n[roles.one]\nrules = [{rules}]\n"
        );
        let checked = load_text(&text, &[]).unwrap();
        let keys = checked.warnings.iter();
        keys.filter(|one| one.key.starts_with("roles.one"))
            .map(|one| format!("{}: {}", one.key.replace("roles.one.", ""), one.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let bounded = r#"{ models = ["sale.order"], hidden_fields = ["amount_*", "note"], domain = [["company_id", "=", 1]] }"#;
    assert_eq!(
        conflicts(&format!(
            r#"{bounded}, {{ models = ["sale.*"], hidden_fields = ["amount*"] }}"#
        )),
        "rules[0].hidden_fields[1]: rule 2 of this role also allows `read` of `sale.order`, with the field `note`; rules add up, so this restriction has no effect there\n\
         rules[0].domain: rule 2 of this role also allows `read` of `sale.order`, without a domain; rules add up, so this restriction has no effect there"
    );
    // A rule that allows nothing new causes no warning.
    for other in [
        r#"{ models = ["sale.order"], methods = ["action_confirm"] }"#,
        r#"{ models = ["sale.order"], operations = ["create"] }"#,
        r#"{ models = ["sale.order.line"] }"#,
        r#"{ models = ["sale.order"], fields = ["name"], domain = [["company_id", "=", 1]] }"#,
        r#"{ models = ["*"], deny = true }"#,
    ] {
        assert_eq!(conflicts(&format!("{bounded}, {other}")), "", "{other}");
    }
    // A wildcard does not match a protected model or field.
    let secret = r#"{ models = ["res.users"], domain = [["id", "=", 1]] }, { models = ["*"] }"#;
    assert_eq!(conflicts(secret), "");
    let field =
        r#"{ models = ["res.partner"], hidden_fields = ["signup_token"] }, { models = ["*"] }"#;
    assert_eq!(conflicts(field), "");
    let unread = r#"{ models = ["sale.order"], methods = ["action_confirm"], domain = [["state", "=", "draft"]] }"#;
    assert_eq!(
        conflicts(unread),
        "rules[0].methods: no rule of this role allows reading `sale.order`, so its callers cannot see what these methods do"
    );
}

/// ONE with two credentials, and roles that name them.
const TWO_CREDENTIALS: &str = r#"
[keys]
file = "keys.toml"

[instances.production]
url = "http://odoo:8069"
api_key = "hunter2"
credentials = { sales = { api_key = "hunter2" }, admin = { api_key = "hunter2" }, idle = { api_key = "hunter2" } }

[instances.staging]
url = "http://odoo:8069"
api_key = "hunter2"
credentials = { sales = { api_key = "hunter2" } }

[roles.sales]
credential = "sales"
rules = [{ models = ["*"] }]

[roles.admin]
credential = "admin"
rules = [{ instances = ["production"], models = ["*"] }]
"#;

#[test]
fn unused_credential_and_ambiguous_key_are_warnings() {
    let folder = folder_with(TWO_CREDENTIALS);
    let keys = folder.path().join("keys.toml");
    let key = |roles: &[&str], revoked: bool| {
        let key = ApiKey::generate().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let stored = StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "test".to_owned(),
            roles: roles
                .iter()
                .map(|role| RoleName::try_from(*role).unwrap())
                .collect(),
            created: now,
            expires: None,
            revoked: revoked.then_some(now),
        };
        update_keys_file(&keys, |keys| keys.add(stored)).unwrap();
        key.id().to_string()
    };
    key(&["admin"], false);
    key(&["sales"], false);
    key(&["admin", "sales"], true);
    let both = key(&["admin", "sales"], false);
    let file = folder.path().join("gatepost.toml");
    let checked = load(&Sources::with_environment(Some(file), [])).unwrap();
    let warnings: Vec<String> = checked
        .warnings
        .iter()
        .map(|warning| {
            let hint = warning.hint.as_deref().unwrap_or_default();
            format!("{}: {} ({hint})", warning.key, warning.message)
        })
        .collect();
    insta::assert_snapshot!(warnings.join("\n").replace(&both, "BOTH"), @r"
    keys.file: the key `BOTH` is rejected in `production` because its roles name both `admin` and `sales` as credential (create one key for each, or give its roles one credential)
    instances.production.credentials.idle: no grant, and no role that opens this instance, names this credential, so no call uses it (set `credential` of a role or grant to `idle`)
    ");
}

#[test]
fn reload_is_deterministic_and_reports_a_bad_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(
        &file,
        ONE_INSTANCE.replace("api_key_file = \"odoo.key\"", "api_key = \"hunter2\""),
    )
    .unwrap();
    let sources = Sources::with_environment(Some(file.clone()), []);
    let first = format!("{:?}", load(&sources).unwrap());
    assert_eq!(format!("{:?}", load(&sources).unwrap()), first);
    assert!(!first.contains("hunter2"), "{first}");
    std::fs::write(&file, "instances = 1").unwrap();
    assert!(load(&sources).is_err());
    std::fs::write(&file, b"# \xff\n").unwrap();
    let not_text = load(&sources).unwrap_err().to_string();
    std::fs::remove_file(&file).unwrap();
    let missing = load(&sources).unwrap_err().to_string();
    let texts = [not_text, missing].join("\n\n");
    insta::assert_snapshot!(texts.replace(file.to_str().unwrap(), "FILE"));
}

#[test]
fn byte_order_mark_is_accepted() {
    assert!(load_text(&format!("\u{feff}{ONE_INSTANCE}"), &[]).is_ok());
}

#[test]
fn debug_of_sources_omits_variable_values() {
    let sources = Sources::with_environment(None, [("ODOO_API_KEY", "hunter2"), ("OTHER", "x")]);
    let shown = format!("{sources:?}");
    assert!(
        shown.contains("ODOO_API_KEY") && !shown.contains("hunter2") && !shown.contains("OTHER")
    );
}

/// A configuration with these edits: at which character, whether that is
/// replaced, preceded or removed, and by which character.
fn load_malformed(edits: &[(usize, u8, &str)]) -> Result<(), String> {
    let mut text: Vec<char> = "[keys]\nfile = \"keys.toml\"\n\n[instances.production]\nurl = \"http://odoo:8069\"\napi_key = \"hunter2\"\ndatabase = \"prod\"\n\n[instances.production.credentials.sales]\napi_key = \"hunter2\"\n\n[[roles.reader.rules]]\nmodels = [\"*\"]\n"
        .chars()
        .collect();
    for (at, how, letter) in edits {
        let at = at % text.len();
        match how {
            0 => text[at] = letter.chars().next().unwrap(),
            1 => text.insert(at, letter.chars().next().unwrap()),
            _ => drop(text.remove(at)),
        }
    }
    let text: String = text.into_iter().collect();
    load_text(&text, &[]).map(drop)
}

proptest::proptest! {
    /// A malformed file is read without a panic, and the error does not contain
    /// the secret.
    #[test]
    fn error_for_a_malformed_file_never_contains_a_secret(
        edits in proptest::collection::vec((0_usize..220, 0_u8..3, "[\\[\\]{}=.,#'\"a\n @_-]"), 1..4),
    ) {
        let edits: Vec<(usize, u8, &str)> =
            edits.iter().map(|(at, how, letter)| (*at, *how, &**letter)).collect();
        if let Err(error) = load_malformed(&edits) {
            proptest::prop_assert!(!error.contains("hunter2"), "{}", error);
        }
    }
}

/// Once, the error for this file contained the secret.
#[test]
fn error_for_a_comment_sign_in_place_of_a_character_contains_no_secret() {
    let error = load_malformed(&[(154, 0, "#")]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn indistinct_grant_condition_warns_and_is_an_error_for_zitadel() {
    let text = r#"
        [providers.company]
        kind = "zitadel"
        project = "4711"
        issuer = "https://id.example.com"
        client_id = "gatepost"
        client_secret = "a-secret-of-ours"

        [providers.partner]
        validation = "jwt"
        issuer = "https://partner.example.net"

        [instances.production]
        url = "https://odoo.example.com"
        database = "prod"
        api_key = "0123456789012345678901234567890123456789"
        public_urls = ["https://mcp.example.com/production/mcp"]

        [roles.reader]
        rules = [{ models = ["*"] }]

        [[grants]]
        roles = ["reader"]
        provider_role = "reader"
        provider = "company"

        [[grants]]
        roles = ["reader"]
        subject = "alice"

        [[grants]]
        roles = ["reader"]
        scope = "openid"
        provider = "partner"
    "#;
    let open = text.replace(r#"provider = "partner""#, r#"provider = "company""#);
    let mistakes = load_text(&open, &[]).unwrap_err();
    insta::assert_snapshot!(mistakes);
    let checked = load_text(text, &[]).unwrap();
    let texts = checked.warnings.iter();
    let texts: Vec<String> = texts
        .map(|warning| format!("{}: {}", warning.key, warning.message))
        .collect();
    assert_eq!(
        texts,
        [
            "grants[1]: several providers are accepted where this grant applies, and the same user, client or role name may mean something else at each",
        ]
    );
}
