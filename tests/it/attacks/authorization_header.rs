//! `Authorization` headers without a valid token: T-13 to T-15.

use super::{HOST, IdpFixture, JSON, count_request};
use crate::test_gateway::TestResponse;

fn post(scene: &IdpFixture, path: &str, lines: &[&str]) -> TestResponse {
    let mut headers = vec![JSON, HOST];
    headers.extend(lines);
    scene
        .gateway
        .request("POST", path, &headers, &count_request())
}

// T-13
#[test]
fn malformed_bearer_header_gives_400_without_introspection() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer  {token} {token}"),
        format!("Bearer {token},"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token}\u{fc}"),
        "Bearer \u{fc}ber-geheimes-token".to_owned(),
        format!("\u{ff22}earer {token}"),
        format!("Bearer={token}"),
        format!("Bearer{token}"),
        token.clone(),
        "Bearer ====".to_owned(),
        "Bearer %00%00%00%00%00%00%00%00".to_owned(),
        format!("Bearer {token}\u{0}"),
    ] {
        let answer = post(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {value}")],
        );
        scene.assert_refused_early(&answer, 400, &token);
        if let Some(challenge) = answer.header("www-authenticate") {
            assert!(
                challenge.contains("error=\"invalid_request\""),
                "{challenge}"
            );
        }
    }
}

// T-13
#[test]
fn non_bearer_scheme_is_rejected() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for value in [
        "Basic YWxpY2U6c2VjcmV0LXBhc3N3b3Jk".to_owned(),
        format!("DPoP {token}"),
        format!("Token {token}"),
        format!("Negotiate {token}"),
    ] {
        let answer = post(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {value}")],
        );
        assert!(matches!(answer.status, 400 | 401), "{value}: {answer:?}");
        scene.assert_refused_early(
            &answer,
            answer.status,
            value.split(' ').next_back().unwrap(),
        );
    }
}

// T-13
#[test]
fn bearer_scheme_is_case_insensitive() {
    let scene = IdpFixture::start();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = post(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {scheme} {}", scene.token())],
        );
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

// T-13
#[test]
fn token_of_invalid_length_is_never_introspected() {
    let scene = IdpFixture::start();
    for token in [
        "a".to_owned(),
        "short".to_owned(),
        "t".repeat(15),
        "t".repeat(8193),
    ] {
        let answer = post(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: Bearer {token}")],
        );
        assert!(
            matches!(answer.status, 400 | 401),
            "{} bytes: {answer:?}",
            token.len()
        );
        assert!(scene.idp.requests().is_empty(), "{} bytes", token.len());
    }
    let longest = "t".repeat(8192);
    scene.idp.set_token(&longest, scene.claims());
    scene.assert_served(&longest);
}

// T-13
#[test]
fn oversized_request_head_is_rejected() {
    let scene = IdpFixture::start();
    let begin =
        format!("POST /production/mcp HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nConnection: close\r\n");
    let end = "Content-Length: 2\r\n\r\n{}";
    let huge = format!("Authorization: Bearer {}\r\n{end}", "t".repeat(1 << 20));
    let many = (0..10_000).fold(String::new(), |many, n| {
        many + "X-" + &n.to_string() + ": y\r\n"
    });
    let authorizations = "Authorization: Bearer tok-0123456789abcdef\r\n".repeat(300);
    for rest in [huge, many + end, authorizations + end] {
        let answer = scene
            .gateway
            .send_in_two(begin.as_bytes(), rest.as_bytes(), false);
        // Also 0, because the gateway may close the connection while the test
        // still writes.
        assert!(matches!(answer.status, 0 | 400 | 431), "{answer:?}");
    }
    assert!(scene.idp.requests().is_empty() && scene.gateway.fake_odoo.calls().is_empty());
}

// T-13
#[test]
fn line_break_in_header_does_not_inject_authorization() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for broken in [
        format!("X-A: b\rAuthorization: Bearer {token}"),
        format!("X-A: b\0\r\nAuthorization : Bearer {token}"),
        format!("X-A: b\r\n Authorization: Bearer {token}"),
    ] {
        let answer = post(&scene, "/production/mcp", &[&broken]);
        assert!(matches!(answer.status, 400 | 401), "{broken:?}: {answer:?}");
    }
    assert!(scene.idp.requests().is_empty() && scene.gateway.fake_odoo.calls().is_empty());
}

// T-14
#[test]
fn multiple_tokens_are_rejected() {
    let scene = IdpFixture::start();
    let (one, other) = (scene.token(), scene.token());
    let header = |token: &str| format!("Authorization: Bearer {token}");
    for pair in [[&one, &one], [&one, &other], [&other, &one]] {
        let answer = post(
            &scene,
            "/production/mcp",
            &[&header(pair[0]), &header(pair[1])],
        );
        scene.assert_refused_early(&answer, 400, &one);
    }
    let answer = post(
        &scene,
        "/production/mcp",
        &[&header(&format!("{one}, Bearer {other}"))],
    );
    scene.assert_refused_early(&answer, 400, &one);
    let answer = post(
        &scene,
        "/production/mcp",
        &[&header(&one), "Authorization: Basic YWxpY2U6c2VjcmV0"],
    );
    scene.assert_refused_early(&answer, 400, &one);
}

// T-14
#[test]
fn token_in_query_gives_400_and_is_not_logged() {
    let scene = IdpFixture::start();
    let token = scene.token();
    let header = format!("Authorization: Bearer {token}");
    for query in [
        format!("access_token={token}"),
        format!("x=1&access_token={token}"),
        format!("access%5Ftoken={token}"),
        format!("ACCESS_TOKEN={token}"),
    ] {
        let path = format!("/production/mcp?{query}");
        for lines in [vec![], vec![header.as_str()]] {
            let answer = post(&scene, &path, &lines);
            assert!(
                matches!(answer.status, 400 | 401) || !lines.is_empty(),
                "{query}"
            );
            scene.assert_no_leak(&answer, &token);
        }
    }
    for lines in [vec![], vec![header.as_str()]] {
        let path = format!("/production/mcp?access_token={token}");
        let answer = post(&scene, &path, &lines);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

// T-14
#[test]
fn token_in_body_is_ignored() {
    let scene = IdpFixture::start();
    let token = scene.token();
    let answer = scene.gateway.request(
        "POST",
        "/production/mcp",
        &["Content-Type: application/x-www-form-urlencoded", HOST],
        &format!("access_token={token}"),
    );
    scene.assert_refused_early(&answer, 401, &token);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","access_token":"{token}"}}"#);
    let answer = scene
        .gateway
        .request("POST", "/production/mcp", &[JSON, HOST], &body);
    scene.assert_refused_early(&answer, 401, &token);
}

// T-15
#[test]
fn cookies_and_proxy_headers_do_not_authenticate() {
    let scene = IdpFixture::start();
    let token = scene.token();
    for line in [
        format!("Cookie: access_token={token}; session={token}"),
        "X-Forwarded-User: alice".to_owned(),
        "X-Auth-Request-User: alice".to_owned(),
        "X-Auth-Request-Email: alice@example.com".to_owned(),
        format!("X-Auth-Request-Access-Token: {token}"),
        format!("X-Forwarded-Access-Token: {token}"),
        "Remote-User: alice".to_owned(),
        "X-Remote-User: alice".to_owned(),
        format!("Proxy-Authorization: Bearer {token}"),
        format!("X-Api-Key: {token}"),
    ] {
        let answer = post(&scene, "/production/mcp", &[&line]);
        scene.assert_refused_early(&answer, 401, &token);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(!challenge.contains("error="), "{challenge}");
    }
}

// T-15
#[test]
fn client_headers_are_not_forwarded_to_odoo() {
    let scene = IdpFixture::start();
    let token = scene.token();
    let answer = post(
        &scene,
        "/production/mcp",
        &[
            &format!("Authorization: Bearer {token}"),
            "Cookie: session_id=abcdefgh",
            "X-Forwarded-User: admin",
            "X-Auth-Request-User: admin",
            "Remote-User: admin",
            "X-Odoo-Database: other",
            "Proxy-Authorization: Basic eDp5",
        ],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let calls = scene.gateway.fake_odoo.calls();
    assert!(!calls.is_empty());
    for call in calls {
        for name in [
            "cookie",
            "x-forwarded-user",
            "x-auth-request-user",
            "remote-user",
            "proxy-authorization",
        ] {
            assert!(!call.headers.contains_key(name), "{name}");
        }
        assert_eq!(call.headers["x-odoo-database"], "demo");
        let shown = format!("{:?}", call.headers);
        assert!(!shown.contains(&token));
    }
}
