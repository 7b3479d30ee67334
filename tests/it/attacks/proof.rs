//! Whether a token, our credentials or the provider is the reason of a failure:
//! a question about a made-up token, or with an invented secret, proves it, so
//! that no caller without an account can lock out others.

use gatepost_identity::CheckStatus;
use serde_json::json;

use super::{ConfigOverrides, HOST, IdpFixture, JSON, NO_CACHE, count_request};
use crate::{
    idp::{Endpoint, ExpectedClientAuth, Idp, Mode, Refusals, random_hex},
    log,
};

/// More tokens than the failures after which no request would be sent.
const MANY: usize = 12;

/// Short timeouts, and no cache.
const SHORT: &str =
    "timeout_ms = 1000\nconnect_timeout_ms = 1000\ncache_ttl_s = 0\nnegative_ttl_s = 0";

fn fixture(refusals: Refusals) -> IdpFixture {
    let idp = Idp::start();
    idp.refuse_like(refusals);
    let provider = ConfigOverrides::of_provider(SHORT);
    IdpFixture::with_idp(idp, provider)
}

/// A token that the provider does not know.
fn made_up() -> String {
    format!("tok-{}", random_hex(24))
}

/// The gateway has a secret that is not the provider's.
fn change_secret(scene: &IdpFixture) {
    scene.idp.expect_client_auth(ExpectedClientAuth::Basic {
        id: "gate post".to_owned(),
        secret: "another".to_owned(),
    });
}

fn assert_ready(scene: &IdpFixture) {
    let ready = scene.gateway.admin_get("/readyz");
    assert!(!ready.body.contains("credentials"), "{}", ready.body);
}

// BC-01
#[test]
fn provider_that_answers_401_about_unknown_tokens_rejects_only_those() {
    let scene = fixture(Refusals::Kanidm);
    for _ in 0..MANY {
        scene.assert_rejected(&made_up());
        scene.assert_served(&scene.token());
    }
    assert_ready(&scene);
}

// BC-02
#[test]
fn token_that_the_provider_calls_revoked_with_401_is_rejected() {
    let scene = fixture(Refusals::Standard);
    let revoked = scene.token();
    scene.idp.set_token_mode(&revoked, Mode::S401Revoked);
    for _ in 0..MANY {
        scene.assert_rejected(&revoked);
    }
    scene.assert_served(&scene.token());
    assert_ready(&scene);
}

// P2: Rauthy answers a made-up token before it looks at credentials.
#[test]
fn revoked_token_is_rejected_once_credentials_are_proved() {
    let scene = fixture(Refusals::Rauthy);
    let revoked = scene.token();
    scene.idp.set_token_mode(&revoked, Mode::S401Revoked);
    for _ in 0..MANY {
        scene.assert_unavailable(&revoked);
    }
    scene.assert_served(&scene.token());
    for _ in 0..MANY {
        scene.assert_rejected(&revoked);
    }
    scene.assert_served(&scene.token());
    assert_ready(&scene);
}

// P4
#[test]
fn wrong_secret_that_only_known_tokens_show_is_noticed() {
    let scene = fixture(Refusals::Rauthy);
    change_secret(&scene);
    scene.assert_rejected(&made_up());
    scene.assert_unavailable(&scene.token());
    let ready = scene.gateway.admin_get("/readyz");
    assert!(ready.body.contains("credentials"), "{}", ready.body);
    assert!(!log::lines_with("accepts the gateway's own credentials").is_empty());
    let findings = scene.check();
    let finding = findings.iter().find(|one| one.message.contains("invented"));
    assert_eq!(finding.unwrap().status, CheckStatus::Warn, "{findings:?}");
}

// P4
#[test]
fn check_passes_only_credentials_that_are_proved() {
    let good = |scene: &IdpFixture| {
        let findings = scene.check();
        findings
            .into_iter()
            .find(|one| one.message.contains("credentials"))
            .unwrap()
            .status
    };
    let scene = fixture(Refusals::Standard);
    assert_eq!(good(&scene), CheckStatus::Pass);
    let scene = fixture(Refusals::Standard);
    change_secret(&scene);
    assert_eq!(good(&scene), CheckStatus::Fail);
    for refusals in [Refusals::Kanidm, Refusals::Rauthy] {
        let scene = fixture(refusals);
        assert_eq!(good(&scene), CheckStatus::Warn, "{refusals:?}");
        scene.assert_served(&scene.token());
        assert_eq!(good(&scene), CheckStatus::Pass, "{refusals:?}");
    }
}

// A secret that is replaced at the provider while the gateway runs.
#[test]
fn credentials_that_are_refused_later_are_noticed_and_not_repeated() {
    let scene = fixture(Refusals::Standard);
    scene.assert_served(&scene.token());
    // Shows that the provider answers about made-up tokens.
    let odd = scene.token();
    scene.idp.set_token_mode(&odd, Mode::S401Revoked);
    scene.assert_rejected(&odd);
    change_secret(&scene);
    scene.assert_unavailable(&scene.token());
    let asked = scene.idp.request_count(Endpoint::Introspection);
    for _ in 0..MANY {
        scene.assert_unavailable(&scene.token());
    }
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), asked);
}

// Nothing proves that an empty 401 for every token is about the credentials.
#[test]
fn unexplained_refusal_of_everything_pauses_nothing() {
    for (mode, status) in [(Mode::S401Empty, 401), (Mode::S403, 503)] {
        let scene = fixture(Refusals::Standard);
        scene.idp.set_mode(Endpoint::Introspection, mode.clone());
        for _ in 0..MANY {
            assert_eq!(scene.call(&scene.token()).status, status, "{mode:?}");
        }
        scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
        scene.assert_served(&scene.token());
    }
}

// P3: Better Auth.
#[test]
fn jwt_with_bad_signature_is_rejected_although_the_provider_fails() {
    let scene = fixture(Refusals::Standard);
    let good = scene.jwt_with(&json!({}));
    let (start, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{start}.{}", "A".repeat(342));
    let withdrawn = scene
        .idp
        .issue_jwt(&json!({"kid": "withdrawn"}), &scene.claims());
    let (head, payload) = (r#"{"alg":"none","typ":"JWT"}"#, scene.claims().to_string());
    let unsigned = format!("{}.", crate::idp::unsigned(head, &payload));
    for token in [&forged, &withdrawn, &unsigned] {
        scene.idp.set_token_mode(token, Mode::S500);
        for _ in 0..MANY {
            scene.assert_rejected(token);
        }
    }
    // With a good signature, the provider may know better later.
    scene.idp.set_token_mode(&good, Mode::S500);
    scene.assert_unavailable(&good);
    scene.assert_served(&scene.token());
}

// B2, B3, BC-14
#[test]
fn token_that_breaks_the_connection_or_asks_for_a_pause_does_not_stop_others() {
    for mode in [
        Mode::Reset,
        Mode::Trunc,
        Mode::Html,
        Mode::S500,
        Mode::S429(60),
        Mode::S503(60),
    ] {
        let scene = fixture(Refusals::Standard);
        let known = scene.token();
        scene.assert_served(&known);
        for _ in 0..MANY {
            let odd = scene.token();
            scene.idp.set_token_mode(&odd, mode.clone());
            scene.assert_unavailable(&odd);
            scene.assert_served(&scene.token());
        }
        scene.assert_served(&known);
        assert_ready(&scene);
    }
}

// B2: each costs its whole timeout.
#[test]
fn token_on_which_the_provider_hangs_does_not_stop_others() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: SHORT,
        server: "trusted_proxies = [\"127.0.0.1/32\"]",
        ..ConfigOverrides::default()
    });
    let status_from = |address: &str, token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let from = format!("X-Forwarded-For: {address}");
        let head = [JSON, HOST, &bearer, &from];
        let path = "/production/mcp";
        let answer = scene.gateway.request("POST", path, &head, &count_request());
        answer.status
    };
    let odd: Vec<String> = (0..MANY).map(|_| scene.token()).collect();
    for token in &odd {
        scene.idp.set_token_mode(token, Mode::Hang);
    }
    std::thread::scope(|threads| {
        for token in &odd {
            threads.spawn(|| assert_eq!(status_from("198.51.100.1", token), 503));
        }
        scene.idp.wait_for(Endpoint::Introspection, 1);
        assert_eq!(status_from("203.0.113.7", &scene.token()), 200);
    });
    assert_eq!(status_from("203.0.113.7", &scene.token()), 200);
}

// B2
#[test]
fn token_that_breaks_the_provider_counts_for_its_address() {
    for mode in [Mode::Reset, Mode::S429(60), Mode::S500] {
        let limits = "failed_logins_per_minute = 1\nfailed_logins_burst = 3";
        let scene = IdpFixture::with_config(ConfigOverrides {
            provider: SHORT,
            limits: Some(limits),
            ..ConfigOverrides::default()
        });
        for _ in 0..3 {
            let odd = scene.token();
            scene.idp.set_token_mode(&odd, mode.clone());
            scene.assert_unavailable(&odd);
        }
        let asked = scene.idp.request_count(Endpoint::Introspection);
        assert_eq!(scene.call(&made_up()).status, 429, "{mode:?}");
        assert_eq!(scene.idp.request_count(Endpoint::Introspection), asked);
    }
}

// B3: the provider does ask for a pause.
#[test]
fn known_tokens_are_introspected_during_a_pause_that_the_provider_asked_for() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let known = scene.token();
    scene.assert_served(&known);
    scene.idp.set_mode(Endpoint::Introspection, Mode::S429(60));
    scene.assert_unavailable(&scene.token());
    let asked = scene.idp.request_count(Endpoint::Introspection);
    scene.assert_unavailable(&scene.token());
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), asked);
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    scene.assert_served(&known);
    scene.assert_unavailable(&scene.token());
}
