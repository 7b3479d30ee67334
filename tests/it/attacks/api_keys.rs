//! API keys of the gateway beside a provider: T-30.

use std::{fs, path::Path, process::Command};

use super::{ConfigOverrides, HOST, IdpFixture, JSON, count_request};
use crate::{idp::random_hex, test_gateway::TestResponse};

/// A keys file, written by the program itself.
struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.toml")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let file = self.file();
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg("key")
            .args(arguments)
            .args([Path::new("--file"), &file])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn create(&self, role: &str) -> String {
        self.run(&["new", "--role", role, "--name", "report"])
    }

    fn fixture(&self) -> IdpFixture {
        let more = format!(
            "[keys]\nfile = {}\n\n[roles.elsewhere]\nrules = [{{ instances = [\"staging\"], models = [\"*\"] }}]\n",
            toml::Value::from(self.file().to_str().unwrap())
        );
        IdpFixture::with_config(ConfigOverrides {
            more: &more,
            ..ConfigOverrides::default()
        })
    }
}

fn key_id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

fn call(scene: &IdpFixture, key: &str) -> TestResponse {
    let bearer = format!("Authorization: Bearer {key}");
    scene.gateway.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, &bearer],
        &count_request(),
    )
}

// T-30
#[test]
fn api_keys_are_never_sent_to_the_provider() {
    let keys = Keys::new();
    let (good, revoked, expired) = (
        keys.create("reader"),
        keys.create("reader"),
        keys.create("reader"),
    );
    keys.run(&["revoke", key_id(&revoked)]);
    let text = fs::read_to_string(keys.file()).unwrap();
    let at = text
        .find(&format!("id = \"{}\"", key_id(&expired)))
        .unwrap();
    let (before, after) = text.split_at(at);
    fs::write(
        keys.file(),
        format!("{before}expires = \"2020-01-01T00:00:00Z\"\n{after}"),
    )
    .unwrap();
    let scene = keys.fixture();
    let mut mistyped = good.clone();
    let last = if mistyped.pop() == Some('x') {
        'y'
    } else {
        'x'
    };
    mistyped.push(last);
    let mut shorter = good.clone();
    shorter.pop();
    // A key of another installation: well formed, but unknown here.
    let unknown = Keys::new().create("reader");
    let secret_of_another = format!(
        "gp_{}_{}",
        key_id(&good),
        unknown.rsplit('_').next().unwrap()
    );
    for key in [
        mistyped,
        unknown,
        secret_of_another,
        revoked,
        expired,
        format!("gp_{}", random_hex(20)),
        format!("gp_{}_", key_id(&good)),
        format!("{good}="),
        shorter,
    ] {
        scene.assert_rejected(&key);
    }
    assert!(
        scene.idp.requests().is_empty(),
        "{:?}",
        scene.idp.requests()
    );
    assert_eq!(call(&scene, &good).status, 200);
    assert!(scene.idp.requests().is_empty());
    // The provider's tokens are still accepted, too.
    scene.assert_served(&scene.token());
}

// T-30
#[test]
fn api_key_for_another_instance_is_rejected() {
    let keys = Keys::new();
    let key = keys.create("elsewhere");
    let scene = keys.fixture();
    let answer = call(&scene, &key);
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    assert!(scene.gateway.fake_odoo.calls().is_empty());
    scene.assert_no_leak(&answer, &key);
    assert_eq!(scene.call_at("/staging/mcp", HOST, &key).status, 200);
}

// T-30
#[test]
fn api_keys_with_same_name_are_valid_until_one_is_revoked() {
    let keys = Keys::new();
    let (old, new) = (keys.create("reader"), keys.create("reader"));
    let scene = keys.fixture();
    assert_eq!(
        (call(&scene, &old).status, call(&scene, &new).status),
        (200, 200)
    );
    keys.run(&["revoke", key_id(&old)]);
    let scene = keys.fixture();
    scene.assert_rejected(&old);
    assert_eq!(call(&scene, &new).status, 200);
}
