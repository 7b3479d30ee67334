//! Names that requests come under, and pages they come from: T-24 to T-26.

use super::{HOST, JSON, PRODUCTION, Scene, Words, counting};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource/production/mcp";

// T-24
#[test]
fn a_host_that_is_none_of_ours_is_misdirected_whatever_it_asks() {
    let scene = Scene::open();
    let token = scene.token();
    let bearer = format!("Authorization: Bearer {token}");
    for host in [
        "evil.test",
        "gw.example.com.evil.test",
        "evil-gw.example.com",
        "gw.example.com:8443",
        "example.com",
        "10.0.0.1",
        "gw.example.com@evil.test",
    ] {
        let host = format!("Host: {host}");
        for path in ["/production/mcp", WELL_KNOWN] {
            for lines in [vec![JSON, &host], vec![JSON, &host, &bearer]] {
                let answer = scene.stage.request("POST", path, &lines, &counting());
                assert!(
                    matches!(answer.status, 400 | 421),
                    "{host} {path}: {answer:?}"
                );
                scene.turned_away(&answer, answer.status, &token);
                assert!(answer.header("www-authenticate").is_none());
            }
            let answer = scene.stage.request("GET", path, &[&host], "");
            assert!(
                matches!(answer.status, 400 | 421),
                "{host} {path}: {answer:?}"
            );
        }
    }
    for host in [
        "gw.example.com",
        "GW.EXAMPLE.COM",
        "gw.example.com:443",
        "localhost",
        "127.0.0.1:1234",
    ] {
        let answer = scene.call_at("/production/mcp", &format!("Host: {host}"), &token);
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

// T-24
#[test]
fn a_host_can_be_allowed_besides_those_of_the_public_urls() {
    let scene = Scene::with(Words {
        server: "allowed_hosts = [\"gatepost.internal\"]",
        ..Words::default()
    });
    let token = scene.token();
    let answer = scene.call_at("/production/mcp", "Host: gatepost.internal", &token);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = scene.call_at("/production/mcp", "Host: gatepost.external", &token);
    assert_eq!(answer.status, 421, "{answer:?}");
}

// T-24
#[test]
fn urls_that_we_give_out_are_those_of_the_configuration_whatever_the_request_says() {
    let scene = Scene::open();
    for lines in [
        vec![],
        vec!["X-Forwarded-Host: evil.test"],
        vec!["X-Forwarded-Proto: http", "X-Forwarded-Port: 666"],
        vec!["X-Forwarded-Prefix: /evil"],
        vec![
            "X-Original-URL: /staging/mcp",
            "X-Rewrite-URL: /staging/mcp",
        ],
        vec!["Forwarded: for=1.2.3.4;host=evil.test;proto=http"],
        vec!["X-Host: evil.test", "X-HTTP-Method-Override: GET"],
    ] {
        let mut lines = lines;
        lines.push(HOST);
        let metadata = scene.stage.request("GET", WELL_KNOWN, &lines, "");
        assert_eq!(metadata.json()["resource"], PRODUCTION, "{lines:?}");
        let answer = scene.stage.request("GET", "/production/mcp", &lines, "");
        assert_eq!(answer.status, 401);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains(&format!(
                "resource_metadata=\"https://gw.example.com{WELL_KNOWN}\""
            )),
            "{challenge}"
        );
        for answer in [metadata, answer] {
            let text = format!("{}{}", answer.head, answer.body);
            assert!(!text.contains("evil") && !text.contains(":666"), "{text}");
        }
    }
}

// T-24
#[test]
fn a_request_with_two_hosts_or_with_a_host_in_its_target_has_one_meaning_or_none() {
    let scene = Scene::open();
    let ask = |target: &str, hosts: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        scene.stage.send(request.as_bytes())
    };
    for hosts in [
        "Host: gw.example.com\r\nHost: evil.test\r\n",
        "Host: evil.test\r\nHost: gw.example.com\r\n",
        "Host: gw.example.com\r\nHost: gw.example.com\r\n",
        "",
    ] {
        let answer = ask(WELL_KNOWN, hosts);
        assert!(matches!(answer.status, 400 | 421), "{hosts:?}: {answer:?}");
    }
    // RFC 9112 section 3.2.2: the target counts. Whichever it is, evil.test is not served.
    for (target, hosts) in [
        (
            format!("http://evil.test{WELL_KNOWN}"),
            "Host: gw.example.com\r\n",
        ),
        (
            format!("https://evil.test{WELL_KNOWN}"),
            "Host: evil.test\r\n",
        ),
        (
            format!("http://gw.example.com{WELL_KNOWN}"),
            "Host: evil.test\r\n",
        ),
    ] {
        let answer = ask(&target, hosts);
        assert!(matches!(answer.status, 200 | 400 | 404 | 421), "{answer:?}");
        assert!(
            !format!("{}{}", answer.head, answer.body).contains("evil.test"),
            "{answer:?}"
        );
        if hosts.contains("evil") && target.contains("evil") {
            assert!(answer.status >= 400, "{answer:?}");
        }
    }
    assert!(scene.idp.seen().is_empty());
}

// T-25
#[test]
fn a_page_of_somebody_else_may_not_use_a_token_that_is_good() {
    let scene = Scene::with(Words {
        server: "allowed_origins = [\"https://inspector.example\"]",
        ..Words::default()
    });
    let token = scene.token();
    let bearer = format!("Authorization: Bearer {token}");
    let ask = |origin: &str| {
        let origin = format!("Origin: {origin}");
        scene.stage.request(
            "POST",
            "/production/mcp",
            &[JSON, HOST, &bearer, &origin],
            &counting(),
        )
    };
    for origin in [
        "https://evil.test",
        "null",
        "https://inspector.example.evil.test",
        "http://inspector.example",
        "https://inspector.example:444",
        "https://evil.test https://inspector.example",
        "https://gw.example.com.evil.test",
        "http://127.0.0.1.evil.test",
        "file://",
        "",
    ] {
        let answer = ask(origin);
        scene.turned_away(&answer, 403, &token);
        assert!(
            answer.header("access-control-allow-origin").is_none(),
            "{origin}"
        );
    }
    let two = scene.stage.request(
        "POST",
        "/production/mcp",
        &[
            JSON,
            HOST,
            &bearer,
            "Origin: https://inspector.example",
            "Origin: https://evil.test",
        ],
        &counting(),
    );
    scene.turned_away(&two, 403, &token);
    for origin in ["https://inspector.example", "https://gw.example.com"] {
        let answer = ask(origin);
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin").as_deref(),
            Some(origin)
        );
    }
    scene.served(&token);
}

// T-25
#[test]
fn a_page_that_may_call_us_can_read_how_to_get_a_token() {
    let scene = Scene::with(Words {
        server: "allowed_origins = [\"https://inspector.example\"]",
        ..Words::default()
    });
    let origin = "Origin: https://inspector.example";
    let answer = scene.stage.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, origin],
        &counting(),
    );
    assert_eq!(answer.status, 401);
    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap()
        .to_lowercase();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    // Anybody may read the metadata.
    for origin in ["Origin: https://evil.test", "Origin: null", "X-None: x"] {
        let answer = scene.stage.request("GET", WELL_KNOWN, &[HOST, origin], "");
        assert_eq!(answer.status, 200, "{origin}: {answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin").as_deref(),
            Some("*")
        );
        assert!(answer.header("access-control-allow-credentials").is_none());
    }
}

// T-26
#[test]
fn a_name_that_points_to_this_machine_makes_no_page_local() {
    let scene = Scene::open();
    let token = scene.token();
    for host in [
        "attacker.test",
        "localhost.attacker.test",
        "127.0.0.1.attacker.test",
        "localtest.me",
    ] {
        let answer = scene.call_at("/production/mcp", &format!("Host: {host}"), &token);
        scene.turned_away(&answer, 421, &token);
        let preflight = scene.stage.request(
            "OPTIONS",
            "/production/mcp",
            &[
                &format!("Host: {host}"),
                &format!("Origin: http://{host}"),
                "Access-Control-Request-Method: POST",
            ],
            "",
        );
        assert_eq!(preflight.status, 421, "{preflight:?}");
    }
}
