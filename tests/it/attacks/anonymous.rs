//! Callers without a token: they are anonymous only on this machine, and never
//! through a proxy (A5).

use super::{JSON, count_request};
use crate::test_gateway::TestGateway;

const ANONYMOUS: &str = r#"
[server]
anonymous_role = "reader"

[instances.demo]
url = "ODOO"
database = "demo"
api_key = "KEY"

[roles.reader]
rules = [{ models = ["*"] }]
"#;

fn configuration() -> String {
    ANONYMOUS.replace("KEY", odoo_sim::ADMIN_KEY)
}

fn status(gateway: &TestGateway, headers: &[&str]) -> u16 {
    let headers = [&[JSON], headers].concat();
    let answer = gateway.request("POST", "/demo/mcp", &headers, &count_request());
    let asked = !gateway.fake_odoo.calls().is_empty();
    assert_eq!(answer.status == 200, asked, "{answer:?}");
    answer.status
}

#[test]
fn caller_without_token_is_anonymous_only_if_no_proxy_is_in_between() {
    for host in ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"] {
        let gateway = TestGateway::from_config(&configuration());
        let host = format!("Host: {host}");
        assert_eq!(status(&gateway, &[&host]), 200, "{host}");
    }
    let gateway = TestGateway::from_config(&configuration());
    for header in [
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Host: gw.example.com",
        "x-forwarded-proto: https",
        "Forwarded: for=203.0.113.7",
        "Via: 1.1 proxy",
        "X-Real-IP: 203.0.113.7",
        "X-Client-IP: 203.0.113.7",
        "CF-Ray: 8a1",
        "X-Original-Host: gw.example.com",
        "X-Envoy-External-Address: 203.0.113.7",
        "X-Amzn-Trace-Id: Root=1",
        "Tailscale-User-Login: ada",
        "Proxy-Connection: keep-alive",
    ] {
        assert_eq!(
            status(&gateway, &["Host: localhost", header]),
            401,
            "{header}"
        );
    }
    // What nginx sends with `proxy_pass` alone.
    let count = count_request();
    let nginx = format!(
        "POST /demo/mcp HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{count}",
        count.len()
    );
    assert_eq!(gateway.send(nginx.as_bytes()).status, 401);
    for host in [
        "gw.example.com",
        "10.0.0.1",
        "localhost.evil.example",
        "[[[::1]]]",
    ] {
        let status = status(&gateway, &[&format!("Host: {host}")]);
        assert!(matches!(status, 401 | 421), "{host}: {status}");
    }
}

#[test]
fn page_on_loopback_may_call_only_under_a_name_of_loopback() {
    let origin = "Origin: http://localhost:3000";
    let gateway = TestGateway::from_config(&configuration());
    assert_eq!(status(&gateway, &["Host: localhost", origin]), 200);
    for odd in ["x://localhost", "http://[[localhost]]", "localhost"] {
        let odd = format!("Origin: {odd}");
        let gateway = TestGateway::from_config(&configuration());
        assert_eq!(status(&gateway, &["Host: localhost", &odd]), 403, "{odd}");
    }
    let hosts = "allowed_hosts = [\"gw.example.com\"]";
    let text = configuration().replace("anonymous_role = \"reader\"", hosts);
    let gateway = TestGateway::from_config(&text);
    assert_eq!(status(&gateway, &["Host: gw.example.com", origin]), 403);
    assert_eq!(status(&gateway, &["Host: localhost", origin]), 401);
}

#[test]
fn anonymous_role_is_an_error_beside_settings_for_other_machines() {
    assert_eq!(TestGateway::config_errors(&configuration(), &[]), "");
    let server = |line: &str| {
        let with = format!("anonymous_role = \"reader\"\n{line}");
        configuration().replace("anonymous_role = \"reader\"", &with)
    };
    let instance = |line: &str| configuration().replace("database", &format!("{line}\ndatabase"));
    let provider =
        "[providers.company]\nissuer = \"https://id.example.com\"\nvalidation = \"jwt\"\n";
    for (setting, text) in [
        (
            "server.allowed_hosts",
            server("allowed_hosts = [\"gw.example.com\"]"),
        ),
        (
            "server.trusted_proxies",
            server("trusted_proxies = [\"127.0.0.1/32\"]"),
        ),
        (
            "instances.demo.public_urls",
            instance("public_urls = [\"https://gw.example.com/demo/mcp\"]"),
        ),
        (
            "providers",
            format!("{}\n{provider}", instance("providers = []")),
        ),
    ] {
        let errors = TestGateway::config_errors(&text, &[]);
        let expected = format!("`{setting}` is for callers from other machines");
        assert!(errors.contains(&expected), "{setting}: {errors}");
    }
    for fine in [
        server("allowed_hosts = [\"localhost:8080\"]"),
        instance("public_urls = [\"http://localhost:8080/demo/mcp\"]"),
    ] {
        assert_eq!(TestGateway::config_errors(&fine, &[]), "");
    }
}
