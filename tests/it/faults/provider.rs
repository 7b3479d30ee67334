//! A provider that fails, before the program as a process. Every way to fail,
//! one by one and in process: `attacks::outage`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    each,
    process::{Process, counting, until},
};
use crate::{
    attacks::{FRESH, Words, configuration},
    idp::{Asker, Endpoint, Idp, Mode},
    stage::{Answer, company},
};

const PATH: &str = "/production/mcp";
const HOST: &str = "Host: gw.example.com";

/// A provider, and a gateway that asks it about every token.
struct Scene {
    idp: Idp,
    gateway: Process,
    folder: tempfile::TempDir,
}

impl Scene {
    /// With these lines in `[providers.company]`.
    fn open(provider: &str) -> Self {
        let (_, odoo) = company();
        let idp = Idp::open();
        let provider = format!("timeout_ms = 800\nconnect_timeout_ms = 800\n{provider}");
        let text = configuration(
            &idp,
            Words {
                provider: &provider,
                more: "[keys]\nfile = \"keys.toml\"\n[audit]\nfile = \"audit.jsonl\"",
                ..Words::default()
            },
        );
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Process::start(folder.path(), &text.replace("ODOO", &odoo));
        if let Asker::Basic { secret, .. } = idp.asker() {
            gateway.hides(&secret);
        }
        Self {
            idp,
            gateway,
            folder,
        }
    }

    /// A token that is good for ten minutes.
    fn token(&mut self) -> String {
        let now = jiff::Timestamp::now().as_second();
        let token = self.idp.opaque(json!({
            "iss": self.idp.issuer(),
            "aud": crate::attacks::PRODUCTION,
            "sub": "ada",
            "exp": now + 600,
            "iat": now,
            "scope": "openid odoo:read",
            "client_id": "mcp-client",
            "token_type": "Bearer",
            "roles": ["odoo_reader"],
        }));
        self.gateway.hides(&token);
        token
    }

    fn call(&self, token: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        self.gateway.post(PATH, &[HOST, &bearer], &counting())
    }
}

/// What it does; none is gone altogether.
const FAULTS: [Option<Mode>; 8] = [
    None,
    Some(Mode::Reset),
    Some(Mode::Hang),
    Some(Mode::Slow),
    Some(Mode::Drip),
    Some(Mode::Trunc),
    Some(Mode::Html),
    Some(Mode::S500),
];

#[test]
fn a_provider_that_fails_keeps_out_only_who_must_be_asked_about_and_says_when_to_come_again() {
    each(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let mut scene = Scene::open("cache_ttl_s = 300");
        let key = super::process::key(scene.folder.path(), "reader", None);
        scene.gateway.hides(&key);
        let text = std::fs::read_to_string(scene.folder.path().join("gatepost.toml")).unwrap();
        scene.gateway.reload(&text);
        let (known, strange) = (scene.token(), scene.token());
        assert!(!scene.call(&known).tool().1, "{what}");
        let up = "gatepost_provider_up{provider=\"company\"}";
        scene.gateway.until_metric(up, 1.0);

        match &fault {
            None => scene.idp.stops(),
            Some(mode) => scene.idp.behaves(Endpoint::Introspection, mode.clone()),
        }
        // As often as it takes until nobody asks it any more.
        until("that it counts as away", || {
            let begun = Instant::now();
            let answer = scene.call(&strange);
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{what}");
            let after = answer.header("retry-after").unwrap();
            assert!(
                (1..=60).contains(&after.parse::<u32>().unwrap()),
                "{what}: {after}"
            );
            assert!(answer.header("www-authenticate").is_none(), "{what}");
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains("try again"), "{what}: {message}");
            scene.gateway.metric(up) == Some(0.0)
        });
        // It is told, and takes nobody out of the balance.
        let (status, told) = scene.gateway.readiness();
        assert_eq!(status, 200, "{what}: {told}");
        assert_eq!(
            told["providers"]["company"]["answers"],
            json!(false),
            "{what}: {told}"
        );
        assert!(
            !scene.call(&known).tool().1,
            "{what}: who was proved before"
        );
        assert!(!scene.call(&key).tool().1, "{what}: who needs no provider");
        let refusals =
            "gatepost_refusals_total{refusal=\"provider_unavailable\",blame=\"identity\"";
        assert!(scene.gateway.metric(refusals) >= Some(1.0), "{what}");

        match &fault {
            None => scene.idp.comes_back(),
            Some(_) => scene.idp.behaves(Endpoint::Introspection, Mode::Pass),
        }
        until("that it is asked again", || {
            scene.call(&strange).status == 200
        });
        scene.gateway.until_metric(up, 1.0);
        let records = scene.gateway.records();
        let counted = records.iter().filter(|one| one["method"] == "search_count");
        assert_eq!(
            counted.count(),
            4,
            "{what}: nothing was sent for those who waited"
        );
    });
}

#[test]
fn a_provider_that_is_slow_is_waited_for_and_not_counted_as_away() {
    let mut scene = Scene::open(FRESH);
    let token = scene.token();
    assert!(!scene.call(&token).tool().1);
    scene.idp.behaves(Endpoint::Introspection, Mode::Held);
    std::thread::scope(|threads| {
        let caller = threads.spawn(|| scene.call(&token));
        scene.idp.wait_for(Endpoint::Introspection, 2);
        scene.idp.pause(Duration::from_millis(300));
        scene.idp.release();
        assert!(!caller.join().unwrap().tool().1);
    });
    let up = "gatepost_provider_up{provider=\"company\"}";
    scene.gateway.until_metric(up, 1.0);
}
