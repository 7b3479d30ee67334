//! The addresses allowed for a provider and for the endpoints in its metadata:
//! T-23.
//!
//! DNS rebinding is not tested here, because it needs a name server of our
//! own. The gateway connects to the address that it checked and does not resolve
//! the name again.

use serde_json::json;

use super::{
    ConfigOverrides, ForbiddenListener, HOST, IdpFixture, JSON, PRODUCTION, SHORT_TIMEOUTS,
    VALIDATE_JWT, configuration, count_request,
};
use crate::{
    idp::{Endpoint, Idp, IdpOptions, Mode, Refusals, wait_until},
    test_gateway::TestGateway,
};

// T-23
#[test]
fn endpoints_at_foreign_addresses_are_not_contacted() {
    let (trap, other, six) = (
        ForbiddenListener::bind("127.0.0.1"),
        ForbiddenListener::bind("127.0.0.2"),
        ForbiddenListener::bind("::1"),
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
        let idp = Idp::start();
        idp.set_metadata("introspection_endpoint", json!(place));
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
        scene.assert_unavailable(&scene.token());
        let idp = Idp::start();
        idp.set_metadata("jwks_uri", json!(place));
        let provider = format!("{VALIDATE_JWT}\n{SHORT_TIMEOUTS}");
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
        scene.assert_unavailable(&scene.jwt_with(&json!({})));
    }
    trap.assert_untouched();
    other.assert_untouched();
    six.assert_untouched();
}

// T-23
#[test]
fn endpoint_with_userinfo_is_rejected() {
    for user in ["user@", "user:password@", "evil.test@"] {
        let idp = Idp::start();
        let place = idp.issuer().replace("http://", &format!("http://{user}")) + "/introspect";
        idp.set_metadata("introspection_endpoint", json!(place));
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
        scene.assert_unavailable(&scene.token());
        assert_eq!(scene.idp.request_count(Endpoint::Introspection), 0);
    }
}

// T-23
#[test]
fn https_issuer_cannot_downgrade_to_http_endpoint() {
    let trap = ForbiddenListener::bind("127.0.0.1");
    let idp = Idp::start_with(&IdpOptions {
        tls: true,
        ..IdpOptions::default()
    });
    let plain = format!("http://127.0.0.1:{}/introspect", trap.port());
    idp.set_metadata("introspection_endpoint", json!(plain));
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
    scene.assert_unavailable(&scene.token());
    trap.assert_untouched();
}

// T-23
#[test]
fn endpoint_at_other_host_needs_configuration() {
    let other = Idp::start();
    let place = format!("http://localhost:{}/introspect", other.port());
    // The two providers share keys and audiences.
    let set = |provider: &str| {
        let idp = Idp::start();
        other.expect_client_auth(idp.client_auth());
        idp.set_metadata("introspection_endpoint", json!(place));
        IdpFixture::with_idp(idp, ConfigOverrides::of_provider(provider))
    };
    let named = format!(
        "{SHORT_TIMEOUTS}\nendpoint_hosts = [\"localhost\"]\nprivate_networks = [\"127.0.0.0/8\", \"::1/128\"]"
    );
    let scene = set(&named);
    let token = scene.token();
    other.set_token(&token, scene.claims());
    scene.assert_served(&token);
    assert_eq!(other.request_count(Endpoint::Introspection), 1);
    let elsewhere = format!(
        "{SHORT_TIMEOUTS}\nendpoint_hosts = [\"other.example.com\"]\nprivate_networks = [\"127.0.0.0/8\", \"::1/128\"]"
    );
    let scene = set(&elsewhere);
    scene.assert_unavailable(&scene.token());
    assert_eq!(other.request_count(Endpoint::Introspection), 1);
}

// T-23
#[test]
fn only_resolved_addresses_in_allowed_networks_are_contacted() {
    // `localhost` is both `127.0.0.1`, which the issuer's own address allows, and
    // `::1`.
    let six = ForbiddenListener::bind("::1");
    let idp = Idp::start();
    let place = format!("http://localhost:{}/introspect", six.port());
    idp.set_metadata("introspection_endpoint", json!(place));
    let provider = format!("{SHORT_TIMEOUTS}\nendpoint_hosts = [\"localhost\"]");
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
    scene.assert_unavailable(&scene.token());
    six.assert_untouched();
}

// T-23
#[test]
fn plain_http_issuer_off_this_machine_is_rejected() {
    let idp = Idp::start();
    // `localhost` as a name of its own is allowed; under another name it is a private address.
    let text = configuration(&idp, ConfigOverrides::of_provider(SHORT_TIMEOUTS));
    let text = text.replace(
        idp.issuer(),
        &format!("http://localhost.localdomain:{}", idp.port()),
    );
    let mistakes = TestGateway::config_errors(&text, &[]);
    // An `http` issuer that is not on this machine is rejected at startup.
    assert!(mistakes.contains("issuer"), "{mistakes}");
}

// T-23
#[test]
fn invalid_issuer_is_rejected_at_startup() {
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
        let idp = Idp::start();
        let text = configuration(&idp, ConfigOverrides::default()).replace(idp.issuer(), issuer);
        let mistakes = TestGateway::config_errors(&text, &[]);
        assert!(
            mistakes.contains("providers.company.issuer"),
            "{issuer}: {mistakes}"
        );
        assert!(!mistakes.contains("user:password"), "{mistakes}");
    }
}

#[test]
fn issuer_with_path_is_discovered() {
    let idp = Idp::start_with(&IdpOptions {
        path: "/realms/acme",
        ..IdpOptions::default()
    });
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::default());
    scene.assert_served(&scene.token());
    for seen in scene.idp.requests() {
        assert!(seen.target.contains("/realms/acme"), "{}", seen.target);
    }
    let signed = Idp::start_with(&IdpOptions {
        path: "/realms/acme",
        ..IdpOptions::default()
    });
    let scene = IdpFixture::with_idp(signed, ConfigOverrides::of_provider(VALIDATE_JWT));
    scene.assert_served(&scene.jwt_with(&json!({"aud": PRODUCTION})));
}

#[test]
fn configured_endpoint_urls_need_no_discovery() {
    let idp = Idp::start();
    let provider = format!("introspection_url = \"{}/introspect\"", idp.issuer());
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
    scene.assert_served(&scene.token());
    let idp = Idp::start();
    let provider = format!("{VALIDATE_JWT}\njwks_url = \"{}/jwks\"", idp.issuer());
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
    scene.assert_served(&scene.jwt_with(&json!({})));
}

// B4
#[test]
fn forbidden_endpoint_in_metadata_is_not_believed_for_long() {
    for provider in ["", VALIDATE_JWT] {
        let idp = Idp::start();
        let (member, good) = if provider.is_empty() {
            (
                "introspection_endpoint",
                format!("{}/introspect", idp.issuer()),
            )
        } else {
            ("jwks_uri", format!("{}/jwks", idp.issuer()))
        };
        idp.set_metadata(member, json!("http://169.254.169.254/latest"));
        let overrides = ConfigOverrides::of_provider(provider);
        let scene = IdpFixture::with_idp(idp, overrides);
        let claims = scene.claims();
        let token = scene.idp.issue_jwt(&json!({}), &claims);
        scene.idp.set_token(&token, claims);
        scene.assert_unavailable(&token);
        scene.idp.set_metadata(member, json!(good));
        wait_until(&scene.idp, "the mended metadata", || {
            scene.call(&token).status == 200
        });
    }
}

// P7: Rauthy redirects to a page where clients look first.
#[test]
fn check_reports_what_each_step_of_client_discovery_gives() {
    let first = "/.well-known/oauth-authorization-server";
    let message = |scene: &IdpFixture| {
        let findings = scene.check();
        let found = findings.into_iter().find(|one| one.message.contains(first));
        found.unwrap().message.replace(scene.idp.issuer(), "ISSUER")
    };
    let mut texts = vec![message(&IdpFixture::start())];
    let idp = Idp::start_with(&IdpOptions {
        path: "/auth/v1",
        ..IdpOptions::default()
    });
    let first = &format!("{first}/auth/v1");
    idp.set_page(first, Mode::Redirect("/auth/v1/".to_owned()));
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::default());
    texts.push(message(&scene));
    scene.idp.set_page(first, Mode::Html);
    texts.push(message(&scene));
    insta::assert_snapshot!(texts.join("\n"), @r"
    clients find the metadata at `ISSUER/.well-known/oauth-authorization-server`
    clients may not find the metadata: `/.well-known/oauth-authorization-server/auth/v1` gives status 302, `/.well-known/openid-configuration/auth/v1` gives status 404, `/auth/v1/.well-known/openid-configuration` gives the metadata
    clients may not find the metadata: `/.well-known/oauth-authorization-server/auth/v1` gives `text/html`, not metadata, `/.well-known/openid-configuration/auth/v1` gives status 404, `/auth/v1/.well-known/openid-configuration` gives the metadata
    ");
    // The gateway finds the metadata all the same.
    scene.assert_served(&scene.token());
}

// BC-13
#[test]
fn private_introspection_endpoint_may_be_used_without_credentials() {
    let idp = Idp::start();
    idp.refuse_like(Refusals::Kanidm);
    let text = configuration(&idp, ConfigOverrides::default());
    let secret = text.lines().find(|line| line.starts_with("client_secret"));
    let open = text.replace(secret.unwrap(), "client_auth = \"none\"");
    let warned = TestGateway::config_warnings(&open);
    let mut warnings = warned.split("FOLDER/");
    let about = warnings.find(|one| one.contains("client_auth"));
    insta::assert_snapshot!(about.unwrap_or(&warned));
    let gateway = TestGateway::from_config(&open);
    let now = jiff::Timestamp::now().as_second();
    let token = idp.issue_opaque(json!({
        "aud": PRODUCTION, "sub": "alice", "exp": now + 600, "token_type": "Bearer",
        "roles": ["odoo_reader"],
    }));
    let bearer = format!("Authorization: Bearer {token}");
    let answer = gateway.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, &bearer],
        &count_request(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        idp.requests()
            .iter()
            .all(|one| one.header("authorization").is_none())
    );
    let public = format!(
        "introspection_url = \"https://id.example.com/introspect\"\n{}",
        "client_auth = \"none\""
    );
    let public = text.replace(secret.unwrap(), &public);
    let errors = TestGateway::config_errors(&public, &[]);
    insta::assert_snapshot!(errors.replace(idp.issuer(), "ISSUER"));
}
