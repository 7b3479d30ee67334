//! A provider that fails, with the gateway as a process. For every single
//! failure, in process, see `attacks::outage`.

use std::time::Duration;

use serde_json::json;

use super::{
    in_parallel,
    process::{GatewayProcess, count_call, wait_until},
};
use crate::{
    attacks::{ConfigOverrides, NO_CACHE, configuration},
    idp::{Endpoint, ExpectedClientAuth, Idp, Mode},
    test_gateway::{TestResponse, start_fake_odoo},
};

const PATH: &str = "/production/mcp";
const HOST: &str = "Host: gw.example.com";

/// A provider, and a gateway that introspects every token there.
struct ProviderScenario {
    idp: Idp,
    gateway: GatewayProcess,
    folder: tempfile::TempDir,
}

impl ProviderScenario {
    /// Starts both, with these lines in `[providers.company]`.
    fn open(provider: &str) -> Self {
        let (_, odoo) = start_fake_odoo();
        let idp = Idp::start();
        let provider = format!("timeout_ms = 800\nconnect_timeout_ms = 800\n{provider}");
        let text = configuration(
            &idp,
            ConfigOverrides {
                provider: &provider,
                more: "[keys]\nfile = \"keys.toml\"\n[audit]\nfile = \"audit.jsonl\"",
                ..ConfigOverrides::default()
            },
        );
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = GatewayProcess::start(folder.path(), &text.replace("ODOO", &odoo));
        if let ExpectedClientAuth::Basic { secret, .. } = idp.client_auth() {
            gateway.forbid_in_log(&secret);
        }
        Self {
            idp,
            gateway,
            folder,
        }
    }

    /// A token that is valid for ten minutes.
    fn token(&mut self) -> String {
        let now = jiff::Timestamp::now().as_second();
        let token = self.idp.issue_opaque(json!({
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
        self.gateway.forbid_in_log(&token);
        token
    }

    fn call(&self, token: &str) -> TestResponse {
        let bearer = format!("Authorization: Bearer {token}");
        self.gateway.post(PATH, &[HOST, &bearer], &count_call())
    }
}

/// How it fails; `None` means that it is stopped.
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
fn failing_provider_gives_503_only_for_uncached_tokens() {
    in_parallel(FAULTS, |fault| {
        let what = format!("{fault:?}");
        let mut scene = ProviderScenario::open("cache_ttl_s = 300");
        let key = super::process::new_key(scene.folder.path(), "reader", None);
        scene.gateway.forbid_in_log(&key);
        let text = std::fs::read_to_string(scene.folder.path().join("gatepost.toml")).unwrap();
        scene.gateway.reload(&text);
        let (known, strange) = (scene.token(), scene.token());
        assert!(!scene.call(&known).tool_result().1, "{what}");
        let up = "gatepost_provider_up{provider=\"company\"}";
        scene.gateway.wait_for_metric(up, 1.0);

        match &fault {
            None => scene.idp.stop(),
            Some(mode) => scene.idp.set_mode(Endpoint::Introspection, mode.clone()),
        }
        // Until the gateway stops asking it.
        wait_until("that it counts as away", || {
            let answer = scene
                .gateway
                .assert_takes_at_most(Duration::from_secs(3), || scene.call(&strange));
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            let after = answer.header("retry-after").unwrap();
            assert!(
                (1..=60).contains(&after.parse::<u32>().unwrap()),
                "{what}: {after}"
            );
            assert!(answer.header("www-authenticate").is_none(), "{what}");
            assert_eq!(answer.json()["error"]["code"], json!(-32603), "{what}");
            scene.gateway.metric(up) == Some(0.0)
        });
        // It is reported, and the gateway remains ready.
        let (status, report) = scene.gateway.readiness();
        assert_eq!(status, 200, "{what}: {report}");
        assert_eq!(
            report["providers"]["company"]["answers"],
            json!(false),
            "{what}: {report}"
        );
        assert!(
            !scene.call(&known).tool_result().1,
            "{what}: who was proved before"
        );
        assert!(
            !scene.call(&key).tool_result().1,
            "{what}: who needs no provider"
        );
        let refusals = "gatepost_refusals_total{blame=\"identity\",instance=\"production\",refusal=\"provider_unavailable\"}";
        assert!(scene.gateway.metric(refusals) >= Some(1.0), "{what}");

        match &fault {
            None => scene.idp.restart(),
            Some(_) => scene.idp.set_mode(Endpoint::Introspection, Mode::Pass),
        }
        wait_until("that it is asked again", || {
            scene.call(&strange).status == 200
        });
        scene.gateway.wait_for_metric(up, 1.0);
        let records = scene.gateway.stop_and_read_calls();
        let counted = records.iter().filter(|one| one["method"] == "search_count");
        assert_eq!(
            counted.count(),
            4,
            "{what}: nothing was sent for those who waited"
        );
    });
}

#[test]
fn slow_provider_is_awaited_and_stays_up() {
    let mut scene = ProviderScenario::open(NO_CACHE);
    let token = scene.token();
    assert!(!scene.call(&token).tool_result().1);
    scene.idp.set_mode(Endpoint::Introspection, Mode::Held);
    std::thread::scope(|threads| {
        let caller = threads.spawn(|| scene.call(&token));
        scene.idp.wait_for(Endpoint::Introspection, 2);
        scene.idp.wait_for_request(Duration::from_millis(300));
        scene.idp.release();
        assert!(!caller.join().unwrap().tool_result().1);
    });
    let up = "gatepost_provider_up{provider=\"company\"}";
    scene.gateway.wait_for_metric(up, 1.0);
}
