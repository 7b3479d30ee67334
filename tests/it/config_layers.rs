//! Which layer of a configuration wins, and what its variables mean.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path};

use gatepost::config::{Checked, Place, Sources, load, load_admin};
use gatepost_base::{InstanceName, RoleName};
use gatepost_identity::{ApiKey, StoredKey, change_keys};

/// One instance named `production`, a role `reader`, and nothing wrong.
const ONE: &str = r#"
[instances.production]
url = "http://odoo:8069"
api_key_file = "odoo.key"

[[roles.reader.rules]]
models = ["*"]
"#;

/// Reads a file of this text, beside an `odoo.key`, and these variables.
fn read(text: &str, variables: &[(&str, &str)]) -> Result<Checked, String> {
    let folder = folder_with(text);
    let file = folder.path().join("gatepost.toml");
    let sources = Sources::with_environment(Some(file), variables.iter().copied());
    let folder = format!("{}/", folder.path().display());
    load(&sources).map_err(|mistakes| mistakes.to_string().replace(&folder, ""))
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    let key = folder.path().join("odoo.key");
    std::fs::write(&key, "of-the-file\n").unwrap();
    // Whatever the umask is here.
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    folder
}

/// Reads these variables alone.
fn alone(variables: &[(&str, &str)]) -> Result<Checked, String> {
    let sources = Sources::with_environment(None, variables.iter().copied());
    load(&sources).map_err(|mistakes| mistakes.to_string())
}

fn instance(name: &str) -> InstanceName {
    InstanceName::try_from(name).unwrap()
}

fn warnings(checked: &Checked) -> String {
    let texts: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
    texts.join("\n\n")
}

#[test]
fn the_well_known_variables_alone_make_one_instance_and_let_nobody_in() {
    let checked = alone(&[
        ("ODOO_URL", "https://odoo.example.com"),
        ("ODOO_DB", "2024"),
        ("ODOO_API_KEY", "12345"),
    ])
    .unwrap();
    let (name, odoo) = checked.config.instances.first_key_value().unwrap();
    assert_eq!(name.as_str(), "odoo");
    assert_eq!(odoo.url, "https://odoo.example.com");
    // A text, although it looks like a number.
    assert_eq!(odoo.database.as_deref(), Some("2024"));
    assert!(checked.secrets.contains_key(name));
    assert_eq!(
        checked.config.server.listen[0].to_string(),
        "127.0.0.1:8080"
    );
    insta::assert_snapshot!(warnings(&checked), @r"
    configuration
    NOBODY CAN GET IN: there is no API key and no other way to prove who one is
    help: set `keys.file` (GATEPOST_KEYS__FILE), configure a role, and make a key: `gatepost key new --role ROLE --name NAME`
    ");
}

#[test]
fn a_variable_overrides_the_file_and_the_command_line_both() {
    let text = format!("[server]\nlisten = [\"127.0.0.1:1\"]\nmax_connections = 5\n{ONE}");
    let checked = read(
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
fn lists_are_taken_as_toml_as_json_and_comma_separated() {
    let rules = |value: &str| {
        let checked = read(ONE, &[("GATEPOST_ROLES__AUDITOR__RULES", value)]).unwrap();
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
        let checked = read(ONE, &[("GATEPOST_SERVER__ALLOWED_ORIGINS", value)]).unwrap();
        assert_eq!(
            checked.config.server.allowed_origins,
            ["https://a.example", "https://b.example"]
        );
    }
}

#[test]
fn a_dash_in_a_name_is_an_underscore_in_a_variable() {
    let text = ONE
        .replace("production", "eu-west")
        .replace("reader", "sales_reader");
    let checked = read(
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
fn a_name_that_may_be_two_is_not_guessed() {
    let error = read(
        &format!("{ONE}\n[roles.a-b]\n[roles.a_b]\n"),
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
fn a_key_from_the_environment_takes_the_place_of_a_key_file_from_the_file() {
    let name = "GATEPOST_INSTANCES__PRODUCTION__API_KEY";
    let checked = read(ONE, &[(name, "of-the-variable")]).unwrap();
    let production = &checked.config.instances[&instance("production")];
    assert_eq!(production.api_key.as_deref(), Some("of-the-variable"));
    assert_eq!(production.api_key_file, None);

    let both = [
        (name, "x"),
        ("GATEPOST_INSTANCES__PRODUCTION__API_KEY_FILE", "y"),
    ];
    assert!(read(ONE, &both).unwrap_err().contains("both set"));
}

#[test]
fn a_credential_is_set_by_variables_and_gives_way_to_them_as_an_instance_does() {
    let text = format!(
        "{ONE}\n[instances.production.credentials.north-sales]\napi_key_file = \"odoo.key\"\n\n[roles.reader]\ncredential = \"north-sales\"\n"
    );
    let checked = read(
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
    audit_1: Credential { api_key: Some(".."), api_key_file: None }
    north-sales: Credential { api_key: Some(".."), api_key_file: None }
    "#);
    assert_eq!(checked.credentials[&instance("production")].len(), 2);
    let shown = format!("{checked:?}");
    assert!(!shown.contains("of-the-variable") && !shown.contains("another"));
}

#[test]
fn the_well_known_variables_fill_the_only_instance_and_override_nothing() {
    let variables = [
        ("ODOO_URL", "http://elsewhere"),
        ("ODOO_DB", "prod"),
        ("ODOO_API_KEY", "not-this"),
    ];
    let checked = read(ONE, &variables).unwrap();
    let production = &checked.config.instances[&instance("production")];
    assert_eq!(checked.config.instances.len(), 1);
    assert_eq!(production.url, "http://odoo:8069");
    assert_eq!(production.database.as_deref(), Some("prod"));
    assert_eq!(production.api_key, None);

    let without_key = ONE.replace("api_key_file = \"odoo.key\"", "");
    let checked = read(&without_key, &variables).unwrap();
    assert_eq!(
        checked.config.instances[&instance("production")]
            .api_key
            .as_deref(),
        Some("not-this")
    );
}

#[test]
fn the_well_known_variables_are_not_guessed_onto_one_of_several_instances() {
    let text = format!("{ONE}\n[instances.staging]\nurl = \"http://odoo\"\napi_key = \"x\"\n");
    let checked = read(&text, &[("ODOO_DB", "prod")]).unwrap();
    assert!(
        checked
            .config
            .instances
            .values()
            .all(|one| one.database.is_none())
    );
    assert!(warnings(&checked).contains("the `ODOO_…` variables are ignored"));
}

#[test]
fn empty_well_known_variables_are_like_none() {
    let checked = read(
        ONE,
        &[("ODOO_URL", ""), ("ODOO_DB", ""), ("ODOO_API_KEY", "")],
    )
    .unwrap();
    assert_eq!(
        checked.config.instances[&instance("production")].database,
        None
    );
    assert!(
        alone(&[("ODOO_URL", "")])
            .unwrap_err()
            .contains("no Odoo instance is configured")
    );
}

#[test]
fn what_is_wrong_with_variables_is_told_by_their_names_and_never_by_a_secret() {
    let error = alone(&[
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

    let error = alone(&[
        ("ODOO_URL", "https://admin:hunter2@odoo.example.com"),
        ("ODOO_API_KEY", "hunter2 hunter2"),
        ("GATEPOST_SERVER__LISTEN", "localhost:80"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    error: environment variable GATEPOST_SERVER__LISTEN, key `server.listen[0]`
    `localhost:80` is not an address to listen on; write IP address and port, such as `127.0.0.1:8080` or `[::]:8080`
    ");

    let error = alone(&[
        ("ODOO_URL", "https://admin:hunter2@odoo.example.com"),
        ("ODOO_API_KEY", "hunter2 hunter2"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(error, @r"
    error: environment variable ODOO_URL, key `instances.odoo.url`
    a URL must not hold a user or a password
    help: leave out all up to the `@`; secrets have keys of their own

    error: environment variable ODOO_API_KEY, key `instances.odoo.api_key`
    `api_key` must hold one API key and nothing else: one word of ASCII letters, digits and signs
    ");
}

#[test]
fn half_of_the_well_known_variables_says_what_the_other_half_is() {
    insta::assert_snapshot!(alone(&[("ODOO_API_KEY", "x")]).unwrap_err(), @r"
    error: environment variable ODOO_API_KEY
    there is no instance for this to belong to
    help: set ODOO_URL too, such as https://odoo.example.com

    error: configuration, key `instances`
    no Odoo instance is configured
    help: add `[instances.NAME]` with `url`, `database` and `api_key_file`, or set ODOO_URL, ODOO_DB and ODOO_API_KEY
    ");
    insta::assert_snapshot!(alone(&[("ODOO_URL", "http://odoo")]).unwrap_err(), @r"
    error: environment variable ODOO_URL, key `instances.odoo.api_key`
    the API key of an Odoo user is missing
    help: set `api_key_file` to a file that holds it, or ODOO_API_KEY
    ");
    let both = [
        ("ODOO_URL", "http://odoo"),
        ("ODOO_API_KEY", "x"),
        ("ODOO_API_KEY_FILE", "tests/fixtures/config/odoo.key"),
    ];
    insta::assert_snapshot!(alone(&both).unwrap_err(), @r"
    error: environment variable ODOO_API_KEY
    ODOO_API_KEY and ODOO_API_KEY_FILE are both set
    help: set one of them

    error: environment variable ODOO_API_KEY_FILE, key `instances.odoo.api_key_file`
    `api_key` and `api_key_file` are both set
    help: keep one of them, better the file
    ");
}

#[test]
fn the_variables_of_kubernetes_are_not_taken_for_ours() {
    let checked = read(
        ONE,
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
    let about_variables: Vec<&Place> = checked
        .warnings
        .iter()
        .map(|warning| &warning.place)
        .filter(|place| matches!(place, Place::Environment(_)))
        .collect();
    assert_eq!(
        about_variables,
        [&Place::Environment("GATEPOST_COLOUR".to_owned())]
    );
}

#[test]
fn paths_in_the_file_start_from_its_folder() {
    let checked = read(&format!("keys.file = \"keys.toml\"\n{ONE}"), &[]).unwrap();
    let keys = checked.config.keys.file.unwrap();
    assert!(keys.is_absolute() && keys.ends_with("keys.toml"));
    let checked = read(ONE, &[("GATEPOST_KEYS__FILE", "keys.toml")]).unwrap();
    assert_eq!(
        checked.config.keys.file.as_deref(),
        Some(Path::new("keys.toml"))
    );
}

#[test]
fn an_empty_text_switches_the_admin_listener_off() {
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
fn doubtful_settings_are_told_and_do_not_stop() {
    let text = r#"
        [server]
        anonymous_role = "empty"

        [instances.production]
        url = "http://odoo.example.com"
        api_key_file = "odoo.key"
        connect_timeout_ms = 9000
        timeout_ms = 5000
        public_urls = ["https://mcp.example.com/a", "https://mcp.example.com/A/"]

        [keys]
        file = "none.toml"

        [roles.empty]

        [[roles.reader.rules]]
        instances = ["stag*"]
        models = []
    "#;
    insta::assert_snapshot!(
        warnings(&read(text, &[]).unwrap())
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
fn what_one_rule_leaves_out_and_another_opens_is_doubtful() {
    let told = |rules: &str| {
        let text = format!(
            "[instances.production]\nurl = \"http://odoo:8069\"\napi_key = \"hunter2\"\n[roles.one]\nrules = [{rules}]\n"
        );
        let checked = read(&text, &[]).unwrap();
        let keys = checked.warnings.iter();
        keys.filter(|one| one.key.starts_with("roles.one"))
            .map(|one| format!("{}: {}", one.key.replace("roles.one.", ""), one.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let bounded = r#"{ models = ["sale.order"], hidden_fields = ["amount_*", "note"], domain = [["company_id", "=", 1]] }"#;
    assert_eq!(
        told(&format!(
            r#"{bounded}, {{ models = ["sale.*"], hidden_fields = ["amount*"] }}"#
        )),
        "rules[0].hidden_fields[1]: rule 2 of this role opens `read` of `sale.order` too, showing `note`: rules add up, so there this leaves nothing out\n\
         rules[0].domain: rule 2 of this role opens `read` of `sale.order` too, without a domain: rules add up, so there this leaves nothing out"
    );
    // What adds nothing takes nothing away.
    for other in [
        r#"{ models = ["sale.order"], methods = ["action_confirm"] }"#,
        r#"{ models = ["sale.order"], operations = ["create"] }"#,
        r#"{ models = ["sale.order.line"] }"#,
        r#"{ models = ["sale.order"], fields = ["name"], domain = [["company_id", "=", 1]] }"#,
        r#"{ models = ["*"], deny = true }"#,
    ] {
        assert_eq!(told(&format!("{bounded}, {other}")), "", "{other}");
    }
    // A star does not open a secret model or field.
    let secret = r#"{ models = ["res.users"], domain = [["id", "=", 1]] }, { models = ["*"] }"#;
    assert_eq!(told(secret), "");
    let field =
        r#"{ models = ["res.partner"], hidden_fields = ["signup_token"] }, { models = ["*"] }"#;
    assert_eq!(told(field), "");
    let unread = r#"{ models = ["sale.order"], methods = ["action_confirm"], domain = [["state", "=", "draft"]] }"#;
    assert_eq!(
        told(unread),
        "rules[0].methods: no rule of this role lets `sale.order` be read, so its callers do not see what these methods do"
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
fn a_credential_that_nobody_uses_and_a_key_that_would_be_refused_are_doubtful() {
    let folder = folder_with(TWO_CREDENTIALS);
    let keys = folder.path().join("keys.toml");
    let key = |roles: &[&str], revoked: bool| {
        let key = ApiKey::fresh().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let stored = StoredKey {
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
        change_keys(&keys, |keys| keys.add(&key, stored)).unwrap();
        key.id().to_string()
    };
    key(&["admin"], false);
    key(&["sales"], false);
    key(&["admin", "sales"], true);
    let both = key(&["admin", "sales"], false);
    let file = folder.path().join("gatepost.toml");
    let checked = load(&Sources::with_environment(Some(file), [])).unwrap();
    let told: Vec<String> = checked
        .warnings
        .iter()
        .map(|warning| {
            let hint = warning.hint.as_deref().unwrap_or_default();
            format!("{}: {} ({hint})", warning.key, warning.message)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n").replace(&both, "BOTH"), @r"
    keys.file: the key `BOTH` is refused in `production`, for its roles name both `admin` and `sales` as credential (make a key for each, or let its roles name one credential)
    instances.production.credentials.idle: no role that opens this instance and no grant names this credential, so no call uses it (set `credential` of a role or grant to `idle`)
    ");
}

#[test]
fn loading_again_gives_the_same_and_a_bad_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(
        &file,
        ONE.replace("api_key_file = \"odoo.key\"", "api_key = \"hunter2\""),
    )
    .unwrap();
    let sources = Sources::with_environment(Some(file.clone()), []);
    let first = format!("{:?}", load(&sources).unwrap());
    assert_eq!(format!("{:?}", load(&sources).unwrap()), first);
    assert!(!first.contains("hunter2"), "{first}");
    std::fs::write(&file, "instances = 1").unwrap();
    assert!(load(&sources).is_err());
    std::fs::write(&file, b"# \xff\n").unwrap();
    assert!(
        load(&sources)
            .unwrap_err()
            .to_string()
            .contains("line 1 is not UTF-8")
    );
    std::fs::remove_file(&file).unwrap();
    assert!(
        load(&sources)
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert!(read(&format!("\u{feff}{ONE}"), &[]).is_ok());
}

#[test]
fn sources_keep_the_values_of_variables_to_themselves() {
    let sources = Sources::with_environment(None, [("ODOO_API_KEY", "hunter2"), ("OTHER", "x")]);
    let shown = format!("{sources:?}");
    assert!(
        shown.contains("ODOO_API_KEY") && !shown.contains("hunter2") && !shown.contains("OTHER")
    );
}

proptest::proptest! {
    /// Whatever slips of the pen a file holds: it is read without a panic, and
    /// the complaint does not tell the secret.
    #[test]
    fn no_slip_of_the_pen_tells_a_secret(
        slips in proptest::collection::vec((0_usize..220, 0_u8..3, "[\\[\\]{}=.,#'\"a\n @_-]"), 1..4),
    ) {
        let mut text: Vec<char> = "[keys]\nfile = \"keys.toml\"\n\n[instances.production]\nurl = \"http://odoo:8069\"\napi_key = \"hunter2\"\ndatabase = \"prod\"\n\n[instances.production.credentials.sales]\napi_key = \"hunter2\"\n\n[[roles.reader.rules]]\nmodels = [\"*\"]\n"
            .chars()
            .collect();
        for (at, how, letter) in slips {
            let at = at % text.len();
            match how {
                0 => text[at] = letter.chars().next().unwrap(),
                1 => text.insert(at, letter.chars().next().unwrap()),
                _ => drop(text.remove(at)),
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(complaint) = read(&text, &[]) {
            proptest::prop_assert!(!complaint.contains("hunter2"), "{}\n{}", text, complaint);
        }
    }
}

#[test]
fn conditions_that_tell_nobody_apart_are_doubtful_and_on_a_zitadel_wrong() {
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
    let mistakes = read(&open, &[]).unwrap_err();
    assert!(
        mistakes.contains("the provider `company` is a Zitadel, where every user"),
        "{mistakes}"
    );
    let checked = read(text, &[]).unwrap();
    let told = checked.warnings.iter();
    let told: Vec<String> = told
        .map(|warning| format!("{}: {}", warning.key, warning.message))
        .collect();
    assert_eq!(
        told,
        [
            "grants[1]: several providers vouch where this grant holds, and what one of them says of a user, a client or a role says nothing of the same word at another",
        ]
    );
}
