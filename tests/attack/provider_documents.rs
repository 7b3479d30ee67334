//! B4: metadata and keys of a provider that lies, does not end, or is too much.

use serde_json::{Value, json};

use crate::{
    configuration::ConfigOverrides,
    footprint::Footprint,
    idp::{Endpoint, Idp, Mode},
    process::wait_until,
    provider::ProviderScene,
};

/// The setting by which the provider of a reload is another than before, so that
/// nothing is known of it.
const TIMEOUT: &str = "timeout_ms = 600";

fn scene(validation: &str) -> ProviderScene {
    ProviderScene::start(
        Idp::start(),
        ConfigOverrides {
            provider: &format!("{TIMEOUT}\nvalidation = \"{validation}\"\nnegative_ttl_s = 0"),
            ..ConfigOverrides::default()
        },
    )
}

/// Replaces the provider by one of which nothing is known.
fn forget(scene: &ProviderScene, number: usize) {
    let other = format!("timeout_ms = {}", 601 + number);
    scene
        .gateway
        .reload(&scene.configuration.replace(TIMEOUT, &other));
}

fn keys(count: u32) -> String {
    let key =
        |number: u32| json!({"kty": "RSA", "kid": number.to_string(), "n": "AQAB", "e": "AQAB"});
    json!({"keys": (0..count).map(key).collect::<Vec<_>>()}).to_string()
}

fn modes(scene: &ProviderScene, path: &str) -> Vec<Mode> {
    let own = format!("{}{path}", scene.idp.issuer());
    vec![
        Mode::Big,
        Mode::Drip,
        Mode::GzipBomb,
        Mode::Hang,
        Mode::HtmlAsJson,
        Mode::Redirect(own.clone()),
        Mode::Redirect307(own),
        Mode::Replaced("[".repeat(200_000)),
        Mode::Replaced(format!("{{\"keys\":[{}", "{\"a\":".repeat(100_000))),
        Mode::Replaced(keys(2_500)),
        Mode::Replaced(keys(50_000)),
        Mode::Replaced(r#"{"keys":[{"kty":"RSA"}],"issuer":7}"#.to_owned()),
        Mode::Reset,
        Mode::S429(60),
        Mode::S503(60),
        Mode::Slow,
        Mode::Trunc,
    ]
}

#[test]
fn hostile_metadata_and_keys_stop_nobody_and_leave_nothing() {
    for (endpoint, path, validation) in [
        (
            Endpoint::Discovery,
            "/.well-known/openid-configuration",
            "introspection",
        ),
        (Endpoint::Jwks, "/jwks", "jwt"),
    ] {
        let scene = scene(validation);
        let token = || {
            if endpoint == Endpoint::Jwks {
                scene.jwt()
            } else {
                scene.token()
            }
        };
        assert_eq!(scene.status(&token()), 200);
        let before = Footprint::of(scene.gateway.id());
        for (number, mode) in modes(&scene, path).into_iter().enumerate() {
            let name: String = format!("{endpoint:?}, {mode:?}").chars().take(80).collect();
            scene.idp.set_mode(endpoint, mode);
            forget(&scene, 2 * number);
            let asked = scene.idp.request_count(endpoint);
            std::thread::scope(|threads| {
                for client in 0..6 {
                    let (scene, token, name) = (&scene, token(), &name);
                    threads.spawn(move || {
                        let status = scene.status_from(&format!("127.0.2.{}", client + 1), &token);
                        assert!(matches!(status, 401 | 503), "{name}: {status}");
                    });
                }
                scene.bystander().assert_served(2);
            });
            // All of them wait for the same answer; a redirect is not followed.
            let asked = scene.idp.request_count(endpoint) - asked;
            assert!((1..=6).contains(&asked), "{name}: {asked} requests");
            let now = Footprint::of(scene.gateway.id());
            assert!(
                now.memory_kib < before.memory_kib + (32 << 10),
                "{name}: {before:?}, then {now:?}"
            );
            println!("{name}: {asked} requests, {} KiB", now.memory_kib);
            // A provider that is well is not held liable for it.
            scene.idp.release();
            scene.idp.set_mode(endpoint, Mode::Pass);
            forget(&scene, 2 * number + 1);
            assert_eq!(scene.status(&token()), 200, "after {name}");
        }
        scene.end();
    }
}

/// B4: what metadata says wrongly is asked again soon, not believed for an hour.
#[test]
fn wrong_metadata_is_forgotten_when_it_is_mended() {
    let scene = scene("introspection");
    let endpoint = format!("{}/introspect", scene.idp.issuer());
    let lies: [(&str, Value); 6] = [
        (
            "introspection_endpoint",
            json!("http://169.254.169.254/introspect"),
        ),
        (
            "introspection_endpoint",
            json!("https://evil.example/introspect"),
        ),
        ("introspection_endpoint", json!("javascript:alert(1)")),
        ("introspection_endpoint", json!("file:///etc/passwd")),
        ("introspection_endpoint", json!(null)),
        ("issuer", json!("https://evil.example")),
    ];
    for (number, (name, lie)) in lies.into_iter().enumerate() {
        let truth = match name {
            "issuer" => scene.idp.issuer().to_owned(),
            _ => endpoint.clone(),
        };
        scene.idp.set_metadata(name, lie.clone());
        forget(&scene, number);
        let introspected = scene.idp.request_count(Endpoint::Introspection);
        for _ in 0..3 {
            assert_eq!(scene.status(&scene.token()), 503, "{name}: {lie}");
            scene.bystander().assert_served(1);
        }
        assert_eq!(
            scene.idp.request_count(Endpoint::Introspection),
            introspected,
            "{name}: {lie}"
        );
        scene.idp.set_metadata(name, json!(truth));
        wait_until(&format!("logins after {name}: {lie}"), || {
            scene.status(&scene.token()) == 200
        });
    }
    scene.end();
}
