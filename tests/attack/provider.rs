//! B2 to B6 and B9: tokens that flood the provider, or on which it fails.

use std::{sync::Arc, thread};

use odoo_sim::FakeOdoo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    bystander::Bystander,
    client::Client,
    configuration::{ConfigOverrides, PRODUCTION, configuration},
    footprint::Footprint,
    idp::{Endpoint, ExpectedClientAuth, Idp, Mode, random_hex},
    process::{GatewayProcess, new_key, wait_until},
    target::{ATTACKER, BYSTANDER},
    test_gateway::start_fake_odoo,
};

const PATH: &str = "/production/mcp";
const HOST: &str = "gw.example.com";

/// A provider, and a gateway that trusts it, with a bystander who has a key.
pub(super) struct ProviderScene {
    pub(super) gateway: GatewayProcess,
    pub(super) idp: Idp,
    pub(super) odoo: Arc<FakeOdoo>,
    folder: TempDir,
    pub(super) configuration: String,
    bystander: String,
    before: Footprint,
}

impl ProviderScene {
    pub(super) fn start(idp: Idp, words: ConfigOverrides<'_>) -> Self {
        let (odoo, url) = start_fake_odoo();
        let more = format!("[keys]\nfile = \"keys.toml\"\n{}", words.more);
        let text = configuration(
            &idp,
            ConfigOverrides {
                more: &more,
                ..words
            },
        )
        .replace("ODOO", &url);
        let folder = tempfile::tempdir().unwrap();
        let bystander = new_key(folder.path(), "reader", None);
        let mut gateway = GatewayProcess::start(folder.path(), &text);
        gateway.forbid_in_log(&bystander);
        if let ExpectedClientAuth::Basic { secret, .. } = idp.client_auth() {
            gateway.forbid_in_log(&secret);
        }
        let mut scene = Self {
            before: Footprint::of(gateway.id()),
            gateway,
            idp,
            odoo,
            folder,
            configuration: text,
            bystander,
        };
        scene.bystander().assert_served(10);
        scene.before = Footprint::of(scene.gateway.id());
        scene
    }

    pub(super) fn client(&self, from: &str, token: &str) -> Client {
        Client::new(self.gateway.address, from, Some(token)).at(PATH, HOST)
    }

    /// A caller with an API key at another address.
    pub(super) fn bystander(&self) -> Bystander<'_> {
        Bystander::new(&self.gateway, self.client(BYSTANDER, &self.bystander))
    }

    /// The status of a read with this token, from the attacker's address.
    pub(super) fn status(&self, token: &str) -> u16 {
        self.status_from(ATTACKER, token)
    }

    pub(super) fn status_from(&self, from: &str, token: &str) -> u16 {
        self.client(from, token).count().status
    }

    /// The claims of a valid token of a new person.
    pub(super) fn claims(&self) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({
            "iss": self.idp.issuer(), "aud": PRODUCTION, "sub": format!("u-{}", random_hex(6)), "exp": now + 600, "iat": now,
            "scope": "openid odoo:read", "client_id": "mcp-client", "token_type": "Bearer", "jti": random_hex(8), "roles": ["odoo_reader"],
        })
    }

    /// A valid opaque token.
    pub(super) fn token(&self) -> String {
        self.idp.issue_opaque(self.claims())
    }

    /// A valid signed token.
    pub(super) fn jwt(&self) -> String {
        self.idp.issue_jwt(&json!({}), &self.claims())
    }

    pub(super) fn key_id(&self) -> String {
        self.idp.key(jsonwebtoken::Algorithm::RS256).id
    }

    pub(super) fn end(self) {
        self.idp.release();
        self.bystander().assert_served(3);
        self.before.wait_until_back(&self.gateway);
        drop(self.folder);
        assert!(self.gateway.stop().success());
    }
}

/// A token that the provider does not know.
fn unknown() -> String {
    format!("unk-{}", random_hex(24))
}

/// B5: each token of the flood holds a request to the provider, as a slow provider would.
/// New people, and people whose cached answer has ended, log in meanwhile.
#[test]
fn flood_of_slow_tokens_leaves_room_for_new_and_refreshed_logins() {
    // One address, one /48 with a /64 for each token, and both.
    for networks in [
        &["198.51.100.7"][..],
        &["2001:db8:7:"],
        &["198.51.100.8", "2001:db8:8:"],
    ] {
        let scene = ProviderScene::start(
            Idp::start(),
            ConfigOverrides {
                provider: "max_in_flight = 32\ntimeout_ms = 30_000\ncache_ttl_s = 0\nnegative_ttl_s = 0",
                server: "trusted_proxies = [\"127.0.0.1/32\"]",
                limits: Some(
                    "failed_logins_per_minute = 100000\nfailed_logins_burst = 100000\naddress_in_flight = 10_000",
                ),
                ..ConfigOverrides::default()
            },
        );
        let from = |address: &str, token: &str| {
            let forwarded = format!("X-Forwarded-For: {address}");
            scene
                .client(ATTACKER, token)
                .with(&forwarded)
                .count()
                .status
        };
        let refreshed = scene.token();
        assert_eq!(from("203.0.113.1", &refreshed), 200);
        let asked = scene.idp.request_count(Endpoint::Introspection);
        thread::scope(|threads| {
            for number in 0..80 {
                let token = unknown();
                scene.idp.set_token_mode(&token, Mode::Held);
                let network = networks[number % networks.len()];
                let address = if network.ends_with(':') {
                    format!("{network}{number:x}::1")
                } else {
                    network.to_owned()
                };
                threads.spawn(move || from(&address, &token));
            }
            scene.idp.wait_for(Endpoint::Introspection, asked + 2);
            for number in 0..30 {
                let address = format!("203.0.113.{}", 10 + number);
                assert_eq!(
                    from(&address, &scene.token()),
                    200,
                    "new login {number} during {networks:?}"
                );
                assert_eq!(
                    from("203.0.113.1", &refreshed),
                    200,
                    "refreshed login {number} during {networks:?}"
                );
            }
            scene.bystander().assert_served(3);
            scene.idp.release();
        });
        scene.end();
    }
}

/// A new token from the address of a flood, of which nothing was known before, shares
/// its few requests: it cannot be told from the flood until the provider answers. It is
/// told to come back, and served as soon as the flood fails. Whoever is known at that
/// address does not notice.
#[test]
fn flood_locks_out_its_own_address_only_until_it_fails() {
    let scene = ProviderScene::start(
        Idp::start(),
        ConfigOverrides {
            provider: "max_in_flight = 24\ntimeout_ms = 30_000\nmax_wait_ms = 100\ncache_ttl_s = 0\nnegative_ttl_s = 0",
            limits: Some(
                "failed_logins_per_minute = 100000\nfailed_logins_burst = 100000\naddress_in_flight = 10_000",
            ),
            ..ConfigOverrides::default()
        },
    );
    let address = "127.0.4.1";
    let asked = scene.idp.request_count(Endpoint::Introspection);
    thread::scope(|threads| {
        let flood: Vec<_> = (0..40)
            .map(|_| {
                let token = unknown();
                scene.idp.set_token_mode(&token, Mode::Held);
                threads.spawn(|| {
                    let token = token;
                    scene.status_from(address, &token)
                })
            })
            .collect();
        // An eighth of the shared ones.
        scene.idp.wait_for(Endpoint::Introspection, asked + 2);
        let newcomer = scene.client(address, &scene.token()).count();
        assert_eq!(newcomer.status, 503, "{newcomer:?}");
        assert!(newcomer.header("retry-after").is_some(), "{newcomer:?}");
        // A key of our own, and a new person at another address.
        let key = &scene.bystander;
        assert_eq!(scene.client(address, key).count().status, 200);
        assert_eq!(scene.status_from("127.0.4.2", &scene.token()), 200);
        assert_eq!(scene.idp.request_count(Endpoint::Introspection), asked + 3);
        scene.idp.release();
        for one in flood {
            let status = one.join().unwrap();
            assert!(matches!(status, 401 | 503), "{status}");
        }
    });
    // The address is suspect now, which costs a newcomer nothing.
    let known = scene.token();
    assert_eq!(scene.status_from(address, &known), 200);
    // A second flood from there is held again.
    scene.idp.set_mode(Endpoint::Other, Mode::Pass);
    let asked = scene.idp.request_count(Endpoint::Introspection);
    thread::scope(|threads| {
        for _ in 0..40 {
            let token = unknown();
            scene.idp.set_token_mode(&token, Mode::Held);
            threads.spawn(|| {
                let token = token;
                scene.status_from(address, &token)
            });
        }
        scene.idp.wait_for(Endpoint::Introspection, asked + 18);
        for _ in 0..5 {
            assert_eq!(scene.status_from(address, &known), 200);
            scene.bystander().assert_served(1);
        }
        scene.idp.release();
    });
    scene.end();
}

/// B2 and B3: tokens of someone with an account, on which the provider fails.
#[test]
fn tokens_on_which_the_provider_fails_lock_out_nobody() {
    let scene = ProviderScene::start(
        Idp::start(),
        ConfigOverrides {
            provider: "max_in_flight = 32\ntimeout_ms = 1_000\nnegative_ttl_s = 0",
            ..ConfigOverrides::default()
        },
    );
    let known = scene.token();
    assert_eq!(scene.status_from("127.0.0.3", &known), 200);
    for mode in [
        Mode::Reset,
        Mode::Hang,
        Mode::Slow,
        Mode::Drip,
        Mode::Trunc,
        Mode::Big,
        Mode::GzipBomb,
        Mode::S400,
        Mode::S401,
        Mode::S403Page,
        Mode::S429(60),
        Mode::S503(60),
        Mode::RolesDeep,
    ] {
        thread::scope(|threads| {
            for number in 0..8 {
                let token = scene.token();
                scene.idp.set_token_mode(&token, mode.clone());
                let (scene, mode) = (&scene, &mode);
                threads.spawn(move || {
                    let status = scene.status_from(&format!("127.0.2.{}", number + 1), &token);
                    assert!(matches!(status, 401 | 429 | 503), "{mode:?}: {status}");
                });
            }
            for number in 0..3 {
                let address = format!("127.0.3.{}", number + 1);
                assert_eq!(
                    scene.status_from(&address, &scene.token()),
                    200,
                    "new login during {mode:?}"
                );
                assert_eq!(
                    scene.status_from("127.0.0.3", &known),
                    200,
                    "known token during {mode:?}"
                );
            }
        });
        scene.bystander().assert_served(1);
    }
    scene.end();
}

/// B6: a reload while the provider is away.
#[test]
fn provider_that_is_away_locks_out_nobody_who_is_known() {
    let scene = ProviderScene::start(Idp::start(), ConfigOverrides::default());
    let known: Vec<String> = (0..10).map(|_| scene.token()).collect();
    for token in &known {
        assert_eq!(scene.status(token), 200);
    }
    scene.idp.stop();
    for number in 0..5 {
        scene
            .gateway
            .reload(&format!("{}\n# {number}", scene.configuration));
        for token in &known {
            assert_eq!(scene.status(token), 200, "after reload {number}");
        }
        assert_eq!(scene.status_from("127.0.0.3", &scene.token()), 503);
    }
    scene.idp.restart();
    wait_until("logins work again", || {
        scene.status_from("127.0.0.3", &scene.token()) == 200
    });
    scene.bystander().assert_served(2);
    scene.end();
}

/// B9: keys rotate during a flood of tokens with unknown key ids.
#[test]
fn rotation_during_a_flood_of_unknown_key_ids_rejects_no_valid_token() {
    let scene = ProviderScene::start(
        Idp::start(),
        ConfigOverrides {
            provider: "validation = \"jwt\"\nnegative_ttl_s = 0",
            ..ConfigOverrides::default()
        },
    );
    assert_eq!(scene.status(&scene.jwt()), 200);
    let fetched = scene.idp.request_count(Endpoint::Jwks);
    let forge = || {
        scene
            .idp
            .issue_jwt(&json!({"kid": random_hex(8)}), &scene.claims())
    };
    for _ in 0..100 {
        assert!(matches!(scene.status(&forge()), 401 | 503));
    }
    scene.idp.rotate_keys();
    let mut later = 0;
    wait_until("the new keys", || {
        for _ in 0..5 {
            assert!(matches!(scene.status(&forge()), 401 | 503));
        }
        // It may have to wait, but it is not rejected.
        let status = scene.status_from("127.0.0.3", &scene.jwt());
        assert!(matches!(status, 200 | 503), "{status}");
        later += 1;
        status == 200
    });
    let fetches = scene.idp.request_count(Endpoint::Jwks) - fetched;
    println!("{later} tries until the new keys, {fetches} fetches");
    assert!(fetches < 20, "{fetches} fetches");
    scene.bystander().assert_served(2);
    scene.end();
}
