//! Host names of requests, and origins of web pages: T-24 to T-26.

use super::{ConfigOverrides, HOST, IdpFixture, JSON, PRODUCTION, count_request};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource/production/mcp";

// T-24
#[test]
fn unknown_host_is_rejected_without_challenge() {
    let scene = IdpFixture::start();
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
                let answer = scene
                    .gateway
                    .request("POST", path, &lines, &count_request());
                assert!(
                    matches!(answer.status, 400 | 421),
                    "{host} {path}: {answer:?}"
                );
                scene.assert_refused_early(&answer, answer.status, &token);
                assert!(answer.header("www-authenticate").is_none());
            }
            let answer = scene.gateway.request("GET", path, &[&host], "");
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
fn additional_allowed_host_is_accepted() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        server: "allowed_hosts = [\"gatepost.internal\"]",
        ..ConfigOverrides::default()
    });
    let token = scene.token();
    let answer = scene.call_at("/production/mcp", "Host: gatepost.internal", &token);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = scene.call_at("/production/mcp", "Host: gatepost.external", &token);
    assert_eq!(answer.status, 421, "{answer:?}");
}

// T-24
#[test]
fn published_urls_ignore_forwarded_headers() {
    let scene = IdpFixture::start();
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
        let metadata = scene.gateway.request("GET", WELL_KNOWN, &lines, "");
        assert_eq!(metadata.json()["resource"], PRODUCTION, "{lines:?}");
        let answer = scene.gateway.request("GET", "/production/mcp", &lines, "");
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
fn duplicate_hosts_are_rejected_and_foreign_target_is_never_served() {
    let scene = IdpFixture::start();
    let ask = |target: &str, hosts: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        scene.gateway.send(request.as_bytes())
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
    assert!(scene.idp.requests().is_empty());
}

// T-25
#[test]
fn foreign_origin_is_rejected_even_with_valid_token() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        server: "allowed_origins = [\"https://inspector.example\"]",
        ..ConfigOverrides::default()
    });
    let token = scene.token();
    let bearer = format!("Authorization: Bearer {token}");
    let ask = |origin: &str| {
        let origin = format!("Origin: {origin}");
        scene.gateway.request(
            "POST",
            "/production/mcp",
            &[JSON, HOST, &bearer, &origin],
            &count_request(),
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
        scene.assert_refused_early(&answer, 403, &token);
        assert!(
            answer.header("access-control-allow-origin").is_none(),
            "{origin}"
        );
    }
    let two = scene.gateway.request(
        "POST",
        "/production/mcp",
        &[
            JSON,
            HOST,
            &bearer,
            "Origin: https://inspector.example",
            "Origin: https://evil.test",
        ],
        &count_request(),
    );
    scene.assert_refused_early(&two, 403, &token);
    for origin in ["https://inspector.example", "https://gw.example.com"] {
        let answer = ask(origin);
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin").as_deref(),
            Some(origin)
        );
    }
    scene.assert_served(&token);
}

// T-25
#[test]
fn allowed_origin_can_read_challenge_and_metadata() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        server: "allowed_origins = [\"https://inspector.example\"]",
        ..ConfigOverrides::default()
    });
    let origin = "Origin: https://inspector.example";
    let answer = scene.gateway.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, origin],
        &count_request(),
    );
    assert_eq!(answer.status, 401);
    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap()
        .to_lowercase();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
    // The metadata may be read from any origin.
    for origin in ["Origin: https://evil.test", "Origin: null", "X-None: x"] {
        let answer = scene
            .gateway
            .request("GET", WELL_KNOWN, &[HOST, origin], "");
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
fn dns_rebinding_host_is_rejected() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for host in [
        "attacker.test",
        "localhost.attacker.test",
        "127.0.0.1.attacker.test",
        "localtest.me",
    ] {
        let answer = scene.call_at("/production/mcp", &format!("Host: {host}"), &token);
        scene.assert_refused_early(&answer, 421, &token);
        let preflight = scene.gateway.request(
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
