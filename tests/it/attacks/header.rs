//! What stands in the place of a token: T-13 to T-15.

use super::{HOST, JSON, Scene, counting};
use crate::stage::Answer;

fn ask(scene: &Scene, path: &str, lines: &[&str]) -> Answer {
    let mut headers = vec![JSON, HOST];
    headers.extend(lines);
    scene.stage.request("POST", path, &headers, &counting())
}

// T-13
#[test]
fn a_header_that_is_no_bearer_token_is_a_bad_request_and_nobody_is_asked_about_it() {
    let scene = Scene::open();
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
        let answer = ask(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {value}")],
        );
        scene.turned_away(&answer, 400, &token);
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
fn another_scheme_is_no_token() {
    let scene = Scene::open();
    let token = scene.token();
    for value in [
        "Basic YWxpY2U6c2VjcmV0LXBhc3N3b3Jk".to_owned(),
        format!("DPoP {token}"),
        format!("Token {token}"),
        format!("Negotiate {token}"),
    ] {
        let answer = ask(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {value}")],
        );
        assert!(matches!(answer.status, 400 | 401), "{value}: {answer:?}");
        scene.turned_away(
            &answer,
            answer.status,
            value.split(' ').next_back().unwrap(),
        );
    }
}

// T-13
#[test]
fn the_scheme_is_read_in_any_case() {
    let scene = Scene::open();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = ask(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: {scheme} {}", scene.token())],
        );
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

// T-13
#[test]
fn a_token_that_is_too_short_or_too_long_to_be_one_costs_no_question() {
    let scene = Scene::open();
    for token in [
        "a".to_owned(),
        "short".to_owned(),
        "t".repeat(15),
        "t".repeat(8193),
    ] {
        let answer = ask(
            &scene,
            "/production/mcp",
            &[&format!("Authorization: Bearer {token}")],
        );
        assert!(
            matches!(answer.status, 400 | 401),
            "{} bytes: {answer:?}",
            token.len()
        );
        assert!(scene.idp.seen().is_empty(), "{} bytes", token.len());
    }
    let longest = "t".repeat(8192);
    scene.idp.knows(&longest, scene.claims());
    scene.served(&longest);
}

// T-13
#[test]
fn a_head_without_end_is_refused_before_anything_is_asked() {
    let scene = Scene::open();
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
            .stage
            .send_in_two(begin.as_bytes(), rest.as_bytes(), false);
        // Also 0: it may close while we still write.
        assert!(matches!(answer.status, 0 | 400 | 431), "{answer:?}");
    }
    assert!(scene.idp.seen().is_empty() && scene.stage.company.calls().is_empty());
}

// T-13
#[test]
fn a_line_break_in_a_header_makes_no_second_one() {
    let scene = Scene::open();
    let token = scene.token();
    for broken in [
        format!("X-A: b\rAuthorization: Bearer {token}"),
        format!("X-A: b\0\r\nAuthorization : Bearer {token}"),
        format!("X-A: b\r\n Authorization: Bearer {token}"),
    ] {
        let answer = ask(&scene, "/production/mcp", &[&broken]);
        assert!(matches!(answer.status, 400 | 401), "{broken:?}: {answer:?}");
    }
    assert!(scene.idp.seen().is_empty() && scene.stage.company.calls().is_empty());
}

// T-14
#[test]
fn two_tokens_are_none() {
    let scene = Scene::open();
    let (one, other) = (scene.token(), scene.token());
    let header = |token: &str| format!("Authorization: Bearer {token}");
    for pair in [[&one, &one], [&one, &other], [&other, &one]] {
        let answer = ask(
            &scene,
            "/production/mcp",
            &[&header(pair[0]), &header(pair[1])],
        );
        scene.turned_away(&answer, 400, &one);
    }
    let answer = ask(
        &scene,
        "/production/mcp",
        &[&header(&format!("{one}, Bearer {other}"))],
    );
    scene.turned_away(&answer, 400, &one);
    let answer = ask(
        &scene,
        "/production/mcp",
        &[&header(&one), "Authorization: Basic YWxpY2U6c2VjcmV0"],
    );
    scene.turned_away(&answer, 400, &one);
}

// T-14
#[test]
fn a_token_in_the_query_is_a_bad_request_and_stands_in_no_log() {
    let scene = Scene::open();
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
            let answer = ask(&scene, &path, &lines);
            assert!(
                matches!(answer.status, 400 | 401) || !lines.is_empty(),
                "{query}"
            );
            scene.silent(&answer, &token);
        }
    }
    for lines in [vec![], vec![header.as_str()]] {
        let path = format!("/production/mcp?access_token={token}");
        let answer = ask(&scene, &path, &lines);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
}

// T-14
#[test]
fn a_token_in_the_body_is_not_looked_for() {
    let scene = Scene::open();
    let token = scene.token();
    let answer = scene.stage.request(
        "POST",
        "/production/mcp",
        &["Content-Type: application/x-www-form-urlencoded", HOST],
        &format!("access_token={token}"),
    );
    scene.turned_away(&answer, 401, &token);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","access_token":"{token}"}}"#);
    let answer = scene
        .stage
        .request("POST", "/production/mcp", &[JSON, HOST], &body);
    scene.turned_away(&answer, 401, &token);
}

// T-15
#[test]
fn nobody_is_somebody_because_a_cookie_or_a_proxys_header_says_so() {
    let scene = Scene::open();
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
        let answer = ask(&scene, "/production/mcp", &[&line]);
        scene.turned_away(&answer, 401, &token);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(!challenge.contains("error="), "{challenge}");
    }
}

// T-15
#[test]
fn odoo_gets_its_own_key_and_nothing_of_the_clients_headers() {
    let scene = Scene::open();
    let token = scene.token();
    let answer = ask(
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
    let calls = scene.stage.company.calls();
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
