//! A provider that fails: T-16, T-17, T-19 and T-40.

use serde_json::json;

use super::{FRESH, SIGNED, Scene, Trap, Words};
use crate::{
    idp::{Asker, Endpoint, Idp, Mode, SetUp, until},
    log,
};

/// Answers within a time-out that no test waits long for.
const SHORT: &str = "timeout_ms = 300\nconnect_timeout_ms = 300";

/// After so many failures nobody is asked for a while.
const FAILURES: usize = 50;

fn unreliable(mode: Mode) -> Scene {
    let scene = Scene::provider(SHORT);
    scene.idp.behaves(Endpoint::Introspection, mode);
    scene
}

/// Whether a fresh token is asked about at all.
fn is_asked(scene: &Scene) -> bool {
    let before = scene.idp.count(Endpoint::Introspection);
    scene.unavailable(&scene.token());
    scene.idp.count(Endpoint::Introspection) > before
}

/// The provider is well again, and so are we soon after.
fn recovers(scene: &Scene) {
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    let token = scene.token();
    until(&scene.idp, "recovery", || scene.call(&token).status == 200);
    scene.served(&scene.token());
}

// T-16
#[test]
fn a_provider_that_never_ends_its_answer_makes_us_unavailable_and_nobody_unauthorized() {
    for mode in [Mode::Hang, Mode::Slow, Mode::Drip, Mode::Reset, Mode::Trunc] {
        let scene = unreliable(mode);
        scene.unavailable(&scene.token());
        recovers(&scene);
    }
}

// T-16
#[test]
fn whoever_was_proved_before_goes_on_while_the_provider_is_silent() {
    let scene = Scene::provider(SHORT);
    let known = scene.token();
    scene.served(&known);
    for mode in [Mode::Hang, Mode::Reset, Mode::S500, Mode::S401, Mode::Html] {
        scene.idp.behaves(Endpoint::Introspection, mode);
        scene.unavailable(&scene.token());
        scene.served(&known);
    }
    scene.idp.stops();
    scene.unavailable(&scene.token());
    scene.served(&known);
}

// T-16
#[test]
fn a_provider_that_fails_again_and_again_is_left_alone_and_found_again_by_itself() {
    let scene = unreliable(Mode::S500);
    let asked = (0..FAILURES).take_while(|_| is_asked(&scene)).count();
    assert!(asked < FAILURES, "it was asked {asked} times");
    recovers(&scene);
}

// `oidc-provider` answers so about every JWT, and anybody can make one up.
#[test]
fn a_token_that_the_provider_says_nothing_of_keeps_nobody_else_out() {
    let scene = unreliable(Mode::S400);
    for _ in 0..FAILURES {
        scene.unavailable(&scene.token());
    }
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    scene.served(&scene.token());
}

// A firewall before the provider looks into tokens, and anybody can make one
// up that it does not like: `../../../../etc/passwd` is one by RFC 6750.
#[test]
fn a_token_that_a_firewall_before_the_provider_refuses_keeps_nobody_else_out() {
    let scene = unreliable(Mode::S403Page);
    scene.unavailable("../../../../etc/passwd");
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    scene.served(&scene.token());
}

// T-16: who came while somebody asked in vain does not ask in vain again.
#[test]
fn callers_of_a_provider_whose_metadata_hangs_do_not_wait_for_each_other() {
    let idp = Idp::open();
    idp.behaves(Endpoint::Discovery, Mode::Hang);
    let scene = Scene::of(
        idp,
        Words {
            provider: "timeout_ms = 1200\nconnect_timeout_ms = 1200",
            ..Words::default()
        },
    );
    std::thread::scope(|threads| {
        threads.spawn(|| scene.unavailable(&scene.token()));
        // In its second form: more than the first pause is over then.
        scene.idp.wait_for(Endpoint::Discovery, 2);
        scene.unavailable(&scene.token());
    });
    assert_eq!(scene.idp.count(Endpoint::Discovery), 2);
}

// T-16: what cannot be reached at all.
#[test]
fn a_provider_that_is_gone_makes_us_unavailable_until_it_comes_back() {
    let scene = Scene::provider(SHORT);
    scene.served(&scene.token());
    scene.idp.stops();
    scene.unavailable(&scene.token());
    scene.idp.comes_back();
    recovers(&scene);
}

// T-17
#[test]
fn a_provider_that_says_it_fails_is_believed() {
    for mode in [Mode::S500, Mode::S503(1), Mode::S429(1), Mode::S400] {
        let scene = unreliable(mode);
        scene.unavailable(&scene.token());
        recovers(&scene);
    }
}

// T-17
#[test]
fn a_provider_that_wants_time_gets_it_and_so_do_our_clients() {
    for mode in [Mode::S429(4), Mode::S503(4)] {
        let scene = unreliable(mode);
        let answer = scene.unavailable(&scene.token());
        assert_eq!(answer.header("retry-after").as_deref(), Some("4"));
        for _ in 0..10 {
            scene.unavailable(&scene.token());
        }
        assert_eq!(scene.idp.count(Endpoint::Introspection), 1, "a storm");
    }
    // Nobody is sent away for a day.
    for mode in [Mode::S429(86_400), Mode::S503(u32::MAX)] {
        let scene = unreliable(mode);
        let answer = scene.unavailable(&scene.token());
        let after: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(after <= 3600, "{after}");
    }
}

// T-17
#[test]
fn our_own_credentials_being_refused_is_our_fault_and_told_to_us_alone() {
    for mode in [Mode::S401, Mode::S401Empty, Mode::S403] {
        let scene = unreliable(mode.clone());
        let answer = scene.unavailable(&scene.token());
        assert!(
            !answer.body.contains("credential") && !answer.body.contains("client"),
            "{answer:?}"
        );
        let told = log::lines_with("refused our own credentials");
        assert!(told.iter().any(|line| line.contains("ERROR")), "{told:?}");
        // We do not lock our own account.
        for _ in 0..20 {
            scene.unavailable(&scene.token());
        }
        let asked = scene.idp.count(Endpoint::Introspection);
        assert!(asked < 10, "{mode:?}: asked {asked} times");
        let metrics = scene.stage.admin("/metrics").body;
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
fn a_wrong_secret_of_ours_is_no_fault_of_the_callers() {
    let scene = Scene::provider(SHORT);
    scene.idp.expects(Asker::Basic {
        id: "gate post".to_owned(),
        secret: "another".to_owned(),
    });
    scene.unavailable(&scene.token());
}

// T-19
#[test]
fn a_provider_that_sends_us_elsewhere_is_not_followed() {
    let trap = Trap::at("127.0.0.1");
    let to = format!("http://127.0.0.1:{}/steal", trap.port());
    for mode in [
        Mode::Redirect(to.clone()),
        Mode::Redirect307(to.clone()),
        Mode::Redirect("http://169.254.169.254/latest/meta-data/".to_owned()),
        Mode::Redirect("/introspect".to_owned()),
    ] {
        let scene = unreliable(mode.clone());
        scene.unavailable(&scene.token());
        assert_eq!(scene.idp.count(Endpoint::Introspection), 1, "{mode:?}");
    }
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
        let scene = Scene::provider(&format!("{SIGNED}\n{SHORT}"));
        scene.idp.behaves(endpoint, Mode::Redirect307(to.clone()));
        scene.unavailable(&scene.jwt_with(&json!({})));
    }
    trap.is_untouched();
}

// T-40
#[test]
fn a_provider_that_is_down_when_we_start_is_found_when_it_comes() {
    for provider in [SHORT.to_owned(), format!("{SIGNED}\n{SHORT}")] {
        let idp = Idp::set_up(&SetUp {
            down: true,
            ..SetUp::default()
        });
        let scene = Scene::of(
            idp,
            Words {
                provider: &provider,
                ..Words::default()
            },
        );
        let token = scene.jwt_with(&json!({}));
        scene.idp.knows(&token, scene.claims());
        scene.unavailable(&token);
        // Who needs no provider is told how to get a token.
        let answer = scene
            .stage
            .request("GET", "/production/mcp", &[super::HOST], "");
        assert_eq!(answer.status, 401);
        scene.idp.comes_back();
        until(&scene.idp, "the provider's coming", || {
            scene.call(&token).status == 200
        });
        scene.served(&token);
    }
}

// T-40
#[test]
fn metadata_of_another_issuer_is_a_mistake_that_operators_can_read() {
    for issuer in ["https://evil.test", "http://127.0.0.1", "", "/"] {
        let idp = Idp::open();
        idp.publishes("issuer", json!(issuer));
        let scene = Scene::of(
            idp,
            Words {
                provider: SHORT,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.token());
        assert_eq!(scene.idp.count(Endpoint::Introspection), 0);
        let ready = scene.stage.admin("/readyz");
        assert!(ready.body.contains("issuer"), "{ready:?}");
    }
}

// T-40
#[test]
fn metadata_that_is_none_or_lacks_what_is_needed_makes_us_unavailable() {
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
        let idp = Idp::open();
        idp.behaves(Endpoint::Discovery, mode.clone());
        let scene = Scene::of(
            idp,
            Words {
                provider: SHORT,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.token());
        assert_eq!(scene.idp.count(Endpoint::Introspection), 0, "{mode:?}");
        assert!(scene.idp.bytes_sent() < 32 << 20, "{mode:?}");
    }
    for endpoint in [
        json!(null),
        json!(7),
        json!("introspect"),
        json!(""),
        json!("file:///etc/passwd"),
    ] {
        let idp = Idp::open();
        idp.publishes("introspection_endpoint", endpoint);
        let scene = Scene::of(
            idp,
            Words {
                provider: SHORT,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.token());
    }
}

#[test]
fn while_it_fails_an_old_answer_is_used_only_where_that_is_configured_and_never_a_no() {
    let stale = format!("{SHORT}\ncache_ttl_s = 1\nstale_if_error_s = 60");
    let scene = Scene::provider(&stale);
    let (known, refused) = (scene.token(), scene.token());
    scene.served(&known);
    scene.idp.revokes(&refused);
    scene.refused(&refused);
    scene.idp.behaves(Endpoint::Introspection, Mode::S500);
    // The answer is past its time once the provider is asked again.
    let asked = scene.idp.count(Endpoint::Introspection);
    until(&scene.idp, "a further question", || {
        scene.served(&known);
        scene.idp.count(Endpoint::Introspection) > asked
    });
    scene.served(&known);
    scene.unavailable(&scene.token());
    // Without that it is over when it is over.
    let scene = Scene::provider(&format!("{SHORT}\n{FRESH}"));
    let known = scene.token();
    scene.served(&known);
    scene.idp.behaves(Endpoint::Introspection, Mode::S500);
    scene.unavailable(&known);
}
