//! Keys of our own beside a provider: T-30.

use std::{fs, path::Path, process::Command};

use super::{HOST, JSON, Scene, Words, counting};
use crate::{idp::random, stage::Answer};

/// A file of keys, made by the program itself.
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

    fn make(&self, role: &str) -> String {
        self.run(&["new", "--role", role, "--name", "report"])
    }

    fn scene(&self) -> Scene {
        let more = format!(
            "[keys]\nfile = {}\n\n[roles.elsewhere]\nrules = [{{ instances = [\"staging\"], models = [\"*\"] }}]\n",
            toml::Value::from(self.file().to_str().unwrap())
        );
        Scene::with(Words {
            more: &more,
            ..Words::default()
        })
    }
}

fn id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

fn call(scene: &Scene, key: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {key}");
    scene.stage.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, &bearer],
        &counting(),
    )
}

// T-30
#[test]
fn a_key_of_ours_is_never_asked_about_good_or_bad() {
    let keys = Keys::new();
    let (good, revoked, expired) = (
        keys.make("reader"),
        keys.make("reader"),
        keys.make("reader"),
    );
    keys.run(&["revoke", id(&revoked)]);
    let text = fs::read_to_string(keys.file()).unwrap();
    let at = text.find(&format!("id = \"{}\"", id(&expired))).unwrap();
    let (before, after) = text.split_at(at);
    fs::write(
        keys.file(),
        format!("{before}expires = \"2020-01-01T00:00:00Z\"\n{after}"),
    )
    .unwrap();
    let scene = keys.scene();
    let mut mistyped = good.clone();
    let last = if mistyped.pop() == Some('x') {
        'y'
    } else {
        'x'
    };
    mistyped.push(last);
    let mut shorter = good.clone();
    shorter.pop();
    // A key of another installation: well formed, unknown here.
    let unknown = Keys::new().make("reader");
    let secret_of_another = format!("gp_{}_{}", id(&good), unknown.rsplit('_').next().unwrap());
    for key in [
        mistyped,
        unknown,
        secret_of_another,
        revoked,
        expired,
        format!("gp_{}", random(20)),
        format!("gp_{}_", id(&good)),
        format!("{good}="),
        shorter,
    ] {
        scene.refused(&key);
    }
    assert!(scene.idp.seen().is_empty(), "{:?}", scene.idp.seen());
    assert_eq!(call(&scene, &good).status, 200);
    assert!(scene.idp.seen().is_empty());
    // And the provider's own still are.
    scene.served(&scene.token());
}

// T-30
#[test]
fn a_key_for_another_instance_opens_nothing_here() {
    let keys = Keys::new();
    let key = keys.make("elsewhere");
    let scene = keys.scene();
    let answer = call(&scene, &key);
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    assert!(scene.stage.company.calls().is_empty());
    scene.silent(&answer, &key);
    assert_eq!(scene.call_at("/staging/mcp", HOST, &key).status, 200);
}

// T-30
#[test]
fn of_two_keys_of_one_name_both_are_good_until_the_old_one_is_revoked() {
    let keys = Keys::new();
    let (old, new) = (keys.make("reader"), keys.make("reader"));
    let scene = keys.scene();
    assert_eq!(
        (call(&scene, &old).status, call(&scene, &new).status),
        (200, 200)
    );
    keys.run(&["revoke", id(&old)]);
    let scene = keys.scene();
    scene.refused(&old);
    assert_eq!(call(&scene, &new).status, 200);
}
