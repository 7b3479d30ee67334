//! Where a provider may be, and where what it says of itself may lead: T-23.
//!
//! A name that points somewhere else at the second look is not acted here: it
//! needs a name server of our own. What is connected to is the address that
//! was judged, not the name again.

use serde_json::json;

use super::{PRODUCTION, SIGNED, Scene, Trap, Words, configuration};
use crate::{
    idp::{Endpoint, Idp, SetUp},
    stage::Stage,
};

const SHORT: &str = "timeout_ms = 300\nconnect_timeout_ms = 300";

// T-23
#[test]
fn endpoints_that_lead_elsewhere_are_not_gone_to() {
    let (trap, other, six) = (
        Trap::at("127.0.0.1"),
        Trap::at("127.0.0.2"),
        Trap::at("::1"),
    );
    let places = [
        "http://169.254.169.254/introspect".to_owned(),
        "http://10.0.0.1/introspect".to_owned(),
        "http://192.168.0.1/introspect".to_owned(),
        "http://[fd00::1]/introspect".to_owned(),
        "http://0.0.0.0/introspect".to_owned(),
        "http://metadata.google.internal/introspect".to_owned(),
        "https://evil.test/introspect".to_owned(),
        format!("http://127.0.0.2:{}/introspect", other.port()),
        format!("http://[::1]:{}/introspect", six.port()),
        format!("http://[::ffff:127.0.0.2]:{}/introspect", other.port()),
        format!("http://localhost:{}/introspect", trap.port()),
        format!("http://2130706434:{}/introspect", other.port()),
        format!("http://0x7f000002:{}/introspect", other.port()),
        "ftp://127.0.0.1/introspect".to_owned(),
        "file:///etc/passwd".to_owned(),
        "unix:///run/x.sock".to_owned(),
    ];
    for place in places {
        let idp = Idp::open();
        idp.publishes("introspection_endpoint", json!(place));
        let scene = Scene::of(
            idp,
            Words {
                provider: SHORT,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.token());
        let idp = Idp::open();
        idp.publishes("jwks_uri", json!(place));
        let provider = format!("{SIGNED}\n{SHORT}");
        let scene = Scene::of(
            idp,
            Words {
                provider: &provider,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.jwt_with(&json!({})));
    }
    trap.is_untouched();
    other.is_untouched();
    six.is_untouched();
}

// T-23
#[test]
fn an_endpoint_with_a_user_in_it_is_refused() {
    for user in ["user@", "user:password@", "evil.test@"] {
        let idp = Idp::open();
        let place = idp.issuer().replace("http://", &format!("http://{user}")) + "/introspect";
        idp.publishes("introspection_endpoint", json!(place));
        let scene = Scene::of(
            idp,
            Words {
                provider: SHORT,
                ..Words::default()
            },
        );
        scene.unavailable(&scene.token());
        assert_eq!(scene.idp.count(Endpoint::Introspection), 0);
    }
}

// T-23
#[test]
fn a_provider_that_speaks_tls_cannot_talk_us_out_of_it() {
    let trap = Trap::at("127.0.0.1");
    let idp = Idp::set_up(&SetUp {
        tls: true,
        ..SetUp::default()
    });
    let plain = format!("http://127.0.0.1:{}/introspect", trap.port());
    idp.publishes("introspection_endpoint", json!(plain));
    let scene = Scene::of(
        idp,
        Words {
            provider: SHORT,
            ..Words::default()
        },
    );
    scene.unavailable(&scene.token());
    trap.is_untouched();
}

// T-23
#[test]
fn another_host_is_gone_to_where_the_configuration_names_it_and_only_in_its_network() {
    let other = Idp::open();
    let place = format!("http://localhost:{}/introspect", other.port());
    // The two share what they know and whom they expect.
    let set = |provider: &str| {
        let idp = Idp::open();
        other.expects(idp.asker());
        idp.publishes("introspection_endpoint", json!(place));
        Scene::of(
            idp,
            Words {
                provider,
                ..Words::default()
            },
        )
    };
    let named = format!(
        "{SHORT}\nendpoint_hosts = [\"localhost\"]\nprivate_networks = [\"127.0.0.0/8\", \"::1/128\"]"
    );
    let scene = set(&named);
    let token = scene.token();
    other.knows(&token, scene.claims());
    scene.served(&token);
    assert_eq!(other.count(Endpoint::Introspection), 1);
    let elsewhere = format!(
        "{SHORT}\nendpoint_hosts = [\"other.example.com\"]\nprivate_networks = [\"127.0.0.0/8\", \"::1/128\"]"
    );
    let scene = set(&elsewhere);
    scene.unavailable(&scene.token());
    assert_eq!(other.count(Endpoint::Introspection), 1);
}

// T-23
#[test]
fn of_the_addresses_of_a_name_only_those_in_allowed_networks_are_gone_to() {
    // `localhost` is both `127.0.0.1`, which the issuer's own address allows, and `::1`.
    let six = Trap::at("::1");
    let idp = Idp::open();
    let place = format!("http://localhost:{}/introspect", six.port());
    idp.publishes("introspection_endpoint", json!(place));
    let provider = format!("{SHORT}\nendpoint_hosts = [\"localhost\"]");
    let scene = Scene::of(
        idp,
        Words {
            provider: &provider,
            ..Words::default()
        },
    );
    scene.unavailable(&scene.token());
    six.is_untouched();
}

// T-23
#[test]
fn a_name_that_leads_into_a_private_network_is_refused_unless_that_network_is_allowed() {
    let idp = Idp::open();
    // `localhost` as a name of its own is allowed; under another name it is a private address.
    let text = configuration(
        &idp,
        Words {
            provider: SHORT,
            ..Words::default()
        },
    );
    let text = text.replace(
        idp.issuer(),
        &format!("http://localhost.localdomain:{}", idp.port()),
    );
    let mistakes = Stage::mistakes(&text, &[]);
    // A plain `http` issuer that is not on this machine is a mistake at once.
    assert!(mistakes.contains("issuer"), "{mistakes}");
}

// T-23
#[test]
fn an_issuer_that_is_none_is_refused_at_the_start() {
    for issuer in [
        "http://id.example.com",
        "https://user:password@id.example.com",
        "https://id.example.com?tenant=1",
        "https://id.example.com#x",
        "id.example.com",
        "ftp://id.example.com",
        "https://",
        "",
    ] {
        let idp = Idp::open();
        let text = configuration(&idp, Words::default()).replace(idp.issuer(), issuer);
        let mistakes = Stage::mistakes(&text, &[]);
        assert!(
            mistakes.contains("providers.company.issuer"),
            "{issuer}: {mistakes}"
        );
        assert!(!mistakes.contains("user:password"), "{mistakes}");
    }
}

#[test]
fn an_issuer_with_a_path_is_found_at_either_of_its_well_known_places() {
    let idp = Idp::set_up(&SetUp {
        path: "/realms/acme",
        ..SetUp::default()
    });
    let scene = Scene::of(idp, Words::default());
    scene.served(&scene.token());
    for seen in scene.idp.seen() {
        assert!(seen.target.contains("/realms/acme"), "{}", seen.target);
    }
    let signed = Idp::set_up(&SetUp {
        path: "/realms/acme",
        ..SetUp::default()
    });
    let scene = Scene::of(
        signed,
        Words {
            provider: SIGNED,
            ..Words::default()
        },
    );
    scene.served(&scene.jwt_with(&json!({"aud": PRODUCTION})));
}

#[test]
fn addresses_that_are_configured_need_no_discovery() {
    let idp = Idp::open();
    let provider = format!("introspection_url = \"{}/introspect\"", idp.issuer());
    let scene = Scene::of(
        idp,
        Words {
            provider: &provider,
            ..Words::default()
        },
    );
    scene.served(&scene.token());
    let idp = Idp::open();
    let provider = format!("{SIGNED}\njwks_url = \"{}/jwks\"", idp.issuer());
    let scene = Scene::of(
        idp,
        Words {
            provider: &provider,
            ..Words::default()
        },
    );
    scene.served(&scene.jwt_with(&json!({})));
}
