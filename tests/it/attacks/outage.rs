//! Provider failures: T-16, T-17, T-19 and T-40.

use serde_json::json;

use super::{
    ConfigOverrides, ForbiddenListener, IdpFixture, NO_CACHE, SHORT_TIMEOUTS, VALIDATE_JWT,
};
use crate::{
    idp::{Endpoint, ExpectedClientAuth, Idp, IdpOptions, Mode, wait_until},
    log,
};

/// The number of failures after which the circuit breaker opens.
const MAX_FAILURES: usize = 50;

fn fixture_with_mode(mode: Mode) -> IdpFixture {
    let scene = IdpFixture::with_provider(SHORT_TIMEOUTS);
    scene.idp.set_mode(Endpoint::Introspection, mode);
    scene
}

/// Whether a new token is introspected at all.
fn triggers_introspection(scene: &IdpFixture) -> bool {
    let before = scene.idp.request_count(Endpoint::Introspection);
    scene.assert_unavailable(&scene.token());
    scene.idp.request_count(Endpoint::Introspection) > before
}

/// Asserts that the provider recovers, and the gateway soon after.
fn assert_recovers(scene: &IdpFixture) {
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    let token = scene.token();
    wait_until(&scene.idp, "recovery", || scene.call(&token).status == 200);
    scene.assert_served(&scene.token());
}

// T-16
#[test]
fn incomplete_provider_response_gives_503_not_401() {
    for mode in [Mode::Hang, Mode::Slow, Mode::Drip, Mode::Reset, Mode::Trunc] {
        let scene = fixture_with_mode(mode);
        scene.assert_unavailable(&scene.token());
        assert_recovers(&scene);
    }
}

// T-16
#[test]
fn cached_tokens_work_during_provider_outage() {
    let scene = IdpFixture::with_provider(SHORT_TIMEOUTS);
    let known = scene.token();
    scene.assert_served(&known);
    for mode in [Mode::Hang, Mode::Reset, Mode::S500, Mode::S401, Mode::Html] {
        scene.idp.set_mode(Endpoint::Introspection, mode);
        scene.assert_unavailable(&scene.token());
        scene.assert_served(&known);
    }
    scene.idp.stop();
    scene.assert_unavailable(&scene.token());
    scene.assert_served(&known);
}

// T-16
#[test]
fn repeated_failures_open_circuit_and_recovery_is_automatic() {
    let scene = fixture_with_mode(Mode::S500);
    let asked = (0..MAX_FAILURES)
        .take_while(|_| triggers_introspection(&scene))
        .count();
    assert!(asked < MAX_FAILURES, "it was asked {asked} times");
    assert_recovers(&scene);
}

// `oidc-provider` responds like this to every JWT, and any client can make one
// up.
#[test]
fn unsupported_token_type_does_not_block_other_tokens() {
    let scene = fixture_with_mode(Mode::S400);
    for _ in 0..MAX_FAILURES {
        scene.assert_unavailable(&scene.token());
    }
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    scene.assert_served(&scene.token());
}

// A firewall in front of the provider inspects tokens, and any client can make
// one up that it rejects: `../../../../etc/passwd` is a valid token by RFC 6750.
#[test]
fn token_blocked_by_firewall_does_not_block_other_tokens() {
    let scene = fixture_with_mode(Mode::S403Page);
    scene.assert_unavailable("../../../../etc/passwd");
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    scene.assert_served(&scene.token());
}

// Whatever one token does to the provider, others are still introspected.
#[test]
fn token_that_breaks_the_provider_does_not_block_other_tokens() {
    for status in [500, 401, 403, 302] {
        let scene = IdpFixture::with_provider(SHORT_TIMEOUTS);
        let poison = scene.token_with(&json!({"!status": status}));
        for _ in 0..MAX_FAILURES {
            // A 401 is about the token, because the credentials are accepted.
            if status == 401 {
                scene.assert_rejected(&poison);
            } else {
                scene.assert_unavailable(&poison);
            }
        }
        scene.assert_served(&scene.token());
    }
}

// T-16: a request that joined a failed introspection does not start another.
#[test]
fn callers_share_one_failed_discovery_attempt() {
    let idp = Idp::start();
    idp.set_mode(Endpoint::Discovery, Mode::Hang);
    let scene = IdpFixture::with_idp(
        idp,
        ConfigOverrides::of_provider("timeout_ms = 1200\nconnect_timeout_ms = 1200"),
    );
    std::thread::scope(|threads| {
        threads.spawn(|| scene.assert_unavailable(&scene.token()));
        // It ends later than a pause that began with it would.
        scene.idp.wait_for(Endpoint::Discovery, 1);
        scene.assert_unavailable(&scene.token());
    });
    // Nor is the other metadata URL requested if the provider is unreachable.
    assert_eq!(scene.idp.request_count(Endpoint::Discovery), 1);
}

// T-16: an unreachable provider.
#[test]
fn unreachable_provider_gives_503_until_it_returns() {
    let scene = IdpFixture::with_provider(SHORT_TIMEOUTS);
    scene.assert_served(&scene.token());
    scene.idp.stop();
    scene.assert_unavailable(&scene.token());
    scene.idp.restart();
    assert_recovers(&scene);
}

// T-17
#[test]
fn error_status_of_provider_gives_503() {
    for mode in [Mode::S500, Mode::S503(1), Mode::S429(1), Mode::S400] {
        let scene = fixture_with_mode(mode);
        scene.assert_unavailable(&scene.token());
        assert_recovers(&scene);
    }
}

// T-17
#[test]
fn retry_after_of_provider_is_obeyed_capped_and_forwarded() {
    for mode in [Mode::S429(4), Mode::S503(4)] {
        let scene = fixture_with_mode(mode);
        let answer = scene.assert_unavailable(&scene.token());
        assert_eq!(answer.header("retry-after").as_deref(), Some("4"));
        for _ in 0..10 {
            scene.assert_unavailable(&scene.token());
        }
        // One about the token, and one about a made-up token.
        assert_eq!(
            scene.idp.request_count(Endpoint::Introspection),
            2,
            "a storm"
        );
    }
    // `Retry-After` is limited: no caller is locked out for a day.
    for mode in [Mode::S429(86_400), Mode::S503(u32::MAX)] {
        let scene = fixture_with_mode(mode);
        let answer = scene.assert_unavailable(&scene.token());
        let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(after <= 3600, "{after}");
    }
}

// T-17
#[test]
fn rejected_client_credentials_are_logged_and_hidden_from_callers() {
    {
        let mode = Mode::S401;
        let scene = fixture_with_mode(mode.clone());
        let answer = scene.assert_unavailable(&scene.token());
        assert!(
            !answer.body.contains("credential") && !answer.body.contains("client"),
            "{answer:?}"
        );
        let lines = log::lines_with("rejected the gateway's own credentials");
        assert!(lines.iter().any(|line| line.contains("ERROR")), "{lines:?}");
        // The gateway does not lock its own account by retrying.
        for _ in 0..20 {
            scene.assert_unavailable(&scene.token());
        }
        let asked = scene.idp.request_count(Endpoint::Introspection);
        assert!(asked < 10, "{mode:?}: asked {asked} times");
        let metrics = scene.gateway.admin_get("/metrics").body;
        assert!(
            metrics
                .lines()
                .any(|line| line.contains("client_auth") || line.contains("credentials")),
            "{metrics}"
        );
    }
}

// T-17
#[test]
fn wrong_client_secret_gives_503_not_401() {
    let scene = IdpFixture::with_provider(SHORT_TIMEOUTS);
    scene.idp.expect_client_auth(ExpectedClientAuth::Basic {
        id: "gate post".to_owned(),
        secret: "another".to_owned(),
    });
    scene.assert_unavailable(&scene.token());
}

// T-19
#[test]
fn redirects_of_provider_are_not_followed() {
    let trap = ForbiddenListener::bind("127.0.0.1");
    let to = format!("http://127.0.0.1:{}/steal", trap.port());
    for mode in [
        Mode::Redirect(to.clone()),
        Mode::Redirect307(to.clone()),
        Mode::Redirect("http://169.254.169.254/latest/meta-data/".to_owned()),
        Mode::Redirect("/introspect".to_owned()),
    ] {
        let scene = fixture_with_mode(mode.clone());
        scene.assert_unavailable(&scene.token());
        // One about the token, and one about a made-up token.
        assert_eq!(
            scene.idp.request_count(Endpoint::Introspection),
            2,
            "{mode:?}"
        );
    }
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
        let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\n{SHORT_TIMEOUTS}"));
        scene.idp.set_mode(endpoint, Mode::Redirect307(to.clone()));
        scene.assert_unavailable(&scene.jwt_with(&json!({})));
    }
    trap.assert_untouched();
}

// T-40
#[test]
fn provider_down_at_startup_is_used_once_it_is_up() {
    for provider in [
        SHORT_TIMEOUTS.to_owned(),
        format!("{VALIDATE_JWT}\n{SHORT_TIMEOUTS}"),
    ] {
        let idp = Idp::start_with(&IdpOptions {
            down: true,
            ..IdpOptions::default()
        });
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
        let token = scene.jwt_with(&json!({}));
        scene.idp.set_token(&token, scene.claims());
        scene.assert_unavailable(&token);
        // Callers without a token are informed how to get one even while the
        // provider is down.
        let answer = scene
            .gateway
            .request("GET", "/production/mcp", &[super::HOST], "");
        assert_eq!(answer.status, 401);
        scene.idp.restart();
        wait_until(&scene.idp, "the provider's coming", || {
            scene.call(&token).status == 200
        });
        scene.assert_served(&token);
    }
}

// T-40
#[test]
fn metadata_of_another_issuer_is_reported_in_readyz() {
    for issuer in ["https://evil.test", "http://127.0.0.1", "", "/"] {
        let idp = Idp::start();
        idp.set_metadata("issuer", json!(issuer));
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
        scene.assert_unavailable(&scene.token());
        assert_eq!(scene.idp.request_count(Endpoint::Introspection), 0);
        let ready = scene.gateway.admin_get("/readyz");
        assert!(ready.body.contains("issuer"), "{ready:?}");
    }
}

// T-40
#[test]
fn invalid_or_incomplete_metadata_gives_503() {
    for mode in [
        Mode::Html,
        Mode::HtmlAsJson,
        Mode::Array,
        Mode::S500,
        Mode::S403,
        Mode::Big,
        Mode::GzipBomb,
        Mode::Trunc,
        Mode::Hang,
        Mode::Bom,
    ] {
        let idp = Idp::start();
        idp.set_mode(Endpoint::Discovery, mode.clone());
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
        scene.assert_unavailable(&scene.token());
        assert_eq!(
            scene.idp.request_count(Endpoint::Introspection),
            0,
            "{mode:?}"
        );
        assert!(scene.idp.bytes_sent() < 32 << 20, "{mode:?}");
    }
    for endpoint in [
        json!(null),
        json!(7),
        json!("introspect"),
        json!(""),
        json!("file:///etc/passwd"),
    ] {
        let idp = Idp::start();
        idp.set_metadata("introspection_endpoint", endpoint);
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
        scene.assert_unavailable(&scene.token());
    }
}

#[test]
fn stale_result_is_used_during_outage_only_if_configured() {
    let stale = format!("{SHORT_TIMEOUTS}\ncache_ttl_s = 1\nstale_if_error_s = 60");
    let scene = IdpFixture::with_provider(&stale);
    let (known, refused) = (scene.token(), scene.token());
    scene.assert_served(&known);
    scene.idp.revoke(&refused);
    scene.assert_rejected(&refused);
    scene.idp.set_mode(Endpoint::Introspection, Mode::S500);
    // The cached result has expired when the provider is asked again.
    let asked = scene.idp.request_count(Endpoint::Introspection);
    wait_until(&scene.idp, "a further question", || {
        scene.assert_served(&known);
        scene.idp.request_count(Endpoint::Introspection) > asked
    });
    scene.assert_served(&known);
    scene.assert_unavailable(&scene.token());
    // Without that setting it expires at once.
    let scene = IdpFixture::with_provider(&format!("{SHORT_TIMEOUTS}\n{NO_CACHE}"));
    let known = scene.token();
    scene.assert_served(&known);
    scene.idp.set_mode(Endpoint::Introspection, Mode::S500);
    scene.assert_unavailable(&known);
}
