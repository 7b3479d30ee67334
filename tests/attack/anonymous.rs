//! A5: callers without a token behind a proxy on the same machine.

use std::process::Command;

use crate::{
    client::Client,
    process::{serve_command, write_configuration},
    target::{ATTACKER, Setup, Target},
};

#[test]
fn nothing_that_passed_a_proxy_is_anonymous() {
    let target = Target::start(Setup {
        server: "anonymous_role = \"writer\"",
        ..Setup::default()
    });
    let address = target.gateway.address;
    let anonymous = || Client::new(address, ATTACKER, None);
    assert_eq!(anonymous().count().status, 200, "directly");
    let calls = target.odoo_calls();
    for header in [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For: ",
        "x-forwarded-for: 203.0.113.9",
        "X-Forwarded-Host: localhost",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Server: a",
        "X-Forwarded-Prefix: /",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1",
        "Forwarded: for=_hidden;by=_x",
        "Via: 1.1 proxy",
        "CF-Connecting-IP: 203.0.113.9",
        "True-Client-IP: 203.0.113.9",
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://localhost.evil.example",
    ] {
        let answer = anonymous().with(header).count();
        assert!(matches!(answer.status, 401 | 403), "{header}: {answer:?}");
    }
    let port = address.port();
    for host in [
        "gw.example.com".to_owned(),
        format!("gw.example.com:{port}"),
        "localhost.evil.example".to_owned(),
        "127.0.0.1.evil.example".to_owned(),
        "[::ffff:203.0.113.9]".to_owned(),
        "203.0.113.9".to_owned(),
        "0.0.0.0".to_owned(),
        "2130706433".to_owned(),
        "gatepost".to_owned(),
    ] {
        let answer = anonymous().at("/demo/mcp", &host).count();
        assert!(
            matches!(answer.status, 400 | 401 | 403 | 421),
            "{host}: {answer:?}"
        );
    }
    assert_eq!(target.odoo_calls(), calls, "Odoo was asked");
    target.bystander().assert_served(3);
    target.end();
}

#[test]
fn anonymous_role_does_not_start_beside_settings_for_other_machines() {
    for (server, instance, more) in [
        ("trusted_proxies = [\"127.0.0.1/32\"]", "", ""),
        ("allowed_hosts = [\"gw.example.com\"]", "", ""),
        (
            "",
            "public_urls = [\"https://gw.example.com/demo/mcp\"]",
            "",
        ),
        (
            "",
            "",
            "[providers.company]\nissuer = \"https://id.example.com\"\nclient_id = \"a\"\nclient_secret = \"b\"",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = format!("anonymous_role = \"reader\"\n{server}");
        let setup = Setup {
            server: &server,
            instance,
            more,
            ..Setup::default()
        };
        write_configuration(folder.path(), &setup.text("http://127.0.0.1:9"));
        let command: &mut Command = &mut serve_command(folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("anonymous_role"), "{said}");
    }
}
