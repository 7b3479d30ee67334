//! Callers act as different Odoo users, seen from outside.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gatepost_base::{InstanceName, RoleName};
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use jiff::{SignedDuration, Timestamp};
use odoo_sim::{ADMIN_KEY, FakeOdoo, FaultPoint, INTERNAL_KEY, SALES_KEY};
use serde_json::{Value, json};

use crate::log;
use crate::test_gateway::{TestGateway, TestResponse, load_config, start_fake_odoo, tool_call};

const JSON: &str = "Content-Type: application/json";

/// The service key belongs to a user without rights. Two roles name the
/// administrator and a salesperson, and two more name unknown users.
const SETTINGS: [(&str, &str); 8] = [
    (
        "GATEPOST_INSTANCES__DEMO__WEB_URL",
        "https://odoo.example.com",
    ),
    (
        "GATEPOST_INSTANCES__DEMO__CREDENTIALS__ADMIN__API_KEY",
        ADMIN_KEY,
    ),
    (
        "GATEPOST_INSTANCES__DEMO__CREDENTIALS__SALES__API_KEY",
        SALES_KEY,
    ),
    ("GATEPOST_ROLES__ADMIN__RULES", r#"[{ models = ["*"] }]"#),
    ("GATEPOST_ROLES__ADMIN__CREDENTIAL", "admin"),
    (
        "GATEPOST_ROLES__SALES__RULES",
        r#"[{ instances = ["demo"], models = ["*"] }]"#,
    ),
    ("GATEPOST_ROLES__SALES__CREDENTIAL", "sales"),
    ("GATEPOST_ROLES__PLAIN__RULES", r#"[{ models = ["*"] }]"#),
];

/// A keys file of the gateway, and the headers for its keys.
pub(crate) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn file(&self) -> String {
        let file = self.folder.path().join("keys.toml");
        file.to_str().unwrap().to_owned()
    }

    /// The header of a new key with these roles.
    pub(crate) fn header_for_roles(&self, roles: &[&str]) -> String {
        let key = ApiKey::generate().unwrap();
        let stored = StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "test".to_owned(),
            roles: roles
                .iter()
                .map(|role| RoleName::try_from(*role).unwrap())
                .collect(),
            created: Timestamp::UNIX_EPOCH,
            expires: None,
            revoked: None,
        };
        update_keys_file(self.file().as_ref(), |keys| keys.add(stored)).unwrap();
        format!("Authorization: Bearer {}", key.reveal())
    }

    /// A gateway with these keys.
    fn gateway(&self, more: &[(&str, &str)]) -> TestGateway {
        let file = self.file();
        let mut settings = SETTINGS.to_vec();
        settings.push(("GATEPOST_KEYS__FILE", &file));
        settings.extend_from_slice(more);
        TestGateway::with_key(INTERNAL_KEY, &settings)
    }
}

fn call_tool_at(
    stage: &TestGateway,
    path: &str,
    who: &str,
    tool: &str,
    arguments: &Value,
) -> TestResponse {
    let message = tool_call(tool, arguments).to_string();
    stage.request("POST", path, &[JSON, who], &message)
}

fn call_tool(stage: &TestGateway, who: &str, tool: &str, arguments: &Value) -> (String, bool) {
    call_tool_at(stage, "/demo/mcp", who, tool, arguments).tool_result()
}

/// The API keys that Odoo has received so far.
fn keys_sent(company: &FakeOdoo) -> BTreeSet<String> {
    company
        .calls()
        .iter()
        .filter_map(|call| {
            let value = call.headers.get("authorization")?.to_str().unwrap();
            Some(value.trim_start_matches("bearer ").to_owned())
        })
        .collect()
}

/// The responses to a caller about a model that only the administrator may read,
/// a field that only the administrator may see, the list of models, and the
/// companies.
fn visible_summary(stage: &TestGateway, who: &str) -> String {
    let questions = [
        ("count_records", json!({"model": "account.move"})),
        (
            "describe_model",
            json!({"model": "res.partner", "fields": ["credit_limit"]}),
        ),
        ("list_models", json!({"query": "account"})),
        ("count_records", json!({"model": "sale.order"})),
    ];
    let answers: Vec<String> = questions
        .iter()
        .map(|(tool, arguments)| {
            let (text, failed) = call_tool(stage, who, tool, arguments);
            let mark = if failed { "refused: " } else { "" };
            format!("{mark}{}", text.trim())
        })
        .collect();
    answers.join("\n\n")
}

#[test]
fn keys_with_different_credentials_act_as_different_odoo_users() {
    let keys = Keys::new();
    let (admin, sales, plain) = (
        keys.header_for_roles(&["admin"]),
        keys.header_for_roles(&["sales"]),
        keys.header_for_roles(&["plain"]),
    );
    let stage = keys.gateway(&[]);
    let users = |who: &str| {
        let before = stage.fake_odoo.calls().len();
        call_tool(
            &stage,
            who,
            "count_records",
            &json!({"model": "res.partner"}),
        );
        let calls = stage.fake_odoo.calls().split_off(before);
        let ids: Vec<Value> = calls
            .iter()
            .filter(|call| call.path.ends_with("res.users/read"))
            .map(|call| call.body["ids"].clone())
            .collect();
        let counted = calls.last().unwrap();
        (
            json!(ids),
            counted.body["context"]["allowed_company_ids"].clone(),
            counted.headers["authorization"]
                .to_str()
                .unwrap()
                .to_owned(),
        )
    };
    assert_eq!(
        users(&admin),
        (json!([[2]]), json!([1, 2]), format!("bearer {ADMIN_KEY}"))
    );
    assert_eq!(
        users(&sales),
        (json!([[6]]), json!([1]), format!("bearer {SALES_KEY}"))
    );
    assert_eq!(
        users(&plain),
        (json!([[7]]), json!([1]), format!("bearer {INTERNAL_KEY}"))
    );
    insta::assert_snapshot!(visible_summary(&stage, &admin), @r#"
    40 records of `account.move` match.
    (companies: Example Furniture (Brussels) [1], Example Furniture (Chicago) [2]; archived records: excluded)

    res.partner: 41 fields
    credit_limit: float, "Credit Limit"

    model | label
    account.journal | Journal
    account.move | Journal Entry (invoice, customer invoice, bill, vendor bill, credit note, refund)

    40 records of `sale.order` match.
    (companies: Example Furniture (Brussels) [1], Example Furniture (Chicago) [2]; archived records: excluded)
    "#);
    insta::assert_snapshot!(visible_summary(&stage, &sales), @r#"
    refused: this Odoo user has no access rights for that on this model, or on one it links to; retrying will not help

    refused: `res.partner` has no field `credit_limit` that you can see; `describe_model` lists the fields of `res.partner`

    None of the 21 models that you can read matches this; try another word, or omit the query to list all.

    10 records of `sale.order` match.
    (companies: Example Furniture (Brussels) [1]; archived records: excluded)
    "#);
}

#[test]
fn cached_odoo_data_is_never_shared_between_odoo_users() {
    let keys = Keys::new();
    let who = ["admin", "sales", "plain"].map(|role| keys.header_for_roles(&[role]));
    let alone: Vec<String> = who
        .iter()
        .map(|who| visible_summary(&keys.gateway(&[]), who))
        .collect();
    assert_eq!(alone.iter().collect::<BTreeSet<_>>().len(), 3);
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let stage = keys.gateway(&[]);
        // Twice, because the second time the caches are filled.
        for one in order.into_iter().chain(order) {
            assert_eq!(visible_summary(&stage, &who[one]), alone[one], "{order:?}");
        }
    }
}

#[test]
fn anonymous_caller_acts_as_odoo_user_of_anonymous_role() {
    let keys = Keys::new();
    let stage = keys.gateway(&[("GATEPOST_SERVER__ANONYMOUS_ROLE", "sales")]);
    let (text, failed) = stage.call("count_records", &json!({"model": "sale.order"}));
    assert!(!failed, "{text}");
    assert_eq!(
        keys_sent(&stage.fake_odoo),
        BTreeSet::from([SALES_KEY.to_owned()])
    );
}

#[test]
fn roles_naming_one_credential_or_none_are_unambiguous() {
    let keys = Keys::new();
    let both = keys.header_for_roles(&["plain", "sales", "seller"]);
    let stage = keys.gateway(&[
        ("GATEPOST_ROLES__SELLER__RULES", r#"[{ models = ["*"] }]"#),
        ("GATEPOST_ROLES__SELLER__CREDENTIAL", "sales"),
    ]);
    let (text, failed) = call_tool(
        &stage,
        &both,
        "count_records",
        &json!({"model": "sale.order"}),
    );
    assert!(!failed, "{text}");
    assert_eq!(
        keys_sent(&stage.fake_odoo),
        BTreeSet::from([SALES_KEY.to_owned()])
    );
}

#[test]
fn ambiguous_credential_is_rejected_only_where_both_roles_apply() {
    let keys = Keys::new();
    let both = keys.header_for_roles(&["admin", "sales"]);
    let stage = keys.gateway(&[
        // The sales role allows nothing here.
        ("GATEPOST_INSTANCES__OTHER__URL", "http://127.0.0.1:9"),
        ("GATEPOST_INSTANCES__OTHER__API_KEY", INTERNAL_KEY),
        (
            "GATEPOST_INSTANCES__OTHER__CREDENTIALS__ADMIN__API_KEY",
            ADMIN_KEY,
        ),
    ]);
    let counting = json!({"model": "res.partner"});
    let refused = call_tool_at(&stage, "/demo/mcp", &both, "count_records", &counting);
    assert_eq!(refused.status, 403);
    insta::assert_snapshot!(refused.body.trim(), @"your grants or roles name different Odoo users to act as in this Odoo instance. Nothing was sent. Retrying will not help; ask the administrator");
    assert!(stage.fake_odoo.calls().is_empty());
    let elsewhere = call_tool_at(&stage, "/other/mcp", &both, "count_records", &counting);
    assert_eq!(elsewhere.status, 200);
}

#[test]
fn missing_credential_is_rejected_without_calling_odoo() {
    let keys = Keys::new();
    let sales = keys.header_for_roles(&["sales"]);
    let (company, url) = start_fake_odoo();
    let file = keys.file();
    let mut settings = SETTINGS.to_vec();
    settings.push(("GATEPOST_KEYS__FILE", &file));
    let mut checked = load_config(&url, ADMIN_KEY, &settings);
    // A valid configuration cannot lack it.
    for of_instance in checked.secrets.credentials.values_mut() {
        of_instance.remove("sales");
    }
    let stage = TestGateway::from_checked_config(&checked, company);
    for (tool, arguments) in [
        ("count_records", json!({"model": "res.partner"})),
        ("describe_model", json!({"model": "res.partner"})),
        ("list_models", json!({})),
        ("search_records", json!({"model": "res.partner"})),
        ("read_records", json!({"model": "res.partner", "ids": [1]})),
        ("find_by_name", json!({"model": "res.partner", "name": "a"})),
    ] {
        let (text, failed) = call_tool(&stage, &sales, tool, &arguments);
        assert!(failed, "{text}");
        assert_eq!(
            text,
            "the Odoo user that your calls should act as is not configured for this Odoo instance. Nothing was sent. Retrying will not help; tell the administrator"
        );
    }
    assert!(stage.fake_odoo.calls().is_empty());
}

/// A file with the company as its only instance, and this content.
fn configured_folder(url: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[instances.demo]\nurl = \"{url}\"\ndatabase = \"demo\"\napi_key = \"{INTERNAL_KEY}\"\n\
         credentials.admin.api_key = \"{ADMIN_KEY}\"\ncredentials.sales.api_key = \"{SALES_KEY}\"\n{more}"
    );
    let file = folder.path().join("gatepost.toml");
    fs::write(&file, text).unwrap();
    // Otherwise there is a warning about the keys in it.
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, owner_only).unwrap();
    folder
}

/// The program's output for the file, with this on its standard input.
pub(crate) fn run(folder: &tempfile::TempDir, command: &[&str], input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "")
        .args(command)
        .args(["--config", "gatepost.toml"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads nothing may have exited already.
    drop(program.stdin.take().unwrap().write_all(input.as_bytes()));
    program.wait_with_output().unwrap()
}

const PLAIN_ROLE: &str = "[[roles.plain.rules]]\nmodels = [\"*\"]\n";
const SALES_ROLE: &str =
    "[roles.sales]\ncredential = \"sales\"\n[[roles.sales.rules]]\nmodels = [\"*\"]\n";
const ADMIN_ROLE: &str =
    "[roles.admin]\ncredential = \"admin\"\n[[roles.admin.rules]]\nmodels = [\"*\"]\n";

#[test]
fn stdio_uses_the_only_named_credential_or_else_the_service_key() {
    for (roles, key) in [
        (PLAIN_ROLE.to_owned(), INTERNAL_KEY),
        (format!("{PLAIN_ROLE}{SALES_ROLE}"), SALES_KEY),
        (format!("{SALES_ROLE}{ADMIN_ROLE}"), INTERNAL_KEY),
    ] {
        let (company, url): (Arc<FakeOdoo>, String) = start_fake_odoo();
        let folder = configured_folder(&url, &roles);
        let counting = tool_call("count_records", &json!({"model": "res.partner"}));
        let output = run(&folder, &["stdio"], &format!("{counting}\n"));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_ne!(answer["result"]["isError"], json!(true), "{answer}");
        assert_eq!(
            keys_sent(&company),
            BTreeSet::from([key.to_owned()]),
            "{roles}"
        );
    }
}

#[test]
fn check_live_tests_and_names_every_credential() {
    let (_company, url) = start_fake_odoo();
    let good = run(
        &configured_folder(&url, &format!("{SALES_ROLE}{ADMIN_ROLE}")),
        &["check", "--live"],
        "",
    );
    let (out, err) = checked_output(&good, &url);
    assert_eq!(good.status.code(), Some(0), "{err}");
    insta::assert_snapshot!(out, @r#"
    gatepost.toml
      listen     127.0.0.1:0
      instance   demo: demo on URL
      endpoint   demo: http://127.0.0.1:0/demo/mcp
      client     claude mcp add --transport http odoo http://127.0.0.1:0/demo/mcp --header "Authorization: Bearer KEY"
      role       admin: 1 rule, acts as `admin`
      role       sales: 1 rule, acts as `sales`
      API keys   0 in use
      demo: answers, and accepts the API key of the Odoo user `ivan` (id 7)
      demo: the API key never expires
      demo: accepts the credential `admin` of the Odoo user `admin` (id 2)
      demo, credential `admin`: the API key never expires
      demo: accepts the credential `sales` of the Odoo user `sally` (id 6)
      demo, credential `sales`: the API key never expires
    The configuration is valid, and what it names works; 1 warning
    "#);

    let folder = configured_folder(&url, &format!("{SALES_ROLE}{ADMIN_ROLE}"));
    let file = folder.path().join("gatepost.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(SALES_KEY, "hunter2")).unwrap();
    let bad = run(&folder, &["check", "--live"], "");
    let (out, err) = checked_output(&bad, &url);
    assert_eq!(bad.status.code(), Some(4), "{err}");
    // The other credential is accepted.
    assert!(
        out.contains("credential `admin`") && !err.contains("`admin`"),
        "{out}{err}"
    );
    let errors = err.get(err.find("error: ").unwrap()..).unwrap();
    insta::assert_snapshot!(errors);
}

/// This many days and an hour from now.
fn in_days(days: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(days * 24 + 1)
}

/// A service key and the credential `sales`, in an instance of this name: other tests
/// write to the same log.
fn two_keys_config(instance: &str) -> String {
    let text = r#"
[server]
anonymous_role = "reader"
[instances.demo]
url = "ODOO"
database = "demo"
api_key = "ADMIN"
[instances.demo.credentials.sales]
api_key = "SALES"
[roles.reader]
rules = [{ models = ["*"] }]
[roles.sales]
credential = "sales"
rules = [{ models = ["*"] }]
"#;
    let text = text.replace("instances.demo", &format!("instances.{instance}"));
    text.replace("ADMIN", ADMIN_KEY).replace("SALES", SALES_KEY)
}

#[test]
fn keys_and_databases_that_odoo_rejects_are_announced_by_readiness_and_log() {
    let announced = |config: &str| {
        let stage = TestGateway::from_config(config);
        let from = log::length();
        stage.ask_when_keys_expire(5);
        let (warnings, unusable) = stage.key_warnings(Timestamp::now());
        let lines = log::written_since(from);
        let errors = lines
            .lines()
            .filter(|line| line.contains("ERROR") && line.contains("instance.name=rejected "));
        (warnings, unusable.len(), errors.count())
    };
    let config = two_keys_config("rejected");
    assert_eq!(announced(&config), (Vec::new(), 0, 0));
    let (warnings, unusable, errors) = announced(&config.replace(SALES_KEY, &"f".repeat(40)));
    assert_eq!(
        warnings,
        [
            "no call with the key of `instances.rejected.credentials.sales` works: Odoo does not accept this API key"
        ]
    );
    assert_eq!((unusable, errors), (0, 1));
    let other = config.replace("database = \"demo\"", "database = \"other\"");
    let (warnings, unusable, errors) = announced(&other);
    let cause = "this Odoo has no database `other`, or does not serve it under this name of a host";
    assert_eq!(
        warnings,
        [
            format!("no call with the key of `instances.rejected` works: {cause}"),
            format!(
                "no call with the key of `instances.rejected.credentials.sales` works: {cause}"
            ),
        ]
    );
    assert_eq!((unusable, errors), (1, 2));
}

#[test]
fn keys_that_expire_are_announced_by_readiness_metrics_and_log() {
    let config = two_keys_config("expiring");
    let stage = TestGateway::from_config(&config);
    let (service, sales, other) = (in_days(6), in_days(30), in_days(3));
    stage.fake_odoo.set_key_expiry(ADMIN_KEY, service);
    stage.fake_odoo.set_key_expiry(SALES_KEY, sales);
    stage.fake_odoo.add_other_key(SALES_KEY, other);
    let questions = || {
        let calls = stage.fake_odoo.calls();
        let asked = calls
            .iter()
            .filter(|call| call.path.contains("res.users.apikeys"));
        asked.count()
    };
    assert_eq!(stage.admin_get("/readyz").json()["warnings"], Value::Null);
    let from = log::length();
    stage.ask_when_keys_expire(5);
    // Each once, and not again today.
    assert_eq!(questions(), 2);
    let (warnings, unusable) = stage.key_warnings(Timestamp::now());
    let date = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    assert_eq!(
        warnings,
        [
            format!(
                "the Odoo API key of `instances.expiring` expires on {}, in 6 days",
                date(service)
            ),
            format!(
                "the Odoo API key of `instances.expiring.credentials.sales` is one of 2 keys of its Odoo user, and Odoo does not report which: the first expires on {}, in 3 days; the last expires on {}, in 30 days",
                date(other),
                date(sales)
            ),
        ]
    );
    assert_eq!(unusable, []);
    // Also when a result from before is still cached.
    let limit = Instant::now() + Duration::from_mins(2);
    while stage.admin_get("/readyz").json()["warnings"] != json!(warnings) {
        assert!(Instant::now() < limit);
        thread::yield_now();
    }
    assert_eq!(stage.admin_get("/readyz").status, 200);
    let metrics = stage.admin_get("/metrics").body;
    for (credential, at) in [("none", service), ("sales", other)] {
        let line = format!(
            "gatepost_odoo_key_expires_timestamp_seconds{{credential=\"{credential}\",instance=\"expiring\"}} {}\n",
            at.as_second()
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let lines = log::written_since(from);
    let warned = lines
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("instance.name=expiring "));
    assert_eq!(warned.count(), 2, "{lines}");
    // Only once all of them have expired, nothing works.
    assert_eq!(stage.key_warnings(in_days(7)).1, []);
    let expiring = InstanceName::try_from("expiring").unwrap();
    assert_eq!(stage.key_warnings(in_days(31)).1, [expiring]);
}

#[test]
fn rejected_key_is_explained_to_the_administrator_once() {
    let stage = TestGateway::from_config(&two_keys_config("rejecting"));
    stage.fake_odoo.set_key_expiry(ADMIN_KEY, in_days(-1));
    let from = log::length();
    for _ in 0..3 {
        stage.call_fails(
            "count_records",
            &json!({"model": "res.partner"}),
            "odoo_key",
        );
    }
    let lines = log::written_since(from);
    // Other tests write to the same log.
    let own = |line: &&str| line.contains("ERROR") && line.contains("`instances.rejecting`");
    assert_eq!(lines.lines().filter(own).count(), 1, "{lines}");
}

#[test]
fn odoo_that_does_not_say_when_keys_expire_is_no_error() {
    let stage = TestGateway::from_config(&two_keys_config("silent"));
    stage
        .fake_odoo
        .inject_error("res.users.apikeys/search_read", FaultPoint::BeforeCall);
    stage.ask_when_keys_expire(4);
    assert_eq!(stage.key_warnings(in_days(1_000)), (Vec::new(), Vec::new()));
    let (text, is_error) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert!(!is_error, "{text}");
}

#[test]
fn check_live_says_which_key_expires_and_how_to_renew_it() {
    let (company, url) = start_fake_odoo();
    let (service, sales) = (in_days(6), in_days(80));
    company.set_key_expiry(INTERNAL_KEY, service);
    company.set_key_expiry(SALES_KEY, sales);
    let folder = configured_folder(&url, SALES_ROLE);
    let ran = run(&folder, &["check", "--live"], "");
    let (out, err) = checked_output(&ran, &url);
    assert_eq!(ran.status.code(), Some(0), "{err}");
    let of_sales = out
        .lines()
        .find(|line| line.contains("credential `sales`: "));
    let dated = |text: &str, time: Timestamp| {
        let time = time.strftime("%Y-%m-%d %H:%M").to_string();
        assert!(text.contains(&time), "{time}: {text}");
        text.replace(&time, "TIME")
    };
    let warning = err.get(err.rfind("warning: ").unwrap()..).unwrap();
    let texts = [dated(of_sales.unwrap(), sales), dated(warning, service)];
    company.set_key_expiry(INTERNAL_KEY, in_days(-1));
    let ran = run(&folder, &["check", "--live"], "");
    let (_, err) = checked_output(&ran, &url);
    assert_eq!(ran.status.code(), Some(4), "{err}");
    let error = err.get(err.find("error: ").unwrap()..).unwrap();
    insta::assert_snapshot!([&texts.join("\n"), error].join("\n"));
}

fn checked_output(output: &Output, url: &str) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).replace(url, "URL"));
    for secret in [ADMIN_KEY, SALES_KEY, INTERNAL_KEY, "hunter2"] {
        assert!(!format!("{out}{err}").contains(secret));
    }
    (out, err)
}
